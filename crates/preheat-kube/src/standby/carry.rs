//! Carries steps on single pods out, while the loop of their pool goes on.
//!
//! **Invariant:** nothing is asked of an engine or written to a pod but while this process leads.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::EventType;
use preheat_api::config::SleepConfig;
use preheat_core::{Instant, Plan, Policy, ReplicaId};
use preheat_runtime::dialect::SleepState;
use preheat_runtime::probe::{ProbeError, Prober};
use preheat_runtime::scrape::SignalStore;
use tokio::task::JoinSet;

use super::{Aside, Availability, Known, Outlook, PodStep, Stance, Step};
use crate::cluster::{WriteError, chain};
use crate::pool::Shared;
use crate::resource::Settings;
use crate::roster::Replica;
use crate::traffic::{Reach, Traffic};

/// Longest wait for an engine's word on whether it sleeps: as for its metrics.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest that falling asleep or waking may take: tens of gigabytes are moved.
const MOVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks at one that moves.
const MOVE_INTERVAL: Duration = Duration::from_millis(250);
/// Engines asked at a time.
const ASKED_MAX: usize = 64;
/// After so many failures in a row, an engine is taken not to be able to sleep.
const FAILURES_MAX: u32 = 3;
/// An engine that can't sleep is asked again after this.
const ABSENT_FOR: Duration = Duration::from_secs(600);

/// The pods of one pool that are set aside, and what is being done to them.
pub(crate) struct Standby {
    prober: Prober,
    aside: Aside,
    /// What engines said of their sleep, by their pods' uids.
    engines: BTreeMap<String, Engine>,
    paths: Option<SleepConfig>,
    tasks: JoinSet<(PodStep, Result<(), StepError>)>,
    /// The last that was said, where the resource wants standby.
    pub(crate) availability: Option<Availability>,
    /// Whether all that is set aside must come back.
    pub(crate) recalls: bool,
    /// Whether decisions may count on sleep.
    counts: bool,
}

/// What was done to a pod, or could not be.
pub(crate) struct Told {
    pub(crate) type_: EventType,
    pub(crate) reason: &'static str,
    pub(crate) pod: ObjectReference,
    pub(crate) note: String,
}

impl Told {
    fn of(step: &PodStep, type_: EventType, reason: &'static str, note: String) -> Self {
        let pod = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(step.pod.clone()),
            uid: Some(step.uid.clone()),
            ..ObjectReference::default()
        };
        Self { type_, reason, pod, note }
    }
}

/// What an engine said of its sleep.
#[derive(Clone, Debug)]
struct Engine {
    restarts: u32,
    /// It can sleep; else why not, as far as it says.
    can: Option<Result<(), String>>,
    asked_at: Instant,
}

