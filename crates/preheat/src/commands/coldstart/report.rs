//! The report of `preheat coldstart`, as its JSON has it.

use std::collections::BTreeMap;
use std::time::Duration;

use preheat_core::{ColdStartSample, MachineState, START_PHASES, Survival};
use serde::Serialize;

use super::savings::{Replica, Saving, savings};
use super::seen::Seen;

const DAY_S: f64 = 86_400.0;

/// Every pool that was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) pools: Vec<PoolReport>,
    /// Those in which no start became ready.
    pub(super) pools_without_starts: Vec<String>,
}

/// Where the time of one pool's starts goes.
#[derive(Debug, Serialize)]
pub(super) struct PoolReport {
    pub(super) pool: String,
    /// Time that the journal covers, without pauses.
    pub(super) watched_s: f64,
    /// Starts that became ready, and as many a day.
    pub(super) starts: usize,
    pub(super) starts_per_day: f64,
    /// Starts given up, and those under way at the end.
    pub(super) unfinished: usize,
    pub(super) wakes: usize,
    /// Whole starts; the unfinished count as longer than they were seen to be.
    pub(super) p50_s: f64,
    pub(super) p90_s: f64,
    /// Mean of those that became ready.
    pub(super) mean_s: f64,
    pub(super) phases: Vec<PhaseRow>,
    /// By what their machine held when they came there; empty where the world does not tell.
    pub(super) machines: Vec<MachineRow>,
    pub(super) gpus_per_replica: u32,
    /// Whether a configuration or a profile says so.
    pub(super) gpus_per_replica_known: bool,
    pub(super) weights_bytes: Option<u64>,
    pub(super) savings: Vec<Saving>,
}

/// One phase of a start.
#[derive(Debug, Serialize)]
pub(super) struct PhaseRow {
    pub(super) phase: &'static str,
    /// Starts that were seen to pass it.
    pub(super) starts: usize,
    /// Starts that ended in it, or were in it at the end.
    pub(super) unfinished: usize,
    /// Of those that do not skip it.
    pub(super) p50_s: f64,
    pub(super) p90_s: f64,
    /// Of a start that became ready, those that skip it included.
    pub(super) mean_s: f64,
    /// Share of the time of starts that became ready.
    pub(super) share: f64,
}

/// Starts on machines that held the same.
#[derive(Debug, Serialize)]
pub(super) struct MachineRow {
    pub(super) machine: MachineState,
    /// Starts that became ready.
    pub(super) starts: usize,
    /// Starts that were given up, or were under way at the end.
    pub(super) unfinished: usize,
    /// Whole starts; the unfinished count as longer than they were seen to be.
    pub(super) p50_s: f64,
    pub(super) p90_s: f64,
    /// Mean of those that became ready.
    pub(super) mean_s: f64,
}

impl PoolReport {
    /// `None` where no start became ready.
    pub(super) fn of(pool: &str, seen: &Seen, replica: Replica) -> Option<Self> {
        if seen.ready.is_empty() {
            return None;
        }
        let whole = seen.starts().map(|start| (start.took, start.given_up_in.is_some()));
        let whole = Survival::of(whole);
        let starts = seen.ready.len();
        let watched_s = seen.watched.as_secs_f64();
        // A journal shorter than its first start still tells how long that took.
        let starts_per_day = if watched_s > 0.0 { starts as f64 * DAY_S / watched_s } else { 0.0 };
        let gpus_per_replica = replica.gpus.unwrap_or(1);
        let mut savings = savings(seen, replica);
        for saving in &mut savings {
            let per_day = |saves_s: f64| saves_s * starts_per_day * f64::from(gpus_per_replica);
            saving.gpu_hours_per_day = saving.saves_s.map(|saves_s| per_day(saves_s) / 3600.0);
        }
        Some(Self {
            pool: pool.to_owned(),
            watched_s,
            starts,
            starts_per_day,
            unfinished: seen.unfinished.len(),
            wakes: seen.wakes.len(),
            p50_s: whole.quantile(0.5).as_secs_f64(),
            p90_s: whole.quantile(0.9).as_secs_f64(),
            mean_s: mean_s(&seen.ready, |start| start.took),
            phases: phases(seen),
            machines: machines(seen),
            gpus_per_replica,
            gpus_per_replica_known: replica.gpus.is_some(),
            weights_bytes: replica.weights_bytes,
            savings,
        })
    }
}

/// Phases that some start was seen to be in.
fn phases(seen: &Seen) -> Vec<PhaseRow> {
    let whole_s = mean_s(&seen.ready, |start| start.took);
    let rows = START_PHASES.iter().enumerate().filter_map(|(index, phase)| {
        let in_phase = |start: &ColdStartSample| start.phases.get(index).copied().flatten();
        let is_cut = |start: &ColdStartSample| start.given_up_in == Some(*phase);
        let times: Vec<(Duration, bool)> = seen
            .starts()
            .filter_map(|start| Some((in_phase(start)?, is_cut(start))))
            .filter(|(took, _)| !took.is_zero())
            .collect();
        if times.is_empty() {
            return None;
        }
        let unfinished = times.iter().filter(|(_, is_cut)| *is_cut).count();
        let mean_s = mean_s(&seen.ready, |start| in_phase(start).unwrap_or_default());
        let starts = times.len() - unfinished;
        let times = Survival::of(times);
        Some(PhaseRow {
            phase: phase.name(),
            starts,
            unfinished,
            p50_s: times.quantile(0.5).as_secs_f64(),
            p90_s: times.quantile(0.9).as_secs_f64(),
            mean_s,
            share: if whole_s > 0.0 { mean_s / whole_s } else { 0.0 },
        })
    });
    rows.collect()
}

/// Starts by what their machine held, those last of which nobody knows; none where it is so of all.
fn machines(seen: &Seen) -> Vec<MachineRow> {
    let mut by_machine: BTreeMap<MachineState, Vec<&ColdStartSample>> = BTreeMap::new();
    for start in seen.starts() {
        by_machine.entry(start.machine).or_default().push(start);
    }
    if by_machine.keys().all(MachineState::is_unknown) {
        return Vec::new();
    }
    // Absent comes first in their order.
    let rows = by_machine.into_iter().rev().map(|(machine, starts)| {
        let ready: Vec<ColdStartSample> = starts
            .iter()
            .filter(|start| start.given_up_in.is_none())
            .map(|start| **start)
            .collect();
        let times = starts.iter().map(|start| (start.took, start.given_up_in.is_some()));
        let times = Survival::of(times);
        MachineRow {
            machine,
            starts: ready.len(),
            unfinished: starts.len() - ready.len(),
            p50_s: times.quantile(0.5).as_secs_f64(),
            p90_s: times.quantile(0.9).as_secs_f64(),
            mean_s: mean_s(&ready, |start| start.took),
        }
    });
    rows.collect()
}

/// Mean over starts of a time in each; zero over none.
pub(super) fn mean_s(
    starts: &[ColdStartSample],
    time: impl Fn(&ColdStartSample) -> Duration,
) -> f64 {
    let sum_s: f64 = starts.iter().map(|start| time(start).as_secs_f64()).sum();
    sum_s / starts.len().max(1) as f64
}
