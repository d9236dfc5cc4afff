//! How long a replica takes from being ordered to serving, phase by phase. What it serves is not
//! known here.
//!
//! Priors come from bytes ÷ bandwidth; a draw comes from a seed, with one random stream per
//! phase, so that changing one phase leaves the draws of the others alone.

use std::time::Duration;

use preheat_core::{Probability, ReplicaPhase};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::distribution::ShiftedLogNormal;

/// The phases of a start that this model knows, in order.
const PHASES: [ReplicaPhase; 3] =
    [ReplicaPhase::Pulling, ReplicaPhase::Loading, ReplicaPhase::Warming];
/// Random stream that decides whether a start ever ends; the phases use theirs from 0.
const NEVER_STREAM: u64 = 100;

/// Where the image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// The node has it.
    Cached,
    /// It is pulled and unpacked.
    Registry {
        /// Size.
        bytes: u64,
        /// Pull and unpack together; 100–300 MB/s is common.
        bytes_per_sec: u64,
    },
}

/// Where the weights come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightsSource {
    /// An object store or a model hub.
    RemoteStore,
    /// A local NVMe disk.
    LocalNvme,
    /// Host memory.
    PageCache,
    /// Anything else.
    Other {
        /// How fast weights arrive on the GPUs.
        bytes_per_sec: u64,
    },
}

impl WeightsSource {
    /// How fast weights arrive on the GPUs. Remote: a plain loader against an object store, an
    /// order below tuned streamers. NVMe and page cache: what the default safetensors loader
    /// reached in public logs, not what the devices can do.
    pub const fn bytes_per_sec(self) -> u64 {
        match self {
            Self::RemoteStore => 500_000_000,
            Self::LocalNvme => 2_500_000_000,
            Self::PageCache => 5_000_000_000,
            Self::Other { bytes_per_sec } => bytes_per_sec,
        }
    }
}

/// Whether the engine finds its compiled kernels and graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompileCache {
    /// From an earlier start.
    Hit,
    /// It compiles.
    Miss,
}

/// What a prior is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartupInputs {
    /// Where the image comes from.
    pub image: ImageSource,
    /// Weights in bytes.
    pub weights_bytes: u64,
    /// Where they come from.
    pub weights: WeightsSource,
    /// Whether compiled kernels are found.
    pub compile_cache: CompileCache,
}

/// Distribution of each phase of a start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StartupProfile {
    /// Image pull.
    pub pulling: ShiftedLogNormal,
    /// Process start and weights.
    pub loading: ShiftedLogNormal,
    /// Profiling, compilation, graph capture.
    pub warming: ShiftedLogNormal,
    /// Starts that never end.
    pub never: Probability,
}

/// How a start ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartupOutcome {
    /// After its phases the replica serves.
    Ready,
    /// It stays in this phase for good.
    Never {
        /// Where it is stuck.
        stuck_in: ReplicaPhase,
    },
}

/// One start, drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupPlan {
    /// Phases that end, in order, and how long each takes.
    pub phases: Vec<(ReplicaPhase, Duration)>,
    /// What comes after them.
    pub outcome: StartupOutcome,
}

/// Looking up a cached image, creating the container.
const IMAGE_CACHED: Duration = Duration::from_millis(200);
/// Importing Python and CUDA: tens of seconds on a loaded node, about ten on an idle one.
const PROCESS_START: Duration = Duration::from_secs(10);
/// Memory profiling and graph capture: 17 s in a public log of a small model, more for large ones.
const CAPTURE: Duration = Duration::from_secs(20);
/// Compilation without and with a cache (Dynamo PR 3115: 45 s against 8 s).
const COMPILE_MISS: Duration = Duration::from_secs(45);
const COMPILE_HIT: Duration = Duration::from_secs(8);
/// Spread of pulls and loads: shared networks make p95 about twice the median.
const TRANSFER_SIGMA: f64 = 0.4;
/// Spread of warming, which is bound by a CPU of our own.
const WARMING_SIGMA: f64 = 0.25;
/// Share of a prior's time that is its minimum; the rest is the median of the log-normal part.
const SHIFT_SHARE: f64 = 0.6;
/// Starts that never end: image errors, broken nodes. A guess; learned where starts are seen.
const NEVER: f64 = 0.002;
/// The standard normal's 90th percentile.
const NORMAL_P90: f64 = 1.2816;

impl StartupProfile {
    /// Priors for a start that nobody has seen yet.
    ///
    /// Worked: 32 GB from a remote store, image cached, no compile cache: loading 74 s and
    /// warming 65 s in the median, 139 s together.
    pub fn from_inputs(inputs: &StartupInputs) -> Self {
        let pulling = match inputs.image {
            ImageSource::Cached => IMAGE_CACHED,
            ImageSource::Registry { bytes, bytes_per_sec } => {
                IMAGE_CACHED.saturating_add(transfer(bytes, bytes_per_sec))
            }
        };
        let weights = transfer(inputs.weights_bytes, inputs.weights.bytes_per_sec());
        let compile = match inputs.compile_cache {
            CompileCache::Hit => COMPILE_HIT,
            CompileCache::Miss => COMPILE_MISS,
        };
        Self {
            pulling: prior(pulling, TRANSFER_SIGMA),
            loading: prior(PROCESS_START.saturating_add(weights), TRANSFER_SIGMA),
            warming: prior(CAPTURE.saturating_add(compile), WARMING_SIGMA),
            never: Probability::saturating(NEVER),
        }
    }

