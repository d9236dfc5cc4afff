//! Arguments that describe the pool of a simulation.

use std::time::Duration;

use clap::Args;
use preheat_core::{Instant, ReplicaCount, ScheduledDemand};

use super::duration;

#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// Engine profile: model, precision and GPU
    #[arg(long, default_value = crate::commands::PROFILE_DEFAULT)]
    pub(crate) profile: String,
    /// Most requests in the batch [default: the profile's]
    #[arg(long)]
    pub(crate) max_num_seqs: Option<u32>,
    /// Time from ordering a replica to ready [default: 180s; of a journal, the median of the starts
    /// in it]
    #[arg(long, value_parser = duration)]
    pub(crate) cold_start: Option<Duration>,
    /// Fewest replicas
    #[arg(long, default_value_t = 1)]
    pub(crate) min_replicas: u32,
    /// Most replicas
    #[arg(long, default_value_t = 100)]
    pub(crate) max_replicas: u32,
    /// Replicas that are ready when the trace begins [default: what its first minute needs, in a
    /// comparison its first lead time]
    #[arg(long)]
    pub(crate) initial_replicas: Option<u32>,
    /// SLO on TTFT: longer is a miss
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) slo_ttft: Duration,
    /// Share of requests that should be inside the SLO
    #[arg(long, default_value_t = 0.99)]
    pub(crate) slo_quantile: f64,
    /// SLO on TPOT: longer is a miss
    #[arg(long, value_parser = duration)]
    pub(crate) slo_tpot: Option<Duration>,
    /// Price of a sleeping replica, as a share of one that is awake [default: replicas don't sleep].
    /// preheat and the optimum use it; the other autoscalers have no such thing
    #[arg(long)]
    pub(crate) standby_price: Option<f64>,
    /// Time from the order to wake a sleeping replica to ready
    #[arg(long, default_value = "5s", value_parser = duration, requires = "standby_price")]
    pub(crate) standby_wake: Duration,
    /// Announces replicas, as `30m..50m=12`: from and until counted from the begin of the run; may be
    /// repeated. preheat alone is told
    #[arg(long, value_parser = scheduled)]
    pub(crate) schedule: Vec<ScheduledDemand>,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// `30m..50m=12`.
fn scheduled(text: &str) -> Result<ScheduledDemand, String> {
    let wrong = || "write it like 30m..50m=12".to_owned();
    let (window, replicas) = text.split_once('=').ok_or_else(wrong)?;
    let (from, until) = window.split_once("..").ok_or_else(wrong)?;
    let (from, until) = (duration(from)?, duration(until)?);
    let replicas: u32 = replicas.parse().map_err(|_| wrong())?;
    if until <= from {
        return Err("it must end after it begins, as in 30m..50m=12".to_owned());
    }
    let at = |offset| Instant::ORIGIN.saturating_add(offset);
    Ok(ScheduledDemand { from: at(from), until: at(until), replicas: ReplicaCount(replicas) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_a_window_and_a_count() {
        let told = scheduled("30m..1h30m=12").unwrap();
        let secs = |at: Instant| at.as_secs_f64();
        assert_eq!((secs(told.from), secs(told.until)), (1800.0, 5400.0));
        assert_eq!(told.replicas, ReplicaCount(12));
        let shape = "write it like 30m..50m=12";
        for (text, expected) in [
            ("30m-50m=12", shape),
            ("30m..50m", shape),
            ("30m..50m=many", shape),
            ("30..50m=1", "`30` has no unit; write it as `30s`, `30m` or `30ms`"),
            ("50m..30m=1", "it must end after it begins, as in 30m..50m=12"),
        ] {
            assert_eq!(scheduled(text).unwrap_err(), expected, "{text}");
        }
    }
}
