//! A toy world for behaviour tests: replicas with slots, one central queue, a fixed cold start, and
//! a gateway that counts. It advances tick by tick and checks every decision's invariants.

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::{
    Action, Allowance, Concurrency, Controls, Counters, Decision, DemandObservation,
    GatewayObservation, Instant, LatencyMean, Memory, Observation, Policy, PolicySpec, ReplicaId,
    ReplicaObservation, ReplicaPhase, Rung, Sample, ScheduledDemand, TickId, decide, invariants,
    replicas_held,
};

pub(crate) const TICK: Duration = Duration::from_secs(2);
/// Of a whole replica.
const ITL: Duration = Duration::from_millis(20);

/// What the world is made of.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) policy: PolicySpec,
    pub(crate) slots: u32,
    pub(crate) service_time: Duration,
    pub(crate) cold_start: Duration,
    /// Replicas that take twice as long for everything.
    pub(crate) slow: Vec<u64>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: PolicySpec::default(),
            slots: 8,
            service_time: Duration::from_secs(10),
            cold_start: Duration::from_secs(120),
            slow: Vec::new(),
        }
    }
}

impl Setup {
    fn factor(&self, id: ReplicaId) -> u32 {
        if self.slow.contains(&id.0) { 2 } else { 1 }
    }
}

#[derive(Clone, Debug)]
struct Replica {
    id: ReplicaId,
    phase: ReplicaPhase,
    phase_since: Instant,
    ordered_at: Instant,
    /// Ends of the requests in its slots.
    running: Vec<Instant>,
    completions: u64,
}

/// One tick's outcome.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) at: Duration,
    pub(crate) ready: usize,
    pub(crate) starting: usize,
    pub(crate) draining: usize,
    pub(crate) queued: usize,
    pub(crate) decision: Decision,
}

pub(crate) struct Toy {
    setup: Setup,
    pub(crate) policy: Policy,
    pub(crate) memory: Memory,
    now: Instant,
    tick: u64,
    next_id: u64,
    replicas: Vec<Replica>,
    queue: VecDeque<Instant>,
    arrivals_carry: f64,
    /// Signals that the world hides: engines' metrics, the gateway.
    pub(crate) engines_visible: bool,
    pub(crate) gateway_visible: bool,
    /// What somebody else's gateway tells: requests that it holds, and arrivals.
    pub(crate) demand_visible: (bool, bool),
    /// Whether engines that are visible count what has ended.
    pub(crate) completions_visible: bool,
    /// Nothing that is decided is carried out.
    pub(crate) only_observed: bool,
    /// What the world says of GPUs, of other pools, and of what is announced.
    pub(crate) replicas_placeable: Option<u32>,
    pub(crate) replicas_allowed: Option<Allowance>,
    pub(crate) scheduled: Vec<ScheduledDemand>,
    pub(crate) controls: Controls,
    pub(crate) cut: usize,
    /// How long ago each start that was given up had been ordered.
    pub(crate) cancelled: Vec<Duration>,
    pub(crate) rows: Vec<Row>,
}

impl Toy {
    pub(crate) fn new(setup: Setup, ready: u64) -> Self {
        let policy = setup.policy.clone().validate().expect("the test's policy is valid");
        let now = Instant::ORIGIN.saturating_add(Duration::from_secs(1000));
        let replicas = (0..ready)
            .map(|id| Replica {
                id: ReplicaId(id),
                phase: ReplicaPhase::Ready,
                phase_since: now,
                ordered_at: now,
                running: Vec::new(),
                completions: 0,
            })
            .collect();
        Self {
            setup,
            policy,
            memory: Memory::default(),
            now,
            tick: 0,
            next_id: ready,
            replicas,
            queue: VecDeque::new(),
            arrivals_carry: 0.0,
            engines_visible: true,
            gateway_visible: true,
            demand_visible: (false, false),
            completions_visible: true,
            only_observed: false,
            replicas_placeable: None,
            replicas_allowed: None,
            scheduled: Vec::new(),
            controls: Controls::default(),
            cut: 0,
            cancelled: Vec::new(),
            rows: Vec::new(),
        }
    }

    /// Runs for `span` at `rate` requests per second.
    pub(crate) fn run(&mut self, span: Duration, rate: f64) -> &[Row] {
        let from = self.rows.len();
        for _ in 0..(span.as_millis() / TICK.as_millis()) {
            self.step(rate);
        }
        &self.rows[from..]
    }

    /// When the next tick is.
    pub(crate) fn next_tick_at(&self) -> Instant {
        self.now.saturating_add(TICK)
    }

    /// Replicas that exist and do not drain.
    pub(crate) fn held(&self) -> u32 {
        self.replicas.iter().filter(|r| r.phase != ReplicaPhase::Draining).count() as u32
    }

    /// Replicas that have a GPU.
    pub(crate) fn existing(&self) -> u32 {
        self.replicas.len() as u32
    }

    /// One tick.
    pub(crate) fn step(&mut self, rate: f64) {
        self.now = self.now.saturating_add(TICK);
        self.arrivals_carry += rate * TICK.as_secs_f64();
        let arrivals = self.arrivals_carry.floor();
        self.arrivals_carry -= arrivals;
        self.queue.extend(std::iter::repeat_n(self.now, arrivals as usize));
        self.advance_replicas();
        let observation = self.observe(arrivals as u64);
        let before = self.memory.clone();
        let decision = decide(&self.policy, &before, &observation);
        invariants::check(&self.policy, &before, &observation, &decision).expect("invariants hold");
        self.memory = decision.memory.clone();
        if !self.only_observed {
            self.apply(&decision);
            let foretold = replicas_held(&observation.replicas, &decision.plan.actions);
            assert_eq!(foretold.0, self.held(), "{:?}", decision.plan);
        }
        self.record(decision);
    }

