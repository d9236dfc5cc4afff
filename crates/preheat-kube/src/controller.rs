//! The controller: watches, takes part in the election, and runs a loop for each resource while it
//! leads.
//!
//! **Invariant:** one loop for each resource, and none while another preheat leads.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::{Api, Client};
use preheat_api::status::PoolStatus;
use preheat_core::{Explanation, Memory, Plan};
use preheat_publish::Counts;
use preheat_runtime::clock::Clock;
use preheat_runtime::journal::{Journal, JournalReader, restore};
use preheat_runtime::prometheus::{PodSource, Prometheus};
use preheat_runtime::routing::PoolId;
use preheat_runtime::scrape::{ScrapeConfig, Scraper};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::cluster::{Cluster, chain};
use crate::counts::counts;
use crate::lease::{Elector, Leadership, LeaseOptions};
use crate::pool::{Pool, Shared, pool_id};
use crate::quotas::Quotas;
use crate::resource::{GROUP, InferenceAutoscaler};
use crate::starts::told_by;
use crate::view::{PoolView, SharedView};

/// Longest wait for an engine's metrics: well below any sensible tick.
const SCRAPE_TIMEOUT: Duration = Duration::from_secs(1);
/// Between two looks for loops that have ended by themselves.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a controller is told.
#[derive(Clone, Debug)]
pub struct ControllerOptions {
    /// Only this namespace; absent for all.
    pub namespace: Option<String>,
    /// How to take part in the election; absent where nobody else can be there.
    pub lease: Option<LeaseOptions>,
    /// The file that the journal is written to, to go on from.
    pub journal_file: PathBuf,
    /// Name of this process in events.
    pub instance: String,
    /// Who is asked for metrics in the pods' place, where they can't be.
    pub metrics: Option<PodSource>,
    /// Who is asked for demand, where resources say by which queries.
    pub demand: Option<Prometheus>,
    /// What was decided and why, as a sentence.
    pub headline: fn(&Plan, &Explanation) -> String,
}

/// Why a controller can't begin.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no usable kubeconfig.
    #[error("no cluster is known: {0}")]
    Kubeconfig(String),
    /// The cluster can't be reached.
    #[error("the cluster can't be reached: {0}")]
    Unreachable(String),
    /// The resource is not defined.
    #[error("the cluster has no InferenceAutoscaler of {GROUP}")]
    NotDefined,
    /// Resources may not be listed.
    #[error("the cluster refuses: {0}")]
    Forbidden(String),
}

impl StartError {
    /// What to do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Kubeconfig(_) => {
                "name a file with --kubeconfig or KUBECONFIG; in a pod, its service account is used"
            }
            Self::Unreachable(_) => {
                "check --kubeconfig and --context; `kubectl get --raw /version` asks the same server"
            }
            Self::NotDefined => "define it with `preheat crd | kubectl apply -f -`",
            Self::Forbidden(_) => "apply deploy/rbac.yaml, or use an account with these rights",
        }
    }
}

type Views = Arc<Mutex<BTreeMap<String, SharedView>>>;

/// The controller, connected.
pub struct KubeController {
    shared: Arc<Shared>,
    journal_file: PathBuf,
    elector: Option<Elector>,
    leading: watch::Receiver<bool>,
    /// Watchers; they end when it is dropped.
    _watchers: JoinSet<()>,
    views: Views,
    counts: Counts,
}

/// Reads what the pools are doing.
#[derive(Clone)]
pub struct PoolStatuses(Views);

impl PoolStatuses {
    /// The pools that something was decided for, by name.
    pub fn get(&self) -> Vec<PoolStatus> {
        let views = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status =
            |view: &SharedView| view.lock().unwrap_or_else(PoisonError::into_inner).status();
        views.values().filter_map(status).collect()
    }
}

