//! One resource's loop: read, ask the engines, decide, write, wait.
//!
//! **Invariant:** what is about to be written to the scale is noted in the status first, so that
//! whoever goes on from there knows it as preheat's own.

mod demand;
mod logs;
mod set_aside;
mod tell;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use preheat_api::dialect::Dialect;
use preheat_api::status::ScheduledStatus;
use preheat_core::{DemandObservation, Explanation, Instant, Memory, Observation, Plan, ReplicaId};
use preheat_runtime::clock::Clock;
use preheat_runtime::controller::{Controller, Ticked};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::journal::Journal;
use preheat_runtime::prometheus::{PodSource, Prometheus};
use preheat_runtime::routing::PoolId;
use preheat_runtime::scrape::{ScrapeTarget, Scraper, SignalStore};
use tokio::sync::watch;

use crate::cluster::{Cluster, ReadScale, WriteError, chain};
use crate::demand::Demand;
use crate::ground::Ground;
use crate::ownership::{Conflict, FOREIGN_WRITE, Written};
use crate::publication::Order;
use crate::quotas::{Membership, Quotas};
use crate::report::{Seen, Trouble};
use crate::resource::{
    ConditionStatus, InferenceAutoscaler, InferenceAutoscalerStatus, Mode, Settings, SettingsError,
    contradicted,
};
use crate::roster::{Replica, Roster};
use crate::selector;
use crate::standby::Standby;
use crate::view::{PoolView, SharedView, shown};
use crate::writes::{Situation, Writes, writes};

/// Until the next look at a resource that can't be worked with.
const TROUBLE_INTERVAL: Duration = Duration::from_secs(5);

/// What every pool's loop works with.
pub(crate) struct Shared {
    pub(crate) cluster: Cluster,
    pub(crate) clock: Clock,
    pub(crate) scraper: Scraper,
    /// Asked in the pods' place.
    pub(crate) metrics: Option<PodSource>,
    /// Asked for demand.
    pub(crate) demand: Option<Prometheus>,
    pub(crate) journal: Option<Journal>,
    pub(crate) headline: fn(&Plan, &Explanation) -> String,
    pub(crate) quotas: Quotas,
}

/// One resource's loop.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    key: ObjectRef<InferenceAutoscaler>,
    uid: Option<String>,
    id: PoolId,
    view: SharedView,
    memory: Option<Memory>,
    roster: Roster,
    standby: Standby,
    signals: SignalStore,
    ground: Ground,
    /// Whether some engine's log could not be read last time.
    logs_unread: bool,
    /// Demand that finds no replica.
    demand: Demand,
    /// Pods whose engines told their metrics last time, by uid.
    answering: BTreeSet<String>,
    /// As last written.
    status: InferenceAutoscalerStatus,
    status_at: Instant,
    written: Option<Written>,
    /// What others are to write.
    order: Option<Order>,
    written_at: Option<String>,
    /// The object that was scaled last: another of its name was not.
    target: Option<String>,
    /// A conflict that outlives its cause, and the generation at which it began.
    foreign: Option<(Conflict, i64)>,
    /// When a ready replica last told something, or none was ready.
    told_at: Option<Instant>,
    /// The checked spec, and the generation that it is of.
    settings: Option<(i64, Arc<Settings>)>,
    /// Its part in a quota.
    membership: Option<Membership>,
}

impl Pool {
    /// Goes on from where the resource's status and the journal say that preheat was.
    pub(crate) fn new(
        shared: Arc<Shared>,
        resource: &InferenceAutoscaler,
        memory: Memory,
        view: SharedView,
    ) -> Self {
        let status = resource.status.clone().unwrap_or_default();
        let written = status
            .written_replicas
            .map(|replicas| Written { replicas, before: status.current_replicas });
        let published = status.published_replicas;
        let asked = status.current_replicas.unwrap_or_default();
        let order =
            published.map(|replicas| Order::next(None, replicas, asked, shared.clock.now()));
        let foreign = status.conditions.iter().find(|condition| {
            condition.type_ == "Conflicted"
                && condition.status == ConditionStatus::True
                && condition.reason == FOREIGN_WRITE
        });
        let foreign = foreign.map(|condition| {
            // The numbers are in the sentence that is kept, and nowhere else.
            (Conflict::Kept { message: condition.message.clone() }, condition.observed_generation)
        });
        Self {
            key: ObjectRef::from_obj(resource),
            uid: resource.metadata.uid.clone(),
            id: pool_id(resource),
            view,
            roster: Roster::after(&memory),
            standby: Standby::new(),
            memory: Some(memory),
            signals: SignalStore::default(),
            ground: Ground::restored(&status),
            logs_unread: false,
            demand: Demand::default(),
            answering: BTreeSet::new(),
            written_at: status.last_scale_time.clone(),
            status,
            status_at: Instant::ORIGIN,
            written,
            order,
            target: None,
            foreign,
            told_at: None,
            settings: None,
            membership: None,
            shared,
        }
    }

