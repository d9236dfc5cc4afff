//! Asks engines for their metrics, all at once, and keeps what they said.
//!
//! **Invariant:** one replica never delays another beyond its own timeout, and never makes a round
//! of scrapes fail: each target has a result of its own.
//!
//! **Invariant:** the only time read here is the [`Clock`]'s; timeouts are wall time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use preheat_core::{ReplicaId, Sample};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::dialect::{Dialects, EngineScrape, Told, Unrecognised};
use crate::exposition::Format;
use crate::prometheus::PrometheusError;

pub mod deltas;
mod signals;

pub use signals::{LATENCY_WINDOW_DEFAULT, ReplicaSignals, SignalStore};

/// Addresses that are remembered as not knowing how to answer for some series only. Far more than
/// replicas; forgetting them all when it is full costs one more request each.
const UNSELECTIVE_MAX: usize = 65_536;

/// How to scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScrapeConfig {
    /// Wall time from sending a request to the last byte of its answer.
    pub timeout: Duration,
    /// An answer longer than this is refused while it is read. Times `concurrency_max`, it bounds
    /// the memory that hostile engines can take.
    pub body_max_bytes: usize,
    /// Requests on their way at a time. A round takes at most `timeout` × targets ÷ this, rounded
    /// up.
    pub concurrency_max: usize,
    /// What to ask for.
    pub selection: Selection,
}

/// What a scrape asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The whole body.
    Everything,
    /// Only the series that are read, by `name[]` as Python's `prometheus_client` understands it.
    /// A server that doesn't answers with everything; one that then has none of them is asked for
    /// everything, and so from there on. So is one of which it is not said whose metrics it has.
    Wanted,
}

impl Default for ScrapeConfig {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            // Eighty times vLLM's body.
            body_max_bytes: 4 * 1024 * 1024,
            concurrency_max: 256,
            selection: Selection::Everything,
        }
    }
}

/// Where a replica's metrics are.
#[derive(Clone, Debug)]
pub struct ScrapeTarget {
    /// Whose they are.
    pub id: ReplicaId,
    /// Where it listens.
    pub address: SocketAddr,
    /// The path, `/metrics` nearly always. It may carry a query.
    pub path: Arc<str>,
    /// Whose metrics they may be.
    pub dialects: Arc<Dialects>,
}

/// One replica's answer and the model time it was true at, or why there is none.
pub type ScrapeResult = Result<Sample<EngineScrape>, ScrapeError>;

