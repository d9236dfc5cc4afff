//! Other engines than vLLM, and bodies that are of several or of none.

use preheat_api::dialect::{Dialect as Choice, DialectName, MetricNames};
use preheat_core::Utilization;

use super::{LLAMA, read};
use crate::dialect::*;
use crate::exposition::Format;

fn inside(body: &str) -> (Option<&'static str>, Option<u32>, Option<u32>) {
    let scrape = read(body).unwrap();
    (scrape.dialect, scrape.running, scrape.waiting)
}

#[test]
fn llama_cpp_under_load() {
    let scrape = read(LLAMA).unwrap();
    assert_eq!(inside(LLAMA), (Some("llama.cpp"), Some(4), Some(12)));
    let counters = EngineCounters {
        completions: None,
        prompt_tokens: Some(992),
        generation_tokens: Some(1600),
        preemptions: None,
    };
    assert_eq!(scrape.counters, counters);
    assert_eq!((scrape.kv_utilization, scrape.ttft), (None, None));
    // 1,600 tokens in 6.98633 s of slots: 4.4 ms each.
    let itl = scrape.itl.unwrap();
    assert_eq!((itl.count(), itl.sum()), (1600, 6.98633));
    let untold: Vec<Signal> = scrape.untold.iter().map(|untold| untold.signal).collect();
    assert_eq!(untold, [Signal::KvUtilization]);
}

#[test]
fn sglang_ranks_tell_the_same_and_data_parallel_ranks_do_not() {
    let body = r#"sglang:num_running_reqs{dp_rank="0",model_name="m",tp_rank="0"} 3
sglang:num_running_reqs{dp_rank="0",model_name="m",tp_rank="1"} 3
sglang:num_running_reqs{dp_rank="1",model_name="m",tp_rank="0"} 4
sglang:num_queue_reqs{dp_rank="0",model_name="m",tp_rank="0"} 1
sglang:num_queue_reqs{dp_rank="1",model_name="m",tp_rank="0"} 2
sglang:num_grammar_queue_reqs{dp_rank="0",model_name="m",tp_rank="0"} 5
sglang:token_usage{dp_rank="0",model_name="m",tp_rank="0"} 0.2
sglang:token_usage{dp_rank="1",model_name="m",tp_rank="0"} 0.4
sglang:max_total_num_tokens{dp_rank="0",model_name="m",tp_rank="0"} 1000
sglang:max_total_num_tokens{dp_rank="1",model_name="m",tp_rank="0"} 1000
sglang:num_requests_total{is_streaming="true",model_name="m"} 10
sglang:num_requests_total{is_streaming="false",model_name="m"} 1
"#;
    let scrape = read(body).unwrap();
    assert_eq!(inside(body), (Some("sglang"), Some(7), Some(8)));
    assert_eq!(scrape.kv_utilization.map(|share| (share.get() * 100.0).round()), Some(30.0));
    assert_eq!(scrape.kv_capacity_tokens, Some(2000));
    assert_eq!(scrape.counters.completions, Some(11));
}

/// What its own collectors write of three schedulers, two of which are ranks of one, with 3 and 4
/// running, 2 and 2 waiting and 1 and 1 waiting for a grammar; each queue once more by priority.
#[test]
fn sglang_by_priority_counts_each_request_once() {
    let body = include_str!("../../../fixtures/sglang-0.5.23.prom");
    let scrape = read(body).unwrap();
    assert_eq!(inside(body), (Some("sglang"), Some(7), Some(6)));
    assert_eq!(scrape.kv_utilization.map(Utilization::get), Some(0.5));
    assert_eq!(scrape.kv_capacity_tokens, Some(8192));
    let counters = EngineCounters {
        completions: Some(2),
        prompt_tokens: Some(300),
        generation_tokens: Some(32),
        preemptions: Some(4),
    };
    assert_eq!(scrape.counters, counters);
    assert_eq!(scrape.ttft.map(|ttft| (ttft.count(), ttft.sum())), Some((2, 0.6)));
    assert_eq!(scrape.itl.map(|itl| (itl.count(), itl.sum())), Some((20, 0.4)));
    assert_eq!(scrape.untold, []);
}