    /// Ticks until stopped, or until the resource is gone.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let tick = self.tick();
            let next = tokio::select! {
                next = tick => next,
                _sent = stopped.wait_for(|stopped| *stopped) => break,
            };
            let Some(next_tick_at) = next else { break };
            tokio::select! {
                () = self.shared.clock.sleep_until(next_tick_at) => {}
                _sent = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        let now = self.shared.clock.now();
        if let Some(controller) = &mut self.lock().controller {
            controller.shutdown(now);
        }
    }

    /// One tick; when the next is due, or `None` when the resource is gone or another preheat leads.
    async fn tick(&mut self) -> Option<Instant> {
        if !self.shared.cluster.leadership.leads() {
            return None;
        }
        let resource = self.shared.cluster.autoscaler(&self.key)?;
        if resource.metadata.uid != self.uid {
            return None;
        }
        match self.decide(&resource).await {
            Ok(next_tick_at) => Some(next_tick_at),
            Err(trouble) => {
                tracing::warn!(pool = %self.id, %trouble, "holding");
                if matches!(trouble, Trouble::TargetMissing { .. }) {
                    // What is made under that name later is not as preheat left it.
                    (self.written, self.foreign, self.order) = (None, None, None);
                }
                // What can't be read can hardly be written.
                if !matches!(trouble, Trouble::Unreachable(_)) {
                    self.report(&resource, Err(&trouble)).await;
                }
                Some(self.shared.clock.now().saturating_add(TROUBLE_INTERVAL))
            }
        }
    }

    async fn decide(&mut self, resource: &InferenceAutoscaler) -> Result<Instant, Trouble> {
        let settings = self.settings(resource)?;
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        self.take_part(resource, &settings)?;
        let read = self.shared.cluster.scale(namespace, &settings.target).await?;
        if self.target.is_some() && self.target != read.uid {
            (self.written, self.foreign, self.order) = (None, None, None);
        }
        self.target.clone_from(&read.uid);
        let conflict = self.conflict(resource, &settings, read.asked);
        let mode = if conflict.is_some() { Mode::Observe } else { settings.mode };
        if mode != Mode::Publish {
            self.order = None;
        }
        // What is published counts as written, as long as it may yet be.
        let asked = Order::taken_for(self.order, read.asked, self.shared.clock.now());
        let recall =
            mode != settings.mode && conflict.as_ref().is_some_and(Conflict::is_about_scale);
        let stance = (mode != Mode::Observe, recall);
        let shared = Arc::clone(&self.shared);
        let asking = demand::ask(&shared, &settings, namespace);
        let (replicas, round) =
            tokio::join!(self.observe(resource, &settings, (&read, asked), stance), asking);
        let replicas = replicas?;
        let demand = self.demand.take(round);
        let demand = settings.demand.is_some().then_some(demand);
        let acts = mode != Mode::Observe && settings.pause.is_none();
        let ticked = self.think(&settings, &replicas, demand, acts);
        let explanation = ticked.entry.body.explanation();
        let observation = ticked.entry.body.observation();
        let demand = observation.and_then(|seen| self.demand_seen(&settings, seen));
        let situation = Situation {
            settings: &settings,
            mode,
            asked,
            replicas: &replicas,
            blind: self.blind_for(&replicas, explanation, demand.as_ref()),
            idle: self.written.is_some_and(|written| written.replicas == 0),
            drains_aside: self.standby.drains_aside(),
        };
        self.move_pods(resource, &situation, &ticked.plan).await;
        // A decision that broke an invariant has an empty plan, and its level is what is there.
        let writes = if explanation.is_some() {
            writes(&situation, &ticked.plan)
        } else {
            Writes::default()
        };
        if mode != Mode::Act {
            self.written = None;
        }
        let headline = explanation
            .map_or_else(|| HELD.to_owned(), |why| (self.shared.headline)(&ticked.plan, why));
        let follower = self.shared.cluster.follower(resource);
        let troubles = self.troubles(&replicas);
        let seen = Seen {
            settings: &settings,
            mode,
            conflict: conflict.as_ref(),
            follower: follower.as_ref(),
            // The mode is told even where nothing would be written.
            withheld: writes
                .withheld
                .or((mode == Mode::Observe).then_some(crate::writes::Withheld::Observe)),
            standby: self.standby.availability.clone(),
            demand: demand.as_ref(),
            asked: read.asked,
            selector: &read.selector,
            replicas: &replicas,
            troubles: &troubles,
            plan: &ticked.plan,
            explanation,
            headline: &headline,
        };
        match mode {
            Mode::Publish => {
                self.publish(resource, writes.replicas.unwrap_or(asked), &writes, &seen).await;
            }
            Mode::Observe | Mode::Act => self.carry_out(resource, &read, &writes, &seen).await,
        }
        Ok(ticked.plan.next_tick_at)
    }

