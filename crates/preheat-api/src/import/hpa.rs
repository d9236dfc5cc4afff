//! HorizontalPodAutoscaler, `autoscaling/v1` and `v2`.

use super::manifest::{Field, Section};
use super::{Head, ImportError, Imported, METRIC_REASON, behavior, target};

pub(super) fn read<'a>(document: &Field<'a>, top: Section<'a>) -> Result<Imported, ImportError> {
    let Head { of, mut spec, .. } = Head::take(document, top)?;
    let (target, notes) = target(&spec.need("scaleTargetRef")?, None)?;
    let mut imported = of.imported("HorizontalPodAutoscaler", target);
    imported.notes = notes;
    imported.keys.min_replicas = Some(match spec.take("minReplicas") {
        Some(field) => field.count()?,
        None => 1,
    });
    imported.keys.max_replicas = Some(spec.need("maxReplicas")?.count()?);
    let metrics = match spec.take("metrics") {
        Some(field) => field.list()?,
        None => Vec::new(),
    };
    for metric in metrics {
        imported.notes.push(metric.note(format!("{}: {METRIC_REASON}", described(&metric)?)));
    }
    behavior::read(&mut imported, spec.section("behavior")?)?;
    imported.drop_rest(spec, &[("targetCPUUtilizationPercentage", METRIC_REASON)]);
    Ok(imported)
}

/// `Pods metric vllm:num_requests_waiting at 5`.
fn described(metric: &Field<'_>) -> Result<String, ImportError> {
    let mut section = metric.section()?;
    let kind = section.need("type")?;
    let text = kind.text()?.to_owned();
    let key = match text.as_str() {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => {
            let allowed = "`Resource`, `ContainerResource`, `Pods`, `Object` or `External`";
            return Err(kind.must_be(allowed));
        }
    };
    let mut of = section.section(key)?;
    let name = match of.take("name") {
        Some(name) => Some(name),
        None => of.section("metric")?.take("name"),
    };
    let mut aim = of.section("target")?;
    let value = aim.take("averageValue").or(aim.take("value")).or(aim.take("averageUtilization"));
    let name = name.map_or_else(String::new, |field| format!(" {}", field.shown()));
    let value = value.map_or_else(String::new, |field| format!(" at {}", field.shown()));
    Ok(format!("{text} metric{name}{value}"))
}
