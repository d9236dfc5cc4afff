//! The emulated engine beside llama.cpp's server, under one load.
//!
//! A short calibration by `preheat load` gives the two lines that an emulated engine needs: what a step
//! takes with so many sequences in it, and what a token of a prompt adds. It is taken before and after
//! the real engine gets a schedule that no calibration has; an engine emulated by both gets the same.
//! The figures are printed, for `docs/fidelity.md`; held is what a busy machine can't spoil.

use std::fmt::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::common::{MODEL, Running, Stage, eventually, http};
use crate::llama_cpp::{ENGINE, folder};
use crate::steps::scripts;

/// Requests that each engine decodes at a time.
const SLOTS: u16 = 4;
/// What each slot holds, as `serve.py` has it.
const CONTEXT: u32 = 4096;
/// llama.cpp's default of most tokens in a step.
const BATCH: &str = "2048";
/// Layers and width: 75 MB and some milliseconds a step, so that the emulator's own clock, which looks
/// every 2 ms, is the small part.
const MODEL_SIZE: [&str; 2] = ["8", "512"];
/// Answers of the calibration, which run side by side for this long.
const CALIBRATION_TOKENS: u32 = 200;
/// Lengths of the prompts that come alone in the calibration.
const PROMPTS: [u32; 2] = [16, 128];
/// How far apart they come. Where one takes longer, it does not come alone.
const PROMPT_GAP_S: f64 = 0.6;
/// Requests of the schedule, and how busy the fit says it keeps the slots.
const REQUESTS: u32 = 40;
const LOAD: f64 = 0.7;
/// The schedule is about this long at most, whatever the fit says.
const SCHEDULE_MAX_S: f64 = 60.0;
/// Seeds apart, for the parts: far more than the requests of any load.
const SEEDS: u64 = 5_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// For the load of a machine that does other things too.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a step takes, in ms.
#[derive(Clone, Copy, Debug)]
struct Fit {
    base: f64,
    per_seq: f64,
    per_prompt_token: f64,
}

impl Fit {
    /// Of a decode with all slots in use.
    fn full_step(&self) -> f64 {
        self.base + self.per_seq * f64::from(SLOTS)
    }
}

/// One request of a schedule.
#[derive(Clone, Copy, Debug)]
struct Row {
    at_s: f64,
    input: u32,
    output: u32,
}

fn trace(rows: &[Row]) -> String {
    let mut text = String::from("arrival_s,input_tokens,output_tokens\n");
    for Row { at_s, input, output } in rows {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{at_s:.3},{input},{output}");
    }
    text
}

/// `y = intercept + slope · x` by least squares.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let mean =
        |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / points.len() as f64;
    let (x_mean, y_mean) = (mean(|(x, _)| *x), mean(|(_, y)| *y));
    let products: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let squares: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let slope = products / squares;
    (y_mean - slope * x_mean, slope)
}

/// Sends a schedule by `preheat load`; its report.
async fn load(stage: &Stage, to: SocketAddr, rows: &[Row], seed: u64) -> Value {
    let file = stage.file(&format!("trace-{seed}.csv"), trace(rows));
    let (url, seed) = (format!("http://{to}"), seed.to_string());
    let arguments = ["load", "--trace", &file, "--url", &url, "--model", MODEL, "--seed", &seed];
    let mut sending = stage.start("load", &[&arguments[..], &["--json"]].concat());
    let ended = sending.ended().await;
    assert!(ended.success(), "{ended}");
    let report: Value = serde_json::from_str(&sending.stdout()).expect("one object");
    assert_eq!(report["completed"], rows.len(), "{report}");
    report
}

/// A quantile of a report, in ms.
fn ms(report: &Value, of: &str, quantile: &str) -> f64 {
    report[of][quantile].as_f64().unwrap_or_else(|| panic!("no {of} in {report}")) * 1e3
}

/// What was measured of an engine: pairs of a number and a time in ms.
#[derive(Debug, Default)]
struct Calibration {
    /// Answers side by side, and the time per output token.
    decodes: Vec<(f64, f64)>,
    /// The length of a prompt that comes alone, and the time to its first token.
    prompts: Vec<(f64, f64)>,
}

impl Calibration {
    /// By a few short loads. No two requests of any start their prompts alike, so that no cache
    /// answers: each load has seeds of its own.
    async fn of(stage: &Stage, engine: SocketAddr, seed: u64) -> Self {
        let mut taken = Self::default();
        for n in 1..=SLOTS {
            let row = Row { at_s: 0.0, input: 8, output: CALIBRATION_TOKENS };
            let rows = vec![row; n.into()];
            let report = load(stage, engine, &rows, seed + 100 * u64::from(n)).await;
            taken.decodes.push((f64::from(n), ms(&report, "tpot_s", "p50")));
        }
        for input in PROMPTS {
            let rows = [0.0, 1.0, 2.0, 3.0, 4.0].map(|nth| Row {
                at_s: nth * PROMPT_GAP_S,
                input,
                output: 1,
            });
            let report = load(stage, engine, &rows, seed + 1000 + u64::from(input)).await;
            taken.prompts.push((f64::from(input), ms(&report, "ttft_s", "p50")));
        }
        eprintln!("ms per token with 1 to {SLOTS} answers: {:.2?}", taken.decodes);
        eprintln!("ms to the first token of a prompt alone: {:.1?}", taken.prompts);
        taken
    }