    /// The checked spec. Time zones are looked up once for each generation, not at each tick.
    fn settings(&mut self, resource: &InferenceAutoscaler) -> Result<Arc<Settings>, Trouble> {
        let generation = resource.metadata.generation.unwrap_or_default();
        if let Some((of, settings)) = &self.settings
            && *of == generation
        {
            return Ok(Arc::clone(settings));
        }
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let settings = Arc::new(Settings::of(&resource.spec, namespace)?);
        let asks = settings.demand.is_some() && settings.inference_pool.is_none();
        if self.shared.demand.is_none() && asks {
            return Err(SettingsError::NoDemandPrometheus.into());
        }
        if self.shared.metrics.is_none() && matches!(settings.dialect, Dialect::Queries(_)) {
            return Err(SettingsError::NoPrometheus.into());
        }
        self.settings = Some((generation, Arc::clone(&settings)));
        Ok(settings)
    }

    /// Takes part in the quota that the spec names, or leaves the one that it named.
    fn take_part(
        &mut self,
        resource: &InferenceAutoscaler,
        settings: &Settings,
    ) -> Result<(), Trouble> {
        if let Some(quota) = &settings.quota {
            let all = self.shared.cluster.autoscalers();
            if let Some((other, theirs)) = contradicted(resource, all.iter().map(Arc::as_ref)) {
                let (gpus, other) = (quota.gpus, other.to_owned());
                return Err(Trouble::Quota { gpus, theirs, other });
            }
        }
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let held = self.status.current_replicas.unwrap_or(0);
        let before = self.membership.take();
        self.membership = self.shared.quotas.take_part(before, &self.id, namespace, settings, held);
        Ok(())
    }

