//! How much one replica gets through when it is full. Used to size the fleet that a run begins with
//! and to report need, never by an autoscaler.

use preheat_engine::{EngineConfig, StepLoad};

/// Requests per second that a full replica serves: slots ÷ (output tokens × step time), where each
/// step also computes the prompts of those that join.
///
/// Slots are `max-num-seqs`, or what the KV cache holds of whole requests: 148,398 tokens ÷
/// (1,155 + 211) = 108.
pub(crate) fn requests_per_sec(engine: &EngineConfig, prompt_mean: f64, output_mean: f64) -> f64 {
    let (prompt, output) = (prompt_mean.max(1.0), output_mean.max(1.0));
    let by_kv = (engine.kv_capacity_tokens as f64 / (prompt + output)).floor();
    let slots = f64::from(engine.max_num_seqs.get()).min(by_kv).max(1.0);
    // In each step slots ÷ output requests end, and as many prompts take their place.
    let prefill_per_step = slots / output * prompt;
    let budget = (f64::from(engine.max_num_batched_tokens) - slots).max(1.0);
    let steps_per_token = (prefill_per_step / budget).max(1.0);
    let prefill = (prefill_per_step / steps_per_token) as u32;
    let load = StepLoad {
        prefill_tokens: prefill,
        prefill_attention_twice: (f64::from(prefill) * prompt) as u64,
        decode_seqs: slots as u32,
        decode_context: (slots * (prompt + output / 2.0)) as u64,
    };
    let step = engine.profile.step_time(&load).as_secs_f64();
    slots / (output * steps_per_token * step)
}

#[cfg(test)]
mod tests {
    use preheat_core::Concurrency;
    use preheat_engine::EngineProfile;

    use super::*;

    #[test]
    fn few_slots_and_long_answers_mean_less() {
        let profile = EngineProfile::find("llama3.1-8b-bf16-h100").unwrap();
        let many = EngineConfig::for_profile(profile);
        let few = EngineConfig { max_num_seqs: Concurrency::new(8).unwrap(), ..many };
        let rate = |engine: &EngineConfig, output| requests_per_sec(engine, 512.0, output);
        assert!(rate(&few, 256.0) < rate(&many, 256.0));
        let ratio = rate(&few, 128.0) / rate(&few, 256.0);
        assert!((1.8..2.1).contains(&ratio), "{ratio}");
    }
}
