//! InferenceService of KServe, which Knative scales unless it is told otherwise.

use std::time::Duration;

use super::knative;
use super::manifest::{Field, Section};
use super::{Head, ImportError, Imported, METRIC_REASON, Target, gpus};

/// Annotations' values by which an HPA scales it, which looks back over five minutes.
const HPA_MODES: [&str; 4] = ["hpa", "keda", "RawDeployment", "Standard"];

pub(super) fn read<'a>(document: &Field<'a>, top: Section<'a>) -> Result<Imported, ImportError> {
    let Head { of, mut annotations, mut spec } = Head::take(document, top)?;
    let target = Target {
        api_version: "apps/v1".to_owned(),
        kind: "Deployment".to_owned(),
        name: format!("{}-predictor", of.name),
    };
    let mut imported = of.imported("InferenceService", target);
    let text = "the Deployment that KServe makes in its raw deployment mode with autoscaling off; \
                in the serverless mode Knative scales it";
    imported.assume("targetRef", text);
    knative::scale(&mut imported, &mut annotations, "autoscaling.knative.dev/")?;
    for field in annotations.take_prefixed("serving.kserve.io/") {
        if field.text().is_ok_and(|text| HPA_MODES.contains(&text)) {
            imported.keys.arrival_window = None;
            imported.keys.stabilization_window = Some(Duration::from_secs(300));
        }
        imported.notes.push(field.note("it says how KServe itself deploys and scales"));
    }
    let mut predictor = spec.need("predictor")?.section()?;
    if let Some(field) = predictor.take("minReplicas") {
        imported.keys.min_replicas = Some(field.count()?);
    } else if imported.keys.min_replicas == Some(0) {
        // KServe's own default, where Knative's annotation says nothing.
        imported.keys.min_replicas = Some(1);
    }
    if let Some(field) = predictor.take("maxReplicas") {
        let max = field.count()?;
        if max > 0 {
            imported.keys.max_replicas = Some(max);
            imported.notes.retain(|note| note.path != "maxReplicas");
        }
    }
    knative::concurrency(&mut imported, &mut predictor)?;
    if let Some(field) = predictor.take("timeout") {
        imported.keys.drain_timeout = Some(Duration::from_secs(u64::from(field.count()?)));
    }
    for key in ["scaleTarget", "scaleMetric", "scaleMetricType", "autoScaling"] {
        imported.drop_all(predictor.take(key), METRIC_REASON);
    }
    let mut containers = Vec::new();
    if let Some(model) = predictor.take("model") {
        containers.push(model);
    }
    if let Some(field) = predictor.take("containers") {
        containers.extend(field.list()?);
    }
    imported.engine.gpus_per_replica = gpus(&containers)?;
    for key in ["transformer", "explainer"] {
        let why = "a component of its own: it takes an autoscaler of its own";
        imported.drop_all(spec.take(key), why);
    }
    Ok(imported)
}
