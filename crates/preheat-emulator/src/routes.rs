//! What each path answers. One [`Service`] is shared by all connections.
//!
//! **Invariant:** state of the engine is asked of its task, never kept here.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Incoming};
use preheat_engine::{RequestId, SleepLevel};
use preheat_runtime::clock::Clock;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::answer::{Answer, End, WakeOn};
use crate::api_error::ApiError;
use crate::api_request::{self, Delivery, Generation, Limits, Route};
use crate::api_response::{self, AnswerIdentity, EventWriter};
use crate::body::ResponseBody;
use crate::engine_task::{Command, Scrape, SleepMode, Work};
use crate::exposition::Exposition;
use crate::http_metrics::{HttpMetrics, HttpRecord};
use crate::options::Fault;
use crate::tickets::{EngineTicket, HttpTicket};

/// Everything the routes share.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) clock: Clock,
    pub(crate) limits: Limits,
    pub(crate) dev_mode: bool,
    pub(crate) fault: Option<Fault>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) http: Arc<Mutex<HttpMetrics>>,
    /// Completion requests inside, for `/load`.
    pub(crate) load: Arc<AtomicU32>,
    /// Completion requests taken so far, for [`Fault::CrashAfter`].
    pub(crate) taken: AtomicU32,
    /// Answers of `/metrics` so far, for [`Fault::MetricsRenamed`].
    pub(crate) told: AtomicU32,
    /// Told when the process is to die.
    pub(crate) crash: Notify,
    /// Model time at which serving began, Unix seconds.
    pub(crate) created: u64,
    /// Tells the answers of this process from those of any other.
    pub(crate) id_salt: u64,
}

/// Largest request body: a context of a million tokens at 16 bytes a word.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Size of the answer of [`Fault::MetricsHuge`].
const HUGE_BYTES: usize = 32 * 1024 * 1024;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream; charset=utf-8");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=1.0.0; charset=utf-8");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Endpoint {
    Generate(Route),
    Models,
    /// `/health` and `/ping`.
    Health,
    Version,
    Load,
    Metrics,
    Sleep,
    WakeUp,
    IsSleeping,
}

/// A path that exists.
#[derive(Clone, Copy, Debug)]
struct Target {
    endpoint: Endpoint,
    path: &'static str,
    methods: &'static [Method],
    is_instrumented: bool,
}

/// An answer without its record in the metrics.
enum Reply {
    Whole(StatusCode, HeaderValue, Bytes),
    Events(Answer, EventWriter, EngineTicket),
}

