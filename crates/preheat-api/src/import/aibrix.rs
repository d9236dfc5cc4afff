//! PodAutoscaler of AIBrix.

use std::time::Duration;

use super::manifest::{Field, Section};
use super::{Head, ImportError, Imported, METRIC_REASON, target};

/// How long AIBrix waits before it shrinks where nothing is said.
const COOLDOWN_DEFAULT: Duration = Duration::from_secs(300);

const REASONS: &[(&str, &str)] = &[
    ("scalingStrategy", "preheat takes this autoscaler's place"),
    ("subTargetSelector", "preheat scales whole targets: give each role one of its own"),
    ("observeWindowSeconds", "preheat averages arrivals over `arrivalWindow`"),
    ("panicWindowSeconds", "preheat has no second mode: each tick looks one start ahead"),
    ("schedules", "write them as preheat's `schedules`, which have days, a time zone and replicas"),
];

pub(super) fn read<'a>(document: &Field<'a>, top: Section<'a>) -> Result<Imported, ImportError> {
    let Head { of, mut annotations, mut spec } = Head::take(document, top)?;
    let (target, notes) = target(&spec.need("scaleTargetRef")?, Some(("apps/v1", "Deployment")))?;
    let mut imported = of.imported("PodAutoscaler of AIBrix", target);
    imported.notes = notes;
    imported.keys.min_replicas = Some(match spec.take("minReplicas") {
        Some(field) => field.count()?,
        None => 1,
    });
    imported.keys.max_replicas = Some(spec.need("maxReplicas")?.count()?);
    imported.keys.stabilization_window = Some(COOLDOWN_DEFAULT);
    let text = "5m, which is how long AIBrix waits when nothing is said";
    imported.assume("behavior.scaleDown.stabilizationWindow", text);
    let sources = spec.take("metricsSources").map_or_else(|| Ok(Vec::new()), |f| f.list())?;
    for source in sources {
        metrics_source(&mut imported, &source)?;
    }
    for prefix in
        ["autoscaling.aibrix.ai/", "kpa.autoscaling.aibrix.ai/", "apa.autoscaling.aibrix.ai/"]
    {
        let fields = annotations.take_prefixed(prefix);
        imported.drop_all(fields, "it tunes a rule that preheat does not have");
    }
    imported.drop_rest(spec, REASONS);
    Ok(imported)
}

/// Where each pod's metrics are is carried over; which one is compared with what is not.
fn metrics_source(imported: &mut Imported, source: &Field<'_>) -> Result<(), ImportError> {
    let mut section = source.section()?;
    let kind = section.take("metricSourceType");
    if kind.is_some_and(|field| field.text().is_ok_and(|text| text == "pod")) {
        if let Some(port) = section.take("port") {
            let number = port.count()?;
            if !(1..=65_535).contains(&number) {
                return Err(port.must_be("a port from 1 to 65535"));
            }
            imported.engine.metrics_port = Some(number);
        }
        if let Some(path) = section.take("path") {
            let text = format!("/{}", path.text()?.trim_start_matches('/'));
            if text.len() > 256 || !text.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(path.must_be("a path of at most 256 printable characters"));
            }
            imported.engine.metrics_path = Some(text);
        }
    }
    let name = section.take("targetMetric").map_or_else(String::new, |field| field.shown());
    let value = section.take("targetValue").map_or_else(String::new, |field| field.shown());
    imported.notes.push(source.note(format!("{name} at {value}: {METRIC_REASON}")));
    Ok(())
}
