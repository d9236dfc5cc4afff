//! The tables of the engines whose metrics are known. `docs/engines.md` is written from them, and
//! says for each from where its names are.
//!
//! **Invariant:** names and no code: nothing here reads anything.

use preheat_api::dialect::DialectName;

use super::table::{Dialect, Form, Only, Row, Signal, Source};

/// The table of one engine.
pub fn dialect(name: DialectName) -> Dialect {
    match name {
        DialectName::Vllm => vllm(),
        DialectName::Sglang => sglang(),
        DialectName::TensorRtLlm => tensorrt_llm(),
        DialectName::Triton => triton(),
        DialectName::Tgi => tgi(),
        DialectName::LlamaCpp => llama_cpp(),
        DialectName::Dynamo => dynamo(),
        DialectName::EndpointPicker => endpoint_picker(),
    }
}

fn gauge(name: &'static str) -> Source {
    Source::new(Form::Gauge, name)
}

fn counter(name: &'static str) -> Source {
    Source::new(Form::Counter, name)
}

fn share(name: &'static str) -> Source {
    Source::new(Form::Share, name)
}

fn histogram(name: &'static str) -> Source {
    Source::new(Form::Histogram, name)
}

fn row(signal: Signal, sources: impl IntoIterator<Item = Source>) -> Row {
    Row { signal, sources: sources.into_iter().collect() }
}

/// Three generations: swapped requests beside the waiting ones (0.6); none, and `kv_cache_usage_perc`
/// beside `gpu_cache_usage_perc` (0.9); `inter_token_latency_seconds` for `time_per_output_token_seconds`.
///
/// `num_requests_waiting_by_reason` splits `num_requests_waiting`, and is never added to it. An abort
/// is a client that hung up, an error a failure: neither ended well; every other reason did.
fn vllm() -> Dialect {
    let ended_well = Only::Without("finished_reason", &["abort", "error"]);
    let cache = Form::CacheInfo {
        tokens: "kv_cache_size_tokens",
        blocks: "num_gpu_blocks",
        block_tokens: "block_size",
    };
    let sleep = Form::SleepState { label: "sleep_state" };
    let waiting = gauge("vllm:num_requests_waiting").plus(&["vllm:num_requests_swapped"]);
    let kv = [share("vllm:kv_cache_usage_perc"), share("vllm:gpu_cache_usage_perc")];
    let itl = ["vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"];
    Dialect {
        title: DialectName::Vllm.name(),
        prefixes: &["vllm:"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [gauge("vllm:num_requests_running")]),
            row(Signal::Waiting, [waiting]),
            row(Signal::KvUtilization, kv),
            row(Signal::KvCapacity, [Source::new(cache, "vllm:cache_config_info")]),
            row(Signal::Sleep, [Source::new(sleep, "vllm:engine_sleep_state")]),
            row(Signal::Completions, [counter("vllm:request_success_total").only(ended_well)]),
            row(Signal::PromptTokens, [counter("vllm:prompt_tokens_total")]),
            row(Signal::GenerationTokens, [counter("vllm:generation_tokens_total")]),
            row(Signal::Preemptions, [counter("vllm:num_preemptions_total")]),
            row(Signal::Ttft, [histogram("vllm:time_to_first_token_seconds")]),
            row(Signal::Itl, itl.map(histogram)),
        ],
    }
}

