//! Replicas come and go: ordered, placed, up, draining, asleep, gone, and what goes wrong with it.
//!
//! **Invariant:** a replica is charged exactly while it holds a place.

use std::time::Duration;

use preheat_core::{Action, Instant, ReplicaId};
use preheat_engine::EngineConfig;

use super::Cluster;
use crate::event::{Event, LifeStep};
use crate::replica::serving::{NEVER, Serving};
use crate::replica::{Phase, Replica};
use crate::report::Direction;
use crate::run::{Drain, SimulationError, Victim};

/// Restart back-off as Kubernetes has it: 10 s, doubled each time, at most five minutes.
const BACKOFF_FIRST: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A failed start fails half way: drawn failures would only spread the same mean.
const FAILS_AT: f64 = 0.5;

impl Cluster {
    /// Replicas that are there when the run begins, as far as there are places for them.
    pub(crate) fn begin_with(&mut self, count: u32) {
        let typical = self.cold_starts.typical();
        for _ in 0..count {
            let Some(place) = self.placement.take() else { break };
            let slot = self.add();
            let now = self.now;
            if let Some(replica) = self.replica_mut(slot) {
                replica.place = Some(place);
                replica.charged_to = Some(now);
            }
            if self.config.initial_start_charged {
                self.tally.charge(self.config.gpus_per_replica, typical, false);
            }
            self.become_ready(slot);
        }
        self.desired = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
    }

    /// Orders so many more.
    fn order(&mut self, count: u32) {
        for _ in 0..count {
            self.order_one();
        }
    }

    pub(super) fn order_one(&mut self) -> u32 {
        let slot = self.add();
        self.tally.starts += 1;
        self.place(slot);
        slot
    }

