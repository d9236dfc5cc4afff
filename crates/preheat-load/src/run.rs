//! Sending a trace's requests, each at its time, and gathering what became of them.
//!
//! **Invariant:** no request waits for another; the only thing that holds one back is the limit
//! on requests in flight, and that one fails at once.

use std::future;
use std::panic;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use preheat_traffic::{Trace, TraceRequest};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant, Interval, MissedTickBehavior};

use crate::clock::Clock;
use crate::config::{LoadConfig, LoadError};
use crate::exchange::{Exchange, Job};
use crate::outcome::Outcome;
use crate::progress::{LoadProgress, Recent};
use crate::prompt;
use crate::report::{LoadReport, Recorder, RunEnd};

/// How often progress is told, in wall time: often enough for a line on a screen.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// The runtime's timers end on whole milliseconds, rounded up. Waiting for so much less puts the
/// error around zero; in model time it would be `time_scale` milliseconds otherwise.
const TIMER_STEP: Duration = Duration::from_millis(1);

/// How many requests in a row are sent late before those under way get a turn.
const LATE_BURST_MAX: u32 = 64;

/// Replays `trace` against a server and reports what came of it.
///
/// `progress` is kept up to date, and holds the last numbers when this returns. Once `cancel` is
/// true no more requests are sent, and those under way have [`LoadConfig::drain_timeout`].
///
/// # Errors
/// When the configuration cannot be used or the trace is empty; whatever goes wrong with
/// requests is in the report.
pub async fn run(
    config: LoadConfig,
    trace: Trace,
    progress: watch::Sender<LoadProgress>,
    cancel: watch::Receiver<bool>,
) -> Result<LoadReport, LoadError> {
    config.check()?;
    if trace.requests.is_empty() {
        return Err(LoadError::TraceEmpty);
    }
    let mut cancelled = pin!(cancelled(cancel));
    let mut run = Run::new(&config, trace.requests.len(), progress)?;
    let is_cancelled = run.send_all(&trace.requests, cancelled.as_mut()).await;
    let drain_timeout = run.clock.wall(config.drain_timeout);
    let unfinished = if is_cancelled {
        run.drain(drain_timeout).await
    } else {
        // Each request has its own timeout, so this ends even when nobody cancels.
        tokio::select! {
            () = run.finish_all() => 0,
            () = cancelled => run.drain(drain_timeout).await,
        }
    };
    Ok(run.report(unfinished, &trace.requests))
}

/// Ends once `cancel` is true; never when nobody can make it so any more.
async fn cancelled(mut cancel: watch::Receiver<bool>) {
    let changed = cancel.wait_for(|is_cancelled| *is_cancelled).await.is_ok();
    if !changed {
        future::pending::<()>().await;
    }
}

struct Run {
    clock: Clock,
    exchange: Arc<Exchange>,
    in_flight_max: usize,
    tasks: JoinSet<Outcome>,
    recorder: Recorder,
    recent: Recent,
    ticker: Interval,
    progress: watch::Sender<LoadProgress>,
    requests: usize,
    sent: usize,
}

impl Run {
    fn new(
        config: &LoadConfig,
        requests: usize,
        progress: watch::Sender<LoadProgress>,
    ) -> Result<Self, LoadError> {
        let clock = Clock::start(config.time_scale);
        let mut ticker = time::interval(PROGRESS_INTERVAL);
        ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Self {
            clock,
            exchange: Arc::new(Exchange::new(config, clock)?),
            in_flight_max: config.in_flight_max,
            tasks: JoinSet::new(),
            recorder: Recorder::new(config, clock).map_err(LoadError::Histogram)?,
            recent: Recent::default(),
            ticker,
            progress,
            requests,
            sent: 0,
        })
    }

    /// Sends each request at its time; true when that was cancelled.
    async fn send_all(
        &mut self,
        requests: &[TraceRequest],
        mut cancelled: Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        let mut late = 0;
        for (index, request) in requests.iter().enumerate() {
            let intended = self.clock.at(request.arrival);
            late = if intended <= Instant::now() { late + 1 } else { 0 };
            if late >= LATE_BURST_MAX {
                late = 0;
                tokio::task::yield_now().await;
            }
            tokio::select! {
                biased;
                () = cancelled.as_mut() => return true,
                () = self.wait_until(intended.checked_sub(TIMER_STEP).unwrap_or(intended)) => {}
            }
            self.send(Job { index: index as u64, request: *request, intended });
        }
        false
    }

    async fn wait_until(&mut self, at: Instant) {
        let mut time_is_come = pin!(time::sleep_until(at));
        loop {
            tokio::select! {
                biased;
                () = time_is_come.as_mut() => return,
                () = self.next_thing() => {}
            }
        }
    }

    fn send(&mut self, job: Job) {
        self.sent += 1;
        while let Some(ended) = self.tasks.try_join_next() {
            self.record(ended);
        }
        if prompt::is_clipped(&job.request) {
            self.recorder.clipped_prompt();
        }
        if self.tasks.len() >= self.in_flight_max {
            let lag = Instant::now().saturating_duration_since(job.intended);
            self.recorder.record(&Outcome::client_limit(lag));
            return;
        }
        let exchange = Arc::clone(&self.exchange);
        self.tasks.spawn(async move { exchange.perform(job).await });
    }

    /// One request's end or the time to tell progress. May be dropped at any point.
    async fn next_thing(&mut self) {
        tokio::select! {
            Some(ended) = self.tasks.join_next() => self.record(ended),
            _ = self.ticker.tick() => self.tell(),
        }
    }

    async fn finish_all(&mut self) {
        while !self.tasks.is_empty() {
            self.next_thing().await;
        }
    }

    /// Waits for the requests under way, but not for ever; gives how many had not ended.
    async fn drain(&mut self, timeout: Duration) -> u64 {
        // On time-out the rest are counted below.
        let _ = time::timeout(timeout, self.finish_all()).await;
        while let Some(ended) = self.tasks.try_join_next() {
            self.record(ended);
        }
        let unfinished = self.tasks.len() as u64;
        self.tasks.abort_all();
        unfinished
    }

    fn record(&mut self, ended: Result<Outcome, JoinError>) {
        match ended {
            Ok(outcome) => {
                if let Some(ttft_s) = self.recorder.record(&outcome) {
                    self.recent.add(ttft_s);
                }
            }
            // Nothing is aborted before the last record: the task panicked, and so does this.
            Err(error) => {
                if let Ok(reason) = error.try_into_panic() {
                    panic::resume_unwind(reason);
                }
            }
        }
    }

    fn tell(&self) {
        self.progress.send_replace(LoadProgress {
            requests: self.requests as u64,
            sent: self.sent as u64,
            completed: self.recorder.completed(),
            failed: self.recorder.failed(),
            in_flight: self.tasks.len() as u64,
            retries: self.exchange.retries(),
            ttft_recent_p99_s: self.recent.ttft_p99_s(),
            elapsed_s: self.clock.elapsed_s(),
        });
    }

    fn report(self, unfinished: u64, requests: &[TraceRequest]) -> LoadReport {
        self.tell();
        let last = self.sent.checked_sub(1).and_then(|index| requests.get(index));
        self.recorder.finish(RunEnd {
            unfinished,
            not_sent: (self.requests - self.sent) as u64,
            retries: self.exchange.retries(),
            arrival_last_s: last.map(|request| request.arrival.as_secs_f64()),
        })
    }
}
