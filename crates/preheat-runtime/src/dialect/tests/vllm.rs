//! Captured bodies, and what older and larger servers write.

use preheat_core::Utilization;

use super::{LLAMA, read};
use crate::dialect::*;
use crate::exposition::Format;
use preheat_api::dialect::{Dialect as Choice, DialectName};

const IDLE: &str = include_str!("../../../fixtures/vllm-0.32.0/idle.prom");
const LOADED: &str = include_str!("../../../fixtures/vllm-0.32.0/loaded.prom");
const ASLEEP: &str = include_str!("../../../fixtures/vllm-0.32.0/asleep_two_pending.prom");

fn scrape(body: &str) -> EngineScrape {
    read(body).unwrap()
}

fn buckets(histogram: &Histogram) -> Vec<(f64, u64)> {
    histogram.buckets().iter().map(|bucket| (bucket.le, bucket.count)).collect()
}

#[test]
fn a_loaded_engine() {
    let loaded = scrape(LOADED);
    assert_eq!(loaded.model_name.as_deref(), Some("tiny"));
    // By reason there are 16 more; they are the same ones.
    assert_eq!((loaded.running, loaded.waiting), (Some(8), Some(16)));
    assert_eq!(loaded.kv_utilization, Utilization::new(0.000_976_622_108_282_976_2));
    assert_eq!(loaded.kv_capacity_tokens, Some(2_097_152));
    assert_eq!(loaded.sleep, Some(SleepState::Awake));
    assert_eq!(
        loaded.counters,
        EngineCounters {
            completions: Some(9),
            prompt_tokens: Some(2148),
            generation_tokens: Some(2544),
            preemptions: Some(0),
        }
    );
    let ttft = loaded.ttft.unwrap();
    assert_eq!((ttft.count(), ttft.sum()), (17, 11.571_975_708_007_812));
    assert_eq!(ttft.buckets().len(), 23);
    let itl = loaded.itl.unwrap();
    assert_eq!((itl.count(), itl.sum()), (2527, 15.689_864_028_998_954));
    assert_eq!(buckets(&itl)[..3], [(0.01, 2402), (0.025, 2520), (0.05, 2527)]);
}

#[test]
fn an_idle_engine_is_zero_not_absent() {
    let idle = scrape(IDLE);
    assert_eq!((idle.running, idle.waiting), (Some(0), Some(0)));
    assert_eq!(idle.counters.completions, Some(0));
    assert_eq!(idle.ttft.unwrap().count(), 0);
}

#[test]
fn only_the_sleep_state_tells_that_an_engine_sleeps() {
    let asleep = scrape(ASLEEP);
    assert_eq!((asleep.running, asleep.waiting), (Some(0), Some(0)));
    assert_eq!(asleep.sleep, Some(SleepState::WeightsOffloaded));
    assert_eq!(asleep.model_name.as_deref(), Some("tiny-a"));
    assert_eq!(asleep.kv_capacity_tokens, Some(3072));
}

#[test]
fn a_missing_series_is_none() {
    let scrape = scrape("vllm:num_requests_running{engine=\"0\"} 3\n");
    let waiting = Untold {
        signal: Signal::Waiting,
        names: vec!["vllm:num_requests_waiting".to_owned()],
        like: Vec::new(),
    };
    assert_eq!((scrape.running, scrape.untold.len()), (Some(3), 10));
    assert_eq!(scrape.untold[0], waiting);
    assert_eq!(scrape.told_by, [(Signal::Running, "vllm:num_requests_running".into())]);
    let (running, told_by, untold) = (Some(3), scrape.told_by.clone(), scrape.untold.clone());
    let dialect = Some("vllm");
    let only = EngineScrape { dialect, running, told_by, untold, ..EngineScrape::default() };
    assert_eq!(scrape, only, "all else is absent, and not zero");
}

#[test]
fn several_engines_are_summed() {
    let scrape = scrape(
        r#"vllm:num_requests_running{engine="0",model_name="m"} 3
vllm:num_requests_running{engine="1",model_name="m"} 4
vllm:num_requests_waiting{engine="0",model_name="m"} 0
vllm:num_requests_waiting{engine="1",model_name="m"} 9
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:cache_config_info{engine="0",kv_cache_size_tokens="None",num_gpu_blocks="10",block_size="16"} 1
vllm:cache_config_info{engine="1",num_gpu_blocks="10",block_size="16"} 1
vllm:engine_sleep_state{engine="0",sleep_state="awake"} 1
vllm:engine_sleep_state{engine="1",sleep_state="discard_all"} 1
vllm:request_success_total{engine="0",finished_reason="stop"} 5
vllm:request_success_total{engine="1",finished_reason="length"} 6
vllm:request_success_total{engine="1",finished_reason="abort"} 100
vllm:request_success_total{engine="1",finished_reason="error"} 100
vllm:request_success_total{engine="1",finished_reason="new_in_2027"} 1
vllm:request_success_created{engine="1",finished_reason="stop"} 1.79e+09
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5"} 1
vllm:time_to_first_token_seconds_bucket{engine="0",le="1.0"} 2
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 3
vllm:time_to_first_token_seconds_count{engine="0"} 3
vllm:time_to_first_token_seconds_sum{engine="0"} 4.5
vllm:time_to_first_token_seconds_bucket{engine="1",le="1.0"} 5
vllm:time_to_first_token_seconds_bucket{engine="1",le="+Inf"} 5
vllm:time_to_first_token_seconds_count{engine="1"} 5
vllm:time_to_first_token_seconds_sum{engine="1"} 2
"#,
    );
    assert_eq!((scrape.running, scrape.waiting), (Some(7), Some(9)));
    assert_eq!(scrape.kv_utilization, Utilization::new(0.5));
    assert_eq!(scrape.kv_capacity_tokens, Some(320));
    assert_eq!(scrape.sleep, Some(SleepState::DiscardAll));
    assert_eq!(scrape.counters.completions, Some(12));
    let ttft = scrape.ttft.unwrap();
    assert_eq!(buckets(&ttft), [(1.0, 7), (f64::INFINITY, 8)]);
    assert_eq!(ttft.sum(), 6.5);
}

