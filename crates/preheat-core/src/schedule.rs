//! Demand that was announced: what must be ready, seen one lead time ahead.
//!
//! It knows no calendar: a world turns days and hours into points in time.

use std::time::Duration;

use crate::observation::Observation;
use crate::part::Part;
use crate::policy::PolicySpec;

/// Replicas that what is scheduled asks for by the time at which a start ordered now is ready. An
/// entry counts from one lead time before it begins until it ends; of several the largest.
pub(crate) fn replicas(spec: &PolicySpec, observation: &Observation, lead_time: Duration) -> u32 {
    if spec.without == Some(Part::Schedules) {
        return 0;
    }
    let ready_at = observation.now.saturating_add(lead_time);
    let asks = observation
        .scheduled
        .iter()
        .filter(|entry| entry.from <= ready_at && observation.now < entry.until);
    asks.map(|entry| entry.replicas.0).max().unwrap_or(0)
}