/// A loop. Dropping it ends it at once, as a crash would.
struct Running {
    uid: Option<String>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KubeController {
    /// Connects, and begins to watch.
    ///
    /// # Errors
    /// When the cluster can't be reached, or does not know or show the resource.
    pub async fn start(
        client: Client,
        clock: Clock,
        journal: Option<Journal>,
        options: ControllerOptions,
    ) -> Result<Self, StartError> {
        check(&client, options.namespace.as_deref()).await?;
        let elector = options.lease.map(|lease| Elector::new(client.clone(), clock.clone(), lease));
        let leadership =
            elector.as_ref().map_or_else(|| Leadership::alone(clock.clone()), Elector::leadership);
        let leading = match &elector {
            Some(elector) => elector.changes(),
            None => watch::Sender::new(true).subscribe(),
        };
        let mut watchers = JoinSet::new();
        let namespace = options.namespace.as_deref();
        let cluster =
            Cluster::watching(client, namespace, leadership, options.instance, &mut watchers);
        let counts =
            counts(cluster.store(), cluster.changes.subscribe(), clock.clone(), &mut watchers);
        let scraper =
            Scraper::new(ScrapeConfig { timeout: SCRAPE_TIMEOUT, ..ScrapeConfig::default() });
        let headline = options.headline;
        let (metrics, demand) = (options.metrics, options.demand);
        let shared = Arc::new(Shared {
            cluster,
            clock,
            scraper,
            metrics,
            demand,
            journal,
            headline,
            quotas: Quotas::default(),
        });
        Ok(Self {
            shared,
            journal_file: options.journal_file,
            elector,
            leading,
            _watchers: watchers,
            views: Views::default(),
            counts,
        })
    }

    /// For whoever wants to know what the pools are doing.
    pub fn statuses(&self) -> PoolStatuses {
        PoolStatuses(Arc::clone(&self.views))
    }

    /// For whoever tells others what the pools should be, whether or not this process leads.
    pub fn counts(&self) -> Counts {
        self.counts.clone()
    }

    /// Whether it leads, and when that changes.
    pub fn leading(&self) -> watch::Receiver<bool> {
        self.leading.clone()
    }

    /// Runs until stopped. Targets stay as they are; the lease is given back.
    pub async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut election = JoinSet::new();
        if let Some(elector) = self.elector.take() {
            election.spawn(elector.run(stopped.clone()));
        }
        tokio::select! {
            () = self.shared.cluster.listed() => {}
            _sent = stopped.wait_for(|stopped| *stopped) => {}
        }
        let mut changes = self.shared.cluster.changes.subscribe();
        let mut running = BTreeMap::new();
        while !*stopped.borrow() {
            if self.shared.cluster.leadership.leads() {
                self.reconcile(&mut running).await;
            } else {
                self.end_all(&mut running).await;
            }
            tokio::select! {
                _changed = changes.changed() => {}
                _changed = self.leading.changed(), if !election.is_empty() => {}
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
                _sent = stopped.wait_for(|stopped| *stopped) => {}
            }
        }
        self.end_all(&mut running).await;
        // It ends by the same signal, and gives the lease back.
        while election.join_next().await.is_some() {}
    }

    /// Begins a loop for each resource that has none, and ends those whose resource is gone.
    async fn reconcile(&self, running: &mut BTreeMap<String, Running>) {
        let resources = self.shared.cluster.autoscalers();
        // Each status that is written comes by here, of each of hundreds of resources.
        let resources: BTreeMap<String, _> =
            resources.into_iter().map(|resource| (pool_id(&resource).0, resource)).collect();
        let is_there = |name: &str, uid: &Option<String>| {
            resources.get(name).is_some_and(|resource| resource.metadata.uid == *uid)
        };
        let gone: Vec<String> = running
            .iter()
            .filter(|(name, pool)| pool.task.is_finished() || !is_there(name, &pool.uid))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            if let Some(pool) = running.remove(&name) {
                self.end(&name, pool).await;
            }
        }
        for (name, resource) in resources {
            if running.contains_key(&name) {
                continue;
            }
            let id = PoolId(name);
            let mut memory = self.remembered(&id.0).await;
            if memory.cold_starts.is_empty()
                && let Some(status) = &resource.status
            {
                // Another preheat led until now, or this one has lost its journal.
                memory.cold_starts.extend(told_by(status));
            }
            let view = SharedView::new(Mutex::new(PoolView::default()));
            let mut views = self.views.lock().unwrap_or_else(PoisonError::into_inner);
            views.insert(id.0.clone(), Arc::clone(&view));
            drop(views);
            tracing::info!(pool = %id, target = resource.spec.target_ref.name, "watching over");
            let pool = Pool::new(Arc::clone(&self.shared), &resource, memory, view);
            let (stop, stopped) = watch::channel(false);
            let task = tokio::spawn(pool.run(stopped));
            running.insert(id.0, Running { uid: resource.metadata.uid.clone(), stop, task });
        }
    }

    async fn end_all(&self, running: &mut BTreeMap<String, Running>) {
        while let Some((name, pool)) = running.pop_first() {
            self.end(&name, pool).await;
        }
    }

    async fn end(&self, name: &str, mut pool: Running) {
        pool.stop.send_replace(true);
        if let Err(error) = (&mut pool.task).await {
            tracing::error!(pool = name, %error, "the pool's loop failed");
        }
        self.views.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// What the journal remembers of a pool.
    async fn remembered(&self, pool: &str) -> Memory {
        let (file, pool) = (self.journal_file.clone(), pool.to_owned());
        let journal = self.shared.journal.clone();
        let read = tokio::task::spawn_blocking(move || {
            // What this process has just written of the pool is part of it.
            if let Some(journal) = journal {
                journal.flush();
            }
            if !file.exists() {
                return Memory::default();
            }
            let restored =
                JournalReader::open_read_only(&file).and_then(|reader| restore(&reader, &pool));
            match restored {
                Ok(Some(restored)) => restored.memory,
                Ok(None) => Memory::default(),
                Err(error) => {
                    let error = chain(&error);
                    tracing::warn!(pool, error, "starting without memory");
                    Memory::default()
                }
            }
        });
        read.await.unwrap_or_default()
    }
}

/// Asks for the resource once, so that a mistake shows at once and in words.
async fn check(client: &Client, namespace: Option<&str>) -> Result<(), StartError> {
    let resources: Api<InferenceAutoscaler> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    match resources.list(&kube::api::ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Err(StartError::NotDefined),
        Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
            Err(StartError::Forbidden(status.message.clone()))
        }
        Err(error) => Err(StartError::Unreachable(chain(&error))),
    }
}
