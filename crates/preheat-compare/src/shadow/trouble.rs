//! Times at which first tokens came late, or where nobody counts those, requests queued for every
//! replica.

use std::time::Duration;

use preheat_core::{Instant, Observation, PolicySpec, ReplicaPhase};

use super::Seen;

/// Trouble that comes back within this is the same trouble: arrivals vary, and a queue is empty for a
/// moment now and then.
const SAME_WITHIN: Duration = Duration::from_secs(60);

/// Trouble from one moment to another.
#[derive(Clone, Debug)]
pub(super) struct Episode {
    pub(super) from: Instant,
    pub(super) until: Instant,
    /// Most requests that waited at one tick.
    pub(super) queued_peak: u32,
    /// First tokens later than the SLO; `None` where no gateway counted any.
    pub(super) late: Option<u64>,
    /// How far ahead preheat thought that a start must be ordered; `None` where it was not said.
    pub(super) lead_time: Option<Duration>,
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(super) struct Episodes {
    pub(super) all: Vec<Episode>,
}

impl Episodes {
    pub(super) fn tick(
        &mut self,
        spec: &PolicySpec,
        observation: &Observation,
        seen: &Seen,
        lead_time: Option<Duration>,
    ) {
        let first = observation.gateway.as_ref().and_then(|gateway| gateway.first_tokens);
        let late = first.map(|first| first.late);
        let as_engines_tell = || seen.queues_for_all() || engines_are_late(spec, observation);
        if !late.map_or_else(as_engines_tell, |late| late > 0) {
            return;
        }
        let now = observation.now;
        if self.all.last().is_none_or(|last| now.since(last.until) > SAME_WITHIN) {
            let (from, queued_peak, late) = (now, 0, None);
            self.all.push(Episode { from, until: now, queued_peak, late, lead_time });
        }
        let Some(episode) = self.all.last_mut() else { return };
        episode.until = now;
        episode.queued_peak = episode.queued_peak.max(seen.queued);
        if let Some(late) = late {
            episode.late = Some(episode.late.unwrap_or(0) + late);
        }
    }
}

/// Whether a fresh quantile of some ready engine says that more of its first tokens were late than the
/// SLO allows.
fn engines_are_late(spec: &PolicySpec, observation: &Observation) -> bool {
    let slo = spec.slo;
    let ready = observation.replicas.iter().filter(|r| r.phase == ReplicaPhase::Ready);
    let windows = ready.filter_map(|replica| replica.ttft);
    let mut fresh = windows.filter(|w| w.staleness(observation.now) <= spec.staleness_max);
    fresh.any(|window| {
        let told = [(0.5, window.value.p50), (0.9, window.value.p90), (0.99, window.value.p99)];
        // The highest that the SLO still speaks of.
        let of_slo = told.iter().rev().find(|(quantile, _)| *quantile <= slo.quantile.get());
        of_slo.is_some_and(|(_, ttft)| *ttft > slo.threshold)
    })
}
