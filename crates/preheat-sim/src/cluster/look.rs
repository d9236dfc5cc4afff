//! What others see of the cluster: scrapes, the view of a scaler, the observation of preheat, and
//! the minute of a report.
//!
//! **Invariant:** looking changes nothing but engines' clocks.

use std::time::Duration;

use preheat_core::{
    Controls, FirstTokens, GatewayObservation, Instant, Observation, ReplicaObservation,
    ReplicaPhase, Rung, Sample, ScheduledDemand, TickId, Utilization,
};
use preheat_traffic::TraceRequest;

use super::Cluster;
use crate::event::Event;
use crate::replica::capacity;
use crate::replica::{Phase, Replica};
use crate::report::Minute;
use crate::run::SimulationError;
use crate::view::{ProxyView, ReplicaState, ReplicaView};

/// What begins later is not told yet, as in a live world.
const ANNOUNCED_AHEAD: Duration = Duration::from_secs(24 * 3600);

/// What has arrived since the last minute began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MinuteCounts {
    minute: u64,
    arrivals: u64,
    prompt_tokens: u64,
    output_tokens: u64,
}

impl MinuteCounts {
    pub(super) fn arrived(&mut self, request: &TraceRequest) {
        self.arrivals += 1;
        self.prompt_tokens += u64::from(request.input_tokens);
        self.output_tokens += u64::from(request.output_tokens);
    }
}

/// Counters of the gateway at preheat's last look; at first those of the run's begin.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GatewayTaken {
    at: Instant,
    arrivals: u64,
    completions: u64,
    failures: u64,
    rejections: u64,
    first_tokens: FirstTokens,
}

impl Cluster {
    /// Scrapes one engine for an autoscaler behind a metrics pipeline, and plans the next scrape.
    pub(crate) fn scrape(&mut self, slot: u32, life: u32) -> Result<(), SimulationError> {
        let same = |replica: &Replica| replica.life == life && replica.is_up();
        if !self.replica(slot).is_some_and(same) {
            return Ok(());
        }
        let now = self.now;
        if !self.scrape_is_lost() {
            self.advance(slot)?;
            let replica = self.replicas.get_mut(slot as usize).and_then(Option::as_mut);
            if let Some(replica) = replica
                && let Some(serving) = replica.serving.as_mut()
            {
                replica.scraped.send(serving.metrics(now));
            }
        }
        if let Some(interval) = self.scrapes {
            self.events.push(now.saturating_add(interval), Event::Scrape { slot, life });
        }
        Ok(())
    }

    fn scrape_is_lost(&mut self) -> bool {
        let faults = &self.config.faults;
        self.streams.scrapes.happens(faults.scrape_loss) || faults.metrics_are_out(self.now)
    }

    /// Replicas as an autoscaler behind a pipeline with this delay sees them, by id.
    pub(crate) fn view(&mut self, delay: Duration, views: &mut Vec<ReplicaView>) {
        views.clear();
        let now = self.now;
        for slot in &self.order {
            let replica = self.replicas.get_mut(*slot as usize).and_then(Option::as_mut);
            let Some(replica) = replica.filter(|replica| !replica.is_hidden()) else { continue };
            let state = match replica.phase {
                Phase::Pending | Phase::Starting | Phase::Standby | Phase::Waking => {
                    ReplicaState::Starting
                }
                Phase::Ready => ReplicaState::Ready,
                Phase::Draining => ReplicaState::Draining,
            };
            let metrics = if replica.is_up() { replica.scraped.visible(now, delay) } else { None };
            let ready_at = replica.ready_at.filter(|_| replica.is_up());
            let (id, ordered_at) = (replica.id, replica.ordered_at);
            views.push(ReplicaView { id, state, ordered_at, ready_at, metrics });
        }
    }

    /// What a proxy in front of the pool counts.
    pub(crate) fn proxy(&self) -> ProxyView {
        let tally = &self.tally;
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        ProxyView {
            at: self.now,
            arrivals_total: tally.requests,
            arrived_prompt_tokens_total: tally.prompt_tokens,
            completions_total: tally.completed,
            completed_generation_tokens_total: tally.completed_tokens,
            concurrency: narrow(self.requests.len()),
            held: narrow(self.held.len() as u64),
        }
    }

    /// What preheat sees at a tick: it scrapes all engines at once and asks its gateway.
    pub(crate) fn observe(
        &mut self,
        tick: TickId,
        taken: &mut GatewayTaken,
    ) -> Result<Observation, SimulationError> {
        for index in 0..self.order.len() {
            let slot = self.order.get(index).copied().unwrap_or_default();
            let up = self.replica(slot).is_some_and(Replica::is_up);
            if up && !self.scrape_is_lost() {
                self.advance(slot)?;
                let now = self.now;
                if let Some(replica) = self.replica_mut(slot)
                    && let Some(serving) = &replica.serving
                {
                    let metrics = serving.peek(now);
                    replica.scraped.record(metrics);
                }
            }
        }
        let shown = self.existing().filter(|(_, replica)| !replica.is_hidden());
        let replicas = shown.map(|(_, replica)| self.observation(replica)).collect();
        Ok(Observation {
            tick,
            now: self.now,
            replicas,
            gateway: Some(self.take_gateway(taken)),
            demand: None,
            replicas_placeable: self.placement.placeable(),
            placeable_on: Vec::new(),
            replicas_allowed: None,
            scheduled: self.scheduled(),
            controls: Controls::default(),
        })
    }

