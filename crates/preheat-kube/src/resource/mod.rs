//! `InferenceAutoscaler`, the resource that a cluster's users write, and what it means.
//!
//! The keys are those of the local configuration file; [`Settings::of`] is the only way in, through
//! the same checks.
//!
//! **Invariant:** the schema refuses what it can; what only a person's sense of time can refuse
//! (a window longer than an hour) is refused by [`Settings::of`], in the same words as in a file.

mod demand;
mod settings;
mod sharing;
mod sleeping;
mod spec;
mod status;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

pub use demand::{DemandQueriesSpec, DemandSpec};
pub use settings::{Fallback, Quota, Settings, SettingsError};
pub use sharing::{QuotaSpec, ScheduleItem, contradicted};
pub use sleeping::{SleepSpec, StandbySpec};
pub use spec::{
    Behavior, ColdStart, Engine, EngineType, FallbackSpec, InferenceAutoscaler,
    InferenceAutoscalerSpec, Metrics, Mode, Pause, Queries, ScaleDown, ScaleLimit, SloSpec,
    TargetRef,
};
pub use status::{ColdStartStatus, Condition, ConditionStatus, InferenceAutoscalerStatus};

/// API group of everything that preheat defines.
pub const GROUP: &str = "preheat.dev";

/// The resource's definition, as the apiserver takes it.
pub fn definition() -> CustomResourceDefinition {
    let mut definition = InferenceAutoscaler::crd();
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        schema.into_iter().for_each(drop_formats);
    }
    definition
}

/// Rust's integer formats are none of the apiserver's, which warns of each; the bounds say the same.
fn drop_formats(schema: &mut JSONSchemaProps) {
    schema.format.take_if(|format| format.starts_with("uint"));
    schema.properties.iter_mut().flatten().for_each(|(_, inner)| drop_formats(inner));
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        drop_formats(items);
    }
}

#[cfg(test)]
mod tests;
