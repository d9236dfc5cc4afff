//! Writes the Prometheus text format the way Python's `prometheus_client` does: sorted labels,
//! a `_created` gauge beside each counter and histogram, Go-style floats.
//!
//! **Invariant:** nothing here knows a metric's name or what it means.

use std::fmt::Write as _;

/// A label and its value. Callers give labels sorted by name, as `prometheus_client` writes them.
pub(crate) type Label<'a> = (&'a str, &'a str);

/// A cumulative histogram with fixed bounds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    bounds: &'static [f64],
    /// One count per bound and one for everything above the last.
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    /// Records one value.
    pub(crate) fn observe(&mut self, value: f64) {
        self.observe_times(value, 1);
    }

    /// Records the same value `times` times.
    pub(crate) fn observe_times(&mut self, value: f64, times: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        self.counts[index] += times;
        self.sum += value * times as f64;
    }

    /// How many values were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The text of one answer, under construction.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// Room for one full answer: a loaded vLLM answers with about 50 KiB.
    const CAPACITY: usize = 64 * 1024;

    pub(crate) fn new() -> Self {
        Self { text: String::with_capacity(Self::CAPACITY) }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// Begins a family: its HELP and TYPE lines.
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One line with a value.
    pub(crate) fn sample(&mut self, name: &str, labels: &[Label<'_>], value: f64) {
        self.text.push_str(name);
        if !labels.is_empty() {
            self.labels(labels);
        }
        self.text.push(' ');
        push_float(&mut self.text, value);
        self.text.push('\n');
    }

    /// A family of gauges.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, series: &[(&[Label<'_>], f64)]) {
        self.family(name, "gauge", help);
        for (labels, value) in series {
            self.sample(name, labels, *value);
        }
    }

    /// A family of counters and its `_created` family. `name` is without `_total`.
    pub(crate) fn counter(
        &mut self,
        name: &str,
        help: &str,
        created: f64,
        series: &[(&[Label<'_>], f64)],
    ) {
        self.gauge_as(&format!("{name}_total"), "counter", help, series);
        self.created(name, help, created, series.iter().map(|(labels, _)| *labels));
    }

    /// A histogram family of one or more series and its `_created` family.
    pub(crate) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        created: f64,
        series: &[(&[Label<'_>], &Histogram)],
    ) {
        self.family(name, "histogram", help);
        for (labels, histogram) in series {
            self.histogram_series(name, labels, histogram);
        }
        self.created(name, help, created, series.iter().map(|(labels, _)| *labels));
    }

    /// The `_created` family beside `name`; absent when `name` has no series yet.
    pub(crate) fn created<'a>(
        &mut self,
        name: &str,
        help: &str,
        created: f64,
        series: impl Iterator<Item = &'a [Label<'a>]>,
    ) {
        let name = format!("{name}_created");
        let mut series = series.peekable();
        if series.peek().is_none() {
            return;
        }
        self.family(&name, "gauge", help);
        for labels in series {
            self.sample(&name, labels, created);
        }
    }

    fn gauge_as(&mut self, name: &str, kind: &str, help: &str, series: &[(&[Label<'_>], f64)]) {
        self.family(name, kind, help);
        for (labels, value) in series {
            self.sample(name, labels, *value);
        }
    }

    fn histogram_series(&mut self, name: &str, labels: &[Label<'_>], histogram: &Histogram) {
        let bucket = format!("{name}_bucket");
        let bounds = histogram.bounds.iter().copied().chain([f64::INFINITY]);
        let mut cumulative = 0;
        let mut le = String::new();
        for (bound, count) in bounds.zip(&histogram.counts) {
            cumulative += count;
            le.clear();
            push_float(&mut le, bound);
            let at = labels.partition_point(|(label, _)| *label < "le");
            let mut with_le = Vec::with_capacity(labels.len() + 1);
            with_le.extend_from_slice(&labels[..at]);
            with_le.push(("le", le.as_str()));
            with_le.extend_from_slice(&labels[at..]);
            self.sample(&bucket, &with_le, cumulative as f64);
        }
        self.sample(&format!("{name}_count"), labels, cumulative as f64);
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
    }

    fn labels(&mut self, labels: &[Label<'_>]) {
        self.text.push('{');
        for (index, (label, value)) in labels.iter().enumerate() {
            if index > 0 {
                self.text.push(',');
            }
            self.text.push_str(label);
            self.text.push_str("=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        self.text.push('}');
    }
}

/// Python's `floatToGoString`: `1.0`, `0.05`, `+Inf`, `1.7955018200082534e+09`.
fn push_float(text: &mut String, value: f64) {
    if value == f64::INFINITY {
        text.push_str("+Inf");
        return;
    }
    let plain = format!("{value:?}");
    match plain.find('.') {
        Some(dot) if value > 0.0 && dot > 6 && !plain.contains('e') => {
            let mantissa = format!("{}.{}{}", &plain[..1], &plain[1..dot], &plain[dot + 1..]);
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            let _ = write!(text, "{mantissa}e+{:02}", dot - 1);
        }
        Some(_) | None => text.push_str(&plain),
    }
}

#[cfg(test)]
mod tests {
    use super::{Exposition, Histogram, push_float};

    #[track_caller]
    fn check_float(value: f64, expected: &str) {
        let mut text = String::new();
        push_float(&mut text, value);
        assert_eq!(text, expected);
    }

    #[test]
    fn floats_look_like_pythons() {
        check_float(0.0, "0.0");
        check_float(24.0, "24.0");
        check_float(0.05, "0.05");
        check_float(16384.0, "16384.0");
        check_float(999_999.5, "999999.5");
        check_float(1_234_567.0, "1.234567e+06");
        check_float(1_795_501_820.007_253_4, "1.7955018200072534e+09");
        check_float(4_885_045_248.0, "4.885045248e+09");
        check_float(1_000_000_000.0, "1e+09");
        check_float(f64::INFINITY, "+Inf");
    }

    #[test]
    fn histogram_buckets_are_cumulative_and_le_is_inclusive() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        histogram.observe(1.0);
        histogram.observe_times(1.5, 2);
        histogram.observe(9.0);
        assert_eq!(histogram.count(), 4);
        let mut exposition = Exposition::new();
        exposition.histogram("h", "Help.", 3.0, &[(&[("a", "x\"y"), ("m", "z")], &histogram)]);
        assert_eq!(
            exposition.finish(),
            "# HELP h Help.\n# TYPE h histogram\n\
             h_bucket{a=\"x\\\"y\",le=\"1.0\",m=\"z\"} 1.0\n\
             h_bucket{a=\"x\\\"y\",le=\"2.0\",m=\"z\"} 3.0\n\
             h_bucket{a=\"x\\\"y\",le=\"+Inf\",m=\"z\"} 4.0\n\
             h_count{a=\"x\\\"y\",m=\"z\"} 4.0\n\
             h_sum{a=\"x\\\"y\",m=\"z\"} 13.0\n\
             # HELP h_created Help.\n# TYPE h_created gauge\n\
             h_created{a=\"x\\\"y\",m=\"z\"} 3.0\n"
        );
    }

    #[test]
    fn a_counter_without_series_has_no_created_family() {
        let mut exposition = Exposition::new();
        exposition.counter("c", "Help.", 1.0, &[]);
        assert_eq!(exposition.finish(), "# HELP c_total Help.\n# TYPE c_total counter\n");
    }
}
