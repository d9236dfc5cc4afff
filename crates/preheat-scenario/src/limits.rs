//! How much a scenario may ask for, where whoever wrote it is not whoever pays for running it.
//!
//! **Invariant:** what is beyond a limit is refused before it is drawn, allocated or read.

use std::time::Duration;

use serde_saphyr::Location;

use crate::error::{ScenarioError, Source, out_of_range};
use crate::values::{Set, at};
use crate::wire::{ScenarioWire, TraceWire};

/// Bounds on a scenario, beyond those that hold for each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Latest moment of anything.
    pub lasts_max: Duration,
    /// Most requests.
    pub requests_max: f64,
    /// Most replicas, and most nodes.
    pub replicas_max: u32,
    /// Largest factor on a recorded trace.
    pub rate_scale_max: f64,
    /// Whether traces may be read from files.
    pub trace_files: bool,
}

impl Limits {
    /// For files of one's own.
    pub const NONE: Self = Self {
        lasts_max: Duration::MAX,
        requests_max: f64::INFINITY,
        replicas_max: u32::MAX,
        rate_scale_max: f64::INFINITY,
        trace_files: true,
    };

    pub(crate) fn check_pool(
        &self,
        wire: &ScenarioWire,
        source: &Source<'_>,
    ) -> Result<(), ScenarioError> {
        let max = self.replicas_max;
        let replicas = Some(&wire.replicas.value.max);
        let nodes = wire.gpus.as_ref().map(|gpus| &gpus.nodes);
        for (key, value) in [("replicas.max", replicas), ("gpus.nodes", nodes)] {
            let Some(value) = value else { continue };
            source.require(value.value <= max, Some(value.referenced), || {
                out_of_range(key, value.value, &format!("at most {max} here"))
            })?;
        }
        Ok(())
    }

    pub(crate) fn check_moment(
        &self,
        key: &str,
        value: Duration,
        place: Option<Location>,
        source: &Source<'_>,
    ) -> Result<(), ScenarioError> {
        source.require(value <= self.lasts_max, place, || {
            let allowed = format!("at most {:?} here", self.lasts_max);
            out_of_range(key, format!("{value:?}"), &allowed)
        })
    }

    pub(crate) fn check_requests(
        &self,
        requests: f64,
        place: Option<Location>,
        source: &Source<'_>,
    ) -> Result<(), ScenarioError> {
        source.require(requests <= self.requests_max, place, || {
            let max = self.requests_max;
            format!("`traffic` has about {requests:.0} requests; at most {max} are run here")
        })
    }

    pub(crate) fn check_trace(
        &self,
        wire: &TraceWire,
        place: Location,
        source: &Source<'_>,
    ) -> Result<(), ScenarioError> {
        source.require(self.trace_files || wire.file.is_none(), at(&wire.file), || {
            "`trace.file` is not read here; run the scenario with `preheat scenario`".to_owned()
        })?;
        let scale = wire.rate_scale.as_ref().map_or(1.0, |scale| scale.value);
        source.require(scale <= self.rate_scale_max, at(&wire.rate_scale), || {
            let allowed = format!("at most {} here", self.rate_scale_max);
            out_of_range("trace.rateScale", scale, &allowed)
        })?;
        let moments: [(&str, &Set<_>); 2] =
            [("trace.from", &wire.from), ("trace.until", &wire.until)];
        for (key, moment) in moments {
            let Some(moment) = moment else { continue };
            self.check_moment(key, moment.value.0, Some(place), source)?;
        }
        Ok(())
    }
}
