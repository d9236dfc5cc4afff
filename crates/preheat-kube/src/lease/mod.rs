//! Who of several preheats acts: the holder of a Lease.
//!
//! [`Leadership::leads`] is true only while the last renewal is younger than [`RENEW_DEADLINE`], so
//! that whoever can't reach the apiserver stops writing well before somebody else may begin.
//!
//! **Invariant:** nobody's wall clock is compared with anybody else's.

mod election;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use preheat_core::Instant;
use preheat_runtime::clock::Clock;
use tokio::sync::watch;

use election::{Election, Step};

/// Others may take the lease when it has not been renewed for this long.
pub const LEASE_DURATION: Duration = Duration::from_secs(15);
/// The holder stops acting when it has not renewed for this long.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two looks at the lease.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Longest wait for one answer: what is sent before the deadline ends before others may begin.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(4);

/// Which lease, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Who holds it, when it is this process: different for each.
    pub identity: String,
}

/// Whether this process acts. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Leadership {
    clock: Clock,
    /// Nanoseconds of model time; the end of time where there is no election.
    until: Arc<AtomicU64>,
}

impl Leadership {
    /// Where nobody else can be there.
    pub fn alone(clock: Clock) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(u64::MAX)) }
    }

    fn none(clock: Clock) -> Self {
        Self { clock, until: Arc::new(AtomicU64::new(0)) }
    }

    /// Whether it may write now.
    pub fn leads(&self) -> bool {
        self.clock.now().as_nanos() < self.until.load(Ordering::Acquire)
    }

    fn set(&self, until: Instant) {
        self.until.store(until.as_nanos(), Ordering::Release);
    }
}

/// Takes part in the election until stopped, and then gives the lease back. `changed` is sent to
/// whenever whether it leads has changed.
pub(crate) struct Elector {
    leases: Api<Lease>,
    options: LeaseOptions,
    leadership: Leadership,
    election: Election,
    changed: watch::Sender<bool>,
}

impl Elector {
    pub(crate) fn new(client: Client, clock: Clock, options: LeaseOptions) -> Self {
        Self {
            leases: Api::namespaced(client, &options.namespace),
            election: Election::new(&options.identity, LEASE_DURATION),
            options,
            leadership: Leadership::none(clock),
            changed: watch::Sender::new(false),
        }
    }

    pub(crate) fn leadership(&self) -> Leadership {
        self.leadership.clone()
    }

    pub(crate) fn changes(&self) -> watch::Receiver<bool> {
        self.changed.subscribe()
    }

    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            match tokio::time::timeout(REQUEST_TIMEOUT, self.round()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the lease can't be had or renewed"),
                Err(_) => tracing::warn!("no answer about the lease in time"),
            }
            self.tell();
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                _sent = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        let led = self.leadership.leads();
        self.leadership.set(Instant::ORIGIN);
        self.tell();
        if led {
            // Others needn't wait for it to run out; if this fails, they do.
            let _released = tokio::time::timeout(REQUEST_TIMEOUT, self.release()).await;
        }
    }

    fn tell(&self) {
        let leads = self.leadership.leads();
        let identity = &self.options.identity;
        self.changed.send_if_modified(|before| {
            let changed = *before != leads;
            if changed {
                tracing::info!(identity, leads, "leadership");
            }
            *before = leads;
            changed
        });
    }

    async fn round(&mut self) -> kube::Result<()> {
        let lease = self.leases.get_opt(&self.options.name).await?;
        let asked_at = self.leadership.clock.now();
        let spec = lease.as_ref().map(|lease| lease.spec.clone().unwrap_or_default());
        let taken = match self.election.step(spec.as_ref(), asked_at) {
            Step::Wait => return Ok(()),
            Step::Take { transitions } => self.write(lease, transitions).await,
        };
        match taken {
            Ok(()) => {
                self.leadership.set(asked_at.saturating_add(RENEW_DEADLINE));
                Ok(())
            }
            // Somebody was quicker; the next round sees who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes the lease as this process's, if nobody has written it since it was read.
    async fn write(&self, lease: Option<Lease>, transitions: i32) -> kube::Result<()> {
        let now = MicroTime(Timestamp::now());
        let params = PostParams::default();
        let holder = Some(self.options.identity.clone());
        let ours = |spec: &LeaseSpec| spec.holder_identity == holder;
        let mut renewed = lease.unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.options.name.clone()), ..ObjectMeta::default() },
            spec: None,
        });
        let held =
            renewed.spec.as_ref().filter(|spec| ours(spec)).and_then(|s| s.acquire_time.clone());
        let exists = renewed.metadata.resource_version.is_some();
        renewed.spec = Some(LeaseSpec {
            holder_identity: holder,
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: Some(held.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        });
        if exists {
            self.leases.replace(&self.options.name, &params, &renewed).await?;
        } else {
            self.leases.create(&params, &renewed).await?;
        }
        Ok(())
    }

    async fn release(&self) -> kube::Result<()> {
        let Some(mut lease) = self.leases.get_opt(&self.options.name).await? else { return Ok(()) };
        let Some(spec) = &mut lease.spec else { return Ok(()) };
        if spec.holder_identity.as_deref() == Some(&self.options.identity) {
            spec.holder_identity = None;
            self.leases.replace(&self.options.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}
