//! Takes one request to an engine that begins to answer it: picks, holds, sends, and sends again
//! where that is safe. Knows nothing of the client's connection.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header, response};
use http_body_util::Full;
use preheat_core::Instant;
use preheat_runtime::clock::Clock;
use preheat_runtime::routing::{PoolRoutes, RoutingReceiver, RoutingTable};
use tokio::sync::watch;

use crate::aside::{Aside, BackendKey};
use crate::body::{GatewayBody, Return};
use crate::config::GatewayConfig;
use crate::headers::strip_hop_by_hop;
use crate::hold::HoldQueue;
use crate::idle::IdlePool;
use crate::outcome::{Arrival, Progress};
use crate::pick::{Assigned, Choice, Picker};
use crate::refusal::Refusal;
use crate::stats::{GatewayStats, count};
use crate::upstream::{SendError, Upstream, UpstreamBody};

/// What a draining vLLM answers, with status 500, to requests that it does not begin.
const DRAINING_MARK: &[u8] = b"cannot schedule new futures after shutdown";

/// Shares of the gateway that requests meet in.
pub(crate) struct Forwarder {
    pub(crate) config: GatewayConfig,
    pub(crate) clock: Clock,
    pub(crate) routes: RoutingReceiver,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) stats: Arc<GatewayStats>,
    pub(crate) aside: Aside,
    pub(crate) hold: HoldQueue,
    pub(crate) idle: Arc<IdlePool>,
    picker: Picker,
}

/// A client's request, kept until an engine has begun.
pub(crate) struct Forward {
    pub(crate) method: Method,
    pub(crate) path: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) model: String,
}

/// A response that an engine has begun: its head, and its first bytes unless it has none.
struct Begun {
    head: response::Parts,
    first: Option<Bytes>,
    body: UpstreamBody,
    sent_at: Instant,
}

/// Why an attempt came to nothing.
enum AttemptError {
    /// The backend could not be reached.
    Unreachable,
    /// The backend left the routing table before the request was sent.
    Unlisted,
    /// The connection was lost before anything was sent.
    NotSent,
    /// The engine broke off before the first byte of its body.
    Closed,
}

/// What was tried so far.
#[derive(Default)]
struct Tried {
    retries: u32,
    closed: bool,
    refused: bool,
    /// The last backend that did not work out.
    last: Option<BackendKey>,
}

impl Forward {
    fn to_request(&self, backend: BackendKey) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        if !self.headers.contains_key(header::HOST)
            && let Ok(host) = HeaderValue::try_from(backend.address.to_string())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        request
    }
}

impl Begun {
    /// Whether the engine refused the request without working on it.
    fn is_refusal(&self) -> bool {
        self.head.status == StatusCode::SERVICE_UNAVAILABLE || self.is_draining()
    }

    /// Error bodies are short, so that one that is split over two frames is not worth waiting for.
    fn is_draining(&self) -> bool {
        let first = self.first.as_deref().unwrap_or_default();
        self.head.status == StatusCode::INTERNAL_SERVER_ERROR
            && memchr::memmem::find(first, DRAINING_MARK).is_some()
    }
}

impl Forwarder {
    pub(crate) fn new(
        config: GatewayConfig,
        clock: Clock,
        routes: RoutingReceiver,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        let idle_timeout = clock.to_model(config.upstream_idle_timeout);
        Self {
            stats: Arc::default(),
            aside: Aside::default(),
            hold: HoldQueue::new(config.hold_requests_max, config.hold_bytes_max),
            idle: Arc::new(IdlePool::new(idle_timeout, config.upstream_idle_max)),
            picker: Picker::default(),
            config,
            clock,
            routes,
            stopping,
        }
    }

    /// The pool that serves `model` now.
    pub(crate) fn pool(&self, model: &str) -> Option<Arc<PoolRoutes>> {
        self.routes.borrow().pools_by_model.get(model).map(Arc::clone)
    }

