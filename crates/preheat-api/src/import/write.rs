//! The configurations that are written, with what could not be carried over as comments.
//!
//! **Invariant:** a manifest's own texts are quoted, so none of them can become a key.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use super::{Imported, Note};
use crate::config::duration_text;
use crate::name::is_name;
use crate::schedule::{ScheduleSpec, Schedules};

/// Ports that are handed out to the pools of a local configuration, one after the other.
const PORTS: std::ops::RangeInclusive<u32> = 18_100..=65_535;

/// A document `InferenceAutoscaler` for each.
pub fn kubernetes(all: &[Imported], file: &Path) -> String {
    let documents: Vec<String> = all.iter().map(|imported| resource(imported, file)).collect();
    documents.join("---\n")
}

fn resource(imported: &Imported, file: &Path) -> String {
    let mut text = String::new();
    let min = imported.keys.min_replicas.unwrap_or(1);
    let mut notes = imported.notes.clone();
    if min == 0 {
        notes.push(assumed(
            "minReplicas",
            "1: for 0, `demand` must tell where requests are seen that find no replica",
        ));
    }
    for schedule in &imported.schedules {
        let why = "an InferenceAutoscaler has no schedules yet; a local configuration has";
        notes.push(assumed(&schedule.name, why));
    }
    let max = imported.keys.max_replicas.unwrap_or(1);
    if imported.fallback.is_some_and(|fallback| fallback.replicas > max) {
        notes.push(assumed("fallback.replicas", "lowered to `maxReplicas`"));
    }
    notes.push(assumed("mode", "Observe, so nothing is scaled before you have seen what would be"));
    head(&mut text, imported, file, &notes);
    text.push_str("apiVersion: preheat.dev/v1alpha1\nkind: InferenceAutoscaler\nmetadata:\n");
    line(&mut text, 2, "name", quoted(&imported.name));
    if let Some(namespace) = &imported.namespace {
        line(&mut text, 2, "namespace", quoted(namespace));
    }
    text.push_str("spec:\n  targetRef:\n");
    line(&mut text, 4, "apiVersion", quoted(&imported.target.api_version));
    line(&mut text, 4, "kind", quoted(&imported.target.kind));
    line(&mut text, 4, "name", quoted(&imported.target.name));
    line(&mut text, 2, "mode", "Observe");
    if let Some(pause) = imported.pause {
        line(&mut text, 2, "pause", pause);
    }
    pool_keys(&mut text, 2, imported, min.max(1));
    if let Some(fallback) = imported.fallback {
        text.push_str("  fallback:\n");
        line(&mut text, 4, "after", duration_text(fallback.after));
        line(&mut text, 4, "replicas", fallback.replicas.min(max));
    }
    let engine = &imported.engine;
    if *engine != super::EngineKeys::default() {
        text.push_str("  engine:\n");
        optional(&mut text, 4, "metricsPort", engine.metrics_port);
        optional(&mut text, 4, "metricsPath", engine.metrics_path.as_deref().map(quoted));
        optional(&mut text, 4, "gpusPerReplica", engine.gpus_per_replica);
    }
    text
}

/// One local configuration with a pool for each, on emulated engines until you name your own.
///
/// # Errors
/// Why one file can't hold them all.
pub fn local(all: &[Imported], file: &Path) -> Result<String, String> {
    let mut text = String::from("pools:\n");
    let mut port = *PORTS.start();
    let mut names: Vec<String> = Vec::new();
    for imported in all {
        let max = imported.keys.max_replicas.unwrap_or(1).max(1);
        let last = port.saturating_add(max - 1);
        if last > *PORTS.end() {
            return Err(format!("{last} is no port: all `maxReplicas` together are too many"));
        }
        let name = pool_name(imported, &names);
        let name = name.ok_or_else(|| format!("two are called {}", imported.full_name()))?;
        pool(&mut text, imported, file, &name, port..=last);
        names.push(name);
        port = last + 1;
    }
    Ok(text)
}

/// Its own name; with the namespace before it where the name is taken.
fn pool_name(imported: &Imported, taken: &[String]) -> Option<String> {
    let long = format!("{}.{}", imported.namespace.as_deref().unwrap_or_default(), imported.name);
    let free = |name: &String| {
        is_name(name) && !taken.iter().any(|other| other.eq_ignore_ascii_case(name))
    };
    [imported.name.clone(), long].into_iter().find(free)
}

fn pool(
    text: &mut String,
    imported: &Imported,
    file: &Path,
    name: &str,
    ports: std::ops::RangeInclusive<u32>,
) {
    let (schedules, mut notes) = schedules(imported);
    notes.splice(0..0, imported.notes.iter().cloned());
    if imported.pause.is_some() {
        notes.push(assumed("pause", "it was paused, and preheat on one machine is not"));
    }
    if imported.fallback.is_some() {
        let why = "without signals preheat holds what is there; it has no number for that here";
        notes.push(assumed("fallback", why));
    }
    notes.push(assumed("modelName", "the pool's name; write the name that clients ask for"));
    notes.push(assumed("engine", "emulated, to try it out; write `command: [...]` in its place"));
    head(text, imported, file, &notes);
    line(text, 0, "- name", quoted(name));
    line(text, 2, "modelName", quoted(name));
    pool_keys(text, 2, imported, imported.keys.min_replicas.unwrap_or(1));
    if !schedules.is_empty() {
        text.push_str("  schedules:\n");
        schedules.iter().for_each(|schedule| write_schedule(text, schedule));
    }
    text.push_str("  engine:\n");
    line(text, 4, "emulated", "{}");
    line(text, 4, "ports", format!("{}-{}", ports.start(), ports.end()));
    optional(text, 4, "metricsPath", imported.engine.metrics_path.as_deref().map(quoted));
    optional(text, 4, "gpusPerReplica", imported.engine.gpus_per_replica);
}