/// Its own frontend with four requests inside, one of which waits for its first token; two ended, one
/// was cut, and one was for a model that nothing serves.
#[test]
fn dynamo_under_load() {
    let body = include_str!("../../../fixtures/dynamo-1.6.1.prom");
    let scrape = read(body).unwrap();
    assert_eq!(inside(body), (Some("dynamo"), Some(3), Some(1)));
    assert_eq!(scrape.counters.completions, Some(2));
    assert_eq!(scrape.counters.prompt_tokens, Some(21));
    assert_eq!(scrape.counters.generation_tokens, Some(71));
    assert_eq!(scrape.ttft.map(|ttft| ttft.count()), Some(6));
    assert_eq!(scrape.itl.map(|itl| itl.count()), Some(14));
    assert_eq!(scrape.model_name.as_deref(), Some("tiny"));
    assert_eq!(scrape.untold, []);
}

#[test]
fn endpoint_pickers_of_three_generations() {
    let check = |body: &str, waiting: Option<u32>, latencies: Option<u64>| {
        let scrape = read(body).unwrap();
        assert_eq!(inside(body), (Some("endpoint-picker"), Some(3), waiting));
        assert_eq!(scrape.kv_utilization.map(Utilization::get), Some(0.25));
        let counters = EngineCounters {
            completions: Some(1),
            prompt_tokens: Some(100),
            generation_tokens: Some(11),
            preemptions: None,
        };
        assert_eq!(scrape.counters, counters);
        assert_eq!(scrape.ttft.map(|ttft| ttft.count()), latencies);
        assert_eq!(scrape.itl.map(|itl| itl.count()), latencies);
    };
    // What waits there is in several series, by tenant and priority; beside them are older names.
    check(include_str!("../../../fixtures/endpoint-picker-llm-d-0.9.0.prom"), Some(2), Some(1));
    check(include_str!("../../../fixtures/endpoint-picker-1.5.0.prom"), Some(2), None);
    check(include_str!("../../../fixtures/endpoint-picker-0.5.1.prom"), None, None);
}

#[test]
fn sglang_of_older_versions() {
    let itl = |body| read(body).unwrap().itl.map(|itl| (itl.count(), itl.sum()));
    let body = include_str!("../../../fixtures/sglang-0.5.5.prom");
    assert_eq!((inside(body), itl(body)), ((Some("sglang"), Some(3), Some(3)), Some((10, 0.2))));
    let body = include_str!("../../../fixtures/sglang-0.4.3.prom");
    assert_eq!((inside(body), itl(body)), ((Some("sglang"), Some(3), Some(2)), Some((1, 0.02))));
}

#[test]
fn each_other_engine_says_what_is_inside() {
    let table = [
        (
            "trtllm_num_requests_running 3\ntrtllm_num_requests_waiting 4\n\
             trtllm_kv_cache_utilization 0.5\n",
            (Some("tensorrt-llm"), Some(3), Some(4)),
        ),
        (
            "nv_trt_llm_request_metrics{model=\"m\",request_type=\"scheduled\",version=\"1\"} 3\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"active\",version=\"1\"} 9\n\
             nv_trt_llm_request_metrics{model=\"m\",request_type=\"waiting\",version=\"1\"} 4\n",
            (Some("triton"), Some(3), Some(4)),
        ),
        (
            "tgi_batch_current_size 3\ntgi_queue_size 4\ntgi_request_success{kind=\"a\"} 2\n",
            (Some("tgi"), Some(3), Some(4)),
        ),
    ];
    for (body, expected) in table {
        assert_eq!(inside(body), expected, "{body}");
    }
}

/// As its TensorRT-LLM backend measures each request that ended.
#[test]
fn triton_counts_what_ended_in_histograms_of_tokens() {
    let body = "nv_llm_input_token_len_count{model=\"m\",response_metric_type=\"total_input_tokens\"} 2\n\
                nv_llm_input_token_len_sum{model=\"m\",response_metric_type=\"total_input_tokens\"} 300\n\
                nv_llm_output_token_len_count{model=\"m\",response_metric_type=\"total_output_tokens\"} 2\n\
                nv_llm_output_token_len_sum{model=\"m\",response_metric_type=\"total_output_tokens\"} 32\n";
    let counters = EngineCounters {
        completions: Some(2),
        prompt_tokens: Some(300),
        generation_tokens: Some(32),
        preemptions: None,
    };
    let scrape = read(body).unwrap();
    assert_eq!((scrape.dialect, scrape.counters), (Some("triton"), counters));
}