/// With names of their generations, 3 requests running, 2 waiting, one that ended and one that was cut.
#[test]
fn older_versions() {
    let check = |body: &str, waiting: u32| {
        let scrape = scrape(body);
        assert_eq!((scrape.running, scrape.waiting), (Some(3), Some(waiting)));
        assert_eq!(scrape.kv_utilization, Utilization::new(0.25));
        assert_eq!(scrape.kv_capacity_tokens, Some(4096));
        let counters = EngineCounters {
            completions: Some(1),
            prompt_tokens: Some(100),
            generation_tokens: Some(11),
            preemptions: Some(4),
        };
        assert_eq!(scrape.counters, counters);
        assert_eq!(scrape.ttft.map(|ttft| ttft.count()), Some(1));
        assert_eq!(scrape.itl.map(|itl| itl.count()), Some(10));
        let untold: Vec<Signal> = scrape.untold.iter().map(|untold| untold.signal).collect();
        assert_eq!(untold, [Signal::Sleep]);
    };
    // One more is swapped, and waits too.
    check(include_str!("../../../fixtures/vllm-0.6.0.prom"), 3);
    check(include_str!("../../../fixtures/vllm-0.9.2.prom"), 2);
}

#[test]
fn the_newer_name_wins_and_the_first_of_two_equal_series_counts() {
    let scrape = scrape(
        r#"vllm:time_per_output_token_seconds_bucket{le="+Inf"} 4
vllm:inter_token_latency_seconds_bucket{le="+Inf"} 5
vllm:inter_token_latency_seconds_bucket{le="+Inf"} 6
vllm:num_requests_running 1
vllm:num_requests_running 1
vllm:request_success_total{finished_reason="stop"} 5
vllm:request_success_total{finished_reason="stop"} 5
"#,
    );
    assert_eq!(scrape.itl.unwrap().count(), 5);
    assert_eq!(scrape.running, Some(1));
    assert_eq!(scrape.counters.completions, Some(5));
}

#[test]
fn values_that_no_count_can_have_are_absent() {
    for value in ["NaN", "-1", "+Inf"] {
        let scrape = scrape(&format!(
            "vllm:num_requests_running {value}\nvllm:num_requests_waiting {value}\n\
             vllm:kv_cache_usage_perc {value}\n\
             vllm:prompt_tokens_total {value}\n\
             vllm:inter_token_latency_seconds_bucket{{le=\"+Inf\"}} {value}\n"
        ));
        let nothing = EngineScrape {
            dialect: Some("vllm"),
            told_by: scrape.told_by.clone(),
            untold: scrape.untold.clone(),
            ..EngineScrape::default()
        };
        assert_eq!(scrape, nothing, "{value}");
    }
}

#[test]
fn bodies_of_something_else() {
    let check = |body: &str, malformed| {
        let vllm = Dialects::of(&Choice::Known(DialectName::Vllm));
        let refused = vllm.read(body.as_bytes(), Format::Text).unwrap_err();
        assert_eq!((refused.bytes, refused.malformed), (body.len(), malformed));
    };
    check("", 0);
    check("<html><body>502</body></html>", 0);
    check("vllm:num_requests_running{ 1\n", 1);
    check(LLAMA, 0);
}

#[test]
fn adapters_and_a_second_model_are_in_the_engine() {
    let body = r#"vllm:num_requests_running{engine="0",model_name="base"} 3
vllm:num_requests_running{engine="0",model_name="other"} 4
vllm:num_requests_waiting{engine="0",model_name="base"} 1
vllm:num_requests_waiting{engine="0",model_name="other"} 0
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a,b",waiting_lora_adapters=""} 1.7e+09
"#;
    let scrape = scrape(body);
    assert_eq!((scrape.running, scrape.waiting), (Some(7), Some(1)));
    assert_eq!(scrape.model_name.as_deref(), Some("base"));
}
