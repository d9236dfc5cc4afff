//! Calibrated engine profiles: figures only. How they become steps is not known here.
//!
//! Origin of the step times: `aiconfigurator-core` 0.12.0 (NVIDIA, ai-dynamo/aiconfigurator),
//! Apache-2.0, queried for vLLM (0.24.0 kernels on H100, H200 and L40S; 0.14.0 on A100), fitted by
//! `examples/fit`. They are sums of measured kernels: host, tokenizer and HTTP time are not in
//! them.
//!
//! Origin of the host times: the same example, fitted to measured serving, which is there for
//! [`HOST_QWEN3_TP2`] and [`HOST_LLAMA70_TP4`]. Replicas of one GPU have none: Llama-3.1-70B on one
//! H200 was measured no slower than its kernels, and for smaller models nothing was measured.
//!
//! Origin of the rest: weights and KV bytes from the published model shapes; KV capacity at vLLM
//! 0.33's memory utilisation of 0.92 with 3 GiB per GPU assumed for what is not KV (a real replica
//! states its own); batch limits as vLLM 0.33 chooses them.

use preheat_core::Concurrency;

use crate::step::{HostTime, StepProfile};

/// One model on one accelerator shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineProfile {
    /// Its name in preheat.
    pub name: &'static str,
    /// GPUs of one replica.
    pub gpus: u32,
    /// Weights, over all GPUs.
    pub weights_bytes: u64,
    /// KV cache bytes per token, over all GPUs.
    pub kv_bytes_per_token: u64,
    /// Tokens that fit the KV cache.
    pub kv_capacity_tokens: u64,
    /// Default batch limit.
    pub max_num_seqs: Concurrency,
    /// Default token budget of a step (API server).
    pub max_num_batched_tokens: u32,
    /// Context of the model as published.
    pub max_model_len: u32,
    /// Step times: of kernels alone.
    pub step: StepProfile,
    /// What the host adds to them where the engine is served.
    pub host: HostTime,
    /// Which fit the step times are, and what is special about it.
    pub origin: &'static str,
}

impl EngineProfile {
    /// The profile of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// All profiles.
    pub const fn all() -> &'static [Self] {
        &PROFILES
    }
}

/// Default batch limit and token budget on H100 and H200: 70 GiB or more, not A100.
const H_SERIES: (Concurrency, u32) = (slots(1024), 8192);
/// The same on A100, L40S and smaller.
const OTHER: (Concurrency, u32) = (slots(256), 2048);

/// Positions in Qwen3-32B's published configuration.
const QWEN3_CONTEXT: u32 = 40_960;
/// Positions in Llama 3.1's published configuration.
const LLAMA31_CONTEXT: u32 = 131_072;

/// Of Qwen3-32B in BF16 on two H100s.
const HOST_QWEN3_TP2: HostTime = HostTime::from_ms(0.304392, 0.0467576);
/// Of Llama-3.1-70B in FP8 on four H100s; in BF16 it is assumed to be the same.
const HOST_LLAMA70_TP4: HostTime = HostTime::from_ms(0.497846, 0.0114127);

const fn slots(count: u32) -> Concurrency {
    match Concurrency::new(count) {
        Some(slots) => slots,
        None => unreachable!(),
    }
}

