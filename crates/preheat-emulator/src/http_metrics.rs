//! The `http_*` families that vLLM's FastAPI instrumentation adds to `/metrics`.
//!
//! A request is recorded when its response has ended, so streams count late.
//!
//! **Invariant:** only names of known routes become labels; any other path is the handler `none`.

use std::collections::BTreeMap;

use crate::exposition::{Exposition, Histogram, Label};

/// Bounds of the unlabelled duration histogram, seconds.
const DURATION_HIGHR_BOUNDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0,
    7.5, 10.0, 30.0, 60.0,
];

/// Bounds of the duration histogram by handler, seconds.
const DURATION_BOUNDS: &[f64] = &[0.1, 0.5, 1.0];

/// One ended request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpRecord {
    /// The route's path, or `none`.
    pub(crate) handler: &'static str,
    pub(crate) method: &'static str,
    /// `2xx`, `4xx`, …
    pub(crate) status: &'static str,
    pub(crate) request_bytes: u64,
    /// Zero for streams: only a `content-length` header is read.
    pub(crate) response_bytes: u64,
    pub(crate) duration_secs: f64,
}

/// Everything recorded so far.
#[derive(Debug)]
pub(crate) struct HttpMetrics {
    created: f64,
    requests: BTreeMap<[&'static str; 3], u64>,
    /// Count, request bytes, response bytes.
    sizes: BTreeMap<&'static str, [u64; 3]>,
    durations: BTreeMap<[&'static str; 2], Histogram>,
    duration_highr: Histogram,
}

impl HttpMetrics {
    pub(crate) fn new(created: f64) -> Self {
        Self {
            created,
            requests: BTreeMap::new(),
            sizes: BTreeMap::new(),
            durations: BTreeMap::new(),
            duration_highr: Histogram::new(DURATION_HIGHR_BOUNDS),
        }
    }

    pub(crate) fn record(&mut self, record: HttpRecord) {
        let HttpRecord { handler, method, status, .. } = record;
        *self.requests.entry([handler, method, status]).or_default() += 1;
        let [count, request_bytes, response_bytes] = self.sizes.entry(handler).or_default();
        *count += 1;
        *request_bytes += record.request_bytes;
        *response_bytes += record.response_bytes;
        self.durations
            .entry([handler, method])
            .or_insert_with(|| Histogram::new(DURATION_BOUNDS))
            .observe(record.duration_secs);
        self.duration_highr.observe(record.duration_secs);
    }

    pub(crate) fn write(&self, exposition: &mut Exposition) {
        self.write_requests(exposition);
        self.write_sizes(exposition, "http_request_size_bytes", "Request bytes by handler.", 1);
        self.write_sizes(exposition, "http_response_size_bytes", "Response bytes by handler.", 2);
        exposition.histogram(
            "http_request_duration_highr_seconds",
            "Response time with many buckets and no labels.",
            self.created,
            &[(&[], &self.duration_highr)],
        );
        let labels: Vec<[Label<'_>; 2]> = (self.durations.keys())
            .map(|[handler, method]| [("handler", *handler), ("method", *method)])
            .collect();
        let series: Vec<(&[Label<'_>], &Histogram)> =
            labels.iter().map(<[_; 2]>::as_slice).zip(self.durations.values()).collect();
        exposition.histogram(
            "http_request_duration_seconds",
            "Response time with few buckets by handler.",
            self.created,
            &series,
        );
    }

    fn write_requests(&self, exposition: &mut Exposition) {
        let labels: Vec<[Label<'_>; 3]> = (self.requests.keys())
            .map(|[handler, method, status]| {
                [("handler", *handler), ("method", *method), ("status", *status)]
            })
            .collect();
        let series: Vec<(&[Label<'_>], f64)> = (labels.iter().map(<[_; 3]>::as_slice))
            .zip(self.requests.values().map(|count| *count as f64))
            .collect();
        exposition.counter(
            "http_requests",
            "Requests by method, status and handler.",
            self.created,
            &series,
        );
    }

    fn write_sizes(&self, exposition: &mut Exposition, name: &str, help: &str, column: usize) {
        exposition.family(name, "summary", help);
        for (handler, values) in &self.sizes {
            let labels = [("handler", *handler)];
            exposition.sample(&format!("{name}_count"), &labels, values[0] as f64);
            exposition.sample(&format!("{name}_sum"), &labels, values[column] as f64);
        }
        let labels: Vec<[Label<'_>; 1]> =
            self.sizes.keys().map(|handler| [("handler", *handler)]).collect();
        exposition.created(name, help, self.created, labels.iter().map(<[_; 1]>::as_slice));
    }
}
