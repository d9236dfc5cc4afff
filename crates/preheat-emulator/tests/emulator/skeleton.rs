//! What a body of metrics is without its values: families, types, labels, and bounds of histograms.

/// Labels whose values are a closed set; of the others only the name is compared.
const VALUED: [&str; 9] = [
    "engine",
    "finished_reason",
    "reason",
    "source",
    "sleep_state",
    "handler",
    "method",
    "status",
    "operation",
];

/// Takes values and HELP out; puts the bounds of one histogram on one line.
pub(crate) fn skeleton(text: &str) -> String {
    let mut rows: Vec<String> = Vec::new();
    for line in text.lines() {
        if line.starts_with("# HELP") {
            continue;
        }
        if let Some(family) = line.strip_prefix("# TYPE ") {
            rows.push(family.to_owned());
            continue;
        }
        let (row, bound) = series(line.rsplit_once(' ').unwrap().0);
        match (rows.last_mut(), bound) {
            (Some(last), Some(bound)) if last.starts_with(&row) => {
                last.push(' ');
                last.push_str(&bound);
            }
            (_, Some(bound)) => rows.push(format!("{row} {bound}")),
            (_, None) => rows.push(row),
        }
    }
    rows.join("\n") + "\n"
}

/// Name and labels of a series, and its `le`.
fn series(series: &str) -> (String, Option<String>) {
    let Some((name, labels)) = series.split_once('{') else {
        return (with_bound_mark(format!("  {series}"), series.ends_with("_bucket")), None);
    };
    let mut bound = None;
    let mut parts = Vec::new();
    for label in labels.trim_end_matches("\"}").split("\",") {
        let (key, value) = label.split_once("=\"").unwrap();
        if key == "le" {
            bound = Some(value.to_owned());
        } else if VALUED.contains(&key) {
            parts.push(format!("{key}={value}"));
        } else {
            parts.push(key.to_owned());
        }
    }
    let row = format!("  {name} {}", parts.join(",")).trim_end().to_owned();
    (with_bound_mark(row, bound.is_some()), bound)
}

fn with_bound_mark(row: String, has_bound: bool) -> String {
    if has_bound { row + " |" } else { row }
}

/// From the first family of vLLM's own: those of Python's runtime stand before it.
pub(crate) fn own(text: &str) -> &str {
    let starts = [text.find("# HELP vllm:"), text.find("# HELP http_")];
    &text[starts.into_iter().flatten().min().unwrap()..]
}