/// Why a step was not carried out.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("it is in traffic again, or goes")]
    Changed,
    #[error(transparent)]
    Engine(#[from] ProbeError),
    #[error("{}", chain(.0))]
    Write(#[from] WriteError),
}

impl Standby {
    pub(crate) fn new() -> Self {
        Self {
            prober: Prober::new(),
            aside: Aside::default(),
            engines: BTreeMap::new(),
            paths: None,
            tasks: JoinSet::new(),
            availability: None,
            recalls: false,
            counts: false,
        }
    }

    /// Finds out who is set aside and who sleeps, gives replicas their phases, and says whether more
    /// may be.
    pub(crate) async fn observe(
        &mut self,
        settings: &Settings,
        selector: &str,
        replicas: &mut [Replica],
        (signals, reach): (&SignalStore, Option<&Reach>),
        stance: Stance,
        now: Instant,
    ) {
        if self.paths.as_ref() != Some(&settings.sleep) {
            (self.paths, self.engines) = (Some(settings.sleep.clone()), BTreeMap::new());
        }
        let wants = settings.policy.spec().standby.is_some();
        let said = self.ask(settings, replicas, wants, now).await;
        let mut asleep = BTreeMap::new();
        for replica in replicas.iter() {
            let (id, Some(pod)) = (replica.observation.id, &replica.pod) else { continue };
            let gauge = signals.get(id).and_then(|signals| signals.sleep()).filter(|sample| {
                sample.staleness(now) <= stance.staleness_max
                    && self.aside.believes(&pod.uid, sample.observed_at)
            });
            let gauge = gauge.map(|sample| sample.value != SleepState::Awake);
            // Where there is no way to send it to sleep, nobody has.
            let can_not = self.engines.get(&pod.uid).is_some_and(|e| matches!(e.can, Some(Err(_))));
            let told = said.get(&id).copied().or(gauge).or(can_not.then_some(false));
            asleep.extend(told.map(|told| (id, told)));
        }
        self.recalls = stance.recall;
        self.aside.place(replicas, &asleep, stance, now);
        self.availability = wants.then(|| {
            let disturbed = self.aside.disturbed(replicas, now);
            let disturbed = disturbed.iter().filter_map(|r| Some(r.pod.as_ref()?.name.clone()));
            let engines = self.known(replicas);
            Availability::of(selector, replicas, reach, &engines, disturbed.collect())
        });
        self.counts = match &self.availability {
            Some(Availability::Possible { .. }) => true,
            Some(Availability::Impossible(_)) | None => false,
            // What sleeps already is not given up because somebody has not answered.
            Some(Availability::Unknown(_)) => self.counts || replicas.iter().any(Replica::is_out),
        };
    }

    /// The policy that holds as things are.
    pub(crate) const fn policy<'a>(&self, settings: &'a Settings) -> &'a Policy {
        if self.counts { &settings.policy } else { &settings.policy_awake }
    }

    /// Whether drains are taken out of traffic by the label, rather than deleted.
    pub(crate) const fn drains_aside(&self) -> bool {
        self.availability.is_some() && self.counts
    }

    /// Asks those that are out of traffic, and those that have not said whether they can sleep.
    async fn ask(
        &mut self,
        settings: &Settings,
        replicas: &[Replica],
        wants: bool,
        now: Instant,
    ) -> BTreeMap<ReplicaId, bool> {
        let uids: BTreeSet<&str> =
            replicas.iter().filter_map(|r| Some(r.pod.as_ref()?.uid.as_str())).collect();
        self.engines.retain(|uid, _| uids.contains(uid.as_str()));
        let is_due = |uid: &str, restarts: u32| match self.engines.get(uid) {
            Some(engine) if engine.restarts == restarts => match &engine.can {
                Some(Ok(())) => false,
                Some(Err(_)) => now.since(engine.asked_at) >= ABSENT_FOR,
                None => true,
            },
            Some(_) | None => true,
        };
        let mut questions = Vec::new();
        for replica in replicas.iter().filter(|replica| !replica.ending) {
            let (id, Some(pod)) = (replica.observation.id, &replica.pod) else { continue };
            let is_ready = replica.observation.phase == preheat_core::ReplicaPhase::Ready;
            let is_asked = pod.traffic == Traffic::Off
                || (wants && is_ready && is_due(&pod.uid, pod.restarts));
            let Some(address) = pod.address.filter(|_| is_asked) else { continue };
            let address = SocketAddr::new(address, settings.engine.metrics_port);
            questions.push((id, pod.uid.clone(), pod.restarts, address));
        }
        let (prober, path) = (&self.prober, settings.sleep.state_path.as_str());
        let answers = questions.into_iter().map(|(id, uid, restarts, address)| async move {
            (id, uid, restarts, prober.is_sleeping(address, path, false, ASK_TIMEOUT).await)
        });
        let mut answers = futures_util::stream::iter(answers).buffer_unordered(ASKED_MAX);
        let mut asleep = BTreeMap::new();
        while let Some((id, uid, restarts, answer)) = answers.next().await {
            let can = match answer {
                Ok(()) => Some(Ok(false)),
                Err(ProbeError::WrongSleepState { is_sleeping, .. }) => Some(Ok(is_sleeping)),
                Err(error) if is_absence(&error) => Some(Err(error.to_string())),
                Err(_) => None,
            };
            asleep.extend(can.as_ref().and_then(|can| Some((id, *can.as_ref().ok()?))));
            let before = self.engines.get(&uid).filter(|engine| engine.restarts == restarts);
            let stands = before.is_some_and(|engine| {
                // It failed to fall asleep, whatever it says of being able to.
                matches!(engine.can, Some(Err(_))) && now.since(engine.asked_at) < ABSENT_FOR
            });
            if !stands && (can.is_some() || before.is_none()) {
                let can = can.map(|can| can.map(drop));
                self.engines.insert(uid, Engine { restarts, can, asked_at: now });
            }
        }
        asleep
    }

    /// What the engines of pods that are there have said together.
    fn known(&self, replicas: &[Replica]) -> Known {
        let mut known = Known::Unasked;
        for pod in replicas.iter().filter(|r| !r.ending).filter_map(|r| r.pod.as_ref()) {
            match self.engines.get(&pod.uid).and_then(|engine| engine.can.as_ref()) {
                Some(Err(problem)) => {
                    return Known::Absent { pod: pod.name.clone(), problem: problem.clone() };
                }
                Some(Ok(())) => known = Known::Present,
                None => {}
            }
        }
        known
    }

    /// Takes pods out of traffic, and begins what takes longer. What has ended since the last time.
    pub(crate) async fn carry_out(
        &mut self,
        shared: &Arc<Shared>,
        (namespace, settings): (&str, &Settings),
        outlook: &Outlook<'_>,
        plan: &Plan,
    ) -> Vec<Told> {
        let now = shared.clock.now();
        let mut told = Vec::new();
        while let Some(ended) = self.tasks.try_join_next() {
            // One that panicked is begun anew by the next preheat.
            let Ok((step, result)) = ended else { continue };
            let stays = |replica: &Replica| {
                let pod = replica.pod.as_ref().filter(|_| !replica.ending);
                pod.is_some_and(|pod| pod.uid == step.uid)
            };
            let is_there = outlook.replicas.iter().any(stays);
            // What goes can fail at anything.
            told.extend(self.ended(&step, result, now).filter(|_| is_there));
        }
        for step in self.aside.steps(outlook, plan, now) {
            self.aside.began(&step.uid);
            let Some(address) = step.address.filter(|_| step.step != Step::TakeOut) else {
                let id = (step.pod.as_str(), step.uid.as_str());
                let written = shared.cluster.write_traffic(namespace, id, Traffic::Off).await;
                told.extend(self.ended(&step, written.map_err(StepError::from), now));
                continue;
            };
            let (shared, prober) = (Arc::clone(shared), self.prober.clone());
            let (namespace, paths) = (namespace.to_owned(), settings.sleep.clone());
            let address = SocketAddr::new(address, settings.engine.metrics_port);
            self.tasks.spawn(async move {
                let mover = Mover { shared, prober, namespace, address, paths };
                let result = match step.step {
                    Step::Sleep => mover.put_to_sleep(&step).await,
                    Step::BringBack | Step::TakeOut => mover.bring_back(&step).await,
                };
                (step, result)
            });
        }
        told
    }

    fn ended(
        &mut self,
        step: &PodStep,
        result: Result<(), StepError>,
        now: Instant,
    ) -> Option<Told> {
        let failures = self.aside.ended(&step.uid, result.is_ok(), now);
        let pod = &step.pod;
        let Err(error) = result else {
            match step.step {
                Step::TakeOut => self.aside.wrote(&step.uid, Traffic::Off, now),
                Step::BringBack if step.traffic == Traffic::Off => {
                    self.aside.wrote(&step.uid, Traffic::On, now);
                }
                Step::BringBack | Step::Sleep => {}
            }
            let (reason, what) = match step.step {
                Step::TakeOut => ("TakenOut", "is out of traffic"),
                Step::Sleep => ("PutToSleep", "sleeps"),
                Step::BringBack => ("BroughtBack", "is awake and in traffic"),
            };
            return Some(Told::of(step, EventType::Normal, reason, format!("{pod} {what}")));
        };
        if step.step == Step::Sleep
            && failures >= FAILURES_MAX
            && let Some(engine) = self.engines.get_mut(&step.uid)
        {
            (engine.can, engine.asked_at) = (Some(Err(error.to_string())), now);
        }
        let what = match step.step {
            Step::TakeOut => "taken out of traffic",
            Step::Sleep => "put to sleep",
            Step::BringBack => "brought back",
        };
        // It is tried again and again, and told once.
        let note = || format!("{pod} can't be {what}: {error}");
        (failures == 1).then(|| Told::of(step, EventType::Warning, "StandbyFailed", note()))
    }
}

