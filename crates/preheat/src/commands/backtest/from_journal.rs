//! A pool's past as preheat's own journal tells it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use preheat_compare::backtest::{History, Step};
use preheat_core::{EndedStart, Instant, Observation, ReplicaId, ReplicaPhase, StartFollower};
use preheat_runtime::journal::Selection;

use super::super::why;
use crate::cli::BacktestArgs;
use crate::failure::hinted;

/// Reads the last `--from` of the journal.
pub(super) fn read(journal: &Path, args: &BacktestArgs) -> anyhow::Result<History> {
    let reader = why::open(journal)?;
    let pools = why::pools(&reader, args.pool.as_deref())?;
    let [pool] = pools.as_slice() else {
        let hint = format!("choose one with --pool: {}", pools.join(", "));
        return Err(hinted(format!("{} has several pools", journal.display()), hint));
    };
    let selection = || Selection { pool: Some(pool.clone()), ..Selection::default() };
    let mut last = Instant::ORIGIN;
    for stored in reader.entries(selection()) {
        if let Some(observation) = stored?.entry.body.observation() {
            last = last.max(observation.now);
        }
    }
    let earliest = last.saturating_sub(args.from);
    let mut past = Past::new(args.step);
    for stored in reader.entries(selection()) {
        let entry = stored?.entry;
        let Some(observation) = entry.body.observation() else { continue };
        if observation.now >= earliest {
            past.take(observation);
        }
    }
    Ok(past.into_history())
}

struct Past {
    step: Duration,
    begin: Option<Instant>,
    steps: Vec<Step>,
    follower: StartFollower,
    cold_starts: Vec<Duration>,
    /// When each replica's counters were used last.
    counted: BTreeMap<ReplicaId, Instant>,
    inside_before: Option<f64>,
    has_gateway: bool,
}

impl Past {
    fn new(step: Duration) -> Self {
        Self {
            step,
            begin: None,
            steps: Vec::new(),
            follower: StartFollower::default(),
            cold_starts: Vec::new(),
            counted: BTreeMap::new(),
            inside_before: None,
            has_gateway: false,
        }
    }

    fn take(&mut self, observation: &Observation) {
        for ended in self.follower.observe(observation) {
            if let EndedStart::ColdStart(start) = ended
                && start.given_up_in.is_none()
            {
                self.cold_starts.push(start.took);
            }
        }
        // The first tick tells of what was before the history.
        let Some(begin) = self.begin else {
            self.begin = Some(observation.now);
            self.count(observation);
            self.inside_before = inside(observation);
            return;
        };
        let counted = self.count(observation);
        let inside = inside(observation);
        let grew = inside.zip(self.inside_before).map_or(0.0, |(now, before)| now - before);
        self.inside_before = inside.or(self.inside_before);
        // A tick tells of the time before it.
        let since = observation.now.since(begin).as_nanos().saturating_sub(1);
        let index = usize::try_from(since / self.step.as_nanos().max(1)).unwrap_or(usize::MAX);
        if index > 10_000_000 {
            return;
        }
        if self.steps.len() <= index {
            self.steps.resize(index + 1, Step::default());
        }
        let Some(step) = self.steps.get_mut(index) else { return };
        let add = |slot: &mut Option<f64>, more: f64| *slot = Some(slot.unwrap_or(0.0) + more);
        if let Some((completions, prompt, generated)) = counted {
            add(&mut step.completions, completions);
            add(&mut step.prompt_tokens, prompt);
            add(&mut step.generation_tokens, generated);
        }
        if let Some(gateway) = &observation.gateway {
            self.has_gateway = true;
            add(&mut step.arrivals, gateway.arrivals as f64);
            if let Some(first) = gateway.first_tokens {
                add(&mut step.first_tokens, first.count as f64);
                add(&mut step.in_time, first.count.saturating_sub(first.late) as f64);
            }
        } else if let Some((completions, ..)) = counted {
            add(&mut step.arrivals, (completions + grew).max(0.0));
        }
        let phases = |wanted: fn(ReplicaPhase) -> bool| {
            observation.replicas.iter().filter(|replica| wanted(replica.phase)).count() as f64
        };
        step.ready = Some(phases(|phase| phase == ReplicaPhase::Ready));
        step.existing = Some(phases(|phase| {
            !matches!(phase, ReplicaPhase::Stopped | ReplicaPhase::Standby(_))
        }));
        let held = observation.gateway.as_ref().map_or(0, |gateway| gateway.held);
        let queued = observation.replicas.iter().filter_map(|replica| replica.queue_depth);
        let queued: u32 = queued.map(|sample| sample.value).sum();
        step.waiting = Some(f64::from(held.saturating_add(queued)));
    }

    /// Completions, prompt tokens and generated tokens that were not told before.
    fn count(&mut self, observation: &Observation) -> Option<(f64, f64, f64)> {
        let mut counted = None;
        for replica in &observation.replicas {
            let Some(sample) = replica.counters else { continue };
            let used = self.counted.insert(replica.id, sample.observed_at);
            if used >= Some(sample.observed_at) {
                continue;
            }
            let (completions, prompt, generated) = counted.unwrap_or((0.0, 0.0, 0.0));
            counted = Some((
                completions + sample.value.completions as f64,
                prompt + sample.value.prompt_tokens as f64,
                generated + sample.value.generation_tokens as f64,
            ));
        }
        counted
    }

    fn into_history(self) -> History {
        let arrivals_from = if self.has_gateway {
            "counted by the gateway".to_owned()
        } else {
            "what engines finished, and what was in them more than before".to_owned()
        };
        History {
            step: self.step,
            steps: self.steps,
            cold_starts: self.cold_starts,
            resets: 0,
            arrivals_from,
        }
    }
}

/// Requests in engines, where every ready one tells.
fn inside(observation: &Observation) -> Option<f64> {
    let ready = observation.replicas.iter().filter(|r| r.phase == ReplicaPhase::Ready);
    let inside = |sum: Option<f64>, replica: &preheat_core::ReplicaObservation| {
        let (running, waiting) = (replica.in_flight?, replica.queue_depth?);
        Some(sum? + f64::from(running.value) + f64::from(waiting.value))
    };
    ready.fold(Some(0.0), inside)
}
