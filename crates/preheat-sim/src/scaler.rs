//! What every autoscaler that sets a replica count looks like to the cluster. preheat itself, which
//! also says who goes and when, has its own way in (`preheat_policy`).
//!
//! **Invariant:** a scaler learns only what its [`FleetView`] holds; equal views give equal answers.

use std::time::Duration;

use crate::view::{FleetView, MetricsPipeline};

/// An autoscaler that answers each tick with a number of replicas.
pub trait Scaler {
    /// Its name on the command line.
    fn name(&self) -> &str;

    /// Time between two ticks.
    fn period(&self) -> Duration;

    /// How its metrics reach it.
    fn pipeline(&self) -> MetricsPipeline;

    /// The fleet that stands ready before the traffic comes, where that is part of what the policy
    /// is; otherwise the run's own configuration says.
    fn replicas_initial(&self) -> Option<u32> {
        None
    }

    /// Replicas that should exist from now on. The cluster holds it inside the pool's bounds.
    fn tick(&mut self, view: &FleetView<'_>) -> u32;
}