    /// Asks the engines, and says what there is.
    async fn observe(
        &mut self,
        resource: &InferenceAutoscaler,
        settings: &Settings,
        (read, asked): (&ReadScale, u32),
        stance: (bool, bool),
    ) -> Result<Vec<Replica>, Trouble> {
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let selector = selector::parse(&read.selector)?;
        let engine = &settings.engine;
        let now = self.shared.clock.now();
        let pods = self.shared.cluster.pods(namespace, &selector);
        let (nodes, taken) = (self.shared.cluster.nodes(), self.shared.cluster.taken(now));
        self.read_logs(resource, settings, &pods).await;
        let around = (nodes.as_slice(), taken.as_deref());
        let told = (pods.as_slice(), &self.shared.cluster.pod_events(&pods));
        let seen = self.ground.see(around, told, settings, &self.answering, now);
        let mut replicas = self.roster.take(seen, asked, now);
        self.ground.learn(&replicas, now);
        let path: Arc<str> = engine.metrics_path.as_str().into();
        let dialects = Dialects::of(&settings.dialect);
        let target = |replica: &Replica| {
            let address = replica.pod.as_ref()?.address?;
            let address = SocketAddr::new(address, engine.metrics_port);
            let (path, dialects) = (Arc::clone(&path), Arc::clone(&dialects));
            Some(ScrapeTarget { id: replica.observation.id, address, path, dialects })
        };
        let targets: Vec<ScrapeTarget> = replicas.iter().filter_map(target).collect();
        let clock = &self.shared.clock;
        let answers = match &self.shared.metrics {
            None => self.shared.scraper.scrape(clock, &targets).await,
            Some(source) => {
                let pod = |replica: &Replica| {
                    let pod = replica.pod.as_ref().filter(|pod| pod.address.is_some())?;
                    Some((replica.observation.id, pod.name.clone()))
                };
                let pods: Vec<(ReplicaId, String)> = replicas.iter().filter_map(pod).collect();
                let pods: Vec<(ReplicaId, &str)> =
                    pods.iter().map(|(id, name)| (*id, name.as_str())).collect();
                match &settings.dialect {
                    Dialect::Queries(queries) => {
                        source.query(clock, namespace, queries, &pods).await
                    }
                    Dialect::Auto | Dialect::Known(_) | Dialect::Custom(_) => {
                        source.scrape(clock, namespace, &dialects, &pods).await
                    }
                }
            }
        };
        let told: BTreeSet<ReplicaId> =
            answers.iter().filter(|(_, answer)| answer.is_ok()).map(|(id, _)| *id).collect();
        // An engine that does not run any more starts its signals afresh when it does again.
        self.signals.retain(|id| targets.iter().any(|target| target.id == id));
        self.signals.record_all(answers);
        for (replica, trouble) in self.signals.new_troubles() {
            tracing::warn!(pool = %self.id, %replica, "{trouble}");
        }
        for replica in &mut replicas {
            self.signals.fill(&mut replica.observation);
        }
        self.set_aside(namespace, settings, (read, &pods), &mut replicas, stance).await;
        let answering = replicas.iter().filter(|replica| told.contains(&replica.observation.id));
        self.answering =
            answering.filter_map(|replica| Some(replica.pod.as_ref()?.uid.clone())).collect();
        let port = engine.metrics_port;
        let troubles = self.troubles(&replicas);
        let trouble = |replica: &Replica| troubles.get(&replica.observation.id).cloned();
        let pods = replicas.iter().map(|replica| shown(replica, port, trouble(replica))).collect();
        self.lock().pods = pods;
        Ok(replicas)
    }

    /// What is wrong with replicas' metrics.
    fn troubles(&self, replicas: &[Replica]) -> BTreeMap<ReplicaId, String> {
        let trouble = |replica: &Replica| {
            let id = replica.observation.id;
            Some((id, self.signals.get(id)?.trouble()?.to_owned()))
        };
        replicas.iter().filter_map(trouble).collect()
    }

    /// Decides, by the policy as it is now.
    fn think(
        &mut self,
        settings: &Settings,
        replicas: &[Replica],
        demand: Option<DemandObservation>,
        acts: bool,
    ) -> Ticked {
        let now = self.shared.clock.now();
        let scheduled = settings.schedules.upcoming(now);
        let memory = self.memory.take();
        let policy = self.standby.policy(settings);
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.scheduled = scheduled.iter().copied().map(ScheduledStatus::from).collect();
        let controller = view.controller.get_or_insert_with(|| {
            let (gpus, policy) = (settings.engine.gpus_per_replica, policy.clone());
            let controller =
                Controller::new(self.id.clone(), gpus, policy, memory.unwrap_or_default());
            match &self.shared.journal {
                Some(journal) => controller.with_journal(journal.clone()),
                None => controller,
            }
        });
        controller.set_policy(policy.clone());
        let replicas = replicas.iter().map(|replica| replica.observation.clone()).collect();
        let observation = Observation {
            demand,
            placeable_on: self.ground.placeable_on.clone(),
            scheduled: scheduled.iter().map(|entry| entry.demand).collect(),
            ..Observation::of(controller.next_tick(), now, replicas)
        };
        match &self.membership {
            Some(membership) => membership.tick(controller, observation, acts),
            None => controller.tick(observation),
        }
    }

