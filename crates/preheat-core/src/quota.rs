//! Several pools, one number of GPUs: how many replicas each may hold.
//!
//! ```text
//! every pool's minimum
//! then rank by rank, the highest priority first, among these the highest worth of a GPU:
//!   what is held  →  what has been needed for long  →  what is wanted, of GPUs that nobody holds
//! then what nobody needs
//! ```
//!
//! A GPU that nobody holds is given at once. One that a pool holds goes only to a pool of higher rank,
//! and only once that pool's need has lasted ([`settled`]). Equals never take from each other, and
//! share what is free: the one with the fewest GPUs is served first.
//!
//! **Invariant:** no clock. What must be remembered goes in and comes out as [`QuotaMemory`].
//!
//! **Invariant:** the order in which claims come plays no part; equal inputs give equal outputs.

mod settled;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use settled::{NeedMemory, WantedSince};

use crate::decision::{Action, Explanation, StopReason};
use crate::observation::{Allowance, ReplicaObservation, ReplicaPhase};
use crate::policy::PolicySpec;
use crate::units::{GpuWorth, Instant, ReplicaCount};

/// What one pool asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// GPUs of each replica; a pool whose replicas take none may hold as many as it likes.
    pub gpus_per_replica: u32,
    /// Before a lower one in everything but minimums.
    pub priority: i32,
    /// What a GPU is worth to it: decides among equal priorities, and how soon GPUs are taken.
    pub worth: GpuWorth,
    /// Granted before anything else.
    pub replicas_min: ReplicaCount,
    /// Never more than this.
    pub replicas_max: ReplicaCount,
    /// Replicas that it needs, before limits.
    pub wanted: ReplicaCount,
    /// The part of that which the load of this moment asks for, not only a peak before.
    pub needed_now: ReplicaCount,
    /// The part of it that is announced: known to last, it need not have lasted.
    pub announced: ReplicaCount,
    /// Sleeping replicas that it would keep on top.
    pub standby_wanted: ReplicaCount,
    /// Replicas that it has or has ordered, draining ones left out: see [`replicas_held`].
    pub held: ReplicaCount,
    /// Order of a replica to ready.
    pub start_time: Duration,
    /// Decision to drain a replica to its GPUs being free.
    pub drain_time: Duration,
}

impl Claim {
    /// Of a pool that has not decided yet.
    pub fn new(spec: &PolicySpec, gpus_per_replica: u32, priority: i32, worth: GpuWorth) -> Self {
        Self {
            gpus_per_replica,
            priority,
            worth,
            replicas_min: spec.replicas_min,
            replicas_max: spec.replicas_max,
            wanted: spec.replicas_min,
            needed_now: spec.replicas_min,
            announced: ReplicaCount(0),
            standby_wanted: ReplicaCount(0),
            held: ReplicaCount(0),
            start_time: spec.tick_interval.saturating_add(spec.cold_start_prior.p90),
            drain_time: drain_time(spec, spec.service_time_prior),
        }
    }

    /// Takes in what the pool has found that it needs.
    pub fn decided(&mut self, spec: &PolicySpec, explanation: &Explanation) {
        self.replicas_min = spec.replicas_min;
        self.replicas_max = spec.replicas_max;
        let in_all =
            explanation.standby.as_ref().map_or(explanation.target, |rung| rung.needed_in_all);
        // What is pinned is all that it wants, and wanted at once.
        let pinned = explanation.pinned;
        self.wanted = pinned.unwrap_or(explanation.target);
        self.standby_wanted =
            ReplicaCount(pinned.unwrap_or(in_all).0.saturating_sub(self.wanted.0));
        self.needed_now = pinned.unwrap_or_else(|| needed_now(explanation));
        self.announced = explanation.needed_for_schedule;
        self.start_time = explanation.cold_start.lead_time;
        self.drain_time = drain_time(spec, explanation.demand.service_time);
    }
}

/// What is inside a replica ends; a tick later that is known, and another later its GPUs are free.
fn drain_time(spec: &PolicySpec, service_time: Duration) -> Duration {
    service_time.min(spec.drain_timeout).saturating_add(spec.tick_interval * 2)
}

/// What is remembered between two calls of [`allot`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaMemory {
    /// By pool; pools without a claim are forgotten.
    pub pools: BTreeMap<String, NeedMemory>,
}

/// Who may hold what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allotment {
    /// One for each claim.
    pub allowances: BTreeMap<String, Allowance>,
    /// What to remember; the next call's input.
    pub memory: QuotaMemory,
}

/// Pools named in an [`Allowance`]: more would be read by nobody.
const TAKEN_BY_MAX: usize = 3;

