//! One request's life: its attempts, the waits between them, and the time it has for all.
//!
//! Retries are those of OpenAI's SDK (two, from half a second on, doubling up to 8 s, with up to
//! a quarter taken off at random, `Retry-After` honoured up to a minute), but only when nothing
//! of an answer had come: no connection, a connection that ended before any byte of a body, or
//! a 429 or 503. What had begun is never sent again.

use std::error::Error;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use preheat_traffic::TraceRequest;
use tokio::time::{self, Instant};

use crate::answer::{Answer, End};
use crate::clock::Clock;
use crate::config::{AnswerMode, LoadConfig, LoadError};
use crate::outcome::{ErrorKind, Outcome};
use crate::prompt::{self, BodyTemplate};

/// The first back-off and the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// The longest `Retry-After` that is honoured.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How much of a refusal is read so that its connection can be used again, and for how long.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
const REFUSAL_WAIT_MAX: Duration = Duration::from_secs(1);
/// How long an unused connection is kept: servers close theirs sooner or later.
const IDLE_MAX: Duration = Duration::from_secs(30);

/// What all requests of a run have in common.
#[derive(Debug)]
pub(crate) struct Exchange {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: Uri,
    template: BodyTemplate,
    authorization: Option<HeaderValue>,
    answer_mode: AnswerMode,
    clock: Clock,
    timeout: Duration,
    retries_max: u32,
    seed: u64,
    retries: AtomicU64,
}

/// A request of the trace with its place in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    pub(crate) index: u64,
    pub(crate) request: TraceRequest,
    /// When it should be sent.
    pub(crate) intended: Instant,
}

/// What one attempt led to.
enum Attempt {
    /// Something of an answer came, so this is the end.
    Ended(Result<(), ErrorKind>),
    /// Nothing came; the server may have said when to try again.
    Nothing { kind: ErrorKind, retry_after: Option<Duration> },
}

impl Exchange {
    pub(crate) fn new(config: &LoadConfig, clock: Clock) -> Result<Self, LoadError> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(config.in_flight_max)
            .build(connector);
        Ok(Self {
            client,
            uri: config.target.uri(config.endpoint)?,
            template: BodyTemplate::new(config)?,
            authorization: config.authorization.clone(),
            answer_mode: config.answer_mode,
            clock,
            timeout: clock.wall(config.request_timeout),
            retries_max: config.retries_max,
            seed: config.seed,
            retries: AtomicU64::new(0),
        })
    }

    /// How often a request was sent again, so far.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Ordering::Relaxed)
    }

    pub(crate) async fn perform(&self, job: Job) -> Outcome {
        let sent_at = Instant::now();
        let mut answer = Answer::new(self.answer_mode);
        let attempts = self.attempts(&job, &mut answer);
        let in_time = time::timeout_at(sent_at + self.timeout, attempts).await;
        let ended_at = Instant::now();
        let result = in_time.unwrap_or_else(|_| answer.end(End::TimedOut, ended_at));
        let seen = answer.into_seen();
        // A timer may end a fraction of a millisecond early; no time is made a gift of.
        let from = job.intended.min(sent_at);
        let since = |at: Instant| at.saturating_duration_since(from);
        let streamed = self.answer_mode == AnswerMode::Streamed;
        Outcome {
            result,
            lag: sent_at.saturating_duration_since(job.intended),
            ttft: seen.first_token_at().map(since),
            tpot: if streamed { seen.tpot() } else { None },
            e2e: since(seen.done_at.unwrap_or(ended_at)),
            input_tokens: seen.usage.prompt_tokens.unwrap_or(job.request.input_tokens.into()),
            output_tokens: seen.output_tokens(),
            events: seen.events,
            usage_missing: seen.usage.completion_tokens.is_none(),
            stream_cut: streamed && seen.events > 0 && result.is_err_and(ErrorKind::is_cut),
            gaps_us: seen.gaps_us,
        }
    }

    async fn attempts(&self, job: &Job, answer: &mut Answer) -> Result<(), ErrorKind> {
        let mut retry = 0;
        loop {
            let (kind, retry_after) = match self.attempt(job, answer).await {
                Attempt::Ended(result) => return result,
                Attempt::Nothing { kind, retry_after } => (kind, retry_after),
            };
            if retry == self.retries_max {
                return Err(kind);
            }
            let backoff = retry_after.unwrap_or_else(|| self.backoff(job.index, retry));
            retry += 1;
            self.retries.fetch_add(1, Ordering::Relaxed);
            time::sleep(self.clock.wall(backoff)).await;
        }
    }

    async fn attempt(&self, job: &Job, answer: &mut Answer) -> Attempt {
        match self.client.request(self.http_request(job)).await {
            Err(error) => failed_attempt(&error),
            Ok(response) if response.status() == StatusCode::OK => {
                read_answer(response.into_body(), answer).await
            }
            Ok(response) => refused_attempt(response).await,
        }
    }

    fn http_request(&self, job: &Job) -> Request<Full<Bytes>> {
        let body = self.template.body(job.index, &job.request);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        request
    }

    /// Half a second, doubled for each retry before, less up to a quarter.
    fn backoff(&self, index: u64, retry: u32) -> Duration {
        let doubled = BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX));
        let drawn = prompt::mix(self.seed ^ prompt::mix(index ^ (u64::from(retry) << 48)));
        let share = (drawn >> 11) as f64 / (1_u64 << 53) as f64;
        doubled.min(BACKOFF_MAX).mul_f64(1.0 - 0.25 * share)
    }
}

