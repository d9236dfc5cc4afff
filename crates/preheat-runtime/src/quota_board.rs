//! Where pools that share GPUs post what they claim, and are told what they may hold.
//!
//! Each turn shares all GPUs out anew, which for the pools of one process takes microseconds.
//!
//! **Invariant:** pools take turns. From being told until what it makes of that is posted, no other
//! pool is told anything: a GPU is never promised twice.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use preheat_core::{Claim, Instant, Observation, QuotaMemory, allot, replicas_held};

use crate::controller::{Controller, Ticked};
use crate::routing::PoolId;

/// The GPUs that pools share.
#[derive(Debug)]
pub struct QuotaBoard {
    posted: Mutex<Posted>,
}

#[derive(Debug)]
struct Posted {
    gpus: u32,
    claims: BTreeMap<String, Claim>,
    memory: QuotaMemory,
    /// The latest look at it: turns come a little out of order, time does not.
    now: Instant,
}

impl QuotaBoard {
    /// `None` unless at least two of these pools take GPUs: one alone shares with nobody.
    pub fn new(gpus: u32, claims: impl IntoIterator<Item = (PoolId, Claim)>) -> Option<Self> {
        let takes_gpus = |(_, claim): &(PoolId, Claim)| claim.gpus_per_replica > 0;
        let claims = claims.into_iter().filter(takes_gpus).map(|(pool, claim)| (pool.0, claim));
        let claims: BTreeMap<String, Claim> = claims.collect();
        let shared = claims.len() > 1;
        shared.then(|| Self { posted: Mutex::new(Posted::of(gpus, claims)) })
    }

    /// One that pools join and leave.
    pub fn open(gpus: u32) -> Self {
        Self { posted: Mutex::new(Posted::of(gpus, BTreeMap::new())) }
    }

    /// Shares so many GPUs from now on.
    pub fn set_gpus(&self, gpus: u32) {
        self.lock().gpus = gpus;
    }

    /// Lets a pool take part by these terms; what one that takes part already holds and needs stays.
    pub fn join(&self, pool: &PoolId, mut claim: Claim) {
        let claims = &mut self.lock().claims;
        if let Some(before) = claims.get(&pool.0) {
            claim = Claim {
                gpus_per_replica: claim.gpus_per_replica,
                priority: claim.priority,
                worth: claim.worth,
                ..before.clone()
            };
        }
        claims.insert(pool.0.clone(), claim);
    }

    /// Forgets a pool.
    pub fn leave(&self, pool: &PoolId) {
        self.lock().claims.remove(&pool.0);
    }

