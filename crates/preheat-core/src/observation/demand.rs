//! Demand that is told whether or not there is a replica: what lets a pool go to none, and come back.
//!
//! **Invariant:** what is not fresh tells nothing, neither that requests wait nor that none do.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Observation, Sample};

/// What something in front of the replicas tells that is not preheat's own gateway: another gateway, or
/// an endpoint picker. Each of the two by itself shows a request that finds no replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemandObservation {
    /// Requests held there now because no replica can take them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Sample<u32>>,
    /// Requests that have arrived there since it was asked at the tick before, turned away ones
    /// included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arrivals: Option<Sample<u64>>,
}

impl Observation {
    /// Whether a request that finds no replica would be seen.
    pub fn sees_demand(&self, staleness_max: Duration) -> bool {
        let gateway = self.gateway.as_ref();
        gateway.is_some_and(|seen| self.now.since(seen.observed_at) <= staleness_max)
            || self.fresh(self.demand.and_then(|seen| seen.held), staleness_max).is_some()
            || self.fresh(self.demand.and_then(|seen| seen.arrivals), staleness_max).is_some()
    }

    /// Requests held in front of the replicas.
    pub(crate) fn held(&self, staleness_max: Duration) -> u32 {
        let gateway = self.gateway.as_ref().map_or(0, |gateway| gateway.held);
        let demand = self.fresh(self.demand.and_then(|seen| seen.held), staleness_max);
        gateway.saturating_add(demand.unwrap_or(0))
    }

    /// Whether requests are held there, or arrive there where nobody tells what replicas get of them.
    pub(crate) fn is_called(&self, staleness_max: Duration) -> bool {
        let arrivals = self.fresh(self.demand.and_then(|seen| seen.arrivals), staleness_max);
        self.held(staleness_max) > 0 || arrivals.is_some_and(|arrivals| arrivals > 0)
    }

    fn fresh<T>(&self, sample: Option<Sample<T>>, staleness_max: Duration) -> Option<T> {
        sample.filter(|sample| sample.staleness(self.now) <= staleness_max).map(|seen| seen.value)
    }
}