    /// Who stands in the way of writing.
    fn conflict(
        &mut self,
        resource: &InferenceAutoscaler,
        settings: &Settings,
        asked: u32,
    ) -> Option<Conflict> {
        let generation = resource.metadata.generation.unwrap_or_default();
        if self.foreign.as_ref().is_some_and(|(_, since)| generation > *since) {
            // Somebody changed the resource after having read what it said.
            (self.foreign, self.written) = (None, None);
        }
        if settings.mode == Mode::Act
            && let Some(written) = self.written
        {
            if written.explains(asked) {
                self.written = Some(Written::confirmed(asked));
            } else {
                let conflict = Conflict::ForeignWrite { written: written.replicas, asked };
                self.foreign = Some((conflict, generation));
            }
        }
        let kept = self.foreign.as_ref().map(|(conflict, _)| conflict.clone());
        kept.or_else(|| self.shared.cluster.rival(resource))
    }

    /// Writes costs, status and scale, in this order.
    async fn carry_out(
        &mut self,
        resource: &InferenceAutoscaler,
        read: &ReadScale,
        writes: &Writes,
        seen: &Seen<'_>,
    ) {
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        let cluster = &self.shared.cluster;
        let Some(replicas) = writes.replicas else {
            self.report(resource, Ok(seen)).await;
            return;
        };
        if let Err(error) = cluster.write_costs(namespace, &writes.costs).await {
            tracing::warn!(pool = %self.id, error = %chain(&error), "no pod could be chosen to go");
            return;
        }
        let before = self.written;
        self.written = Some(Written::intended(replicas, read.asked));
        if let Err(error) = self.report_now(resource, Ok(seen)).await {
            tracing::warn!(pool = %self.id, error = %chain(&error), "nothing is written unannounced");
            self.written = before;
            return;
        }
        self.roster.choose(writes.victims.iter().cloned());
        let name = &seen.settings.target.name;
        match self.shared.cluster.write_scale(read, name, replicas).await {
            Ok(()) => {
                self.written = Some(Written::confirmed(replicas));
                self.written_at = Some(Timestamp::now().to_string());
                self.announce(resource, read.asked, replicas, seen).await;
            }
            // The next tick sees who it was.
            Err(error @ (WriteError::NotLeading | WriteError::Overtaken)) => {
                tracing::warn!(pool = %self.id, %error, "the scale is left as it is");
            }
            // It may have arrived all the same.
            Err(error) => {
                tracing::warn!(pool = %self.id, error = %chain(&error), "the scale is not written");
            }
        }
    }

    /// Writes costs, and then the status with the count for others to write.
    async fn publish(
        &mut self,
        resource: &InferenceAutoscaler,
        replicas: u32,
        writes: &Writes,
        seen: &Seen<'_>,
    ) {
        let namespace = resource.metadata.namespace.as_deref().unwrap_or_default();
        if let Err(error) = self.shared.cluster.write_costs(namespace, &writes.costs).await {
            tracing::warn!(pool = %self.id, error = %chain(&error), "no pod could be chosen to go");
            return;
        }
        if writes.replicas.is_some() {
            self.roster.choose(writes.victims.iter().cloned());
        }
        let before = self.order;
        let order = Order::next(before, replicas, seen.asked, self.shared.clock.now());
        self.order = Some(order);
        self.report(resource, Ok(seen)).await;
        if let Some(before) = before.filter(|before| before.replicas != replicas) {
            let note =
                format!("{} → {replicas} replicas published. {}", before.replicas, seen.headline);
            tracing::info!(pool = %self.id, from = before.replicas, to = replicas, "published");
            self.shared.cluster.tell(resource, EventType::Normal, "Published", &note).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, PoolView> {
        // A tick that panicked leaves the memory of the tick before: still sound.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Said of a tick whose decision broke an invariant.
const HELD: &str = "The decision broke an invariant, and everything is held as it is.";

/// A pool's name in journals and metrics.
pub(crate) fn pool_id(resource: &InferenceAutoscaler) -> PoolId {
    let metadata = &resource.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    PoolId(format!("{namespace}/{}", metadata.name.as_deref().unwrap_or_default()))
}