    /// Whether each prompt was answered before the next came.
    fn is_usable(&self) -> bool {
        self.prompts.iter().all(|(_, ms)| *ms < PROMPT_GAP_S * 1e3)
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            decodes: [&self.decodes[..], &other.decodes].concat(),
            prompts: [&self.prompts[..], &other.prompts].concat(),
        }
    }

    fn fit(&self) -> Fit {
        let ((base, per_seq), (_, per_prompt_token)) = (line(&self.decodes), line(&self.prompts));
        // A disturbed measurement may give lines that no engine has.
        let (base, per_seq) = (base.max(0.01), per_seq.max(0.01));
        Fit { base, per_seq, per_prompt_token: per_prompt_token.clamp(0.0, per_seq) }
    }
}

/// Requests at random moments, as far apart as keeps the slots as busy as [`LOAD`] says.
fn schedule(fit: &Fit) -> Vec<Row> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    // Between 0 and 1, by xorshift.
    let mut drawn = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    };
    let mut between = |low: f64, high: f64| (low + drawn() * (high - low)).round() as u32;
    let lengths: Vec<(u32, u32)> =
        (0..REQUESTS).map(|_| (between(16.0, 128.0), between(16.0, 64.0))).collect();
    let slot_ms: f64 = lengths
        .iter()
        .map(|(input, output)| {
            // A prompt keeps every slot waiting.
            let prompt = f64::from(*input) * fit.per_prompt_token * f64::from(SLOTS);
            f64::from(*output) * fit.full_step() + prompt
        })
        .sum();
    let whole_s = (slot_ms / 1e3 / f64::from(SLOTS) / LOAD).min(SCHEDULE_MAX_S);
    let gap_s = whole_s / f64::from(REQUESTS);
    let mut at_s = 0.0;
    let rows = lengths.into_iter().map(|(input, output)| {
        at_s -= drawn().ln() * gap_s;
        Row { at_s, input, output }
    });
    rows.collect()
}

/// The largest and the mean of what runs and what waits inside.
#[derive(Clone, Copy, Debug, Default)]
struct Inside {
    looks: f64,
    running: (f64, f64),
    waiting: (f64, f64),
}

