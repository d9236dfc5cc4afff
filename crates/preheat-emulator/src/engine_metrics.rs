//! The `vllm:*` families: what is recorded when, and how vLLM 0.32 names and orders it.
//!
//! Times are the model's own: a token counts at the end of the step that made it, however late it
//! is streamed. TTFT is recorded at the first token; queue, prefill, decode, inference and
//! end-to-end time only when a request ends well, as in vLLM.
//!
//! **Invariant:** a client that hangs up leaves no trace in `request_success_total`.

use std::time::Duration;

use preheat_engine::{EngineStats, SleepLevel, SleepState};

use crate::cache_config::{ServerIdentity, write_cache_config};
use crate::exposition::{Exposition, Histogram, Label};

/// How an answered request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// The model stopped by itself.
    Stop,
    /// `max_tokens` was reached.
    Length,
    /// The engine dropped it.
    Abort,
}

impl FinishReason {
    /// As OpenAI's `finish_reason` and vLLM's label spell it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Abort => "abort",
        }
    }
}

/// One request that ended well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestRecord {
    pub(crate) finish: FinishReason,
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    pub(crate) max_tokens: u32,
    pub(crate) preemptions: u32,
    pub(crate) queued: Duration,
    pub(crate) prefill: Duration,
    pub(crate) decode: Duration,
    pub(crate) end_to_end: Duration,
}

/// All that the engine's `/metrics` reports beside its present state.
#[derive(Debug)]
pub(crate) struct EngineMetrics {
    identity: ServerIdentity,
    created: f64,
    prompt_tokens_scheduled: u64,
    success: [u64; 5],
    rejected_requests: u64,
    iteration_tokens: Histogram,
    ttft: Histogram,
    itl: Histogram,
    requests: RequestHistograms,
    sleeps: SleepOperations,
}

/// Histograms with one value per ended request.
#[derive(Debug)]
struct RequestHistograms {
    prompt_tokens: Histogram,
    generation_tokens: Histogram,
    max_num_generation_tokens: Histogram,
    params_n: Histogram,
    params_max_tokens: Histogram,
    tpot: Histogram,
    end_to_end: Histogram,
    queue: Histogram,
    inference: Histogram,
    prefill: Histogram,
    decode: Histogram,
    preemptions: Histogram,
    kv_computed_tokens: Histogram,
}

/// Sleep and wake calls answered; the families appear with the first.
#[derive(Debug)]
struct SleepOperations {
    sleep: Histogram,
    wake: Histogram,
    in_flight: [u32; 2],
}

/// A sleep-mode call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SleepOperation {
    /// `/sleep`.
    Sleep,
    /// `/wake_up`.
    Wake,
}

/// Finish reasons in vLLM's order; the last two never happen here.
const FINISHED_REASONS: [&str; 5] = ["stop", "length", "abort", "error", "repetition"];

const TTFT_BOUNDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const TOKEN_LATENCY_BOUNDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_LATENCY_BOUNDS: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const ITERATION_BOUNDS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0];
const PARAMS_N_BOUNDS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0];
const PREEMPTION_BOUNDS: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0];
const SLEEP_BOUNDS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// 1, 2, 5, 10, … as far as `max_model_len`: vLLM's `build_1_2_5_buckets`.
/// 2048 gives 12 buckets of which the last finite one is 2000.
const ONE_TWO_FIVE: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5,
    5e5, 1e6, 2e6, 5e6, 1e7,
];

impl EngineMetrics {
    pub(crate) fn new(identity: ServerIdentity, created: f64) -> Self {
        let requests = RequestHistograms::new(identity.max_model_len);
        Self {
            identity,
            created,
            prompt_tokens_scheduled: 0,
            success: [0; 5],
            rejected_requests: 0,
            iteration_tokens: Histogram::new(ITERATION_BOUNDS),
            ttft: Histogram::new(TTFT_BOUNDS),
            itl: Histogram::new(TOKEN_LATENCY_BOUNDS),
            requests,
            sleeps: SleepOperations {
                sleep: Histogram::new(SLEEP_BOUNDS),
                wake: Histogram::new(SLEEP_BOUNDS),
                in_flight: [0; 2],
            },
        }
    }

    /// A queue limit turned a request away.
    pub(crate) fn rejected(&mut self) {
        self.rejected_requests += 1;
    }

    /// A request entered the batch: its prompt was looked up in the prefix cache.
    pub(crate) fn scheduled(&mut self, prompt_tokens: u32) {
        self.prompt_tokens_scheduled += u64::from(prompt_tokens);
    }

