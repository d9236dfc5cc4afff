//! A run: a trace against a cluster under an autoscaler. The loop is here, what happens is in
//! `cluster`.
//!
//! **Invariant:** time never runs backwards; what happens at one instant happens in the order
//! engines, replicas, faults, arrivals, scrapes, looks.
//!
//! **Invariant:** equal configurations, traces and autoscalers give equal reports, to the byte.
//!
//! **Invariant:** memory is bounded by what is in flight (and by minutes, where a series is asked
//! for), not by the trace's length.
//!
//! Not modelled: networks and proxies' own time, clients that hang up or retry, a limit on how long
//! requests are held, the time an engine takes to shut down, neighbours that come and go while a
//! replica lives, and staleness markers (a lost scrape leaves the one before it).

mod arrivals;
mod config;
mod error;

use std::time::Duration;

use arrivals::Arrivals;
pub use config::{Drain, ReplicasInitial, ScaleDown, SimulationConfig, Victim};
pub use error::SimulationError;
use preheat_core::Instant;
use preheat_traffic::TraceRequest;

use crate::cluster::{Cluster, GatewayTaken};
use crate::event::{Event, Priority};
use crate::preheat_policy::Preheat;
use crate::replica::serving::NEVER;
use crate::report::RunReport;
use crate::scaler::Scaler;
use crate::view::{FleetView, ReplicaView};

const MINUTE: Duration = Duration::from_secs(60);

/// A simulation that is ready to run.
#[derive(Clone, Debug)]
pub struct Simulation {
    config: SimulationConfig,
}

/// Who decides.
enum Autoscaler<'a> {
    Scaler { scaler: &'a mut dyn Scaler, views: Vec<ReplicaView>, shadow: Option<Shadow<'a>> },
    Preheat { preheat: &'a mut Preheat, taken: GatewayTaken },
}

/// preheat, which watches and decides while another scales.
struct Shadow<'a> {
    preheat: &'a mut Preheat,
    taken: GatewayTaken,
}

impl Simulation {
    /// Checks a configuration.
    ///
    /// # Errors
    /// Names the setting that can't be.
    pub fn new(config: SimulationConfig) -> Result<Self, SimulationError> {
        config.check()?;
        Ok(Self { config })
    }

    /// Its configuration.
    pub const fn config(&self) -> &SimulationConfig {
        &self.config
    }

    /// Replicas that are ready when this trace begins.
    pub fn replicas_initial(&self, trace: &[TraceRequest]) -> u32 {
        Arrivals::new(trace.iter().copied()).replicas_initial(&self.config)
    }

    /// Runs a trace, sorted by arrival, under an autoscaler that sets a number of replicas.
    ///
    /// # Errors
    /// When the trace is not sorted or an invariant is broken.
    pub fn run(
        &self,
        trace: impl IntoIterator<Item = TraceRequest>,
        scaler: &mut dyn Scaler,
    ) -> Result<RunReport, SimulationError> {
        let name = scaler.name().to_owned();
        let autoscaler = Autoscaler::Scaler { scaler, views: Vec::new(), shadow: None };
        self.run_under(trace, &name, autoscaler)
    }

    /// The same, while preheat sees what it would see and decides, and nothing of it is done. The run
    /// is the one without it.
    ///
    /// # Errors
    /// When the trace is not sorted or an invariant is broken.
    pub fn run_shadowed(
        &self,
        trace: impl IntoIterator<Item = TraceRequest>,
        scaler: &mut dyn Scaler,
        preheat: &mut Preheat,
    ) -> Result<RunReport, SimulationError> {
        let name = scaler.name().to_owned();
        let shadow = Some(Shadow { preheat, taken: GatewayTaken::default() });
        self.run_under(trace, &name, Autoscaler::Scaler { scaler, views: Vec::new(), shadow })
    }

    /// Runs a trace, sorted by arrival, under preheat.
    ///
    /// # Errors
    /// When the trace is not sorted or an invariant is broken.
    pub fn run_preheat(
        &self,
        trace: impl IntoIterator<Item = TraceRequest>,
        preheat: &mut Preheat,
    ) -> Result<RunReport, SimulationError> {
        let name = preheat.name();
        let taken = GatewayTaken::default();
        self.run_under(trace, name, Autoscaler::Preheat { preheat, taken })
    }

    fn run_under(
        &self,
        trace: impl IntoIterator<Item = TraceRequest>,
        name: &str,
        autoscaler: Autoscaler<'_>,
    ) -> Result<RunReport, SimulationError> {
        let scrapes = match &autoscaler {
            Autoscaler::Scaler { scaler, .. } => Some(scaler.pipeline().scrape_interval),
            Autoscaler::Preheat { .. } => None,
        };
        let cluster = Cluster::new(self.config.clone(), scrapes);
        let mut run = Run { cluster, arrivals: Arrivals::new(trace.into_iter()), autoscaler };
        run.begin();
        run.go_on()?;
        run.end()?;
        let (seed, price) = (self.config.seed, self.config.standby_price);
        Ok(run.cluster.tally.into_report(name, seed, price))
    }
}

/// A run under way.
struct Run<'a, I> {
    cluster: Cluster,
    arrivals: Arrivals<I>,
    autoscaler: Autoscaler<'a>,
}

