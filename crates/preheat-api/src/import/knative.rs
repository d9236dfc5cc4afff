//! A Knative Service, whose annotations steer the Knative Pod Autoscaler.

use std::time::Duration;

use super::manifest::{Field, Section};
use super::{Head, ImportError, Imported, Target, gpus};
use crate::config::parse_duration;

/// Longest a request may take where a Service says nothing.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(300);
/// Knative's own window.
const WINDOW_DEFAULT: Duration = Duration::from_secs(60);
/// Written where Knative knows no bound, and preheat must have one.
pub(super) const MAX_ASSUMED: u32 = 10;

/// Annotations that are not carried over, by their last part.
const REASONS: &[(&str, &str)] = &[
    ("target", "preheat finds out by itself what one replica can hold within `slo`"),
    ("target-utilization-percentage", "preheat finds the margin from how arrivals scatter"),
    ("metric", "preheat always counts requests and what they hold"),
    ("class", "preheat takes this autoscaler's place"),
    ("initial-scale", "preheat begins with `minReplicas`"),
    ("activation-scale", "preheat starts as many from zero as what is held needs"),
    ("panic-window-percentage", "preheat has no second mode: each tick looks one start ahead"),
    ("panic-threshold-percentage", "preheat has no second mode: each tick looks one start ahead"),
    ("target-burst-capacity", "preheat's gateway holds what no replica can take"),
    ("scale-to-zero-pod-retention-period", "the last replica goes after `stabilizationWindow`"),
];

pub(super) fn read<'a>(document: &Field<'a>, top: Section<'a>) -> Result<Imported, ImportError> {
    let Head { of, mut spec, .. } = Head::take(document, top)?;
    let name = of.name.clone();
    let target = Target { api_version: "apps/v1".to_owned(), kind: "Deployment".to_owned(), name };
    let mut imported = of.imported("Service of Knative", target);
    let mut template = spec.section("template")?;
    let mut annotations = template.section("metadata")?.section("annotations")?;
    scale(&mut imported, &mut annotations, "autoscaling.knative.dev/")?;
    let mut pod = template.section("spec")?;
    concurrency(&mut imported, &mut pod)?;
    imported.keys.drain_timeout = Some(match pod.take("timeoutSeconds") {
        Some(field) => Duration::from_secs(u64::from(field.count()?)),
        None => TIMEOUT_DEFAULT,
    });
    let containers = pod.take("containers").map_or_else(|| Ok(Vec::new()), |field| field.list())?;
    imported.engine.gpus_per_replica = gpus(&containers)?;
    let text = "a Deployment of this name: Knative scales the ones that it makes itself, so the \
                pods' template has to move into one of your own";
    imported.assume("targetRef", text);
    if let Some(traffic) = spec.take("traffic") {
        let why = "preheat scales one revision; splitting traffic is its router's matter";
        imported.notes.push(traffic.note(why));
    }
    Ok(imported)
}

/// The annotations that steer the autoscaler, under both of the spellings that they have had.
pub(super) fn scale(
    imported: &mut Imported,
    annotations: &mut Section<'_>,
    prefix: &str,
) -> Result<(), ImportError> {
    let mut take = |new: &str, old: &str| {
        annotations.take(&format!("{prefix}{new}")).or(annotations.take(&format!("{prefix}{old}")))
    };
    let min = take("min-scale", "minScale");
    let max = take("max-scale", "maxScale");
    let window = take("window", "window");
    let delay = take("scale-down-delay", "scaleDownDelay");
    let min = min.map(|field| field.count()).transpose()?;
    imported.keys.min_replicas = Some(min.unwrap_or(0));
    let max = max.map(|field| field.count()).transpose()?.filter(|max| *max > 0);
    imported.keys.max_replicas = Some(max.unwrap_or_else(|| {
        let assumed = MAX_ASSUMED.max(min.unwrap_or(0));
        let text =
            format!("{assumed}; there is no bound in the manifest, and preheat must have one");
        imported.assume("maxReplicas", text);
        assumed
    }));
    imported.keys.arrival_window = Some(window.as_ref().map_or(Ok(WINDOW_DEFAULT), duration)?);
    // Nothing but the window's average holds a scale-down back there unless a delay is set.
    imported.keys.stabilization_window = Some(delay.as_ref().map_or(Ok(WINDOW_DEFAULT), duration)?);
    for field in annotations.take_prefixed(prefix) {
        let key = field.key.strip_prefix(prefix).unwrap_or_default();
        let known = REASONS.iter().find(|(name, _)| *name == kebab(key));
        let reason = known.map_or("preheat has nothing like it", |(_, reason)| reason);
        imported.notes.push(field.note(reason));
    }
    Ok(())
}

/// `panicWindowPercentage` is `panic-window-percentage`.
fn kebab(key: &str) -> String {
    let mut kebab = String::new();
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

fn duration(field: &Field<'_>) -> Result<Duration, ImportError> {
    parse_duration(field.text()?).map_err(|_| field.must_be("a duration like `90s` or `5m`"))
}

/// The hard limit on requests in one pod: the slots of a batch, as far as the engine says nothing.
pub(super) fn concurrency(
    imported: &mut Imported,
    section: &mut Section<'_>,
) -> Result<(), ImportError> {
    if let Some(field) = section.take("containerConcurrency") {
        imported.keys.max_concurrency = Some(field.count()?).filter(|slots| *slots > 0);
    }
    Ok(())
}