/// Looks at an engine's metrics until it is told to stop.
async fn watch_inside(
    engine: SocketAddr,
    families: [&'static str; 2],
    stop: watch::Receiver<bool>,
) -> Inside {
    let mut inside = Inside::default();
    let (mut running_sum, mut waiting_sum) = (0.0, 0.0);
    while !*stop.borrow() {
        let body = http::get(engine, "/metrics").await.expect("metrics").body;
        let [running, waiting] = families.map(|family| {
            let line = body.lines().find(|line| line.starts_with(family)).expect("the family");
            let value = line.rsplit(' ').next().expect("a value");
            value.parse::<f64>().expect("a number")
        });
        inside.looks += 1.0;
        running_sum += running;
        waiting_sum += waiting;
        inside.running.0 = running.max(inside.running.0);
        inside.waiting.0 = waiting.max(inside.waiting.0);
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
    inside.running.1 = running_sum / inside.looks;
    inside.waiting.1 = waiting_sum / inside.looks;
    inside
}

/// What an engine made of the schedule.
struct Seen {
    report: Value,
    inside: Inside,
}

impl Seen {
    /// Sends the schedule to an engine whose metrics have these names for what runs and what waits.
    async fn of(
        stage: &Stage,
        engine: SocketAddr,
        rows: &[Row],
        families: [&'static str; 2],
        seed: u64,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let watching = tokio::spawn(watch_inside(engine, families, stopped));
        let report = load(stage, engine, rows, seed).await;
        stop.send_replace(true);
        Self { report, inside: watching.await.expect("it looks to the end") }
    }

    fn figure(&self, name: &str) -> f64 {
        self.report[name].as_f64().expect("a number")
    }

    /// Output tokens a second.
    fn throughput(&self) -> f64 {
        self.figure("output_tokens") / self.figure("duration_s")
    }

    /// ITL is between events.
    fn tokens_in_an_event(&self) -> f64 {
        self.figure("output_tokens") / self.figure("events")
    }
}

/// llama.cpp's server with a model that is made for this test.
async fn real(stage: &Stage) -> Option<(Running, SocketAddr)> {
    let python = folder()?.join("venv/bin/python");
    let model = stage.path("model.gguf");
    let made = Command::new(&python)
        .arg(scripts(ENGINE).join("tiny_gguf.py"))
        .arg(&model)
        .args(MODEL_SIZE)
        .status();
    assert!(made.expect("Python runs").success());
    let address = stage.engine();
    let mut serve = stage.other(&python);
    serve.arg(scripts(ENGINE).join("serve.py")).arg(&model).arg(MODEL);
    serve.args([address.port(), SLOTS].map(|number| number.to_string()));
    let running = stage.start_command("llama", serve);
    serves(address).await;
    Some((running, address))
}

/// An emulated engine with the step times of a fit, and the same limits.
async fn emulated(stage: &Stage, fit: &Fit) -> (Running, SocketAddr) {
    let address = stage.engine_beside();
    let ms = |time: f64| format!("{time:.4}ms");
    let Fit { base, per_seq, per_prompt_token } = *fit;
    let steps = [base, per_seq, per_prompt_token].map(ms);
    let whole = (u32::from(SLOTS) * CONTEXT).to_string();
    let (port, slots, context) =
        (address.port().to_string(), SLOTS.to_string(), CONTEXT.to_string());
    let arguments = [
        ["engine", "--model", MODEL, "--port", &port, "--cold-start-p50", "100ms"].as_slice(),
        &["--step-base", &steps[0], "--step-per-seq", &steps[1]],
        &["--step-per-prompt-token", &steps[2], "--max-num-seqs", &slots],
        &["--max-num-batched-tokens", BATCH, "--max-model-len", &context],
        &["--kv-capacity-tokens", &whole, "--no-async-scheduling"],
    ]
    .concat();
    eprintln!("emulated as: preheat {}", arguments.join(" "));
    let running = stage.start("engine", &arguments);
    serves(address).await;
    (running, address)
}

/// Waits until an engine answers a few tokens.
async fn serves(address: SocketAddr) {
    let answers = async || {
        let answer = http::complete(address, MODEL, 5).await.ok()?;
        (answer.status == 200).then_some(())
    };
    eventually("an answer of the engine", answers).await;
}

fn print(real: &Seen, emulated: &Seen) {
    let mut rows = Vec::new();
    for (name, of) in [("TTFT", "ttft_s"), ("ITL", "itl_s"), ("TPOT", "tpot_s"), ("E2E", "e2e_s")] {
        for quantile in ["p50", "p90"] {
            let of = |seen: &Seen| ms(&seen.report, of, quantile);
            rows.push((format!("{name} {quantile}, ms"), of(real), of(emulated)));
        }
    }
    let mut row = |name: &str, of: fn(&Seen) -> f64| {
        rows.push((name.to_owned(), of(real), of(emulated)));
    };
    row("output tokens/s", Seen::throughput);
    row("tokens in an event", Seen::tokens_in_an_event);
    row("running, mean", |seen| seen.inside.running.1);
    row("running, most", |seen| seen.inside.running.0);
    row("waiting, mean", |seen| seen.inside.waiting.1);
    row("waiting, most", |seen| seen.inside.waiting.0);
    eprintln!("| | llama.cpp | emulated | difference |\n|---|---|---|---|");
    for (name, real, emulated) in rows {
        let share = if real > 0.0 {
            format!("{:+.0} %", (emulated / real - 1.0) * 100.0)
        } else {
            "-".to_owned()
        };
        eprintln!("| {name} | {real:.1} | {emulated:.1} | {share} |");
    }
}

#[tokio::test]
async fn an_engine_is_emulated_from_a_short_calibration() {
    let stage = Stage::new().patient(PATIENCE);
    let Some((_llama, engine)) = real(&stage).await else { return };
    let before = Calibration::of(&stage, engine, 0).await;
    let rows = schedule(&before.fit());
    let llama = ["llamacpp:requests_processing", "llamacpp:requests_deferred"];
    let real = Seen::of(&stage, engine, &rows, llama, SEEDS).await;
    let after = Calibration::of(&stage, engine, 2 * SEEDS).await;
    let (mut emulator, beside) = emulated(&stage, &before.and(&after).fit()).await;
    let vllm = ["vllm:num_requests_running", "vllm:num_requests_waiting{"];
    let emulated = Seen::of(&stage, beside, &rows, vllm, SEEDS).await;
    assert!(emulator.terminate().await.success());
    print(&real, &emulated);
    let drift = after.fit().full_step() / before.fit().full_step();
    eprintln!("a full step took {drift:.2} times as long after as before");
    if !(before.is_usable() && after.is_usable()) {
        eprintln!("the machine was too busy for a calibration: the figures say nothing");
    }

    let asked = |of: fn(&Row) -> u32| rows.iter().map(of).sum::<u32>();
    for seen in [&real, &emulated] {
        let report = &seen.report;
        assert_eq!(report["failed"], 0, "{report}");
        assert_eq!(report["input_tokens"], asked(|row| row.input), "{report}");
        assert_eq!(report["output_tokens"], asked(|row| row.output), "{report}");
        let most = seen.inside.running.0;
        assert!((1.0..=f64::from(SLOTS)).contains(&most), "{most} run side by side");
    }
}