    /// Lets a pool that changes nothing decide as it would within what it might hold. To the others it
    /// holds what it holds, and neither takes anything nor gives it up.
    pub fn tick_observing(
        &self,
        controller: &mut Controller,
        mut observation: Observation,
    ) -> Ticked {
        let mut posted = self.lock();
        let pool = controller.pool().0.clone();
        let held = replicas_held(&observation.replicas, &[]);
        let Some(claim) = posted.claims.get_mut(&pool) else { return controller.tick(observation) };
        claim.held = held;
        claim.replicas_min = controller.policy().spec().replicas_min;
        claim.replicas_max = controller.policy().spec().replicas_max;
        let now = observation.now.max(posted.now);
        let mut allotment = allot(posted.gpus, &posted.claims, &posted.memory, now);
        observation.replicas_allowed = allotment.allowances.remove(&pool);
        let ticked = controller.tick(observation);
        if let Some(claim) = posted.claims.get_mut(&pool) {
            if let Some(explanation) = ticked.entry.body.explanation() {
                claim.decided(controller.policy().spec(), explanation);
            }
            (claim.replicas_min, claim.replicas_max) = (held, held);
        }
        ticked
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Posted> {
        // A turn that panicked leaves the claims of the turns before: still sound.
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a pool decide one tick within what it may hold. A pool that shares no GPUs decides as it
    /// would without.
    pub fn tick(&self, controller: &mut Controller, mut observation: Observation) -> Ticked {
        let mut posted = self.lock();
        let Posted { gpus, claims, memory, now } = &mut *posted;
        let pool = controller.pool().0.clone();
        if let Some(claim) = claims.get_mut(&pool) {
            claim.held = replicas_held(&observation.replicas, &[]);
            *now = observation.now.max(*now);
            let mut allotment = allot(*gpus, claims, memory, *now);
            *memory = allotment.memory;
            observation.replicas_allowed = allotment.allowances.remove(&pool);
        }
        let ticked = controller.tick(observation);
        let body = &ticked.entry.body;
        if let (Some(claim), Some(observation)) = (claims.get_mut(&pool), body.observation()) {
            claim.held = replicas_held(&observation.replicas, &ticked.plan.actions);
            if let Some(explanation) = body.explanation() {
                claim.decided(controller.policy().spec(), explanation);
            }
        }
        ticked
    }
}

impl Posted {
    fn of(gpus: u32, claims: BTreeMap<String, Claim>) -> Self {
        Self { gpus, claims, memory: QuotaMemory::default(), now: Instant::ORIGIN }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use preheat_core::{
        GatewayObservation, GpuWorth, Memory, Policy, PolicySpec, ReplicaCount, ReplicaId,
        ReplicaObservation, ReplicaPhase, Sample,
    };

    use super::*;

    fn policy(min: u32) -> Policy {
        let spec = PolicySpec { replicas_min: ReplicaCount(min), ..PolicySpec::default() };
        spec.validate().unwrap()
    }

    fn claim(gpus: u32, priority: i32) -> Claim {
        Claim::new(policy(1).spec(), gpus, priority, GpuWorth::saturating(1.0))
    }

    fn id(pool: &str) -> PoolId {
        PoolId(pool.to_owned())
    }

    /// So many ready replicas, all slots of each in use.
    fn observation(controller: &Controller, secs: u64, ready: u64) -> Observation {
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(secs));
        let replica = |replica| ReplicaObservation {
            in_flight: Some(Sample::new(8, now)),
            queue_depth: Some(Sample::new(0, now)),
            outstanding: Some(Sample::new(8, now)),
            ..ReplicaObservation::untold(ReplicaId(replica), ReplicaPhase::Ready, Instant::ORIGIN)
        };
        let gateway = GatewayObservation {
            observed_at: now,
            over: Duration::from_secs(2),
            arrivals: ready,
            completions: ready,
            failures: 0,
            rejections: 0,
            held: 0,
            held_oldest: None,
            ttft: None,
            first_tokens: None,
            itl: None,
            engine_time: None,
        };
        Observation {
            gateway: Some(gateway),
            replicas_placeable: Some(9),
            ..Observation::of(controller.next_tick(), now, (0..ready).map(replica).collect())
        }
    }

    #[test]
    fn one_pool_alone_shares_nothing() {
        let alone = [(id("chat"), claim(1, 0)), (id("cpu"), claim(0, 0))];
        assert!(QuotaBoard::new(4, alone).is_none());
    }

    /// Both would grow at every turn, and there are placeable GPUs, as on a board whose pools look at
    /// the same time.
    #[test]
    fn no_gpu_is_promised_twice_and_each_turn_is_recorded() {
        let claims =
            [(id("batch"), claim(1, 0)), (id("chat"), claim(1, 1)), (id("cpu"), claim(0, 0))];
        let board = QuotaBoard::new(5, claims).unwrap();
        let mut held = [("batch", 2), ("chat", 1)];
        let mut controllers =
            held.map(|(pool, _)| Controller::new(id(pool), 1, policy(1), Memory::default()));
        for turn in 0..60 {
            let which = usize::try_from(turn % 2).unwrap();
            let controller = &mut controllers[which];
            let (pool, ready) = held[which];
            let seen = observation(controller, 1000 + turn, ready);
            let ticked = board.tick(controller, seen);
            let allowed =
                ticked.entry.body.observation().unwrap().replicas_allowed.clone().unwrap();
            assert!(
                u64::from(allowed.replicas.0) >= ready,
                "{pool} keeps what it has: {allowed:?}"
            );
            let after = replicas_held(
                &ticked.entry.body.observation().unwrap().replicas,
                &ticked.plan.actions,
            );
            held[which].1 = u64::from(after.0);
            assert!(held[0].1 + held[1].1 <= 5, "{held:?}");
        }
        assert_eq!(held[0].1 + held[1].1, 5, "all are in use: {held:?}");
        let mut cpu = Controller::new(id("cpu"), 0, policy(1), Memory::default());
        let seen = observation(&cpu, 2000, 1);
        let ticked = board.tick(&mut cpu, seen);
        assert_eq!(ticked.entry.body.observation().unwrap().replicas_allowed, None);
    }

    /// Who only observes is counted with what it holds, is told what it might hold, and takes nothing.
    #[test]
    fn an_observer_neither_takes_nor_gives() {
        let board = QuotaBoard::open(4);
        let mut observer = Controller::new(id("observer"), 1, policy(1), Memory::default());
        let mut acting = Controller::new(id("acting"), 1, policy(1), Memory::default());
        board.join(&id("observer"), claim(1, 9));
        board.join(&id("acting"), claim(1, 0));
        let allowed = |ticked: &Ticked| {
            ticked.entry.body.observation().unwrap().replicas_allowed.clone().unwrap().replicas.0
        };
        for turn in 0..20 {
            let seen = observation(&observer, 1000 + turn, 1);
            assert!(allowed(&board.tick_observing(&mut observer, seen)) >= 1);
            let seen = observation(&acting, 1000 + turn, 3);
            assert_eq!(allowed(&board.tick(&mut acting, seen)), 3, "turn {turn}");
        }
        board.leave(&id("observer"));
        let seen = observation(&acting, 1020, 3);
        assert_eq!(allowed(&board.tick(&mut acting, seen)), 4);
        board.set_gpus(2);
        let seen = observation(&acting, 1021, 2);
        assert_eq!(allowed(&board.tick(&mut acting, seen)), 2);
    }
}