    fn add(&mut self) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.replicas.push(None);
            self.lives.push(0);
            (self.replicas.len() - 1) as u32
        });
        let id = ReplicaId(self.next_id);
        self.next_id += 1;
        let (life, now) = (self.lives[slot as usize], self.now);
        self.replicas[slot as usize] = Some(Replica::new(id, life, now));
        self.order.push(slot);
        let existing = u32::try_from(self.order.len()).unwrap_or(u32::MAX);
        self.tally.replicas_peak = self.tally.replicas_peak.max(existing);
        slot
    }

    /// Begins a start, where there is a place for it.
    fn place(&mut self, slot: u32) {
        let Some(place) = self.placement.take() else { return };
        let now = self.now;
        if let Some(replica) = self.replica_mut(slot) {
            replica.place = Some(place);
            replica.charged_to = Some(now);
        }
        self.begin_start(slot, Duration::ZERO);
    }

    /// Gives places that became free to those that wait for one.
    fn place_pending(&mut self) {
        if self.placement.placeable().is_none_or(|places| places == 0) {
            return;
        }
        let pending: Vec<u32> =
            self.existing().filter(|(_, r)| r.phase == Phase::Pending).map(|(s, _)| s).collect();
        for slot in pending {
            self.place(slot);
        }
    }

    /// Draws how a start goes, `after` a back-off.
    fn begin_start(&mut self, slot: u32, after: Duration) {
        let Some(replica) = self.replica(slot) else { return };
        let id = replica.id;
        let is_warm = replica.place.is_some_and(|place| self.placement.is_warm(place));
        let takes = self.cold_starts.draw(id, is_warm, &mut self.streams.starts);
        let (faults, stream) = (&self.config.faults, &mut self.streams.start_faults);
        let fails = stream.happens(faults.start_failure);
        let hangs = stream.happens(faults.start_stuck);
        let now = self.now;
        let Some(replica) = self.replica_mut(slot) else { return };
        replica.enter(Phase::Starting, now);
        let life = replica.life;
        let timeout = self.config.start_timeout;
        let (takes, step) = match takes.filter(|takes| !hangs && *takes <= timeout) {
            Some(takes) if fails => (takes.mul_f64(FAILS_AT), LifeStep::StartFailed),
            Some(takes) => (takes, LifeStep::Ready),
            None => (timeout, LifeStep::StartFailed),
        };
        let at = now.saturating_add(after).saturating_add(takes);
        self.events.push(at, Event::Replica { slot, life, step });
    }

    /// A step in a replica's life, if it is still that life.
    pub(crate) fn live(
        &mut self,
        slot: u32,
        life: u32,
        step: LifeStep,
    ) -> Result<(), SimulationError> {
        if self.replica(slot).is_none_or(|replica| replica.life != life) {
            return Ok(());
        }
        match step {
            LifeStep::Ready => self.become_ready(slot),
            LifeStep::StartFailed => self.start_again(slot),
            LifeStep::GraceOver => {
                self.advance(slot)?;
                if self.replica(slot).is_some_and(|replica| replica.life == life) {
                    self.remove(slot);
                }
            }
        }
        Ok(())
    }

    fn become_ready(&mut self, slot: u32) {
        let now = self.now;
        let engine = self.engine_config();
        let stepping = self.config.stepping;
        let Some(replica) = self.replicas.get_mut(slot as usize).and_then(Option::as_mut) else {
            return;
        };
        replica.enter(Phase::Ready, now);
        replica.ready_at = Some(now);
        if let Some(place) = replica.place {
            self.placement.warm_up(place);
        }
        match &mut replica.serving {
            Some(serving) => serving.woke(now),
            None => {
                let serving = Serving::new(replica.id, engine, stepping, now);
                replica.serving = Some(Box::new(serving));
            }
        }
        let life = replica.life;
        self.routing.open(slot, replica.outstanding());
        if let Some(interval) = self.scrapes {
            let offset = interval.mul_f64(self.streams.scrapes.unit());
            self.events.push(now.saturating_add(offset), Event::Scrape { slot, life });
        }
        self.send_held();
        self.succeed(slot);
    }

    /// The engine of a new replica: with a noisy neighbour or without.
    fn engine_config(&mut self) -> EngineConfig {
        let mut engine = self.config.engine;
        if self.streams.neighbours.happens(self.config.faults.slow)
            && let Some(slower) =
                self.config.faults.slow_factor.and_then(|factor| engine.profile.scaled(factor))
        {
            engine.profile = slower;
        }
        engine
    }

    /// The engine is gone, and is started anew.
    fn start_again(&mut self, slot: u32) {
        self.lives[slot as usize] += 1;
        let life = self.lives[slot as usize];
        let Some(replica) = self.replica_mut(slot) else { return };
        replica.life = life;
        replica.scraped = crate::replica::scraped::Scraped::default();
        let backoff = BACKOFF_FIRST.saturating_mul(1 << replica.restarts.min(10));
        replica.restarts += 1;
        self.begin_start(slot, backoff.min(BACKOFF_MAX));
    }

    /// An engine dies with all that is in it.
    pub(crate) fn crash(&mut self, index: u32) -> Result<(), SimulationError> {
        let Some(crash) = self.config.faults.crashes.get(index as usize).copied() else {
            return Ok(());
        };
        let up: Vec<u32> = self.existing().filter(|(_, r)| r.is_up()).map(|(s, _)| s).collect();
        let Some(&slot) = up.get(crash.index as usize % up.len().max(1)) else { return Ok(()) };
        let life = self.replica(slot).map(|replica| replica.life);
        self.advance(slot)?;
        if self.replica(slot).map(|replica| replica.life) != life {
            return Ok(());
        }
        if self.replica(slot).is_some_and(|replica| replica.phase == Phase::Draining) {
            self.remove(slot);
            return Ok(());
        }
        self.end_engine(slot, Cluster::start_again);
        Ok(())
    }

    /// Ends an engine, then `what` becomes of its replica, then what becomes of its requests.
    fn end_engine(&mut self, slot: u32, what: impl FnOnce(&mut Self, u32)) {
        self.routing.close(slot);
        self.wakes.set(slot as usize, NEVER);
        let now = self.now;
        let serving = self.replica_mut(slot).and_then(|replica| replica.serving.take());
        what(self, slot);
        self.lose(serving.map(|serving| serving.end(now)).unwrap_or_default());
    }

    /// A replica is gone.
    pub(super) fn remove(&mut self, slot: u32) {
        self.tally.stops += 1;
        self.settle(slot);
        self.end_engine(slot, |cluster, slot| {
            let replica = cluster.replicas.get_mut(slot as usize).and_then(Option::take);
            cluster.lives[slot as usize] += 1;
            cluster.order.retain(|other| *other != slot);
            cluster.free.push(slot);
            if let Some(place) = replica.and_then(|replica| replica.place) {
                cluster.placement.give_back(place);
            }
        });
        self.place_pending();
    }

    /// Charges a replica up to now.
    fn settle(&mut self, slot: u32) {
        let (now, gpus) = (self.now, self.config.gpus_per_replica);
        let replica = self.replicas.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(replica) = replica else { return };
        if let Some(since) = replica.charged_to {
            let is_standby = replica.phase == Phase::Standby;
            self.tally.charge(gpus, now.since(since), is_standby);
            replica.charged_to = Some(now);
        }
    }

    /// Charges everything up to now.
    pub(crate) fn settle_all(&mut self) {
        for slot in self.order.clone() {
            self.settle(slot);
        }
    }

    /// Whether a draining replica goes as soon as it is empty, rather than when told to.
    pub(super) fn drains_itself(&self, slot: u32) -> bool {
        self.scrapes.is_some() || self.replica(slot).is_some_and(Replica::is_hidden)
    }
}