/// Shares `gpus` among pools, by name.
///
/// Pure. Takes time in the number of pools and, where GPUs are scarce, of GPUs, each × its logarithm.
pub fn allot(
    gpus: u32,
    claims: &BTreeMap<String, Claim>,
    memory: &QuotaMemory,
    now: Instant,
) -> Allotment {
    let mut shares: Vec<Share<'_>> =
        claims.iter().map(|(pool, claim)| Share::of(pool, claim)).collect();
    // Stable: equals stay sorted by name.
    shares.sort_by_key(|share| Reverse(share.rank()));
    let memory = settle(&mut shares, memory, now);
    share_out(u64::from(gpus), &mut shares);
    Allotment { allowances: allowances(&shares, now), memory }
}

/// Replicas that a pool will hold once these actions are carried out. What drains is left out: it is
/// on its way to whoever needs it.
pub fn replicas_held(replicas: &[ReplicaObservation], actions: &[Action]) -> ReplicaCount {
    let holds = |r: &&ReplicaObservation| {
        !matches!(r.phase, ReplicaPhase::Draining | ReplicaPhase::Stopped)
    };
    let held = u32::try_from(replicas.iter().filter(holds).count()).unwrap_or(u32::MAX);
    let after = actions.iter().fold(held, |held, action| match action {
        Action::Start { count } => held.saturating_add(*count),
        Action::Resume { .. } | Action::Sleep { .. } => held.saturating_add(1),
        Action::Drain { .. }
        | Action::Stop {
            because: StopReason::StartCancelled | StopReason::StandbySurplus, ..
        } => held.saturating_sub(1),
        // Neither was counted: one that has drained, and one that slept and still is there.
        Action::Stop { because: StopReason::Drained | StopReason::DrainDeadlinePassed, .. }
        | Action::Wake { .. } => held,
    });
    ReplicaCount(after)
}

/// Replicas that a pool would need if its load had never been higher than now: the rule that it
/// follows, without the peak that it holds.
fn needed_now(explanation: &Explanation) -> ReplicaCount {
    let rule = &explanation.rehearsal;
    let held = rule.headroom_factor * explanation.demand.offered_load.get();
    let slots = held + rule.headroom_beta * libm::sqrt(held);
    let slots_per_replica = f64::from(explanation.capacity.concurrency_cap.get());
    // No more than replicas may be in a pool, so the cast is exact.
    let for_load = (slots / slots_per_replica).ceil().min(1e6) as u32;
    let for_load = for_load.max(u32::from(explanation.backlog.requests > 0));
    let needed = for_load.saturating_add(explanation.needed_for_backlog.0);
    ReplicaCount(needed.max(explanation.needed_for_schedule.0).min(explanation.target.0))
}

/// One pool while GPUs are shared out. Counts are replicas.
struct Share<'a> {
    pool: &'a str,
    claim: &'a Claim,
    min: u32,
    max: u32,
    /// What it holds, within its bounds.
    kept: u32,
    /// What it has needed for long.
    settled: u32,
    /// When a need beyond that will have lasted.
    settles_at: Option<Instant>,
    wanted: u32,
    granted: u32,
    /// What was granted for need, before what nobody needs was given out.
    granted_for_need: u32,
    /// Whether pools of lower rank hold anything that it could take.
    could_take: bool,
}

impl<'a> Share<'a> {
    fn of(pool: &'a str, claim: &'a Claim) -> Self {
        let (min, max) = (claim.replicas_min.0, claim.replicas_max.0.max(claim.replicas_min.0));
        Self {
            pool,
            claim,
            min,
            max,
            kept: claim.held.0.clamp(min, max),
            settled: min,
            settles_at: None,
            wanted: claim.wanted.0.clamp(min, max),
            granted: min,
            granted_for_need: min,
            could_take: false,
        }
    }

    /// The bits of numbers that are not negative are in the numbers' order.
    fn rank(&self) -> (i32, u64) {
        (self.claim.priority, self.claim.worth.get().to_bits())
    }

    fn gpus(&self, replicas: u32) -> u64 {
        u64::from(self.claim.gpus_per_replica) * u64::from(replicas)
    }
}

fn same_rank(a: &Share<'_>, b: &Share<'_>) -> bool {
    a.rank() == b.rank()
}

