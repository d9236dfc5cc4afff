//! How much one replica gets through when it is full. Used to size the fleet that a run begins with
//! and to report need, never by an autoscaler.

use preheat_core::Concurrency;
use preheat_engine::EngineConfig;

use crate::oracle::ServiceModel;

/// Requests per second that a full replica serves: slots ÷ service time with all of them busy, by
/// the same model that the oracle plans with.
///
/// Slots are `max-num-seqs`, or what the KV cache holds of whole requests: 148,398 tokens ÷
/// (1,155 + 211) = 108.
pub(crate) fn requests_per_sec(engine: &EngineConfig, prompt_mean: f64, output_mean: f64) -> f64 {
    let (prompt, output) = (prompt_mean.max(1.0), output_mean.max(1.0));
    let by_kv = engine.kv_capacity_tokens as f64 / (prompt + output);
    // The cast saturates; a request that fits no cache is refused before it is counted.
    let slots = Concurrency::new(by_kv as u32)
        .map_or(engine.max_num_seqs, |by_kv| engine.max_num_seqs.min(by_kv));
    let service = ServiceModel::of_engine(engine, slots, prompt, output);
    f64::from(slots.get()) / service.seconds(prompt, output)
}

#[cfg(test)]
mod tests {
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