impl<I: Iterator<Item = TraceRequest>> Run<'_, I> {
    fn begin(&mut self) {
        let config = &self.cluster.config;
        let by_scaler = match &self.autoscaler {
            Autoscaler::Scaler { scaler, .. } => scaler.replicas_initial(),
            Autoscaler::Preheat { .. } => None,
        };
        let count = match by_scaler {
            Some(count) => count.clamp(config.bounds.replicas_min, config.bounds.replicas_max),
            None => self.arrivals.replicas_initial(config),
        };
        let crashes: Vec<Instant> = config.faults.crashes.iter().map(|crash| crash.at).collect();
        let rollouts: Vec<Instant> = config.faults.rollouts.iter().map(|r| r.at).collect();
        let series = config.series;
        self.cluster.begin_with(count);
        for (index, at) in (0..).zip(crashes) {
            self.cluster.events.push(at, Event::Crash { index });
        }
        for (index, at) in (0..).zip(rollouts) {
            self.cluster.events.push(at, Event::Rollout { index });
        }
        if series {
            self.cluster.events.push(Instant::ORIGIN.saturating_add(MINUTE), Event::Minute);
        }
        let first_tick = match &self.autoscaler {
            Autoscaler::Scaler { scaler, .. } => scaler.period(),
            Autoscaler::Preheat { preheat, .. } => preheat.policy().spec().tick_interval,
        };
        self.cluster.events.push(Instant::ORIGIN.saturating_add(first_tick), Event::Tick);
        if let Autoscaler::Scaler { shadow: Some(shadow), .. } = &self.autoscaler {
            let first =
                Instant::ORIGIN.saturating_add(shadow.preheat.policy().spec().tick_interval);
            self.cluster.events.push(first, Event::Shadow);
        }
    }

    /// Everything, one after the other, until nothing that counts is left.
    fn go_on(&mut self) -> Result<(), SimulationError> {
        let mut give_up_at = NEVER;
        loop {
            let arrival_at = self.arrivals.next_at();
            if arrival_at == NEVER {
                let done = self.cluster.requests_inside() == 0 || !self.cluster.config.drain;
                if done {
                    return Ok(());
                }
                if give_up_at == NEVER {
                    let drain_max = self.cluster.config.drain_max;
                    give_up_at = self.cluster.now.saturating_add(drain_max);
                }
            }
            let wake_at = self.cluster.wakes_at();
            let (event_at, priority) =
                self.cluster.events.next().unwrap_or((NEVER, Priority::Look));
            let at = wake_at.min(event_at).min(arrival_at);
            if at > give_up_at || at == NEVER {
                return Ok(());
            }
            self.cluster.pass_to(at)?;
            if wake_at == at {
                self.cluster.wake()?;
            } else if event_at == at && (priority < Priority::Arrival || arrival_at > at) {
                self.happen()?;
            } else if let Some(request) = self.arrivals.take()? {
                self.cluster.arrive(&request);
            }
        }
    }

    /// The next event.
    fn happen(&mut self) -> Result<(), SimulationError> {
        let Some((at, event)) = self.cluster.events.pop() else { return Ok(()) };
        match event {
            Event::Replica { slot, life, step } => self.cluster.live(slot, life, step),
            Event::Crash { index } => self.cluster.crash(index),
            Event::Rollout { index } => self.cluster.roll_out(index),
            Event::Scrape { slot, life } => self.cluster.scrape(slot, life),
            Event::Minute => {
                self.cluster.events.push(at.saturating_add(MINUTE), Event::Minute);
                self.cluster.end_minute()
            }
            Event::Tick => self.tick(at),
            Event::Shadow => self.watch(at),
        }
    }

    /// The autoscaler's turn.
    fn tick(&mut self, at: Instant) -> Result<(), SimulationError> {
        let cluster = &mut self.cluster;
        cluster.check()?;
        let away = cluster.config.faults.controller_is_away(at);
        let next = match &mut self.autoscaler {
            Autoscaler::Scaler { scaler, views, .. } => {
                if !away {
                    let desired = ask(&mut **scaler, cluster, views);
                    cluster.scale_to(desired);
                }
                at.saturating_add(scaler.period())
            }
            Autoscaler::Preheat { preheat, taken } => {
                if away {
                    at.saturating_add(preheat.policy().spec().tick_interval)
                } else {
                    let observation = cluster.observe(preheat.tick(), taken)?;
                    let decided = preheat.decide(&observation);
                    let decided =
                        decided.map_err(|violation| SimulationError::Decision { at, violation })?;
                    cluster.desired = decided.desired;
                    for action in &decided.actions {
                        cluster.apply(action)?;
                    }
                    decided.next_tick_at
                }
            }
        };
        cluster.events.push(next, Event::Tick);
        Ok(())
    }

    /// The turn of a preheat that only watches.
    fn watch(&mut self, at: Instant) -> Result<(), SimulationError> {
        let Autoscaler::Scaler { shadow: Some(shadow), .. } = &mut self.autoscaler else {
            return Ok(());
        };
        let Shadow { preheat, taken } = shadow;
        let observation = self.cluster.observe(preheat.tick(), taken)?;
        let decided = preheat.decide(&observation);
        let decided = decided.map_err(|violation| SimulationError::Decision { at, violation })?;
        self.cluster.events.push(decided.next_tick_at, Event::Shadow);
        Ok(())
    }

    fn end(&mut self) -> Result<(), SimulationError> {
        self.cluster.check()?;
        self.cluster.abandon();
        self.cluster.settle_all();
        Ok(())
    }
}

/// Shows a scaler the fleet and asks it how many there should be.
fn ask(scaler: &mut dyn Scaler, cluster: &mut Cluster, views: &mut Vec<ReplicaView>) -> u32 {
    cluster.view(scaler.pipeline().delay, views);
    let engine = &cluster.config.engine;
    scaler.tick(&FleetView {
        now: cluster.now,
        desired: cluster.desired,
        replicas: views,
        proxy: cluster.proxy(),
        max_num_seqs: engine.max_num_seqs,
        kv_capacity_tokens: engine.kv_capacity_tokens,
        gpus_per_replica: cluster.config.gpus_per_replica,
    })
}
