//! `InferenceAutoscaler`, the resource that a cluster's users write, and what it means.
//!
//! The keys are those of the local configuration file; [`Settings::of`] is the only way in, through
//! the same checks.
//!
//! **Invariant:** the schema refuses what it can; what only a person's sense of time can refuse
//! (a window longer than an hour) is refused by [`Settings::of`], in the same words as in a file.

mod settings;
mod spec;
mod status;

use kube::CustomResourceExt;

pub use settings::{Fallback, Settings, SettingsError};
pub use spec::{
    Behavior, ColdStart, Engine, EngineType, FallbackSpec, InferenceAutoscaler,
    InferenceAutoscalerSpec, Mode, Pause, ScaleDown, ScaleLimit, SloSpec, TargetRef,
};
pub use status::{Condition, ConditionStatus, InferenceAutoscalerStatus};

/// API group of everything that preheat defines.
pub const GROUP: &str = "preheat.dev";

/// The resource's definition, as the apiserver takes it.
pub fn definition()
-> k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition {
    InferenceAutoscaler::crd()
}

#[cfg(test)]
mod tests;