    /// A first token was made.
    pub(crate) fn first_token(&mut self, ttft: Duration) {
        self.ttft.observe(ttft.as_secs_f64());
    }

    /// Steps with an unchanged batch ended: `steps` of `tokens` tokens each, of which
    /// `decode_seqs` continue a sequence. Each of those waited one step for its token.
    pub(crate) fn steps(&mut self, took: Duration, steps: u32, tokens: u32, decode_seqs: u32) {
        if steps == 0 {
            return;
        }
        let mean_secs = took.as_secs_f64() / f64::from(steps);
        self.iteration_tokens.observe_times(f64::from(tokens), u64::from(steps));
        let gaps = u64::from(steps) * u64::from(decode_seqs);
        if gaps > 0 {
            self.itl.observe_times(mean_secs, gaps);
        }
    }

    /// A request ended and its client was told.
    pub(crate) fn finished(&mut self, record: &RequestRecord) {
        let index = match record.finish {
            FinishReason::Stop => 0,
            FinishReason::Length => 1,
            FinishReason::Abort => 2,
        };
        self.success[index] += 1;
        if record.finish != FinishReason::Abort {
            self.requests.observe(record);
        }
    }

    /// A sleep or wake call began.
    pub(crate) fn sleep_began(&mut self, operation: SleepOperation) {
        self.sleeps.in_flight[operation as usize] += 1;
    }

    /// It was answered.
    pub(crate) fn sleep_ended(&mut self, operation: SleepOperation, took: Duration) {
        let in_flight = &mut self.sleeps.in_flight[operation as usize];
        *in_flight = in_flight.saturating_sub(1);
        let histogram = match operation {
            SleepOperation::Sleep => &mut self.sleeps.sleep,
            SleepOperation::Wake => &mut self.sleeps.wake,
        };
        histogram.observe(took.as_secs_f64());
    }

    /// The families that vLLM writes before the HTTP ones.
    pub(crate) fn write(&self, stats: &EngineStats, out: &mut Exposition) {
        let writer = Writer::new(&self.identity.model_name, self.created, out);
        self.write_families(stats, writer);
    }