    fn advance_replicas(&mut self) {
        for replica in &mut self.replicas {
            let wake = matches!(replica.phase, ReplicaPhase::Waking(_));
            let needs = if wake { Duration::from_secs(4) } else { self.setup.cold_start };
            if replica.phase.is_starting() && self.now.since(replica.ordered_at) >= needs {
                replica.phase = ReplicaPhase::Ready;
                replica.phase_since = self.now;
            }
            let before = replica.running.len();
            replica.running.retain(|end| *end > self.now);
            replica.completions = (before - replica.running.len()) as u64;
        }
        while !self.queue.is_empty() {
            let slots = self.setup.slots as usize;
            let free = self
                .replicas
                .iter_mut()
                .filter(|r| r.phase == ReplicaPhase::Ready && r.running.len() < slots)
                .min_by_key(|r| r.running.len());
            let Some(replica) = free else { break };
            let takes = self.setup.service_time * self.setup.factor(replica.id);
            replica.running.push(self.now.saturating_add(takes));
            self.queue.pop_front();
        }
    }

    fn observe(&mut self, arrivals: u64) -> Observation {
        let now = self.now;
        let replicas = self
            .replicas
            .iter()
            .map(|r| {
                // An engine that starts has nothing to tell yet.
                let seen = self.engines_visible && !r.phase.is_starting();
                let counters =
                    Counters { over: TICK, completions: r.completions, ..Counters::default() };
                let in_flight = r.running.len() as u32;
                let itl = LatencyMean {
                    over: TICK,
                    count: 100 * u64::from(in_flight),
                    mean: ITL * self.setup.factor(r.id),
                };
                let itl = (seen && in_flight > 0).then_some(Sample::new(itl, now));
                ReplicaObservation {
                    start_ordered_at: r.ordered_at,
                    in_flight: seen.then_some(Sample::new(in_flight, now)),
                    queue_depth: seen.then_some(Sample::new(0, now)),
                    max_num_seqs: Concurrency::new(self.setup.slots),
                    counters: (seen && self.completions_visible)
                        .then_some(Sample::new(counters, now)),
                    itl,
                    outstanding: self.gateway_visible.then_some(Sample::new(in_flight, now)),
                    ..ReplicaObservation::untold(r.id, r.phase, r.phase_since)
                }
            })
            .collect();
        let gateway = self.gateway_visible.then(|| GatewayObservation {
            observed_at: now,
            over: TICK,
            arrivals,
            completions: self.replicas.iter().map(|r| r.completions).sum(),
            failures: 0,
            rejections: 0,
            held: self.queue.len() as u32,
            held_oldest: self.queue.front().map(|since| now.since(*since)),
            ttft: None,
            first_tokens: None,
            itl: None,
            engine_time: None,
        });
        let (held, arrived) = self.demand_visible;
        let demand = DemandObservation {
            held: held.then(|| Sample::new(self.queue.len() as u32, now)),
            arrivals: arrived.then(|| Sample::new(arrivals, now)),
        };
        let tick = TickId(self.tick);
        self.tick += 1;
        Observation {
            gateway,
            demand: (demand != DemandObservation::default()).then_some(demand),
            replicas_placeable: self.replicas_placeable,
            replicas_allowed: self.replicas_allowed.clone(),
            scheduled: self.scheduled.clone(),
            controls: self.controls,
            ..Observation::of(tick, now, replicas)
        }
    }

    fn apply(&mut self, decision: &Decision) {
        let now = self.now;
        for action in &decision.plan.actions {
            match *action {
                Action::Start { count } => {
                    for _ in 0..count {
                        self.replicas.push(Replica {
                            id: ReplicaId(self.next_id),
                            phase: ReplicaPhase::Loading,
                            phase_since: now,
                            ordered_at: now,
                            running: Vec::new(),
                            completions: 0,
                        });
                        self.next_id += 1;
                    }
                }
                Action::Wake { replica } => {
                    self.enter(replica, ReplicaPhase::Waking(Rung::Sleeping));
                    let now = self.now;
                    self.find(replica).ordered_at = now;
                }
                Action::Resume { replica } => self.enter(replica, ReplicaPhase::Ready),
                Action::Drain { replica } => self.enter(replica, ReplicaPhase::Draining),
                Action::Sleep { replica, rung } => self.enter(replica, ReplicaPhase::Standby(rung)),
                Action::Stop { replica, .. } => {
                    let stopped = self.find(replica);
                    let (running, ordered_at) = (stopped.running.len(), stopped.ordered_at);
                    if stopped.phase.is_starting() {
                        self.cancelled.push(now.since(ordered_at));
                    }
                    self.cut += running;
                    self.replicas.retain(|r| r.id != replica);
                }
            }
        }
    }

    fn find(&mut self, id: ReplicaId) -> &mut Replica {
        self.replicas.iter_mut().find(|r| r.id == id).expect("the plan names what exists")
    }

    fn enter(&mut self, id: ReplicaId, phase: ReplicaPhase) {
        let now = self.now;
        let replica = self.find(id);
        replica.phase = phase;
        replica.phase_since = now;
    }

    fn record(&mut self, decision: Decision) {
        let count = |phase: fn(ReplicaPhase) -> bool| {
            self.replicas.iter().filter(|r| phase(r.phase)).count()
        };
        self.rows.push(Row {
            at: self.now.since(Instant::ORIGIN.saturating_add(Duration::from_secs(1000))),
            ready: count(|p| p == ReplicaPhase::Ready),
            starting: count(ReplicaPhase::is_starting),
            draining: count(|p| p == ReplicaPhase::Draining),
            queued: self.queue.len(),
            decision,
        });
    }
}
