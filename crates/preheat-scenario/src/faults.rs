//! What goes wrong, as the simulator takes it.

use preheat_sim::faults::{Crash, Faults, Rollout, Window};

use crate::error::{ScenarioError, Source};
use crate::values::{at_least_one, instant, number, share};
use crate::wire::{FaultsWire, WindowWire};

/// Beyond this a replica is not slow but broken.
const SLOW_FACTOR: std::ops::RangeInclusive<f64> = 1.0..=100.0;

pub(crate) fn resolve(wire: FaultsWire, source: &Source<'_>) -> Result<Faults, ScenarioError> {
    let mut faults = Faults {
        scrape_loss: share("faults.scrapeLoss", &wire.scrape_loss, 0.0, source)?,
        metrics_outages: windows("faults.metricsOutages.lasts", wire.metrics_outages, source)?,
        start_failure: share("faults.startFailure", &wire.start_failure, 0.0, source)?,
        start_stuck: share("faults.startStuck", &wire.start_stuck, 0.0, source)?,
        controller_outages: windows(
            "faults.controllerOutages.lasts",
            wire.controller_outages,
            source,
        )?,
        ..Faults::default()
    };
    for crash in wire.crashes.unwrap_or_default() {
        let index = crash.index.unwrap_or(0);
        faults.crashes.push(Crash { at: instant(&crash.at), index });
    }
    if let Some(slow) = wire.slow {
        faults.slow = share("faults.slow.share", &Some(slow.share), 0.0, source)?;
        let factor = number("faults.slow.factor", &slow.factor, SLOW_FACTOR, source)?;
        faults.slow_factor = Some(factor);
    }
    for rollout in wire.rollouts.unwrap_or_default() {
        let surge = rollout.surge.as_ref();
        let surge = surge.map_or(Ok(1), |s| at_least_one("faults.rollouts.surge", s, source))?;
        faults.rollouts.push(Rollout { at: instant(&rollout.at), surge });
    }
    Ok(faults)
}

fn windows(
    key: &str,
    wire: Option<Vec<WindowWire>>,
    source: &Source<'_>,
) -> Result<Vec<Window>, ScenarioError> {
    let window = |wire: WindowWire| {
        let lasts = wire.lasts.value.0;
        source.require(!lasts.is_zero(), Some(wire.lasts.referenced), || {
            format!("`{key}` is 0s; it must be above 0s")
        })?;
        Ok(Window { from: instant(&wire.from), lasts })
    };
    wire.unwrap_or_default().into_iter().map(window).collect()
}