    /// The families of sleep mode, which come last and only once it was used.
    pub(crate) fn write_sleep(&self, out: &mut Exposition) {
        let SleepOperations { sleep, wake, in_flight } = &self.sleeps;
        let labels: [[Label<'_>; 1]; 2] = [[("operation", "sleep")], [("operation", "wake")]];
        let used = |histogram: &Histogram, index: usize| {
            histogram.count() > 0 || in_flight.get(index).is_some_and(|count| *count > 0)
        };
        let mut durations: Vec<(&[Label<'_>], &Histogram)> = Vec::new();
        let mut gauges: Vec<(&[Label<'_>], f64)> = Vec::new();
        for (index, histogram) in [sleep, wake].into_iter().enumerate() {
            if used(histogram, index) {
                durations.push((&labels[index], histogram));
                gauges.push((&labels[index], f64::from(in_flight[index])));
            }
        }
        if durations.is_empty() {
            return;
        }
        out.histogram(
            "vllm:sleep_mode_operation_duration_seconds",
            "How long one sleep-mode operation took.",
            self.created,
            &durations,
        );
        out.gauge(
            "vllm:sleep_mode_operations_in_flight",
            "Sleep-mode operations under way.",
            &gauges,
        );
    }

    fn write_families(&self, stats: &EngineStats, mut w: Writer<'_>) {
        for name in ["flops", "read_bytes", "write_bytes"] {
            let name = format!("vllm:estimated_{name}_per_gpu");
            w.counter(&name, "Not emulated: always zero.", 0.0);
        }
        self.write_state(stats, &mut w);
        self.write_counters(stats, &mut w);
        let requests = &self.requests;
        w.histogram("request_prompt_tokens", &requests.prompt_tokens);
        w.histogram("request_generation_tokens", &requests.generation_tokens);
        w.histogram("iteration_tokens_total", &self.iteration_tokens);
        w.histogram("request_max_num_generation_tokens", &requests.max_num_generation_tokens);
        w.histogram("request_params_n", &requests.params_n);
        w.histogram("request_params_max_tokens", &requests.params_max_tokens);
        w.histogram("time_to_first_token_seconds", &self.ttft);
        w.histogram("inter_token_latency_seconds", &self.itl);
        w.histogram("request_time_per_output_token_seconds", &requests.tpot);
        w.histogram("e2e_request_latency_seconds", &requests.end_to_end);
        w.histogram("request_queue_time_seconds", &requests.queue);
        w.histogram("request_inference_time_seconds", &requests.inference);
        w.histogram("request_prefill_time_seconds", &requests.prefill);
        w.histogram("request_decode_time_seconds", &requests.decode);
        w.histogram("request_num_preemptions", &requests.preemptions);
        w.histogram("request_prefill_kv_computed_tokens", &requests.kv_computed_tokens);
        write_cache_config(&self.identity, w.out);
    }

    fn write_state(&self, stats: &EngineStats, w: &mut Writer<'_>) {
        let waiting = f64::from(stats.waiting);
        w.gauge("num_requests_running", "Requests in the batch.", f64::from(stats.running));
        w.gauge("num_requests_waiting", "Requests waiting for the batch.", waiting);
        w.gauge_by(
            "num_requests_waiting_by_reason",
            "Waiting requests by reason; nothing is deferred here.",
            "reason",
            &[("capacity", waiting), ("deferred", 0.0)],
        );
        let (awake, offloaded, discarded) = match stats.sleep_state {
            SleepState::Awake | SleepState::FallingAsleep(_) => (1.0, 0.0, 0.0),
            SleepState::Asleep(SleepLevel::WeightsOffloaded) => (0.0, 1.0, 0.0),
            SleepState::Asleep(SleepLevel::WeightsDiscarded) => (0.0, 0.0, 1.0),
            SleepState::Waking => (0.0, 1.0, 0.0),
        };
        w.gauge_by(
            "engine_sleep_state",
            "1 beside the state the engine is in.",
            "sleep_state",
            &[("awake", awake), ("weights_offloaded", offloaded), ("discard_all", discarded)],
        );
        w.gauge("kv_cache_usage_perc", "Share of KV blocks in use.", stats.kv_utilization.get());
    }

    fn write_counters(&self, stats: &EngineStats, w: &mut Writer<'_>) {
        let prompt = stats.prompt_tokens_total as f64;
        let none = "Not emulated: always zero.";
        let queried = self.prompt_tokens_scheduled as f64;
        w.counter("vllm:prefix_cache_queries", "Prompt tokens looked up.", queried);
        for name in ["prefix_cache_hits", "external_prefix_cache_queries"] {
            w.counter(&format!("vllm:{name}"), none, 0.0);
        }
        w.counter("vllm:external_prefix_cache_hits", none, 0.0);
        w.counter("vllm:mm_cache_queries", none, 0.0);
        w.counter("vllm:mm_cache_hits", none, 0.0);
        let preemptions = stats.preemptions_total as f64;
        w.counter("vllm:num_preemptions", "Requests thrown out of the batch.", preemptions);
        w.counter("vllm:prompt_tokens", "Prompt tokens computed.", prompt);
        w.counter_by(
            "prompt_tokens_by_source",
            "Prompt tokens by source.",
            "source",
            &[("local_compute", prompt), ("local_cache_hit", 0.0), ("external_kv_transfer", 0.0)],
        );
        w.counter("vllm:prompt_tokens_cached", none, 0.0);
        let tiers = ["device", "host", "p2p", "disk", "external_unspecified"];
        let tiers = tiers.map(|tier| (tier, 0.0));
        w.counter_by("prompt_tokens_cached_by_source", none, "source", &tiers);
        let generated = stats.generation_tokens_total as f64;
        w.counter("vllm:generation_tokens", "Tokens generated.", generated);
        let mut success = FINISHED_REASONS.map(|reason| (reason, 0.0));
        for ((_, value), count) in success.iter_mut().zip(self.success) {
            *value = count as f64;
        }
        w.counter_by("request_success", "Requests answered.", "finished_reason", &success);
        let labels =
            [("max_num_queued_reqs", self.rejected_requests), ("max_num_queued_tokens", 0)];
        w.rejections(&labels);
    }
}

impl RequestHistograms {
    fn new(max_model_len: u32) -> Self {
        let limit = f64::from(max_model_len);
        let lengths = &ONE_TWO_FIVE[..ONE_TWO_FIVE.partition_point(|bound| *bound <= limit)];
        Self {
            prompt_tokens: Histogram::new(lengths),
            generation_tokens: Histogram::new(lengths),
            max_num_generation_tokens: Histogram::new(lengths),
            params_n: Histogram::new(PARAMS_N_BOUNDS),
            params_max_tokens: Histogram::new(lengths),
            tpot: Histogram::new(TOKEN_LATENCY_BOUNDS),
            end_to_end: Histogram::new(REQUEST_LATENCY_BOUNDS),
            queue: Histogram::new(REQUEST_LATENCY_BOUNDS),
            inference: Histogram::new(REQUEST_LATENCY_BOUNDS),
            prefill: Histogram::new(REQUEST_LATENCY_BOUNDS),
            decode: Histogram::new(REQUEST_LATENCY_BOUNDS),
            preemptions: Histogram::new(PREEMPTION_BOUNDS),
            kv_computed_tokens: Histogram::new(lengths),
        }
    }

    fn observe(&mut self, record: &RequestRecord) {
        let output = f64::from(record.output_tokens);
        let prompt = f64::from(record.prompt_tokens);
        self.prompt_tokens.observe(prompt);
        self.generation_tokens.observe(output);
        self.max_num_generation_tokens.observe(output);
        self.params_n.observe(1.0);
        self.params_max_tokens.observe(f64::from(record.max_tokens));
        let gaps = record.output_tokens.saturating_sub(1);
        let tpot = record.decode.checked_div(gaps).unwrap_or_default();
        self.tpot.observe(tpot.as_secs_f64());
        self.end_to_end.observe(record.end_to_end.as_secs_f64());
        self.queue.observe(record.queued.as_secs_f64());
        self.inference.observe((record.prefill + record.decode).as_secs_f64());
        self.prefill.observe(record.prefill.as_secs_f64());
        self.decode.observe(record.decode.as_secs_f64());
        self.preemptions.observe(f64::from(record.preemptions));
        self.kv_computed_tokens.observe(prompt);
    }
}

/// Adds the labels that nearly every family has.
struct Writer<'a> {
    model_name: &'a str,
    created: f64,
    out: &'a mut Exposition,
}

impl<'a> Writer<'a> {
    fn new(model_name: &'a str, created: f64, out: &'a mut Exposition) -> Self {
        Self { model_name, created, out }
    }

    fn base(&self) -> [Label<'a>; 2] {
        [("engine", "0"), ("model_name", self.model_name)]
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let labels = self.base();
        self.out.gauge(&format!("vllm:{name}"), help, &[(&labels, value)]);
    }

    /// `name` in full, as it has no label beside the usual ones.
    fn counter(&mut self, name: &str, help: &str, value: f64) {
        let labels = self.base();
        self.out.counter(name, help, self.created, &[(&labels, value)]);
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        let labels = self.base();
        let help = format!("Histogram of {}.", name.replace('_', " "));
        self.out.histogram(&format!("vllm:{name}"), &help, self.created, &[(&labels, histogram)]);
    }

    fn gauge_by(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        let labels = self.labels_by(label, values);
        self.out.gauge(&format!("vllm:{name}"), help, &series(&labels, values));
    }

    fn counter_by(&mut self, name: &str, help: &str, label: &str, values: &[(&str, f64)]) {
        let labels = self.labels_by(label, values);
        let series = series(&labels, values);
        self.out.counter(&format!("vllm:{name}"), help, self.created, &series);
    }

    fn labels_by<'b>(&self, label: &'b str, values: &[(&'b str, f64)]) -> Vec<[Label<'b>; 3]>
    where
        'a: 'b,
    {
        let [engine, model_name] = self.base();
        let row = |value: &'b str| {
            let mut row: [Label<'b>; 3] = [engine, (label, value), model_name];
            row.sort_unstable();
            row
        };
        values.iter().map(|(value, _)| row(value)).collect()
    }

    /// Rejections are counted in front of the engines, so they carry no `engine` label.
    fn rejections(&mut self, counts: &[(&str, u64)]) {
        let labels: Vec<[Label<'_>; 2]> = (counts.iter())
            .map(|(reason, _)| [("model_name", self.model_name), ("reason", *reason)])
            .collect();
        let series: Vec<(&[Label<'_>], f64)> = (labels.iter().map(<[_; 2]>::as_slice))
            .zip(counts.iter().map(|(_, count)| *count as f64))
            .collect();
        self.out.counter(
            "vllm:admission_rejections",
            "Requests rejected by a queue limit.",
            self.created,
            &series,
        );
    }
}

fn series<'a>(labels: &'a [[Label<'a>; 3]], values: &[(&str, f64)]) -> Vec<(&'a [Label<'a>], f64)> {
    labels.iter().map(<[_; 3]>::as_slice).zip(values.iter().map(|(_, value)| *value)).collect()
}