/// Those that preheat would take, and of the others why not.
fn schedules(imported: &Imported) -> (Vec<ScheduleSpec>, Vec<Note>) {
    let max = preheat_core::ReplicaCount(imported.keys.max_replicas.unwrap_or(1));
    let (mut good, mut notes) = (Vec::new(), Vec::new());
    for schedule in &imported.schedules {
        match Schedules::new(std::slice::from_ref(schedule), max) {
            Ok(_) => good.push(schedule.clone()),
            Err(error) => notes.push(assumed(&schedule.name, &error.mistake.to_string())),
        }
    }
    (good, notes)
}

fn write_schedule(text: &mut String, schedule: &ScheduleSpec) {
    line(text, 4, "- name", quoted(&schedule.name));
    let days = schedule.days.clone().unwrap_or_default();
    line(text, 6, "days", format!("[{}]", days.join(", ")));
    line(text, 6, "from", quoted(&schedule.from));
    line(text, 6, "until", quoted(&schedule.until));
    line(text, 6, "timezone", quoted(&schedule.timezone));
    line(text, 6, "replicas", schedule.replicas);
}

/// The keys that both outputs have.
fn pool_keys(text: &mut String, indent: usize, imported: &Imported, min: u32) {
    let keys = &imported.keys;
    line(text, indent, "minReplicas", min);
    line(text, indent, "maxReplicas", keys.max_replicas.unwrap_or(1).max(min));
    if keys.slo_ttft.is_some() || keys.slo_quantile.is_some() {
        line(text, indent, "slo", "");
        time(text, indent + 2, "ttft", keys.slo_ttft);
        optional(text, indent + 2, "quantile", keys.slo_quantile);
    }
    optional(text, indent, "maxConcurrency", keys.max_concurrency);
    time(text, indent, "arrivalWindow", keys.arrival_window);
    time(text, indent, "drainTimeout", keys.drain_timeout);
    let has_limit = keys.limit_period.is_some();
    if keys.stabilization_window.is_some() || has_limit {
        line(text, indent, "behavior", "");
        line(text, indent + 2, "scaleDown", "");
        time(text, indent + 4, "stabilizationWindow", keys.stabilization_window);
    }
    if has_limit {
        line(text, indent + 4, "limit", "");
        optional(text, indent + 6, "replicas", keys.limit_replicas);
        optional(text, indent + 6, "share", keys.limit_share);
        time(text, indent + 6, "period", keys.limit_period);
    }
}

/// Where it comes from and what a person should know, as comments.
fn head(text: &mut String, imported: &Imported, file: &Path, notes: &[Note]) {
    let Imported { kind, line, .. } = imported;
    let (name, file) = (imported.full_name(), super::one_line(&file.display().to_string()));
    comment(text, &format!("From {kind} {name}, {file}:{line}."));
    let (missing, given): (Vec<&Note>, Vec<&Note>) = notes.iter().partition(|note| note.line == 0);
    if !given.is_empty() {
        comment(text, "Not carried over:");
    }
    given.iter().for_each(|note| comment(text, &format!("- {note}")));
    if !missing.is_empty() {
        comment(text, "To be looked at:");
    }
    missing.iter().for_each(|note| comment(text, &format!("- {note}")));
}

fn comment(text: &mut String, words: &str) {
    // A line break would end the comment. Writing to a String can't fail.
    let _written = writeln!(text, "# {}", words.replace(['\n', '\r'], " "));
}

fn assumed(path: &str, why: &str) -> Note {
    Note { path: path.to_owned(), line: 0, text: why.to_owned() }
}

fn line(text: &mut String, indent: usize, key: &str, value: impl std::fmt::Display) {
    let entry = format!("{key}: {value}");
    let _written = writeln!(text, "{:indent$}{}", "", entry.trim_end());
}

fn optional(text: &mut String, indent: usize, key: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        line(text, indent, key, value);
    }
}

fn time(text: &mut String, indent: usize, key: &str, value: Option<Duration>) {
    optional(text, indent, key, value.map(in_hours));
}

/// A cluster's rules know no days.
fn in_hours(duration: Duration) -> String {
    let text = duration_text(duration);
    if text.ends_with('d') { format!("{}h", duration.as_secs() / 3600) } else { text }
}

/// As YAML writes a text that could be taken for something else.
fn quoted(text: impl AsRef<str>) -> String {
    let text = text.as_ref();
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-./_".contains(&b))
        && !["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
            .contains(&text.to_ascii_lowercase().as_str());
    // JSON's escapes are YAML's, in double quotes.
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