    /// An engine's answer to `forward`, from its first byte on.
    pub(crate) async fn forward(
        &self,
        pool: &PoolRoutes,
        forward: Forward,
        arrival: Arrival,
    ) -> Result<Response<GatewayBody>, Refusal> {
        let mut tried = Tried::default();
        loop {
            let choice = Choice::Prefer { other_than: tried.last };
            let assigned = match self.pick(&forward.model, choice) {
                Some(assigned) => assigned,
                None => match self.hold(pool, &forward, &arrival).await {
                    Ok(assigned) => {
                        // Time bounds a held request, so that a crashed replica that stays listed
                        // does not use up the retries of those that wait for the next one.
                        tried.retries = 0;
                        assigned
                    }
                    Err(refusal) => return Err(reject(arrival, refusal)),
                },
            };
            let backend = assigned.backend;
            let again = tried.last.is_some();
            match self.attempt(&forward, backend, again).await {
                Ok(begun) => {
                    if !self.should_pass_on(&begun, backend, &mut tried, &forward.model) {
                        continue;
                    }
                    drop(forward);
                    return Ok(self.pass_on(begun, assigned, arrival));
                }
                Err(error) => {
                    if let Some(refusal) = self.give_up(&error, backend, &mut tried) {
                        return Err(match error {
                            AttemptError::Closed => {
                                arrival.failed();
                                refusal
                            }
                            AttemptError::Unreachable
                            | AttemptError::Unlisted
                            | AttemptError::NotSent => reject(arrival, refusal),
                        });
                    }
                }
            }
        }
    }

    /// Picks from the routing table as it is at this moment.
    fn pick(&self, model: &str, choice: Choice) -> Option<Assigned> {
        let table = self.routes.borrow();
        let pool = table.pools_by_model.get(model)?;
        self.picker.pick(pool, &self.aside, choice, self.clock.now())
    }