/// Why a replica could not be scraped.
#[derive(Debug, thiserror::Error)]
pub enum ScrapeError {
    /// It took longer than the timeout.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// Nothing accepted a connection.
    #[error("could not connect")]
    Connect(#[source] legacy::Error),
    /// The connection broke before the answer began.
    #[error("the connection broke before an answer")]
    Request(#[source] legacy::Error),
    /// It answered with something other than 200.
    #[error("answered with status {0}")]
    Status(u16),
    /// Its answer is longer than allowed.
    #[error("the answer is longer than {limit_bytes} bytes")]
    TooLarge {
        /// What is allowed.
        limit_bytes: usize,
    },
    /// The connection broke in the middle of the answer.
    #[error("the answer broke off")]
    Body(#[source] hyper::Error),
    /// Its answer has nothing of an engine in it.
    #[error("not an engine's metrics")]
    Malformed(#[source] Unrecognised),
    /// Its path makes no URI.
    #[error("the target's path is not valid in a URI")]
    Path(#[source] http::Error),
    /// A Prometheus is asked in its place, and has not seen it for so long.
    #[error("Prometheus has seen nothing of it for {0:?}")]
    Unseen(Duration),
    /// A Prometheus is asked in its place, and scrapes it, but has nothing of what is asked for.
    #[error("Prometheus scrapes it (`up` is 1), and {0}")]
    Untold(String),
    /// A Prometheus is asked in its place, by queries that tell no replica from another.
    #[error("what `engine.queries` read has no label `{0}`, by which replicas are told apart")]
    Unlabelled(String),
    /// A Prometheus is asked in its place, and gave no answer.
    #[error("Prometheus gave no answer")]
    Prometheus(#[source] Arc<PrometheusError>),
    /// The task that scraped it was lost. Nothing known leads here.
    #[error("the scraping task ended early")]
    Lost(#[source] tokio::task::JoinError),
}

impl ScrapeError {
    /// What somebody has to change before it can be read; `None` where it may be read the next time.
    fn trouble(&self, told: &Told) -> Option<String> {
        match self {
            Self::Malformed(unrecognised) => Some(told.unseen(&unrecognised.to_string())),
            Self::Untold(_) => Some(told.unseen(&self.to_string())),
            Self::Unlabelled(_) => Some(self.to_string()),
            Self::Prometheus(error) => {
                let says = error.refusal()?;
                Some(format!("Prometheus refused what it was asked for it: {says}"))
            }
            Self::Timeout(_)
            | Self::Connect(_)
            | Self::Request(_)
            | Self::Status(_)
            | Self::TooLarge { .. }
            | Self::Body(_)
            | Self::Path(_)
            | Self::Unseen(_)
            | Self::Lost(_) => None,
        }
    }
}

/// Scrapes replicas over connections that it keeps open.
#[derive(Clone, Debug)]
pub struct Scraper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: ScrapeConfig,
    client: Client<HttpConnector, Empty<Bytes>>,
    slots: Semaphore,
    unselective: Mutex<BTreeSet<SocketAddr>>,
}

impl Scraper {
    /// A scraper without connections yet.
    pub fn new(config: ScrapeConfig) -> Self {
        let concurrency = config.concurrency_max.clamp(1, Semaphore::MAX_PERMITS);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(concurrency)
            .build(connector);
        let slots = Semaphore::new(concurrency);
        let unselective = Mutex::new(BTreeSet::new());
        Self { shared: Arc::new(Shared { config, client, slots, unselective }) }
    }

    /// Scrapes all targets at once and returns their results in the targets' order. Dropping the
    /// returned future ends all requests. A result's time is halfway between sending the request
    /// and having the answer.
    pub async fn scrape(
        &self,
        clock: &Clock,
        targets: &[ScrapeTarget],
    ) -> Vec<(ReplicaId, ScrapeResult)> {
        let mut tasks = JoinSet::new();
        let mut places = BTreeMap::new();
        for (place, target) in targets.iter().enumerate() {
            let (shared, clock, target) = (self.shared.clone(), clock.clone(), target.clone());
            let task =
                tasks.spawn(async move { (place, shared.scrape_one(&clock, &target).await) });
            places.insert(task.id(), place);
        }
        let mut results: Vec<Option<ScrapeResult>> = targets.iter().map(|_| None).collect();
        while let Some(ended) = tasks.join_next().await {
            let (place, result) = match ended {
                Ok((place, result)) => (place, result),
                Err(lost) => match places.get(&lost.id()) {
                    Some(&place) => (place, Err(ScrapeError::Lost(lost))),
                    None => continue,
                },
            };
            if let Some(slot) = results.get_mut(place) {
                *slot = Some(result);
            }
        }
        let pairs = targets.iter().zip(results);
        pairs.filter_map(|(target, result)| Some((target.id, result?))).collect()
    }

    /// Asks one that is no engine for its metrics, whole, and reads them as the caller does.
    ///
    /// # Errors
    /// When there is no whole answer in time.
    pub async fn read<T>(
        &self,
        address: SocketAddr,
        path: &str,
        read: impl FnOnce(&[u8], Format) -> T,
    ) -> Result<T, ScrapeError> {
        let timeout = self.shared.config.timeout;
        let answer = self.shared.answer(request(address, path.to_owned())?);
        let (body, format) = tokio::time::timeout(timeout, answer)
            .await
            .unwrap_or(Err(ScrapeError::Timeout(timeout)))?;
        Ok(read(&body, format))
    }
}

impl Shared {
    async fn scrape_one(&self, clock: &Clock, target: &ScrapeTarget) -> ScrapeResult {
        // The semaphore is never closed; without a permit the request is only less orderly.
        let _permit = self.slots.acquire().await.ok();
        let sent_at = clock.now();
        let timeout = self.config.timeout;
        let scrape = match tokio::time::timeout(timeout, self.ask(target)).await {
            Ok(scrape) => scrape?,
            Err(_) => return Err(ScrapeError::Timeout(timeout)),
        };
        let halfway = sent_at.saturating_add(clock.now().since(sent_at) / 2);
        Ok(Sample::new(scrape, halfway))
    }

    /// Asks for what the configuration says, and for everything when that came to nothing.
    async fn ask(&self, target: &ScrapeTarget) -> Result<EngineScrape, ScrapeError> {
        let selects = self.config.selection == Selection::Wanted
            && !target.dialects.are_several()
            && self.is_selective(target);
        if selects {
            match self.fetch(target, Selection::Wanted).await {
                // An engine that is one has these two.
                Ok(scrape) if scrape.running.is_some() && scrape.waiting.is_some() => {
                    return Ok(scrape);
                }
                Ok(_) | Err(ScrapeError::Malformed(_) | ScrapeError::Status(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let scrape = self.fetch(target, Selection::Everything).await?;
        if selects {
            self.remember_unselective(target);
        }
        Ok(scrape)
    }

    async fn fetch(
        &self,
        target: &ScrapeTarget,
        selection: Selection,
    ) -> Result<EngineScrape, ScrapeError> {
        let request = request(target.address, path_of(target, selection))?;
        let (body, format) = self.answer(request).await?;
        target.dialects.read(&body, format).map_err(ScrapeError::Malformed)
    }

    /// What a request is answered with, and in which format.
    async fn answer(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Result<(Vec<u8>, Format), ScrapeError> {
        let response = self.client.request(request).await.map_err(|error| {
            if error.is_connect() {
                ScrapeError::Connect(error)
            } else {
                ScrapeError::Request(error)
            }
        })?;
        if response.status() != StatusCode::OK {
            return Err(ScrapeError::Status(response.status().as_u16()));
        }
        let content_type = response.headers().get(header::CONTENT_TYPE);
        let format = Format::of_content_type(content_type.map(|value| value.as_bytes()));
        Ok((read_body(response, self.config.body_max_bytes).await?, format))
    }

    fn is_selective(&self, target: &ScrapeTarget) -> bool {
        let unselective = self.unselective.lock().unwrap_or_else(PoisonError::into_inner);
        !unselective.contains(&target.address)
    }

    fn remember_unselective(&self, target: &ScrapeTarget) {
        let mut unselective = self.unselective.lock().unwrap_or_else(PoisonError::into_inner);
        if unselective.len() >= UNSELECTIVE_MAX {
            unselective.clear();
        }
        unselective.insert(target.address);
    }
}

/// The path of a target, with the series that are wanted.
fn path_of(target: &ScrapeTarget, selection: Selection) -> String {
    let mut path_and_query = target.path.to_string();
    if selection == Selection::Wanted {
        for name in target.dialects.series_names() {
            let separator = if path_and_query.contains('?') { '&' } else { '?' };
            // `[` and `]` must be escaped in a query; the names have no character that must.
            path_and_query.extend([separator]);
            path_and_query.push_str("name%5B%5D=");
            path_and_query.push_str(name);
        }
    }
    path_and_query
}

fn request(
    address: SocketAddr,
    path_and_query: String,
) -> Result<Request<Empty<Bytes>>, ScrapeError> {
    let uri = Uri::builder()
        .scheme("http")
        .authority(address.to_string())
        .path_and_query(path_and_query)
        .build()
        .map_err(ScrapeError::Path)?;
    Request::get(uri)
        .header(header::ACCEPT, "text/plain;version=0.0.4")
        .body(Empty::new())
        .map_err(ScrapeError::Path)
}

/// Reads a body of at most `limit_bytes`, and lets go of it at the first byte beyond.
async fn read_body(
    response: Response<Incoming>,
    limit_bytes: usize,
) -> Result<Vec<u8>, ScrapeError> {
    let mut body = response.into_body();
    let announced_bytes = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced_bytes > limit_bytes {
        return Err(ScrapeError::TooLarge { limit_bytes });
    }
    let mut bytes = Vec::with_capacity(announced_bytes);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(ScrapeError::Body)?;
        if let Some(data) = frame.data_ref() {
            if data.len() > limit_bytes - bytes.len() {
                return Err(ScrapeError::TooLarge { limit_bytes });
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes)
}
