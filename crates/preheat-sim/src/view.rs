//! What an autoscaler in the simulated world gets to see: replicas and metrics as its own pipeline
//! would show them, late and sampled. Filled by the cluster, read by policies.
//!
//! **Invariant:** nothing here is known to a policy before its metrics pipeline would deliver it.

use std::time::Duration;

use preheat_core::{Concurrency, Instant, ReplicaId};

/// How a policy's metrics reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsPipeline {
    /// Time between two scrapes of an engine: 15 s for a stock Prometheus.
    pub scrape_interval: Duration,
    /// Time from a scrape until a query sees it.
    pub delay: Duration,
}

/// Upper bounds of the buckets of vLLM's TTFT histogram, in seconds; the last one, without a bound,
/// is its count.
pub const TTFT_BOUNDS_SECS: [f64; 22] = [
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];

/// The phase of a replica as an orchestrator knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaState {
    /// Ordered, not ready.
    Starting,
    /// May serve.
    Ready,
    /// Told to go; finishes what it has. No longer counted by the orchestrator.
    Draining,
}

/// One engine's metrics at one scrape. Totals are since the engine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineMetrics {
    /// When it was scraped.
    pub at: Instant,
    /// Requests in the batch.
    pub running: u32,
    /// Requests waiting for a slot.
    pub waiting: u32,
    /// Share of KV blocks in use, 0 to 1.
    pub kv_utilization: f64,
    /// As the vendor's gauge reads it: share of the time since the last scrape in which any kernel
    /// ran, 0 to 1.
    pub gpu_utilization: f64,
    /// Cores of the host that the engine kept busy since the last scrape, as a container's CPU usage
    /// tells.
    pub cpu_cores: f64,
    /// Requests finished.
    pub completions_total: u64,
    /// Prompt tokens computed.
    pub prompt_tokens_total: u64,
    /// Tokens generated.
    pub generation_tokens_total: u64,
    /// Requests thrown out of the batch.
    pub preemptions_total: u64,
    /// Sum of TTFTs, in seconds, over first tokens so far.
    pub ttft_seconds_sum: f64,
    /// First tokens so far.
    pub ttft_count: u64,
    /// Those of them whose TTFT was at most each of [`TTFT_BOUNDS_SECS`].
    pub ttft_buckets: [u32; TTFT_BOUNDS_SECS.len()],
    /// Sum of gaps between tokens, in seconds.
    pub itl_seconds_sum: f64,
    /// Gaps so far.
    pub itl_count: u64,
}

/// One replica, as seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplicaView {
    /// Which one.
    pub id: ReplicaId,
    /// Its state.
    pub state: ReplicaState,
    /// When it was ordered.
    pub ordered_at: Instant,
    /// When it became ready.
    pub ready_at: Option<Instant>,
    /// Its newest metrics that have arrived; engines that are not ready have none.
    pub metrics: Option<EngineMetrics>,
}

/// What a proxy in front of the pool counts, for policies that have one (Knative's queue proxy and
/// activator, Ray's handles, SkyServe's load balancer, an endpoint picker). Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProxyView {
    /// When it was read.
    pub at: Instant,
    /// Requests that arrived.
    pub arrivals_total: u64,
    /// Prompt tokens of them.
    pub arrived_prompt_tokens_total: u64,
    /// Requests that ended.
    pub completions_total: u64,
    /// Tokens that were generated for those.
    pub completed_generation_tokens_total: u64,
    /// Requests inside: held, queued and running.
    pub concurrency: u32,
    /// Requests held because no replica is ready.
    pub held: u32,
}

/// Everything a policy sees at one of its ticks.
#[derive(Clone, Copy, Debug)]
pub struct FleetView<'a> {
    /// The time.
    pub now: Instant,
    /// Replicas asked for by the last answer (`spec.replicas`).
    pub desired: u32,
    /// Replicas that exist, by id.
    pub replicas: &'a [ReplicaView],
    /// The proxy's counters, up to date.
    pub proxy: ProxyView,
    /// Slots per replica (`max-num-seqs`).
    pub max_num_seqs: Concurrency,
    /// Tokens that fit one replica's KV cache.
    pub kv_capacity_tokens: u64,
    /// GPUs of one replica.
    pub gpus_per_replica: u32,
}

impl FleetView<'_> {
    /// Replicas in `state`.
    pub fn count(&self, state: ReplicaState) -> u32 {
        let found = self.replicas.iter().filter(|replica| replica.state == state).count();
        u32::try_from(found).unwrap_or(u32::MAX)
    }

    /// Metrics of the ready replicas that have any.
    pub fn ready_metrics(&self) -> impl Iterator<Item = &EngineMetrics> {
        let ready = self.replicas.iter().filter(|replica| replica.state == ReplicaState::Ready);
        ready.filter_map(|replica| replica.metrics.as_ref())
    }
}

/// What every policy is told before it begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PoolBounds {
    /// Fewest replicas.
    pub replicas_min: u32,
    /// Most replicas.
    pub replicas_max: u32,
    /// Aim for TTFT.
    pub ttft_slo: Duration,
    /// Share of requests that must meet it.
    pub attainment_slo: f64,
    /// Aim for TPOT, if there is one.
    pub tpot_slo: Option<Duration>,
}