fn failed_attempt(error: &ClientError) -> Attempt {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    if source.is_some_and(hyper::Error::is_parse) {
        return Attempt::Ended(Err(ErrorKind::Malformed));
    }
    let kind = if error.is_connect() { ErrorKind::Connect } else { ErrorKind::Reset };
    Attempt::Nothing { kind, retry_after: None }
}

async fn refused_attempt(response: Response<Incoming>) -> Attempt {
    let status = response.status();
    let kind = ErrorKind::Status(status.as_u16());
    let retry_after = retry_after(response.headers());
    let rest = Limited::new(response.into_body(), REFUSAL_BYTES_MAX).collect();
    // What the refusal says, and whether it says it in time, changes nothing.
    let _ = time::timeout(REFUSAL_WAIT_MAX, rest).await;
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Attempt::Nothing { kind, retry_after }
        }
        _ => Attempt::Ended(Err(kind)),
    }
}

/// `retry-after-ms`, else `Retry-After` in seconds; a date or a wait of more than a minute is as
/// good as none.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| -> Option<f64> { headers.get(name)?.to_str().ok()?.parse().ok() };
    let seconds =
        number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    let wait = Duration::try_from_secs_f64(seconds).ok()?;
    (wait > Duration::ZERO && wait <= RETRY_AFTER_MAX).then_some(wait)
}

async fn read_answer(mut body: Incoming, answer: &mut Answer) -> Attempt {
    let mut has_begun = false;
    let end = loop {
        match body.frame().await {
            None => break End::InOrder,
            Some(Err(_)) if !has_begun => {
                return Attempt::Nothing { kind: ErrorKind::Reset, retry_after: None };
            }
            Some(Err(_)) => break End::Lost,
            Some(Ok(frame)) => {
                let Some(bytes) = frame.data_ref() else { continue };
                has_begun |= !bytes.is_empty();
                if let ControlFlow::Break(()) = answer.take(bytes, Instant::now()) {
                    break End::Malformed;
                }
            }
        }
    };
    Attempt::Ended(answer.end(end, Instant::now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Target;

    #[test]
    fn retry_after_headers() {
        let check = |name: &'static str, value: &'static str, expected: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(retry_after(&headers), expected.map(Duration::from_millis), "{value}");
        };
        check("retry-after", "2", Some(2000));
        check("retry-after", "0.5", Some(500));
        check("retry-after-ms", "250", Some(250));
        for useless in ["0", "-1", "61", "NaN", "1e300", "Fri, 31 Dec 1999 23:59:59 GMT"] {
            check("retry-after", useless, None);
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[tokio::test]
    async fn backoffs_double_and_are_bounded() {
        let config = LoadConfig::new(Target::parse("http://a").unwrap(), "m");
        let exchange = Exchange::new(&config, Clock::start(1.0)).unwrap();
        for (retry, full_s) in [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (31, 8.0), (99, 8.0)] {
            for index in 0..100 {
                let backoff_s = exchange.backoff(index, retry).as_secs_f64();
                assert!(backoff_s <= full_s && backoff_s >= 0.75 * full_s, "{backoff_s}");
            }
        }
        assert_ne!(exchange.backoff(1, 0), exchange.backoff(2, 0));
    }
}