    /// Waits until the pool has a backend.
    async fn hold(
        &self,
        pool: &PoolRoutes,
        forward: &Forward,
        arrival: &Arrival,
    ) -> Result<Assigned, Refusal> {
        let arrived_at = arrival.arrived_at;
        let deadline = arrived_at.saturating_add(self.config.hold_timeout);
        let mut waiting = self
            .hold
            .enter(&pool.pool, arrived_at, forward.body.len())
            .map_err(|_full| Refusal::HoldFull)?;
        let _held = pool.meter.hold(arrived_at);
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            released = &mut waiting.released => released.map_err(|_gone| Refusal::ShuttingDown),
            _ = stopping.wait_for(|stopping| *stopping) => Err(Refusal::ShuttingDown),
            () = self.clock.sleep_until(deadline) => Err(Refusal::HoldTimeout),
        }
    }

    /// Gives held requests the backends that are there, and closes what idles for nobody.
    ///
    /// Runs for as long as it is polled.
    pub(crate) async fn keep_house(&self) {
        let mut routes = self.routes.clone();
        let sweep_every = self.config.upstream_idle_timeout.max(Duration::from_millis(100));
        let mut sweep = tokio::time::interval(sweep_every);
        let mut world_gone = false;
        loop {
            let now = self.clock.now();
            let aside_ends = self.aside.expire(now);
            let table = Arc::clone(&routes.borrow_and_update());
            let choice = Choice::Prefer { other_than: None };
            self.hold.release(&table, |pool| self.picker.pick(pool, &self.aside, choice, now));
            tokio::select! {
                changed = routes.changed(), if !world_gone => {
                    world_gone = changed.is_err();
                    self.sweep(&routes.borrow());
                }
                () = self.hold.wake.notified() => {}
                () = self.clock.sleep_until(aside_ends.unwrap_or(now)),
                    if aside_ends.is_some() => {}
                _ = sweep.tick() => self.sweep(&table),
            }
        }
    }

    fn sweep(&self, table: &RoutingTable) {
        self.idle.sweep(self.clock.now(), |backend| is_listed(table, backend));
    }

    /// Sends the request to `backend` and waits for the first byte of an answer.
    async fn attempt(
        &self,
        forward: &Forward,
        backend: BackendKey,
        fresh_only: bool,
    ) -> Result<Begun, AttemptError> {
        let reused = if fresh_only { None } else { self.idle.take(backend, self.clock.now()) };
        let upstream = match reused {
            Some(upstream) => upstream,
            None => self.connect(backend, &forward.model).await?,
        };
        let sent_at = self.clock.now();
        let (head, mut body) =
            upstream.send(forward.to_request(backend)).await.map_err(|error| match error {
                SendError::NotSent => AttemptError::NotSent,
                SendError::Closed(error) => closed(backend, &error),
            })?;
        let first = match body.data().await {
            Some(first) => Some(first.map_err(|error| closed(backend, &error))?),
            None => None,
        };
        Ok(Begun { head, first, body, sent_at })
    }

    async fn connect(
        &self,
        backend: BackendKey,
        model: &str,
    ) -> Result<Box<Upstream>, AttemptError> {
        let timeout = self.config.upstream_connect_timeout;
        let upstream = Upstream::connect(backend.address, timeout).await.map_err(|error| {
            tracing::debug!(%error, address = %backend.address, "can't connect to a backend");
            AttemptError::Unreachable
        })?;
        // Connecting may have taken long enough for the replica to be drained meanwhile.
        let table = self.routes.borrow();
        let listed = table.pools_by_model.get(model).is_some_and(|pool| lists(pool, backend));
        if listed { Ok(upstream) } else { Err(AttemptError::Unlisted) }
    }

    /// Decides whether to try again after `error`; returns what to tell the client if not.
    fn give_up(
        &self,
        error: &AttemptError,
        backend: BackendKey,
        tried: &mut Tried,
    ) -> Option<Refusal> {
        tried.last = Some(backend);
        match error {
            AttemptError::Unlisted => None,
            AttemptError::Unreachable | AttemptError::NotSent => {
                if matches!(error, AttemptError::Unreachable) {
                    self.put_aside(backend);
                }
                if tried.retries >= self.config.retries_max {
                    return Some(Refusal::Unreachable);
                }
                tried.retries += 1;
                count(&self.stats.retries_connect);
                None
            }
            AttemptError::Closed => {
                if tried.closed || tried.retries >= self.config.retries_max {
                    return Some(Refusal::EngineClosed);
                }
                tried.closed = true;
                tried.retries += 1;
                count(&self.stats.retries_closed);
                None
            }
        }
    }

    /// Whether an answer is the client's. One that refuses the request is not if another backend
    /// may do better, once.
    fn should_pass_on(
        &self,
        begun: &Begun,
        backend: BackendKey,
        tried: &mut Tried,
        model: &str,
    ) -> bool {
        if !begun.is_refusal() || tried.refused || tried.retries >= self.config.retries_max {
            return true;
        }
        if begun.is_draining() {
            self.put_aside(backend);
        } else if self.pick(model, Choice::Only { other_than: backend }).is_none() {
            return true;
        }
        tried.refused = true;
        tried.retries += 1;
        tried.last = Some(backend);
        count(&self.stats.retries_refused);
        false
    }

    fn put_aside(&self, backend: BackendKey) {
        self.aside.put(backend, self.clock.now().saturating_add(self.config.aside));
    }

    fn pass_on(&self, begun: Begun, assigned: Assigned, arrival: Arrival) -> Response<GatewayBody> {
        let Begun { mut head, first, body, sent_at } = begun;
        strip_hop_by_hop(&mut head.headers);
        let replica = assigned.outstanding.replica();
        let back = Return {
            pool: Arc::clone(&self.idle),
            backend: assigned.backend,
            clock: self.clock.clone(),
            outstanding: assigned.outstanding,
        };
        let progress = Progress::new(arrival, replica, self.clock.clone(), sent_at, &head);
        Response::from_parts(head, GatewayBody::relay(first, body, progress, back))
    }
}

fn closed(backend: BackendKey, error: &hyper::Error) -> AttemptError {
    tracing::debug!(%error, address = %backend.address, "an engine broke off before it began");
    AttemptError::Closed
}

fn reject(arrival: Arrival, refusal: Refusal) -> Refusal {
    arrival.rejected();
    refusal
}

fn lists(pool: &PoolRoutes, backend: BackendKey) -> bool {
    pool.backends.iter().any(|listed| BackendKey::from(listed) == backend)
}

fn is_listed(table: &RoutingTable, backend: BackendKey) -> bool {
    table.pools_by_model.values().any(|pool| lists(pool, backend))
}
