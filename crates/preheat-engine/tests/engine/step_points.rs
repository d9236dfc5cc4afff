//! Step times of the embedded profiles, without host time, against points of `step_points.csv`:
//! answers of `aiconfigurator-core` 0.12.0 (Apache-2.0, queried 2026-11-24), which are sums of
//! measured kernels and not timed engine steps. These are a few; `tests/fidelity` has all.

use preheat_engine::StepLoad;

use crate::common::profile;

/// Largest error of the points here, by kind of step.
const DECODE_ERROR_MAX: f64 = 0.05;
const PREFILL_ERROR_MAX: f64 = 0.03;
const MIXED_ERROR_MAX: f64 = 0.03;

/// (profile, sequences, context of each, ms)
const DECODES: [(&str, u32, u64, f64); 36] = [
    ("qwen3-32b-fp8-h100", 1, 1024, 22.1184),
    ("qwen3-32b-fp8-h100", 8, 1024, 22.6137),
    ("qwen3-32b-fp8-h100", 32, 1024, 32.9245),
    ("qwen3-32b-fp8-h100", 64, 2048, 40.4974),
    ("qwen3-32b-fp8-h100", 128, 1024, 42.8555),
    ("qwen3-32b-fp8-h100", 256, 1024, 56.8907),
    ("llama3.1-8b-bf16-h100", 1, 1024, 6.1813),
    ("llama3.1-8b-bf16-h100", 8, 1024, 6.5957),
    ("llama3.1-8b-bf16-h100", 32, 1024, 8.3244),
    ("llama3.1-8b-bf16-h100", 64, 2048, 12.5599),
    ("llama3.1-8b-bf16-h100", 128, 1024, 12.8343),
    ("llama3.1-8b-bf16-h100", 256, 1024, 19.5549),
    ("llama3.1-8b-bf16-l40s", 1, 1024, 21.9776),
    ("llama3.1-8b-bf16-l40s", 8, 1024, 23.4480),
    ("llama3.1-8b-bf16-l40s", 32, 1024, 31.4317),
    ("llama3.1-8b-bf16-l40s", 64, 2048, 51.2804),
    ("llama3.1-8b-bf16-l40s", 128, 1024, 53.3034),
    ("llama3.1-8b-bf16-l40s", 256, 1024, 78.4075),
    ("llama3.1-8b-bf16-a100", 1, 1024, 11.8634),
    ("llama3.1-8b-bf16-a100", 8, 1024, 12.6397),
    ("llama3.1-8b-bf16-a100", 32, 1024, 15.5797),
    ("llama3.1-8b-bf16-a100", 64, 2048, 23.0664),
    ("llama3.1-8b-bf16-a100", 128, 1024, 24.7615),
    ("llama3.1-8b-bf16-a100", 256, 1024, 43.7226),
    ("llama3.1-70b-bf16-h100-tp4", 1, 1024, 14.8644),
    ("llama3.1-70b-bf16-h100-tp4", 8, 1024, 16.0994),
    ("llama3.1-70b-bf16-h100-tp4", 32, 1024, 16.9120),
    ("llama3.1-70b-bf16-h100-tp4", 64, 2048, 20.7409),
    ("llama3.1-70b-bf16-h100-tp4", 128, 1024, 22.8024),
    ("llama3.1-70b-bf16-h100-tp4", 256, 1024, 30.5053),
    ("llama3.1-70b-fp8-h100-tp4", 1, 1024, 11.0396),
    ("llama3.1-70b-fp8-h100-tp4", 8, 1024, 11.0220),
    ("llama3.1-70b-fp8-h100-tp4", 32, 1024, 12.8604),
    ("llama3.1-70b-fp8-h100-tp4", 64, 2048, 16.3054),
    ("llama3.1-70b-fp8-h100-tp4", 128, 1024, 18.6946),
    ("llama3.1-70b-fp8-h100-tp4", 256, 1024, 27.0557),
];

