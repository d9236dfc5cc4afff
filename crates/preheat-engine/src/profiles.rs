//! Calibrated engine profiles: figures only. How they become steps is not known here.
//!
//! Origin of the step times: `aiconfigurator-core` 0.12.0 (NVIDIA, ai-dynamo/aiconfigurator),
//! Apache-2.0, queried 2026-11-24 for vLLM (0.24.0 kernels on H100, H200 and L40S; 0.14.0 on
//! A100), fitted by us as `t = g(P + D) + c·PX + e·KV + f·[P > 0]`. They are sums of measured
//! kernels: host, tokenizer and HTTP time are not in them, and at tensor parallelism 4 they are
//! 7–10 % short of measured serving (see [`StepProfile::with_overhead`]).
//!
//! Origin of the rest: weights and KV bytes from the published model shapes; KV capacity at vLLM
//! 0.33's memory utilisation of 0.92 with 3 GiB per GPU assumed for what is not KV (a real replica
//! states its own); batch limits as vLLM 0.33 chooses them.

use preheat_core::Concurrency;

use crate::step::StepProfile;

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
    /// Step times.
    pub step: StepProfile,
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
                22.4455, 22.3841, 23.0033, 29.6349, 29.5178, 31.4865, 33.5751, 33.4821,
                46.3701, 44.7374, 67.5307, 125.69, 156.852, 239.613, 461.608, 964.687,
            ],
            3.2634e-06, 8.59137e-05, 1.79953,
        ),
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
                20.277, 20.8543, 20.7849, 27.3968, 27.2404, 27.8745, 31.4301, 31.4329,
                44.9733, 44.7279, 65.9591, 123.918, 151.413, 230.666, 452.48, 970.925,
            ],
            3.16561e-06, 6.2743e-05, 1.56825,
        ),
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
                22.5439, 22.4503, 23.1414, 29.8225, 29.8436, 31.9922, 34.4877, 34.2054,
                48.543, 47.9944, 69.1764, 128.623, 160.128, 243.773, 472.775, 977.782,
            ],
            3.16922e-06, 4.89501e-05, 1.56522,
        ),
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
                20.3748, 20.9, 20.8245, 27.5839, 27.52, 28.4047, 32.4516, 32.1012,
                46.9228, 47.9682, 67.5865, 126.546, 158.658, 233.267, 462.619, 980.832,
            ],
            3.19309e-06, 4.38385e-05, 1.37167,
        ),
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
                14.1287, 14.7606, 15.3088, 15.998, 16.3693, 18.218, 24.2322, 22.997,
                40.8251, 34.8038, 63.2194, 120.739, 184.024, 245.216, 469.157, 1009.29,
            ],
            3.17869e-06, 4.82017e-05, 1.39354,
        ),
        origin: "qwen3-32b-fp8tensor-h100-tp1 (FP8 KV; mixed steps off by up to 28 %)",
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
                11.4213, 11.3976, 11.7503, 14.1839, 12.9349, 15.0824, 22.8731, 20.1251,
                43.1255, 31.7078, 55.223, 105.833, 171.473, 214.406, 411.989, 872.874,
            ],
            3.20446e-06, 4.3651e-05, 1.31382,
        ),
        origin: "qwen3-32b-fp8tensor-h200-tp1 (FP8 KV; mixed steps off by up to 35 %)",
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
                13.42, 13.674, 14.7754, 14.597, 15.7825, 16.4778, 17.8343, 19.5957,
                24.3814, 28.6865, 53.5682, 103.091, 116.628, 210.336, 425.402, 843.512,
            ],
            1.53997e-06, 4.27502e-05, 1.8943,
        ),
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
                6.27931, 6.49742, 6.79803, 6.86861, 7.11006, 7.37207, 8.52601, 8.6747,
                11.4578, 12.0701, 21.9743, 42.2808, 46.6509, 84.2424, 175.026, 343.056,
            ],
            7.56558e-07, 4.22991e-05, 0.0,
        ),
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
                4.39916, 4.52065, 4.50423, 4.77658, 4.83904, 5.39708, 7.215, 6.82275,
                10.8787, 9.39839, 16.8602, 32.7405, 56.8576, 63.7618, 120.337, 246.777,
            ],
            7.56794e-07, 4.33306e-05, 0.0,
        ),
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
                3.70586, 3.77748, 3.76079, 4.3069, 4.08941, 4.74371, 6.75144, 6.30061,
                11.2572, 8.63677, 14.7157, 27.9484, 45.0675, 54.6497, 105.4, 211.165,
            ],
            7.68024e-07, 3.17586e-05, 0.0,
        ),
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
                22.0828, 22.5265, 22.563, 24.5582, 24.6911, 26.5544, 28.7549, 29.8907,
                35.3179, 38.0896, 68.9685, 136.954, 152.042, 288.334, 607.9, 1247.77,
            ],
            2.77115e-06, 0.000199104, 0.296198,
        ),
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
                13.5935, 13.5167, 13.5626, 14.1249, 14.4452, 16.1361, 17.5263, 18.6691,
                24.1072, 26.5605, 50.5126, 98.136, 105.31, 196.536, 407.102, 815.652,
            ],
            2.77228e-06, 0.000200097, 0.345882,
        ),
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
                11.7299, 11.8219, 11.9556, 12.3207, 12.3614, 14.5041, 22.4655, 22.5965,
                27.0209, 35.9155, 63.3409, 119.348, 134.78, 234.759, 464.091, 929.429,
            ],
            2.8927e-06, 8.15774e-05, 0.0,
        ),
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
                14.9651, 15.7439, 15.9525, 16.3237, 17.04, 18.9978, 21.545, 23.4851,
                31.1372, 37.1898, 66.907, 129.144, 154.675, 256.986, 547.805, 1012.83,
            ],
            9.22679e-07, 2.74598e-05, 0.389279,
        ),
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
                10.8947, 10.7393, 10.9687, 12.3165, 12.6865, 14.964, 19.3819, 20.0268,
                31.9868, 30.6886, 56.9597, 109.655, 146.386, 206.002, 369.344, 777.498,
            ],
            9.30779e-07, 2.74845e-05, 0.283842,
        ),
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
                22.4455, 22.3841, 23.0033, 29.6349, 29.5178, 31.4865, 33.5751, 33.4821,
                46.3701, 44.7374, 67.5307, 125.69, 156.852, 239.613, 461.608, 964.687,
            ],
            3.2634e-06, 8.59137e-05, 1.79953,
        ),
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