/// Whether an answer says that there is no such endpoint, rather than none now.
const fn is_absence(error: &ProbeError) -> bool {
    match error {
        ProbeError::Status { status, .. } => *status < 500 || *status == 501,
        ProbeError::Malformed { .. } => true,
        ProbeError::Timeout { .. }
        | ProbeError::Connect { .. }
        | ProbeError::Broken { .. }
        | ProbeError::ModelNotListed { .. }
        | ProbeError::WrongSleepState { .. } => false,
    }
}

/// Moves one engine between awake and asleep.
struct Mover {
    shared: Arc<Shared>,
    prober: Prober,
    namespace: String,
    address: SocketAddr,
    paths: SleepConfig,
}

impl Mover {
    /// It is out of traffic, and was empty for long.
    async fn put_to_sleep(&self, step: &PodStep) -> Result<(), StepError> {
        let id = (step.pod.as_str(), step.uid.as_str());
        if !self.shared.cluster.is_out(&self.namespace, id).await? {
            return Err(StepError::Changed);
        }
        self.fence()?;
        self.prober.post(self.address, &self.paths.sleep_path, MOVE_TIMEOUT).await?;
        self.until_sleeping(true).await
    }

    /// Awake first, then in traffic.
    async fn bring_back(&self, step: &PodStep) -> Result<(), StepError> {
        let state = self.is_sleeping(false).await;
        match state {
            Ok(()) => {}
            Err(ProbeError::WrongSleepState { .. }) => {
                self.fence()?;
                self.prober.post(self.address, &self.paths.wake_path, MOVE_TIMEOUT).await?;
                self.until_sleeping(false).await?;
            }
            // Where there is no way to send it to sleep, nobody has.
            Err(error) if is_absence(&error) && !step.asleep => {}
            Err(error) => return Err(error.into()),
        }
        if step.traffic == Traffic::Off {
            let id = (step.pod.as_str(), step.uid.as_str());
            self.shared.cluster.write_traffic(&self.namespace, id, Traffic::On).await?;
        }
        Ok(())
    }

    async fn until_sleeping(&self, expected: bool) -> Result<(), StepError> {
        let deadline = self.shared.clock.now().saturating_add(MOVE_TIMEOUT);
        loop {
            match self.is_sleeping(expected).await {
                Ok(()) => return Ok(()),
                Err(ProbeError::WrongSleepState { .. } | ProbeError::Timeout { .. })
                    if self.shared.clock.now() < deadline =>
                {
                    self.shared.clock.sleep(MOVE_INTERVAL).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn is_sleeping(&self, expected: bool) -> Result<(), ProbeError> {
        let path = &self.paths.state_path;
        self.prober.is_sleeping(self.address, path, expected, ASK_TIMEOUT).await
    }

    fn fence(&self) -> Result<(), StepError> {
        if self.shared.cluster.leadership.leads() {
            return Ok(());
        }
        Err(WriteError::NotLeading.into())
    }
}