/// Lets every pool's settled need follow what it wants.
fn settle(shares: &mut [Share<'_>], memory: &QuotaMemory, now: Instant) -> QuotaMemory {
    let mut pools = BTreeMap::new();
    let (mut drain_below, mut worth_below) = (Duration::ZERO, GpuWorth::ZERO);
    for equals in shares.chunk_by_mut(same_rank).rev() {
        for share in equals.iter_mut() {
            let claim = share.claim;
            let known = memory.pools.get(share.pool).cloned();
            let mut need = known.unwrap_or_else(|| NeedMemory::new(share.kept));
            let move_time = drain_below.saturating_add(claim.start_time);
            let patience = settled::patience(move_time, worth_below, claim.worth);
            let needed_now = claim.needed_now.0.min(share.wanted);
            need.follow(now, share.wanted, needed_now, patience, drain_below);
            share.settled = need.settled.max(claim.announced.0).clamp(share.min, share.max);
            share.settles_at = need.settles_at(patience);
            pools.insert(share.pool.to_owned(), need);
        }
        for share in equals.iter() {
            drain_below = drain_below.max(share.claim.drain_time);
            if share.claim.worth > worth_below {
                worth_below = share.claim.worth;
            }
        }
    }
    QuotaMemory { pools }
}

/// Raises what is granted level by level, for as long as there are GPUs.
fn share_out(gpus: u64, shares: &mut [Share<'_>]) {
    let minimums: u64 = shares.iter().map(|share| share.gpus(share.min)).sum();
    let mut left = gpus.saturating_sub(minimums);
    // What lower ranks hold, and keep from needs that have not lasted.
    let mut held_below: u64 = shares.iter().map(|share| share.gpus(share.kept - share.min)).sum();
    for equals in shares.chunk_by_mut(same_rank) {
        held_below -= equals.iter().map(|share| share.gpus(share.kept - share.min)).sum::<u64>();
        raise(equals, &mut left, |share| share.kept);
        raise(equals, &mut left, |share| share.settled);
        let free = left.saturating_sub(held_below);
        let mut still_free = free;
        raise(equals, &mut still_free, |share| share.wanted);
        left -= free - still_free;
        for share in equals {
            share.granted_for_need = share.granted;
            share.could_take = held_below > 0;
        }
    }
    let with_standby = |share: &Share<'_>| {
        share.wanted.saturating_add(share.claim.standby_wanted.0).min(share.max)
    };
    for equals in shares.chunk_by_mut(same_rank) {
        raise(equals, &mut left, with_standby);
    }
    for equals in shares.chunk_by_mut(same_rank) {
        raise(equals, &mut left, |share| share.max);
    }
}

/// Grants equals up to a level each, one replica at a time to the one that has the fewest GPUs.
fn raise(equals: &mut [Share<'_>], left: &mut u64, level: impl Fn(&Share<'_>) -> u32) {
    let missing = |share: &Share<'_>| share.gpus(level(share).saturating_sub(share.granted));
    let missing: u64 = equals.iter().map(missing).sum();
    if missing <= *left {
        equals.iter_mut().for_each(|share| share.granted = share.granted.max(level(share)));
        *left -= missing;
        return;
    }
    let below = |share: &Share<'_>| share.granted < level(share);
    let next = |index: usize, share: &Share<'_>| Reverse((share.gpus(share.granted), index));
    let waiting = equals.iter().enumerate().filter(|(_, share)| below(share));
    let mut waiting: BinaryHeap<_> = waiting.map(|(index, share)| next(index, share)).collect();
    while let Some(Reverse((_, index))) = waiting.pop() {
        let share = &mut equals[index];
        let gpus = share.gpus(1);
        // What doesn't fit now never will: less is left with every step.
        if gpus > *left {
            continue;
        }
        *left -= gpus;
        share.granted += 1;
        if below(share) {
            waiting.push(next(index, share));
        }
    }
}

/// What each pool is told.
fn allowances(shares: &[Share<'_>], now: Instant) -> BTreeMap<String, Allowance> {
    let mut allowances = BTreeMap::new();
    let mut above: Vec<String> = Vec::new();
    for equals in shares.chunk_by(same_rank) {
        for share in equals {
            let is_short = share.granted < share.wanted.max(share.kept);
            let taken_by = if is_short { above.clone() } else { Vec::new() };
            let settles_at = share.settles_at.filter(|_| is_short && share.could_take);
            let settles_in = settles_at.map(|at| at.since(now));
            let replicas = ReplicaCount(share.granted);
            allowances.insert(share.pool.to_owned(), Allowance { replicas, taken_by, settles_in });
        }
        let with_more = equals.iter().filter(|share| share.granted_for_need > share.min);
        let room = TAKEN_BY_MAX - above.len();
        above.extend(with_more.take(room).map(|share| share.pool.to_owned()));
    }
    allowances
}
