//! What decides which of several pools gets a GPU that not all can have.

use preheat_core::GpuWorth;
use serde_saphyr::Location;

use super::error::{ConfigError, Problem, Source};
use super::values::at;
use super::wire::PoolWire;

const PRIORITY_KEY: &str = "priority";
const WORTH_KEY: &str = "worthPerGpuHour";
/// More for an hour of one GPU is a typing mistake in any currency.
const WORTH_MAX: f64 = 1e6;

/// A pool's standing among those that share GPUs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuotaConfig {
    /// Served before a lower one.
    pub priority: i32,
    /// What an hour of a GPU is worth to the pool, in any currency that all pools share: decides
    /// among equal priorities, and how soon a GPU is taken from another pool.
    pub worth: GpuWorth,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self { priority: 0, worth: GpuWorth::saturating(1.0) }
    }
}

/// The first key that was given: its name, what it says, and where.
pub(super) type Given = Option<(&'static str, String, Location)>;

pub(super) fn resolve(
    wire: &PoolWire,
    source: &Source<'_>,
) -> Result<(QuotaConfig, Given), ConfigError> {
    let mut quota = QuotaConfig::default();
    let mut given = None;
    if let Some(worth) = &wire.worth_per_gpu_hour {
        let allowed = || Problem::out_of_range(WORTH_KEY, worth.value, "from 0 to 1000000");
        source.require(
            (0.0..=WORTH_MAX).contains(&worth.value),
            at(&wire.worth_per_gpu_hour),
            allowed,
        )?;
        quota.worth = GpuWorth::saturating(worth.value);
        given = Some((WORTH_KEY, worth.value.to_string(), worth.referenced));
    }
    if let Some(priority) = &wire.priority {
        quota.priority = priority.value;
        given = Some((PRIORITY_KEY, priority.value.to_string(), priority.referenced));
    }
    Ok((quota, given))
}

/// A key that could change nothing is a mistake.
pub(super) fn check(
    given: &Given,
    gpus_per_replica: u32,
    gpu_slots: Option<u32>,
    source: &Source<'_>,
) -> Result<(), ConfigError> {
    let Some((key, value, location)) = given else { return Ok(()) };
    let problem = |why: &str| Problem::out_of_range(*key, value, format!("left out, as {why}"));
    source.require(gpu_slots.is_some(), Some(*location), || {
        problem("without `gpuSlots` there are no GPUs to share")
    })?;
    source.require(gpus_per_replica > 0, Some(*location), || {
        problem("the pool's replicas take no GPUs: `gpusPerReplica` is 0")
    })
}