/// Requests wait in several queues, each counted by itself. With priorities each queue is told as a
/// whole, with an empty `priority`, and once more by priority.
fn sglang() -> Dialect {
    let all = Only::Unlabelled("priority");
    let running = gauge("sglang:num_running_reqs").only(all);
    let waiting = gauge("sglang:num_queue_reqs").only(all).plus(&[
        "sglang:num_grammar_queue_reqs",
        "sglang:num_prefill_bootstrap_queue_reqs",
        "sglang:num_prefill_prealloc_queue_reqs",
        "sglang:num_prefill_inflight_queue_reqs",
        "sglang:num_decode_prealloc_queue_reqs",
        "sglang:num_decode_transfer_queue_reqs",
    ]);
    let itl = ["sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"];
    Dialect {
        title: DialectName::Sglang.name(),
        prefixes: &["sglang:"],
        repeats: &["tp_rank", "pp_rank", "moe_ep_rank"],
        rows: vec![
            row(Signal::Running, [running]),
            row(Signal::Waiting, [waiting]),
            row(Signal::KvUtilization, [share("sglang:token_usage")]),
            row(Signal::KvCapacity, [gauge("sglang:max_total_num_tokens")]),
            row(Signal::Completions, [counter("sglang:num_requests_total")]),
            row(Signal::PromptTokens, [counter("sglang:prompt_tokens_total")]),
            row(Signal::GenerationTokens, [counter("sglang:generation_tokens_total")]),
            row(Signal::Preemptions, [counter("sglang:num_retracted_requests_total")]),
            row(Signal::Ttft, [histogram("sglang:time_to_first_token_seconds")]),
            row(Signal::Itl, itl.map(histogram)),
        ],
    }
}

/// `trtllm-serve`, whose Prometheus metrics are at `/prometheus/metrics`.
fn tensorrt_llm() -> Dialect {
    let ended_well = Only::Without("finished_reason", &["timeout", "cancelled"]);
    Dialect {
        title: DialectName::TensorRtLlm.name(),
        prefixes: &["trtllm_"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [gauge("trtllm_num_requests_running")]),
            row(Signal::Waiting, [gauge("trtllm_num_requests_waiting")]),
            row(Signal::KvUtilization, [share("trtllm_kv_cache_utilization")]),
            row(Signal::Completions, [counter("trtllm_request_success_total").only(ended_well)]),
            row(Signal::PromptTokens, [counter("trtllm_prompt_tokens_total")]),
            row(Signal::GenerationTokens, [counter("trtllm_generation_tokens_total")]),
            row(Signal::Ttft, [histogram("trtllm_time_to_first_token_seconds")]),
        ],
    }
}

/// The TensorRT-LLM backend counts what has ended in two histograms of tokens, one measurement for each
/// request, however it ended. Triton's own totals count each model of an ensemble, and are not read.
fn triton() -> Dialect {
    let requests =
        |kind| gauge("nv_trt_llm_request_metrics").only(Only::With("request_type", kind));
    let fraction = Only::With("kv_cache_block_type", "fraction");
    Dialect {
        title: DialectName::Triton.name(),
        prefixes: &["nv_trt_llm_", "nv_llm_"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [requests("scheduled")]),
            row(Signal::Waiting, [requests("waiting")]),
            row(Signal::KvUtilization, [share("nv_trt_llm_kv_cache_block_metrics").only(fraction)]),
            row(Signal::Completions, [counter("nv_llm_output_token_len_count")]),
            row(Signal::PromptTokens, [counter("nv_llm_input_token_len_sum")]),
            row(Signal::GenerationTokens, [counter("nv_llm_output_token_len_sum")]),
        ],
    }
}

/// Its token counts are the sums of histograms. Its time per token is a mean of each request, and no
/// latency of tokens.
fn tgi() -> Dialect {
    Dialect {
        title: DialectName::Tgi.name(),
        prefixes: &["tgi_"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [gauge("tgi_batch_current_size")]),
            row(Signal::Waiting, [gauge("tgi_queue_size")]),
            row(Signal::KvCapacity, [gauge("tgi_batch_max_total_tokens")]),
            row(Signal::Completions, [counter("tgi_request_success")]),
            row(Signal::PromptTokens, [counter("tgi_request_input_length_sum")]),
            row(Signal::GenerationTokens, [counter("tgi_request_generated_tokens_sum")]),
        ],
    }
}

