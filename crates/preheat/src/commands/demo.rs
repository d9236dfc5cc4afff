//! `preheat demo`: the whole thing on one machine, sped up.
//!
//! Three kinds of real processes: `preheat up` with its gateway, the emulated engines that it starts
//! and stops, and this one, which sends the traffic, watches, and starts `preheat up` again should
//! somebody kill it.

mod preheat_process;
mod stage;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use preheat_api::journal::EntryBody;
use preheat_api::v1::PoolSummary;
use preheat_api::words;
use preheat_core::Instant;
use preheat_load::{LoadConfig, LoadProgress, LoadReport, Target};
use preheat_runtime::clock::TimeScale;
use preheat_runtime::journal::{JournalReader, Selection, StoredEntry};
use tokio::sync::watch;

use self::preheat_process::PreheatProcess;
use self::stage::Stage;
use super::traces::{self, TraceRequest};
use crate::admin_client::AdminClient;
use crate::cli::DemoArgs;
use crate::failure::Answer;
use crate::terminal::Line;
use crate::view;

/// Time between two looks at the pool, in wall time.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// How often a request is sent again of which nothing was answered: outlasts a killed preheat.
const RETRIES_MAX: u32 = 16;
/// TTFT that the demo's clients expect, as its pool is told.
const TTFT_SLO: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<Answer> {
    let mut line = Line::stderr();
    TimeScale::try_from(args.time_scale)?;
    let request = TraceRequest {
        name: &args.trace,
        format: None,
        from: Some(stage::TRACE_FROM),
        until: Some(stage::TRACE_FROM + args.duration.mul_f64(args.time_scale)),
        rate_scale: args.rate_scale.unwrap_or(stage::RATE_SCALE),
        seed: args.seed,
    };
    let trace = traces::prepare(&request, |note| line.print(&format!("note: {note}")))?;
    let stage = Stage::prepare(args)?;
    line.print(&stage.introduction(args, trace.requests.len()));
    super::runtime()?.block_on(async {
        let stop = super::up::stop_signal()?;
        let mut preheat = PreheatProcess::start(&stage)?;
        let played = play(args, &stage, &mut preheat, trace, &mut line, stop).await;
        // Whatever happened, no process stays behind.
        line.draw("stopping: draining the engines …");
        let stopped = preheat.stop().await;
        line.clear();
        let Some(report) = played? else { return Ok(Answer::Yes) };
        stopped.context("preheat up did not stop as it should")?;
        summary::print(args, &stage, &report)
    })
}

/// Sends the traffic and shows what happens; `None` when interrupted before it began.
async fn play(
    args: &DemoArgs,
    stage: &Stage,
    preheat: &mut PreheatProcess,
    trace: preheat_traffic::Trace,
    line: &mut Line,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Option<LoadReport>> {
    let mut stop = std::pin::pin!(stop);
    let admin = AdminClient::new(stage.admin, None);
    let mut watcher = Watcher::new(line, stage);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(None),
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        preheat.check()?;
        if watcher.look(&admin, None).await.is_some_and(|ready| ready >= stage::REPLICAS_MIN) {
            break;
        }
    }
    let mut config = LoadConfig::new(Target::parse(&stage.gateway_url())?, stage::MODEL);
    config.time_scale = args.time_scale;
    config.ttft_slo = Some(TTFT_SLO);
    config.retries_max = RETRIES_MAX;
    config.seed = args.seed;
    let (progress, seen) = watch::channel(LoadProgress::default());
    let (cancel, cancelled) = watch::channel(false);
    let mut load = tokio::spawn(preheat_load::run(config, trace, progress, cancelled));
    let mut interrupted = false;
    loop {
        tokio::select! {
            report = &mut load => return Ok(Some(report.context("the load generator failed")??)),
            () = &mut stop, if !interrupted => {
                interrupted = true;
                let _nobody_listens = cancel.send(true);
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => {
                if preheat.restart_if_gone(stage)? {
                    watcher.line.print("preheat was killed; a new one adopts the engines");
                }
                let now = *seen.borrow();
                watcher.look(&admin, Some(&now)).await;
            }
        }
    }
}

/// Draws what is happening, and prints a line for each thing that was decided.
struct Watcher<'a> {
    line: &'a mut Line,
    journal: PathBuf,
    after_seq: u64,
    /// Model time at which the traffic began.
    traffic_since: Option<Instant>,
}

impl<'a> Watcher<'a> {
    fn new(line: &'a mut Line, stage: &Stage) -> Self {
        let journal = stage.journal();
        Self { line, journal, after_seq: 0, traffic_since: None }
    }

    /// How many replicas are ready, when preheat answers.
    async fn look(&mut self, admin: &AdminClient, progress: Option<&LoadProgress>) -> Option<u32> {
        let name = admin.fleet().await.ok()?.pools.into_iter().next()?.pool;
        let pool = admin.pool(&name).await.ok()??;
        if let Some(progress) = progress {
            let elapsed = Duration::from_secs_f64(progress.elapsed_s);
            let now = Duration::try_from_secs_f64(pool.clock.now_s).unwrap_or_default();
            let now = Instant::ORIGIN.saturating_add(now);
            self.traffic_since.get_or_insert(now.saturating_sub(elapsed));
        }
        // The journal is written a moment later, and is missing at first.
        let _shown = self.print_decisions(&pool.summary);
        let mut drawn = view::picture(&pool);
        if let Some(progress) = progress {
            drawn.push_str(&super::load::progress_text(progress));
        }
        self.line.draw(drawn.trim_end());
        Some(pool.summary.ready)
    }

    fn print_decisions(&mut self, pool: &PoolSummary) -> anyhow::Result<()> {
        let reader = JournalReader::open_read_only(&self.journal)?;
        let selection = Selection { after_seq: self.after_seq, ..Selection::default() };
        for stored in reader.entries(selection) {
            let StoredEntry { seq, entry } = stored?;
            self.after_seq = seq;
            let EntryBody::Decided(tick) = &entry.body else { continue };
            if tick.plan.actions.is_empty() {
                continue;
            }
            let begun = self.traffic_since.unwrap_or(entry.at);
            let at = clock(entry.at.since(begun).as_secs());
            let headline = words::headline(&tick.plan, &tick.explanation);
            let starting = pool.starting;
            self.line
                .print(&format!("{at:>6}  {headline} ({} ready, {starting} starting)", pool.ready));
        }
        Ok(())
    }
}

/// Model time as minutes and seconds.
fn clock(seconds: u64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// For the introduction and the summary.
fn model_minutes(args: &DemoArgs) -> String {
    words::seconds(args.duration.mul_f64(args.time_scale))
}