/// (profile, new tokens, cached tokens, ms)
const PREFILLS: [(&str, u32, u32, f64); 36] = [
    ("qwen3-32b-fp8-h100", 512, 0, 45.9842),
    ("qwen3-32b-fp8-h100", 512, 8192, 58.9631),
    ("qwen3-32b-fp8-h100", 2048, 0, 133.3845),
    ("qwen3-32b-fp8-h100", 2048, 8192, 184.1563),
    ("qwen3-32b-fp8-h100", 8192, 0, 571.6648),
    ("qwen3-32b-fp8-h100", 8192, 8192, 799.2575),
    ("llama3.1-8b-bf16-h100", 512, 0, 12.0193),
    ("llama3.1-8b-bf16-h100", 512, 8192, 15.0337),
    ("llama3.1-8b-bf16-h100", 2048, 0, 43.5079),
    ("llama3.1-8b-bf16-h100", 2048, 8192, 56.4170),
    ("llama3.1-8b-bf16-h100", 8192, 0, 199.7193),
    ("llama3.1-8b-bf16-h100", 8192, 8192, 249.9775),
    ("llama3.1-8b-bf16-l40s", 512, 0, 38.2712),
    ("llama3.1-8b-bf16-l40s", 512, 8192, 49.4261),
    ("llama3.1-8b-bf16-l40s", 2048, 0, 144.8880),
    ("llama3.1-8b-bf16-l40s", 2048, 8192, 185.1439),
    ("llama3.1-8b-bf16-l40s", 8192, 0, 699.8309),
    ("llama3.1-8b-bf16-l40s", 8192, 8192, 887.8646),
    ("llama3.1-8b-bf16-a100", 512, 0, 35.9856),
    ("llama3.1-8b-bf16-a100", 512, 8192, 47.5448),
    ("llama3.1-8b-bf16-a100", 2048, 0, 125.1851),
    ("llama3.1-8b-bf16-a100", 2048, 8192, 172.8738),
    ("llama3.1-8b-bf16-a100", 8192, 0, 556.9545),
    ("llama3.1-8b-bf16-a100", 8192, 8192, 757.2380),
    ("llama3.1-70b-bf16-h100-tp4", 512, 0, 37.3091),
    ("llama3.1-70b-bf16-h100-tp4", 512, 8192, 40.4184),
    ("llama3.1-70b-bf16-h100-tp4", 2048, 0, 130.1793),
    ("llama3.1-70b-bf16-h100-tp4", 2048, 8192, 147.0486),
    ("llama3.1-70b-bf16-h100-tp4", 8192, 0, 576.7641),
    ("llama3.1-70b-bf16-h100-tp4", 8192, 8192, 640.0814),
    ("llama3.1-70b-fp8-h100-tp4", 512, 0, 30.9397),
    ("llama3.1-70b-fp8-h100-tp4", 512, 8192, 34.0490),
    ("llama3.1-70b-fp8-h100-tp4", 2048, 0, 110.8036),
    ("llama3.1-70b-fp8-h100-tp4", 2048, 8192, 127.6729),
    ("llama3.1-70b-fp8-h100-tp4", 8192, 0, 398.8533),
    ("llama3.1-70b-fp8-h100-tp4", 8192, 8192, 462.1706),
];

/// (profile, new tokens, decode sequences, context of each, ms)
const MIXED: [(&str, u32, u32, u64, f64); 10] = [
    ("qwen3-32b-fp8-h100", 512, 32, 1024, 60.4772),
    ("qwen3-32b-fp8-h100", 512, 128, 1024, 68.8689),
    ("llama3.1-8b-bf16-h100", 512, 32, 1024, 15.0098),
    ("llama3.1-8b-bf16-h100", 512, 128, 1024, 20.6528),
    ("llama3.1-8b-bf16-l40s", 512, 32, 1024, 55.3275),
    ("llama3.1-8b-bf16-l40s", 512, 128, 1024, 79.2228),
    ("llama3.1-8b-bf16-a100", 512, 32, 1024, 41.6051),
    ("llama3.1-8b-bf16-a100", 512, 128, 1024, 53.6811),
    ("llama3.1-70b-bf16-h100-tp4", 512, 32, 1024, 41.6326),
    ("llama3.1-70b-bf16-h100-tp4", 512, 128, 1024, 50.1644),
];

#[track_caller]
fn check(name: &str, load: &StepLoad, ms: f64, error_max: f64) {
    let got = profile(name).step.step_time(load).as_secs_f64() * 1e3;
    let error = (got - ms).abs() / ms;
    assert!(error <= error_max, "{name} {load:?}: {got} ms, measured {ms} ms, off by {error}");
}

#[test]
fn decode_steps() {
    for (name, decode_seqs, context, ms) in DECODES {
        let decode_context = u64::from(decode_seqs) * context;
        let load = StepLoad { decode_seqs, decode_context, ..StepLoad::default() };
        check(name, &load, ms, DECODE_ERROR_MAX);
    }
}

#[test]
fn prefill_steps() {
    for (name, new, cached, ms) in PREFILLS {
        check(name, &StepLoad::default().with_prefill(cached, new), ms, PREFILL_ERROR_MAX);
    }
}

#[test]
fn mixed_steps() {
    for (name, new, decode_seqs, context, ms) in MIXED {
        let decode_context = u64::from(decode_seqs) * context;
        let load = StepLoad { decode_seqs, decode_context, ..StepLoad::default() };
        check(name, &load.with_prefill(0, new), ms, MIXED_ERROR_MAX);
    }
}