    /// What is announced, has not ended, and begins soon enough to be told.
    fn scheduled(&self) -> Vec<ScheduledDemand> {
        let begins_by = self.now.saturating_add(ANNOUNCED_AHEAD);
        let told = |entry: &&ScheduledDemand| self.now < entry.until && entry.from <= begins_by;
        self.config.scheduled.iter().filter(told).copied().collect()
    }

    fn observation(&self, replica: &Replica) -> ReplicaObservation {
        let last = replica.scraped.last().filter(|_| replica.is_up());
        let phase = match replica.phase {
            Phase::Pending => ReplicaPhase::Pending,
            Phase::Starting => ReplicaPhase::Loading,
            Phase::Ready => ReplicaPhase::Ready,
            Phase::Draining => ReplicaPhase::Draining,
            Phase::Standby => ReplicaPhase::Standby(Rung::Sleeping),
            Phase::Waking => ReplicaPhase::Waking(Rung::Sleeping),
        };
        let kv = |kv: f64| Utilization::saturating(kv);
        let routed = replica.serving.is_some();
        ReplicaObservation {
            start_ordered_at: replica.ordered_at,
            restarts: replica.restarts,
            in_flight: last.map(|m| Sample::new(m.running, m.at)),
            queue_depth: last.map(|m| Sample::new(m.waiting, m.at)),
            kv_utilization: last.map(|m| Sample::new(kv(m.kv_utilization), m.at)),
            max_num_seqs: Some(self.config.engine.max_num_seqs),
            kv_capacity_tokens: last.map(|_| self.config.engine.kv_capacity_tokens),
            counters: replica.scraped.counters().filter(|_| replica.is_up()),
            itl: replica.scraped.itl().filter(|_| replica.is_up()),
            outstanding: routed.then(|| Sample::new(replica.outstanding(), self.now)),
            ..ReplicaObservation::untold(replica.id, phase, replica.phase_since)
        }
    }

    fn take_gateway(&mut self, taken: &mut GatewayTaken) -> GatewayObservation {
        let now = self.now;
        let held_oldest = self.held_oldest_since().map(|since| now.since(since));
        let tally = &self.tally;
        let current = GatewayTaken {
            at: now,
            arrivals: tally.requests,
            completions: tally.completed,
            failures: tally.failed - tally.rejected,
            rejections: tally.rejected,
            first_tokens: tally.first_tokens,
        };
        let before = std::mem::replace(taken, current);
        GatewayObservation {
            observed_at: now,
            over: now.since(before.at),
            arrivals: current.arrivals - before.arrivals,
            completions: current.completions - before.completions,
            failures: current.failures - before.failures,
            rejections: current.rejections - before.rejections,
            held: u32::try_from(self.held.len()).unwrap_or(u32::MAX),
            held_oldest,
            ttft: None,
            first_tokens: Some(FirstTokens {
                count: current.first_tokens.count - before.first_tokens.count,
                late: current.first_tokens.late - before.first_tokens.late,
                late_after_start: current.first_tokens.late_after_start
                    - before.first_tokens.late_after_start,
            }),
            itl: None,
            engine_time: None,
        }
    }

    /// Writes down the minute that ends.
    pub(crate) fn end_minute(&mut self) -> Result<(), SimulationError> {
        for slot in self.order.clone() {
            self.advance(slot)?;
        }
        let counts = self.minute;
        self.minute = MinuteCounts { minute: counts.minute + 1, ..MinuteCounts::default() };
        let mut minute = Minute {
            minute: counts.minute,
            arrivals: counts.arrivals,
            need: self.need(&counts),
            desired: self.desired,
            queue: self.held.len() as u64,
            ..Minute::default()
        };
        for (_, replica) in self.existing() {
            match replica.phase {
                Phase::Pending | Phase::Starting | Phase::Waking => minute.starting += 1,
                Phase::Ready => minute.ready += 1,
                Phase::Draining => minute.draining += 1,
                Phase::Standby => minute.standby += 1,
            }
            minute.queue += replica.serving.as_ref().map_or(0, |s| u64::from(s.queued()));
        }
        self.tally.series.push(minute);
        Ok(())
    }

    /// Replicas that a minute's arrivals keep busy.
    fn need(&self, counts: &MinuteCounts) -> f64 {
        const MINUTE_SECS: f64 = 60.0;
        if counts.arrivals == 0 {
            return 0.0;
        }
        let arrivals = counts.arrivals as f64;
        let prompt_mean = counts.prompt_tokens as f64 / arrivals;
        let output_mean = counts.output_tokens as f64 / arrivals;
        let engine = &self.config.engine;
        arrivals / MINUTE_SECS / capacity::requests_per_sec(engine, prompt_mean, output_mean)
    }
}