/// It counts no requests, and tells its KV memory in older versions only. Its throughput gauges start again at each scrape, whoever scrapes, and are
/// not read.
fn llama_cpp() -> Dialect {
    let itl = Form::SecondsPerToken { seconds: "llamacpp:tokens_predicted_seconds_total" };
    Dialect {
        title: DialectName::LlamaCpp.name(),
        prefixes: &["llamacpp:"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [gauge("llamacpp:requests_processing")]),
            row(Signal::Waiting, [gauge("llamacpp:requests_deferred")]),
            row(Signal::KvUtilization, [share("llamacpp:kv_cache_usage_ratio")]),
            row(Signal::PromptTokens, [counter("llamacpp:prompt_tokens_total")]),
            row(Signal::GenerationTokens, [counter("llamacpp:tokens_predicted_total")]),
            row(Signal::Itl, [Source::new(itl, "llamacpp:tokens_predicted_total")]),
        ],
    }
}

/// What it has in flight includes what waits for its first token, which it calls queued.
fn dynamo() -> Dialect {
    let running =
        gauge("dynamo_frontend_inflight_requests").less("dynamo_frontend_queued_requests");
    let ended_well = Only::Without("status", &["error"]);
    let generated =
        ["dynamo_frontend_output_tokens_total", "dynamo_frontend_output_sequence_tokens_sum"];
    Dialect {
        title: DialectName::Dynamo.name(),
        prefixes: &["dynamo_frontend_"],
        repeats: &[],
        rows: vec![
            row(Signal::Running, [running]),
            row(Signal::Waiting, [gauge("dynamo_frontend_queued_requests")]),
            row(Signal::Completions, [counter("dynamo_frontend_requests_total").only(ended_well)]),
            row(Signal::PromptTokens, [counter("dynamo_frontend_input_sequence_tokens_sum")]),
            row(Signal::GenerationTokens, generated.map(counter)),
            row(Signal::Ttft, [histogram("dynamo_frontend_time_to_first_token_seconds")]),
            row(Signal::Itl, [histogram("dynamo_frontend_inter_token_latency_seconds")]),
        ],
    }
}

/// Three generations: `llm_d_epp_` beside the names before it, `inference_objective_`, and
/// `inference_model_`. It tells of a whole pool, and its queue only with flow control on.
fn endpoint_picker() -> Dialect {
    let running = [
        "llm_d_epp_request_running",
        "inference_objective_running_requests",
        "inference_model_running_requests",
    ];
    let waiting =
        ["llm_d_epp_flow_control_queue_size", "inference_extension_flow_control_queue_size"];
    let kv =
        ["llm_d_epp_average_kv_cache_utilization", "inference_pool_average_kv_cache_utilization"];
    let ended = [
        "llm_d_epp_request_duration_seconds_count",
        "inference_objective_request_duration_seconds_count",
        "inference_model_request_duration_seconds_count",
    ];
    let prompt = [
        "llm_d_epp_request_input_tokens_sum",
        "inference_objective_input_tokens_sum",
        "inference_model_input_tokens_sum",
    ];
    let generated = [
        "llm_d_epp_request_output_tokens_sum",
        "inference_objective_output_tokens_sum",
        "inference_model_output_tokens_sum",
    ];
    Dialect {
        title: DialectName::EndpointPicker.name(),
        prefixes: &[
            "llm_d_epp_",
            "inference_objective_",
            "inference_model_",
            "inference_pool_",
            "inference_extension_",
        ],
        repeats: &[],
        rows: vec![
            row(Signal::Running, running.map(gauge)),
            row(Signal::Waiting, waiting.map(gauge)),
            row(Signal::KvUtilization, kv.map(share)),
            row(Signal::Completions, ended.map(counter)),
            row(Signal::PromptTokens, prompt.map(counter)),
            row(Signal::GenerationTokens, generated.map(counter)),
            row(Signal::Ttft, [histogram("llm_d_epp_request_ttft_seconds")]),
            row(Signal::Itl, [histogram("llm_d_epp_request_streaming_itl_seconds")]),
        ],
    }
}