impl Service {
    /// Answers one request.
    pub(crate) async fn respond(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let target = target(request.uri().path(), self.dev_mode);
        let mut ticket = self.http_ticket(target.as_ref(), &request);
        let reply = match target {
            None => Err(ApiError::NoRoute),
            Some(target) if !target.methods.contains(request.method()) => Err(ApiError::Method),
            Some(target) => self.reply(target.endpoint, request).await,
        };
        let reply = reply.unwrap_or_else(|error| Reply::whole(error.status(), JSON, error.body()));
        let (status, content_type, body) = match reply {
            Reply::Whole(status, content_type, bytes) => {
                ticket.answered(status, bytes.len() as u64);
                (status, content_type, ResponseBody::whole(bytes, ticket))
            }
            Reply::Events(answer, writer, engine) => {
                ticket.answered(StatusCode::OK, 0);
                let body = ResponseBody::events(answer, writer, engine, ticket);
                (StatusCode::OK, EVENTS, body)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }

    async fn reply(
        &self,
        endpoint: Endpoint,
        request: Request<Incoming>,
    ) -> Result<Reply, ApiError> {
        match endpoint {
            Endpoint::Generate(route) => self.generate(route, request).await,
            Endpoint::Models => {
                let Limits { model_names, max_model_len, .. } = &self.limits;
                let body = api_response::models(model_names, *max_model_len, self.created);
                Ok(Reply::ok(JSON, body))
            }
            Endpoint::Health => Ok(Reply::empty()),
            Endpoint::Version => {
                Ok(Reply::ok(JSON, Bytes::from_static(br#"{"version":"0.32.0"}"#)))
            }
            Endpoint::Load => {
                let load = self.load.load(Ordering::Relaxed);
                Ok(Reply::ok(JSON, format!(r#"{{"server_load":{load}}}"#).into()))
            }
            Endpoint::Metrics => self.metrics().await,
            Endpoint::Sleep => {
                let (level, mode) = sleep_query(request.uri().query().unwrap_or(""))?;
                self.ask(|done| Command::Sleep { level, mode, done }).await?;
                Ok(Reply::empty())
            }
            Endpoint::WakeUp => {
                self.ask(Command::Wake).await?;
                Ok(Reply::empty())
            }
            Endpoint::IsSleeping => {
                let is_sleeping = self.ask(Command::IsSleeping).await?;
                Ok(Reply::ok(JSON, format!(r#"{{"is_sleeping":{is_sleeping}}}"#).into()))
            }
        }
    }

    async fn generate(&self, route: Route, request: Request<Incoming>) -> Result<Reply, ApiError> {
        require_json(request.headers())?;
        let body = read(request.into_body()).await?;
        let generation = api_request::parse(route, &body, &self.limits)?;
        self.crash_if_due().await;
        let wake_on = match generation.delivery {
            Delivery::Whole => WakeOn::End,
            Delivery::Stream | Delivery::StreamWithUsage => WakeOn::Tokens,
        };
        let answer = Answer::new(wake_on);
        let Generation { prompt_tokens, output_tokens, max_tokens, .. } = generation;
        let work = Work { prompt_tokens, output_tokens, max_tokens };
        let id = self
            .ask(|admitted| Command::Submit { work, answer: answer.clone(), admitted })
            .await??;
        let ticket = EngineTicket::new(id, self.commands.clone(), &self.load);
        let identity = self.identity(route, id);
        match wake_on {
            WakeOn::Tokens => {
                let writer = EventWriter::new(&identity, &generation);
                Ok(Reply::Events(answer, writer, ticket))
            }
            WakeOn::End => whole_answer(&answer, ticket, &identity, &generation).await,
        }
    }

    async fn metrics(&self) -> Result<Reply, ApiError> {
        match self.fault {
            Some(Fault::MetricsHang) => std::future::pending().await,
            Some(Fault::MetricsGarbage) => {
                return Ok(Reply::ok(
                    METRICS,
                    Bytes::from_static(b"{\"not\": \xff metrics\n# TYPE"),
                ));
            }
            Some(
                Fault::NeverReady
                | Fault::StartFails
                | Fault::CrashAfter(_)
                | Fault::MetricsHuge
                | Fault::MetricsRenamed(_),
            )
            | None => {}
        }
        let Scrape { mut before_http, after_http } = self.ask(Command::Scrape).await?;
        let mut http = Exposition::new();
        self.http.lock().unwrap_or_else(PoisonError::into_inner).write(&mut http);
        before_http.push_str(&http.finish());
        before_http.push_str(&after_http);
        if self.fault == Some(Fault::MetricsHuge) {
            const PADDING: &str = "# This line is padding, so that the answer gets very long.\n";
            before_http.push_str(&PADDING.repeat(HUGE_BYTES / PADDING.len()));
        }
        if let Some(Fault::MetricsRenamed(after)) = self.fault
            && self.told.fetch_add(1, Ordering::Relaxed) >= after
        {
            before_http = before_http.replace("vllm:num_requests_", "vllm:requests_");
        }
        Ok(Reply::ok(METRICS, before_http.into()))
    }

    /// Asks the engine's task. It is gone only when the process ends.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, ApiError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).map_err(|_| ApiError::ShuttingDown)?;
        answer.await.map_err(|_| ApiError::ShuttingDown)
    }

    /// Does not return when this request is the one that kills the process.
    async fn crash_if_due(&self) {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if let Some(Fault::CrashAfter(limit)) = self.fault
            && taken >= limit
        {
            self.crash.notify_one();
            std::future::pending().await
        }
    }

    fn identity(&self, route: Route, id: RequestId) -> AnswerIdentity {
        let prefix = match route {
            Route::Completions => "cmpl",
            Route::Chat => "chatcmpl",
        };
        let created = self.clock.now().as_nanos() / 1_000_000_000;
        let id = format!("{prefix}-{:016x}{:016x}", self.id_salt, id.0);
        AnswerIdentity { id, created }
    }

    fn http_ticket(&self, target: Option<&Target>, request: &Request<Incoming>) -> HttpTicket {
        let is_instrumented = target.is_none_or(|target| target.is_instrumented);
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let record = HttpRecord {
            handler: target.map_or("none", |target| target.path),
            method: method_label(request.method()),
            status: "5xx",
            request_bytes: length.unwrap_or(0),
            response_bytes: 0,
            duration_secs: 0.0,
        };
        let metrics = is_instrumented.then(|| Arc::clone(&self.http));
        HttpTicket::new(metrics, self.clock.clone(), record)
    }
}

impl Reply {
    const fn whole(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Self {
        Self::Whole(status, content_type, body)
    }

    const fn ok(content_type: HeaderValue, body: Bytes) -> Self {
        Self::Whole(StatusCode::OK, content_type, body)
    }

    const fn empty() -> Self {
        Self::ok(JSON, Bytes::new())
    }
}

/// Waits for all of an answer. Dropped when the client hangs up, and the ticket with it.
async fn whole_answer(
    answer: &Answer,
    mut ticket: EngineTicket,
    identity: &AnswerIdentity,
    generation: &Generation,
) -> Result<Reply, ApiError> {
    let (tokens, end) = poll_fn(|context| answer.poll_take(context)).await;
    ticket.close();
    match end {
        Some(End::Finished(reason)) => {
            Ok(Reply::ok(JSON, api_response::whole(identity, generation, tokens, reason)))
        }
        Some(End::Cut) | None => Err(ApiError::Aborted),
    }
}

fn target(path: &str, dev_mode: bool) -> Option<Target> {
    const GET: &[Method] = &[Method::GET];
    const POST: &[Method] = &[Method::POST];
    const BOTH: &[Method] = &[Method::GET, Method::POST];
    let (endpoint, path, methods) = match path {
        "/v1/completions" => (Endpoint::Generate(Route::Completions), "/v1/completions", POST),
        "/v1/chat/completions" => (Endpoint::Generate(Route::Chat), "/v1/chat/completions", POST),
        "/v1/models" => (Endpoint::Models, "/v1/models", GET),
        "/health" => (Endpoint::Health, "/health", GET),
        "/ping" => (Endpoint::Health, "/ping", BOTH),
        "/version" => (Endpoint::Version, "/version", GET),
        "/load" => (Endpoint::Load, "/load", GET),
        "/metrics" => (Endpoint::Metrics, "/metrics", GET),
        "/sleep" if dev_mode => (Endpoint::Sleep, "/sleep", POST),
        "/wake_up" if dev_mode => (Endpoint::WakeUp, "/wake_up", POST),
        "/is_sleeping" if dev_mode => (Endpoint::IsSleeping, "/is_sleeping", GET),
        _ => return None,
    };
    let is_instrumented = match endpoint {
        Endpoint::Health | Endpoint::Version | Endpoint::Load | Endpoint::Metrics => false,
        Endpoint::Generate(_)
        | Endpoint::Models
        | Endpoint::Sleep
        | Endpoint::WakeUp
        | Endpoint::IsSleeping => true,
    };
    Some(Target { endpoint, path, methods, is_instrumented })
}

/// `level=1&mode=abort` and their defaults.
fn sleep_query(query: &str) -> Result<(SleepLevel, SleepMode), ApiError> {
    let (mut level, mut mode) = (SleepLevel::WeightsOffloaded, SleepMode::Abort);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair {
            "level=1" => level = SleepLevel::WeightsOffloaded,
            "level=2" => level = SleepLevel::WeightsDiscarded,
            "mode=abort" => mode = SleepMode::Abort,
            "mode=wait" => mode = SleepMode::Wait,
            other => {
                let message = format!(
                    "{other:?} is not emulated: sleep takes level=1, level=2, mode=abort and \
                     mode=wait."
                );
                return Err(ApiError::invalid(message));
            }
        }
    }
    Ok((level, mode))
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).unwrap_or("");
    if media_type.trim().eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(ApiError::invalid("Unsupported Media Type: Only 'application/json' is allowed"))
    }
}

async fn read(body: Incoming) -> Result<Bytes, ApiError> {
    let expected = body.size_hint().lower();
    if expected > BODY_BYTES_MAX as u64 {
        return Err(ApiError::invalid(format!("the body is longer than {BODY_BYTES_MAX} bytes")));
    }
    let collected = Limited::new(body, BODY_BYTES_MAX).collect().await;
    let collected = collected.map_err(|error| ApiError::invalid(error.to_string()))?;
    Ok(collected.to_bytes())
}

/// A label of bounded variety.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}
