//! What is announced to preheat, as the simulator takes it.

use preheat_core::{ReplicaCount, ScheduledDemand};
use preheat_sim::view::PoolBounds;
use serde_saphyr::Spanned;

use crate::error::{ScenarioError, Source, out_of_range};
use crate::values::instant;
use crate::wire::AnnouncedWire;

pub(crate) fn resolve(
    wire: Option<Vec<Spanned<AnnouncedWire>>>,
    bounds: &PoolBounds,
    source: &Source<'_>,
) -> Result<Vec<ScheduledDemand>, ScenarioError> {
    let entry = |wire: Spanned<AnnouncedWire>| {
        let AnnouncedWire { from, until, replicas } = wire.value;
        source.require(until.value.0 > from.value.0, Some(until.referenced), || {
            let allowed = format!("after from, which is {:?}", from.value.0);
            out_of_range("schedule.until", format!("{:?}", until.value.0), &allowed)
        })?;
        let max = bounds.replicas_max;
        source.require((1..=max).contains(&replicas.value), Some(replicas.referenced), || {
            let allowed = format!("from 1 to replicas.max, which is {max}");
            out_of_range("schedule.replicas", replicas.value, &allowed)
        })?;
        Ok(ScheduledDemand {
            from: instant(&from),
            until: instant(&until),
            replicas: ReplicaCount(replicas.value),
        })
    };
    wire.unwrap_or_default().into_iter().map(entry).collect()
}
