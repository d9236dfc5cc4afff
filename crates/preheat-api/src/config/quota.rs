//! What decides which of several pools gets a GPU that not all can have.

use preheat_core::GpuWorth;
use serde_saphyr::Location;

use super::error::{ConfigError, Problem, Source};
use super::values::at;
use super::wire::PoolWire;
use crate::pool_keys::KeyError;

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

impl QuotaConfig {
    /// Of what was given; what is absent has its default.
    ///
    /// # Errors
    /// When the worth is out of range.
    pub fn of(priority: Option<i32>, worth: Option<f64>) -> Result<Self, KeyError> {
        let mut quota = Self::default();
        if let Some(worth) = worth {
            if !(0.0..=WORTH_MAX).contains(&worth) {
                let (key, value) = (WORTH_KEY.to_owned(), worth.to_string());
                return Err(KeyError { key, value, allowed: "from 0 to 1000000".to_owned() });
            }
            quota.worth = GpuWorth::saturating(worth);
        }
        quota.priority = priority.unwrap_or(quota.priority);
        Ok(quota)
    }
}

/// The first key that was given: its name, what it says, and where.
pub(super) type Given = Option<(&'static str, String, Location)>;

pub(super) fn resolve(
    wire: &PoolWire,
    source: &Source<'_>,
) -> Result<(QuotaConfig, Given), ConfigError> {
    let (priority, worth) = (wire.priority.as_ref(), wire.worth_per_gpu_hour.as_ref());
    let quota = QuotaConfig::of(priority.map(|p| p.value), worth.map(|w| w.value));
    let quota = quota.map_err(|KeyError { key, value, allowed }| {
        source.error(at(&wire.worth_per_gpu_hour), Problem::OutOfRange { key, value, allowed })
    })?;
    let mut given = None;
    if let Some(worth) = worth {
        given = Some((WORTH_KEY, worth.value.to_string(), worth.referenced));
    }
    if let Some(priority) = priority {
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
