//! The task on tokio's paused clock: time passes only when everything waits, so what is asserted
//! about batches of tokens is exact.

use std::future::poll_fn;

use preheat_engine::{EngineConfig, EngineProfile};

use super::*;
use crate::answer::WakeOn;
use crate::cache_config::ServerIdentity;

fn start(scale: f64) -> mpsc::UnboundedSender<Command> {
    start_with(scale, EngineConfig::for_profile(&EngineProfile::all()[0]))
}

fn start_with(scale: f64, config: EngineConfig) -> mpsc::UnboundedSender<Command> {
    let identity = ServerIdentity {
        model_name: "tiny".to_owned(),
        kv_capacity_tokens: config.kv_capacity_tokens,
        block_size: config.block_size,
        max_model_len: config.max_model_len,
    };
    let metrics = EngineMetrics::new(identity, 0.0);
    let clock = Clock::start(TimeScale::try_from(scale).unwrap());
    let admission = Admission { max_num_queued_reqs: None };
    let task = EngineTask::new(clock, Engine::new(config), metrics, admission);
    let (commands, receiver) = mpsc::unbounded_channel();
    tokio::spawn(task.run(receiver));
    commands
}

async fn submit(commands: &mpsc::UnboundedSender<Command>, output_tokens: u32) -> Answer {
    let answer = Answer::new(WakeOn::Tokens);
    let (admitted, reply) = oneshot::channel();
    let work = Work { prompt_tokens: 100, output_tokens, max_tokens: output_tokens };
    commands.send(Command::Submit { work, answer: answer.clone(), admitted }).unwrap();
    reply.await.unwrap().unwrap();
    answer
}

/// Tokens of each event, and how the answer ended.
async fn events(answer: Answer) -> (Vec<u32>, End) {
    let mut batches = Vec::new();
    loop {
        let (tokens, end) = poll_fn(|context| answer.poll_take(context)).await;
        batches.push(tokens);
        if let Some(end) = end {
            return (batches, end);
        }
    }
}

async fn scrape(commands: &mpsc::UnboundedSender<Command>) -> String {
    let (reply, answer) = oneshot::channel();
    commands.send(Command::Scrape(reply)).unwrap();
    answer.await.unwrap().before_http
}

#[tokio::test(start_paused = true)]
async fn at_real_time_each_event_has_one_token() {
    let commands = start(1.0);
    let (batches, end) = events(submit(&commands, 50).await).await;
    assert_eq!(batches, vec![1; 50]);
    assert_eq!(end, End::Finished(FinishReason::Length));
}

#[tokio::test(start_paused = true)]
async fn above_real_time_tokens_share_events_but_the_first_is_alone() {
    let commands = start(100.0);
    let (batches, _) = events(submit(&commands, 5000).await).await;
    assert_eq!(batches[0], 1);
    assert_eq!(batches.iter().sum::<u32>(), 5000);
    // 20 ms of wall time are 2 s of the model's, in which this engine makes over 100 tokens.
    let shared = &batches[2..batches.len() - 1];
    assert!(shared.iter().all(|tokens| *tokens > 50), "{batches:?}");
}

#[tokio::test(start_paused = true)]
async fn metrics_are_the_models_whatever_the_time_scale() {
    let mut texts = Vec::new();
    for scale in [1.0, 20.0, 1000.0] {
        let commands = start(scale);
        let mut answers = Vec::new();
        for output_tokens in [10, 200, 77] {
            answers.push(submit(&commands, output_tokens).await);
        }
        for answer in answers {
            events(answer).await;
        }
        texts.push(scrape(&commands).await);
    }
    // Steps that were passed together add up in another order.
    let is_exact = |line: &&str| !line.starts_with("vllm:inter_token_latency_seconds_sum");
    let exact = |text: &str| text.lines().filter(is_exact).collect::<Vec<_>>().join("\n");
    assert_eq!(exact(&texts[0]), exact(&texts[1]));
    assert_eq!(exact(&texts[0]), exact(&texts[2]));
    let generated = "vllm:generation_tokens_total{engine=\"0\",model_name=\"tiny\"} 287.0";
    assert!(texts[0].contains(generated));
}

#[tokio::test(start_paused = true)]
async fn a_drain_without_requests_is_over_at_once() {
    let commands = start(1.0);
    let (done, drained) = oneshot::channel();
    commands.send(Command::ShutDown { timeout: Duration::from_secs(9), done }).unwrap();
    drained.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_timeout_and_frees_the_engine() {
    let commands = start(1.0);
    let answer = submit(&commands, 10_000).await;
    let (done, drained) = oneshot::channel();
    let timeout = Duration::from_secs(3);
    let began_at = tokio::time::Instant::now();
    commands.send(Command::ShutDown { timeout, done }).unwrap();
    drained.await.unwrap();
    assert_eq!(began_at.elapsed().as_secs(), 3);
    assert_eq!(events(answer).await.1, End::Cut);
}

#[tokio::test(start_paused = true)]
async fn preemptions_are_counted_per_request_and_lose_no_token() {
    let mut config = EngineConfig::for_profile(&EngineProfile::all()[0]);
    // Two requests of 100 + 300 tokens don't fit together.
    config.kv_capacity_tokens = 512;
    let commands = start_with(20.0, config);
    let answers = [submit(&commands, 300).await, submit(&commands, 300).await];
    for answer in answers {
        assert_eq!(events(answer).await.0.iter().sum::<u32>(), 300);
    }
    let text = scrape(&commands).await;
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(&format!("vllm:{name}{{")));
        line.unwrap().rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert!(value("num_preemptions_total") > 0.0);
    assert_eq!(value("num_preemptions_total"), value("request_num_preemptions_sum"));
    assert_eq!(value("generation_tokens_total"), 600.0);
    assert_eq!(value("request_generation_tokens_sum"), 600.0);
}