#[test]
fn tensorrt_llm_requests_that_were_cut_did_not_end_well() {
    let body = "trtllm_request_success_total{finished_reason=\"stop\",model_name=\"m\"} 3\n\
                trtllm_request_success_total{finished_reason=\"length\",model_name=\"m\"} 4\n\
                trtllm_request_success_total{finished_reason=\"cancelled\",model_name=\"m\"} 5\n\
                trtllm_request_success_total{finished_reason=\"timeout\",model_name=\"m\"} 6\n";
    assert_eq!(read(body).unwrap().counters.completions, Some(7));
}

#[test]
fn a_queue_that_is_not_told_is_not_empty() {
    let scrape = read("inference_objective_running_requests 3\n").unwrap();
    assert_eq!((scrape.running, scrape.waiting), (Some(3), None));
    assert!(scrape.trouble().unwrap().contains("`llm_d_epp_flow_control_queue_size` or"));
}

#[test]
fn the_dialect_that_tells_most_is_believed() {
    // An engine behind a proxy that adds a metric of its own to the body.
    let body = format!("dynamo_frontend_inflight_requests 9\n{LLAMA}");
    assert_eq!(inside(&body), (Some("llama.cpp"), Some(4), Some(12)));
    let forced = Dialects::of(&Choice::Known(DialectName::Dynamo));
    let scrape = forced.read(body.as_bytes(), Format::Text).unwrap();
    assert_eq!((scrape.dialect, scrape.running), (Some("dynamo"), None));
}

#[test]
fn a_renamed_metric_is_told_by_name_and_is_not_zero() {
    let renamed = LLAMA.replace("llamacpp:requests_deferred", "llamacpp:requests_queued");
    let scrape = read(&renamed).unwrap();
    assert_eq!((scrape.running, scrape.waiting), (Some(4), None));
    assert_eq!(
        scrape.trouble().unwrap(),
        "its llama.cpp metrics do not tell requests waiting (`llamacpp:requests_deferred`), but have \
         `llamacpp:requests_queued`; if one of these is a new name, set `engine.metrics`; until then \
         what is inside is not known, and it is held"
    );
}

#[test]
fn a_body_with_nothing_known_says_what_was_there() {
    let refused = read("vllm:requests_on_the_run 3\nother 4\n").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "no metric of vllm, sglang, tensorrt-llm, triton, tgi, llama.cpp, dynamo, endpoint-picker in \
         35 bytes (0 lines could not be read); there are vllm:requests_on_the_run"
    );
}

#[test]
fn a_users_own_names() {
    let names = MetricNames {
        running: Some("my_running".to_owned()),
        waiting: Some("my_waiting".to_owned()),
        kv_utilization: Some("my_cache".to_owned()),
        ttft: Some("my_ttft_seconds".to_owned()),
        ..MetricNames::default()
    };
    let custom = Dialects::of(&Choice::Custom(Box::new(names)));
    let body = "my_running{gpu=\"0\"} 1\nmy_running{gpu=\"1\"} 2\nmy_waiting 3\nmy_cache 0.5\n\
                my_ttft_seconds_bucket{le=\"1\"} 4\nmy_ttft_seconds_bucket{le=\"+Inf\"} 5\n\
                my_ttft_seconds_sum 6\nvllm:num_requests_running 9\n";
    let scrape = custom.read(body.as_bytes(), Format::Text).unwrap();
    assert_eq!((scrape.running, scrape.waiting), (Some(3), Some(3)));
    assert_eq!(scrape.ttft.unwrap().count(), 5);
    assert_eq!(scrape.dialect, Some("engine.metrics"));
    let refused = custom.read(LLAMA.as_bytes(), Format::Text).unwrap_err();
    assert_eq!(refused.expected, "engine.metrics");
}