/// What autoscalers order.
impl Cluster {
    /// Makes as many replicas exist as `desired`, held inside the bounds, says.
    pub(crate) fn scale_to(&mut self, desired: u32) {
        let bounds = &self.config.bounds;
        let desired = desired.clamp(bounds.replicas_min, bounds.replicas_max);
        self.desired = desired;
        let counted = self.existing().filter(|(_, r)| r.is_counted()).count();
        let counted = u32::try_from(counted).unwrap_or(u32::MAX);
        if desired > counted {
            self.tally.moved(Direction::Up);
            self.order(desired - counted);
        } else if desired < counted {
            self.tally.moved(Direction::Down);
            for slot in self.victims((counted - desired) as usize) {
                self.let_go(slot);
            }
        }
    }

    /// Who goes: those furthest from ready first.
    fn victims(&mut self, count: usize) -> Vec<u32> {
        let mut candidates: Vec<(u8, Instant, ReplicaId, u32)> = self
            .existing()
            .filter(|(_, r)| r.is_counted())
            .map(|(slot, r)| {
                let rank = match r.phase {
                    Phase::Pending => 2,
                    Phase::Starting => 1,
                    Phase::Ready | Phase::Draining | Phase::Standby | Phase::Waking => 0,
                };
                (rank, r.ready_at.unwrap_or(r.ordered_at), r.id, slot)
            })
            .collect();
        candidates.sort_unstable_by(|a, b| b.cmp(a));
        if self.config.scale_down.victim == Victim::Random {
            let first_ready = candidates.iter().take_while(|candidate| candidate.0 > 0).count();
            if let Some(ready) = candidates.get_mut(first_ready..) {
                for place in (1..ready.len()).rev() {
                    ready.swap(place, self.streams.victims.below(place + 1));
                }
            }
        }
        candidates.into_iter().take(count).map(|candidate| candidate.3).collect()
    }

    pub(super) fn let_go(&mut self, slot: u32) {
        let now = self.now;
        let Some(replica) = self.replica_mut(slot) else { return };
        if replica.phase != Phase::Ready || replica.outstanding() == 0 {
            self.remove(slot);
            return;
        }
        replica.enter(Phase::Draining, now);
        let life = replica.life;
        self.routing.close(slot);
        if let Drain::Kill { grace } = self.config.scale_down.drain {
            let step = LifeStep::GraceOver;
            self.events.push(now.saturating_add(grace), Event::Replica { slot, life, step });
        }
    }

    /// Carries out one of preheat's orders, as a world does: what came too late is left undone.
    pub(crate) fn apply(&mut self, action: &Action) -> Result<(), SimulationError> {
        let now = self.now;
        let id = match *action {
            Action::Start { count } => {
                self.tally.moved(Direction::Up);
                self.order(count);
                return Ok(());
            }
            Action::Wake { replica }
            | Action::Resume { replica }
            | Action::Drain { replica }
            | Action::Sleep { replica, .. }
            | Action::Stop { replica, .. } => replica,
        };
        let Some(slot) = self.find(id) else { return Ok(()) };
        self.advance(slot)?;
        self.settle(slot);
        let Some(replica) = self.replicas.get_mut(slot as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        match (action, replica.phase) {
            (Action::Wake { .. }, Phase::Standby) => {
                let takes = replica.serving.as_mut().map(|serving| serving.wake(now));
                replica.enter(Phase::Waking, now);
                replica.ordered_at = now;
                let (life, at) = (replica.life, now.saturating_add(takes.unwrap_or_default()));
                self.tally.moved(Direction::Up);
                self.events.push(at, Event::Replica { slot, life, step: LifeStep::Ready });
            }
            (Action::Resume { .. }, Phase::Draining) => {
                replica.enter(Phase::Ready, now);
                self.routing.open(slot, replica.outstanding());
                self.tally.moved(Direction::Up);
                self.send_held();
            }
            (Action::Drain { .. }, Phase::Ready) => {
                replica.enter(Phase::Draining, now);
                // Of an old one the rest is a rollout's business.
                let is_done = replica.is_hidden() && replica.outstanding() == 0;
                self.routing.close(slot);
                self.tally.moved(Direction::Down);
                if is_done {
                    self.remove(slot);
                }
            }
            (Action::Sleep { .. }, Phase::Draining) => {
                if let Some(serving) = replica.serving.as_mut() {
                    serving.sleep(now);
                }
                replica.enter(Phase::Standby, now);
                replica.scraped = crate::replica::scraped::Scraped::default();
            }
            (Action::Stop { .. }, phase) => {
                if matches!(phase, Phase::Pending | Phase::Starting | Phase::Waking) {
                    self.tally.moved(Direction::Down);
                }
                self.remove(slot);
            }
            (
                Action::Start { .. }
                | Action::Wake { .. }
                | Action::Resume { .. }
                | Action::Drain { .. }
                | Action::Sleep { .. },
                _,
            ) => {}
        }
        Ok(())
    }
}
