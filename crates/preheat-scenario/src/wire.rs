//! The file's shape, key by key, before anything is checked or defaulted. `docs/scenarios.md` says
//! what each key means.
//!
//! **Invariant:** every value that a check can complain about carries its place.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::values::{DurationText, Set};

/// Gives a section's type its derives.
macro_rules! sections {
    ($($(#[$more:meta])* $name:ident { $($field:ident: $kind:ty,)* })*) => {$(
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        $(#[$more])*
        pub(crate) struct $name { $(pub(crate) $field: $kind,)* }
    )*};
}

sections! {
    ScenarioWire {
        name: Spanned<String>,
        about: Spanned<String>,
        seed: Set<u64>,
        engine: Spanned<EngineWire>,
        replicas: Spanned<ReplicasWire>,
        slo: Option<SloWire>,
        cold_start: Spanned<ColdStartWire>,
        gpus: Option<GpusWire>,
        router: Set<RouterWire>,
        scale_down: Option<ScaleDownWire>,
        standby: Option<StandbyWire>,
        faults: Option<FaultsWire>,
        schedule: Option<Vec<Spanned<AnnouncedWire>>>,
        lengths: Set<LengthsWire>,
        traffic: Spanned<Vec<Spanned<PartWire>>>,
        expect: Option<BTreeMap<String, Spanned<ExpectWire>>>,
    }
    EngineWire { profile: Spanned<String>, max_num_seqs: Set<u32>, }
    ReplicasWire { min: Set<u32>, max: Spanned<u32>, initial: Set<u32>, }
    #[derive(Default)]
    SloWire { ttft: Set<DurationText>, quantile: Set<f64>, tpot: Set<DurationText>, }
    ColdStartWire {
        fixed: Set<DurationText>,
        phases: Set<PhasesWire>,
        per_node: Set<PerNodeWire>,
        timeout: Set<DurationText>,
        believed: Option<BelievedWire>,
    }
    PhasesWire {
        pulling: Set<PhaseWire>,
        loading: Set<PhaseWire>,
        warming: Set<PhaseWire>,
        never: Set<f64>,
    }
    PhaseWire { min: Set<DurationText>, median: Spanned<DurationText>, sigma: Set<f64>, }
    PerNodeWire {
        image_bytes: Set<u64>,
        image_bytes_per_sec: Set<u64>,
        weights_bytes: Set<u64>,
        weights: Spanned<WeightsWire>,
        compile_cache: Set<CompileCacheWire>,
    }
    BelievedWire { p50: Spanned<DurationText>, p90: Spanned<DurationText>, }
    GpusWire { nodes: Spanned<u32>, gpus_each: Spanned<u32>, }
    #[derive(Default)]
    ScaleDownWire {
        victim: Set<VictimWire>,
        drain: Set<DrainWire>,
        grace: Set<DurationText>,
        drain_timeout: Set<DurationText>,
    }
    #[derive(Default)]
    StandbyWire {
        replicas: Set<u32>,
        price: Set<f64>,
        sleep: Set<DurationText>,
        wake: Set<DurationText>,
    }
    #[derive(Default)]
    FaultsWire {
        scrape_loss: Set<f64>,
        metrics_outages: Option<Vec<WindowWire>>,
        start_failure: Set<f64>,
        start_stuck: Set<f64>,
        crashes: Option<Vec<CrashWire>>,
        slow: Option<SlowWire>,
        controller_outages: Option<Vec<WindowWire>>,
        rollouts: Option<Vec<RolloutWire>>,
    }
    AnnouncedWire {
        from: Spanned<DurationText>,
        until: Spanned<DurationText>,
        replicas: Spanned<u32>,
    }
    WindowWire { from: Spanned<DurationText>, lasts: Spanned<DurationText>, }
    CrashWire { at: Spanned<DurationText>, index: Option<u32>, }
    SlowWire { share: Spanned<f64>, factor: Spanned<f64>, }
    RolloutWire { at: Spanned<DurationText>, surge: Set<u32>, }
    PartWire {
        from: Set<DurationText>,
        lasts: Set<DurationText>,
        constant: Set<ConstantWire>,
        ramp: Set<RampWire>,
        sinusoid: Set<SinusoidWire>,
        on_off: Set<OnOffWire>,
        burst: Set<BurstWire>,
        trace: Set<TraceWire>,
        gap_cv: Set<f64>,
        lengths: Set<LengthsWire>,
    }
    ConstantWire { rate: Spanned<f64>, }
    RampWire { rate: Spanned<f64>, rate_end: Spanned<f64>, }
    SinusoidWire {
        low: Spanned<f64>,
        high: Spanned<f64>,
        period: Spanned<DurationText>,
        peak_at: Set<DurationText>,
    }
    OnOffWire {
        rate: Spanned<f64>,
        rate_off: Set<f64>,
        on: Spanned<DurationText>,
        off: Spanned<DurationText>,
    }
    BurstWire { rate: Spanned<f64>, rise: Set<DurationText>, fall: Set<DurationText>, }
    TraceWire {
        name: Set<String>,
        file: Set<PathBuf>,
        rate_scale: Set<f64>,
        from: Set<DurationText>,
        until: Set<DurationText>,
    }
    LengthsWire {
        input: Set<TokensWire>,
        output: Set<TokensWire>,
        like: Set<String>,
        becomes: Set<BecomesWire>,
    }
    BecomesWire {
        from: Spanned<DurationText>,
        over: Set<DurationText>,
        input: Set<TokensWire>,
        output: Set<TokensWire>,
        like: Set<String>,
    }
    TokensWire { fixed: Set<u32>, mean: Set<f64>, p99: Set<f64>, max: Set<u32>, }
    MinutesWire {
        from: Spanned<DurationText>,
        until: Spanned<DurationText>,
        min: Set<f64>,
        max: Set<f64>,
    }
    BoundsWire { min: Set<f64>, max: Set<f64>, }
}

/// Named as the report names its fields, units and all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectWire {
    pub(crate) attainment: Set<BoundsWire>,
    pub(crate) failed: Set<BoundsWire>,
    pub(crate) streams_cut: Set<BoundsWire>,
    pub(crate) gpu_hours: Set<BoundsWire>,
    pub(crate) starts: Set<BoundsWire>,
    pub(crate) stops: Set<BoundsWire>,
    pub(crate) replicas_peak: Set<BoundsWire>,
    pub(crate) direction_changes: Set<BoundsWire>,
    pub(crate) ttft_p50_s: Set<BoundsWire>,
    pub(crate) ttft_p99_s: Set<BoundsWire>,
    #[serde(default)]
    pub(crate) ready: Vec<Spanned<MinutesWire>>,
    #[serde(default)]
    pub(crate) desired: Vec<Spanned<MinutesWire>>,
}

macro_rules! words {
    ($($name:ident { $($word:ident,)* })*) => {$(
        #[derive(Clone, Copy, Debug, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub(crate) enum $name { $($word,)* }
    )*};
}

words! {
    RouterWire { LeastOutstanding, RoundRobin, CentralQueue, }
    VictimWire { Newest, Random, }
    DrainWire { Graceful, Kill, }
    WeightsWire { RemoteStore, LocalNvme, PageCache, }
    CompileCacheWire { Hit, Miss, }
}