#[rustfmt::skip]
static PROFILES: [EngineProfile; 16] = [
    EngineProfile {
        name: "qwen3-32b-fp8-h100",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 262_144,
        kv_capacity_tokens: 154_877,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                22.4737, 22.601, 23.0352, 27.2327, 29.6823, 30.0715, 31.7107, 35.941,
                33.4828, 33.159, 44.6443, 45.2943, 43.8216, 54.8342, 55.2152, 66.9171,
                73.906, 105.008, 125.023, 137.245, 145.976, 239.07, 246.59, 460.85,
                962.115,
            ],
            3.3018e-6, 8.46374e-5, 1.75274,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8block-kvbf16-h100-tp1 (BF16 KV, as stock vLLM keeps it)",
    },
    EngineProfile {
        name: "qwen3-32b-fp8-h200",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 262_144,
        kv_capacity_tokens: 383_614,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                20.2344, 20.7748, 20.7221, 21.1841, 27.3138, 27.5945, 28.1088, 33.2507,
                31.7483, 30.9465, 41.2117, 43.0981, 42.9764, 51.5932, 52.9799, 65.1742,
                72.1603, 103.547, 122.849, 132.31, 144.193, 231.37, 247.256, 451.805,
                968.882,
            ],
            3.17809e-6, 6.22664e-5, 1.72955,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8block-kvbf16-h200-tp1 (BF16 KV, as stock vLLM keeps it)",
    },
    EngineProfile {
        name: "qwen3-32b-fp8-kvfp8-h100",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 309_755,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                22.6996, 22.486, 23.1184, 27.3483, 29.8355, 30.222, 32.1699, 36.2201,
                34.3586, 33.5966, 45.1668, 46.033, 44.5905, 55.4336, 56.1665, 68.4647,
                75.5146, 106.981, 127.676, 139.404, 147.83, 243.136, 249.957, 469.304,
                973.383,
            ],
            3.22274e-6, 4.86472e-5, 1.62682,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8block-h100-tp1 (FP8 KV)",
    },
    EngineProfile {
        name: "qwen3-32b-fp8-kvfp8-h200",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 767_229,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                20.372, 20.7685, 20.6901, 21.1986, 27.4613, 27.8761, 28.4595, 33.9625,
                32.4224, 31.3205, 41.6741, 43.967, 43.7145, 52.2373, 54.0036, 66.6522,
                73.8413, 104.751, 125.322, 135.323, 147.044, 232.936, 244.695, 458.714,
                977.58,
            ],
            3.24382e-6, 4.42373e-5, 1.65756,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8block-h200-tp1 (FP8 KV)",
    },
    EngineProfile {
        name: "qwen3-32b-fp8tensor-kvfp8-h100",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 309_755,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                13.9789, 14.8504, 15.214, 16.6666, 15.83, 16.5776, 18.2591, 27.3917,
                23.8123, 22.4339, 40.3952, 38.3666, 33.8963, 59.8791, 48.0385, 62.5196,
                85.9825, 111.904, 119.736, 153.781, 160.658, 244.302, 297.995, 467.089,
                1006.1,
            ],
            3.21306e-6, 4.82702e-5, 1.62942,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8tensor-h100-tp1 (FP8 KV)",
    },
    EngineProfile {
        name: "qwen3-32b-fp8tensor-kvfp8-h200",
        gpus: 1,
        weights_bytes: 34_316_788_695,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 767_229,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                11.4666, 11.2895, 11.639, 15.6399, 14.0401, 13.3674, 15.0735, 26.4293,
                22.1256, 19.6525, 47.5647, 40.4185, 30.8442, 56.0162, 43.0092, 54.668,
                82.0318, 102.544, 104.989, 141.11, 147.572, 213.584, 268.225, 409.76,
                871.307,
            ],
            3.2399e-6, 4.39667e-5, 1.52902,
        ),
        host: HostTime::NONE,
        origin: "qwen3-32b-fp8tensor-h200-tp1 (FP8 KV)",
    },
    EngineProfile {
        name: "qwen3-32b-bf16-h100-tp2",
        gpus: 2,
        weights_bytes: 65_519_726_100,
        kv_bytes_per_token: 262_144,
        kv_capacity_tokens: 321_634,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                13.3812, 13.7533, 14.7062, 14.764, 14.5131, 15.7507, 16.5536, 18.0283,
                17.9737, 19.5855, 19.5607, 24.1857, 27.8786, 30.0018, 41.4066, 52.9163,
                61.8203, 77.7839, 102.688, 103.978, 118.678, 210.07, 211.218, 425.097,
                841.106,
            ],
            1.55227e-6, 4.24739e-5, 1.96819,
        ),
        host: HOST_QWEN3_TP2,
        origin: "qwen3-32b-bf16-h100-tp2",
    },
    EngineProfile {
        name: "llama3.1-8b-bf16-h100",
        gpus: 1,
        weights_bytes: 16_063_177_687,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 449_019,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                6.28555, 6.54707, 6.80581, 6.79058, 6.84814, 7.12867, 7.48468, 8.00535,
                8.57626, 8.63572, 9.42833, 11.0774, 11.8947, 12.9557, 16.7311, 21.8099,
                22.494, 32.2634, 42.1146, 42.9054, 48.0049, 84.2967, 85.8907, 174.649,
                342.004,
            ],
            7.57576e-7, 4.17776e-5, 0.0,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-bf16-h100-tp1",
    },
    EngineProfile {
        name: "llama3.1-8b-fp8-h100",
        gpus: 1,
        weights_bytes: 9_083_855_831,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 502_267,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                4.38069, 4.52215, 4.52345, 5.0472, 4.7759, 5.13269, 5.60456, 7.95983,
                7.37366, 6.82827, 10.9962, 10.5866, 9.30458, 16.3761, 14.1281, 16.7163,
                22.0634, 30.4919, 32.5526, 41.0633, 41.9232, 63.724, 70.1894, 120.003,
                245.572,
            ],
            7.62846e-7, 4.19045e-5, 0.0,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-fp8-h100-tp1",
    },
    EngineProfile {
        name: "llama3.1-8b-fp8-h200",
        gpus: 1,
        weights_bytes: 9_083_855_831,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 959_741,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                3.7121, 3.75792, 3.76487, 4.73723, 4.30107, 4.37343, 4.92955, 7.6045,
                6.8975, 6.31794, 12.0984, 10.8175, 8.53948, 15.5623, 12.87, 14.6085,
                21.758, 27.3666, 27.8201, 37.4649, 39.2605, 54.5866, 62.6609, 104.795,
                210.295,
            ],
            7.73803e-7, 3.07678e-5, 0.0,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-fp8-h200-tp1",
    },
    EngineProfile {
        name: "llama3.1-8b-bf16-l40s",
        gpus: 1,
        weights_bytes: 16_063_177_687,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 187_498,
        max_num_seqs: OTHER.0,
        max_num_batched_tokens: OTHER.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                21.9561, 22.7565, 22.873, 24.3862, 24.8054, 25.1889, 27.0055, 27.8898,
                28.7157, 29.946, 31.4936, 34.847, 37.8679, 46.5627, 57.0985, 68.831,
                78.8687, 109.786, 137.429, 137.024, 164.131, 288.202, 280.667, 607.657,
                1245.29,
            ],
            2.79197e-6, 0.00019173, 0.0215742,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-bf16-l40s-tp1",
    },
    EngineProfile {
        name: "llama3.1-8b-fp8-l40s",
        gpus: 1,
        weights_bytes: 9_083_855_831,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 240_746,
        max_num_seqs: OTHER.0,
        max_num_batched_tokens: OTHER.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                13.6011, 13.5303, 13.707, 14.6724, 14.2551, 14.7861, 16.3614, 16.4759,
                17.8928, 18.6469, 20.301, 23.4999, 26.3562, 35.0886, 41.8315, 50.4474,
                54.7117, 77.7186, 98.1015, 102.548, 110.873, 196.467, 196.603, 407.337,
                813.037,
            ],
            2.79207e-6, 0.000192414, 0.210233,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-fp8-l40s-tp1",
    },
    EngineProfile {
        name: "llama3.1-8b-bf16-a100",
        gpus: 1,
        weights_bytes: 16_063_177_687,
        kv_bytes_per_token: 131_072,
        kv_capacity_tokens: 449_019,
        max_num_seqs: OTHER.0,
        max_num_batched_tokens: OTHER.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                11.7477, 11.8553, 11.9699, 12.2517, 12.4081, 12.5579, 14.6513, 19.7581,
                22.5733, 22.4114, 23.1234, 26.529, 35.6123, 36.4183, 49.1742, 63.0817,
                63.6007, 91.3482, 119.183, 119.797, 133.941, 234.46, 234.666, 463.559,
                927.18,
            ],
            2.91111e-6, 8.24628e-5, 0.0,
        ),
        host: HostTime::NONE,
        origin: "llama3.1-8b-bf16-a100-tp1",
    },
    EngineProfile {
        name: "llama3.1-70b-bf16-h100-tp4",
        gpus: 4,
        weights_bytes: 141_100_413_092,
        kv_bytes_per_token: 327_680,
        kv_capacity_tokens: 483_911,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                14.94, 15.862, 15.7849, 15.5081, 16.4084, 17.2168, 19.1092, 20.3441,
                21.7499, 23.245, 24.4913, 30.8916, 36.361, 38.6612, 52.0062, 65.8562,
                68.3066, 101.394, 127.868, 134.292, 148.292, 256.818, 253.645, 545.581,
                1009.31,
            ],
            9.37602e-7, 2.70257e-5, 0.718215,
        ),
        host: HOST_LLAMA70_TP4,
        origin: "llama3.1-70b-bf16-h100-tp4",
    },
    EngineProfile {
        name: "llama3.1-70b-fp8-h100-tp4",
        gpus: 4,
        weights_bytes: 72_649_371_812,
        kv_bytes_per_token: 327_680,
        kv_capacity_tokens: 692_807,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: LLAMA31_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                10.9306, 10.7876, 11.0149, 11.8418, 12.1851, 12.9512, 15.0859, 20.5133,
                19.498, 19.7366, 32.3942, 31.7345, 29.942, 46.349, 43.9076, 55.9602,
                70.6477, 94.4696, 108.502, 126.125, 136.408, 205.28, 232.984, 367.806,
                774.283,
            ],
            9.45736e-7, 2.70482e-5, 0.748568,
        ),
        host: HOST_LLAMA70_TP4,
        origin: "llama3.1-70b-fp8-h100-tp4",
    },
    EngineProfile {
        name: "qwen-27b-fp8-h100",
        gpus: 1,
        weights_bytes: 27_000_000_000,
        kv_bytes_per_token: 262_144,
        kv_capacity_tokens: 182_789,
        max_num_seqs: H_SERIES.0,
        max_num_batched_tokens: H_SERIES.1,
        max_model_len: QWEN3_CONTEXT,
        step: StepProfile::from_table_ms(
            [
                22.4737, 22.601, 23.0352, 27.2327, 29.6823, 30.0715, 31.7107, 35.941,
                33.4828, 33.159, 44.6443, 45.2943, 43.8216, 54.8342, 55.2152, 66.9171,
                73.906, 105.008, 125.023, 137.245, 145.976, 239.07, 246.59, 460.85,
                962.115,
            ],
            3.3018e-6, 8.46374e-5, 1.75274,
        ),
        host: HostTime::NONE,
        origin: "derived, not calibrated: qwen3-32b-fp8block-kvbf16-h100-tp1 unscaled, \
                 with 27 GB of weights",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;

    #[test]
    fn every_profile_makes_an_engine() {
        for profile in EngineProfile::all() {
            assert_eq!(EngineConfig::for_profile(profile).check(), Ok(()), "{}", profile.name);
            assert_eq!(EngineProfile::find(profile.name), Some(profile), "names are unique");
            assert!(profile.kv_capacity_tokens >= u64::from(profile.max_model_len));
        }
    }
}