    /// Phases of fixed length that always end.
    pub const fn fixed_phases(pulling: Duration, loading: Duration, warming: Duration) -> Self {
        Self {
            pulling: ShiftedLogNormal::fixed(pulling),
            loading: ShiftedLogNormal::fixed(loading),
            warming: ShiftedLogNormal::fixed(warming),
            never: Probability::ZERO,
        }
    }

    /// A start that always takes `total`: an image that is there, then half loading, half warming.
    pub fn fixed(total: Duration) -> Self {
        let loading = total / 2;
        Self::fixed_phases(Duration::ZERO, loading, total.saturating_sub(loading))
    }

    /// A start with this median and 90th percentile: a fixed half for loading, and a warm-up of
    /// which as much as a quarter of the median varies, r·exp(σ·1.2816) = r + (p90 − p50). `None`
    /// where the percentile is below the median, or beyond any spread that means something.
    ///
    /// Worked: 140 s and 170 s: 105 s fixed, then 35 s in the median with σ = 0.483.
    pub fn with_quantiles(p50: Duration, p90: Duration) -> Option<Self> {
        let excess = p90.checked_sub(p50)?;
        let rest = p50 / 4;
        if excess.is_zero() || rest.is_zero() {
            return Some(Self::fixed(p50));
        }
        let sigma = libm::log(1.0 + excess.as_secs_f64() / rest.as_secs_f64()) / NORMAL_P90;
        let loading = p50 / 2;
        let warming = ShiftedLogNormal::new(p50 - loading - rest, rest, sigma)?;
        Some(Self { warming, ..Self::fixed_phases(Duration::ZERO, loading, rest) })
    }

    /// The distribution of one phase; `None` for a phase that is no part of this model.
    pub const fn phase(&self, phase: ReplicaPhase) -> Option<&ShiftedLogNormal> {
        match phase {
            ReplicaPhase::Pulling => Some(&self.pulling),
            ReplicaPhase::Loading => Some(&self.loading),
            ReplicaPhase::Warming => Some(&self.warming),
            ReplicaPhase::Pending
            | ReplicaPhase::Provisioning
            | ReplicaPhase::Ready
            | ReplicaPhase::Draining
            | ReplicaPhase::Stopped
            | ReplicaPhase::Standby(_)
            | ReplicaPhase::Waking(_) => None,
        }
    }

    /// The time that a share `level` of passages through `phase` stays below.
    pub fn quantile(&self, phase: ReplicaPhase, level: Probability) -> Option<Duration> {
        Some(self.phase(phase)?.quantile(level))
    }

    /// One start. Equal seeds give equal plans.
    pub fn draw(&self, seed: u64) -> StartupPlan {
        let stuck_in = self.draw_stuck(seed);
        let mut phases = Vec::with_capacity(PHASES.len());
        for (stream, phase) in (0..).zip(PHASES) {
            if stuck_in == Some(phase) {
                return StartupPlan { phases, outcome: StartupOutcome::Never { stuck_in: phase } };
            }
            let level = Probability::saturating(unit(seed, stream).0);
            let duration = self.quantile(phase, level).unwrap_or_default();
            phases.push((phase, duration));
        }
        StartupPlan { phases, outcome: StartupOutcome::Ready }
    }

    /// The phase that a start never leaves, each as likely; mostly none.
    fn draw_stuck(&self, seed: u64) -> Option<ReplicaPhase> {
        let (never, which) = unit(seed, NEVER_STREAM);
        if never >= self.never.get() {
            return None;
        }
        let index = (which * PHASES.len() as f64) as usize;
        PHASES.get(index).copied()
    }
}

impl StartupPlan {
    /// Time from the first phase to serving; `None` when that never comes.
    pub fn ready_after(&self) -> Option<Duration> {
        match self.outcome {
            StartupOutcome::Ready => Some(self.total()),
            StartupOutcome::Never { .. } => None,
        }
    }

    /// The phase `elapsed` after the first one began.
    pub fn phase_at(&self, elapsed: Duration) -> ReplicaPhase {
        let mut ends = Duration::ZERO;
        for (phase, duration) in &self.phases {
            ends = ends.saturating_add(*duration);
            if elapsed < ends {
                return *phase;
            }
        }
        match self.outcome {
            StartupOutcome::Ready => ReplicaPhase::Ready,
            StartupOutcome::Never { stuck_in } => stuck_in,
        }
    }

    /// Time that the phases take that end.
    fn total(&self) -> Duration {
        self.phases.iter().fold(Duration::ZERO, |sum, (_, d)| sum.saturating_add(*d))
    }
}

/// `bytes` at `bytes_per_sec`; a source that gives nothing takes for ever.
fn transfer(bytes: u64, bytes_per_sec: u64) -> Duration {
    Duration::try_from_secs_f64(bytes as f64 / bytes_per_sec as f64).unwrap_or(Duration::MAX)
}

/// A distribution whose median is `median`.
fn prior(median: Duration, sigma: f64) -> ShiftedLogNormal {
    let secs = median.as_secs_f64() * SHIFT_SHARE;
    let shift = Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX);
    let rest = median.saturating_sub(shift);
    ShiftedLogNormal::new(shift, rest, sigma).unwrap_or(ShiftedLogNormal::fixed(median))
}

/// Two numbers in (0, 1) from one stream of a seed.
fn unit(seed: u64, stream: u64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(stream);
    let mut next = || ((rng.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    (next(), next())
}
