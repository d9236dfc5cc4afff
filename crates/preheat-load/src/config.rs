//! What to send where, and what to hold it against.

use std::time::Duration;

use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, uri};

/// The largest time scale: past it a millisecond of timer granularity is a second of model time.
pub const TIME_SCALE_MAX: f64 = 1000.0;

/// Which of OpenAI's two text endpoints to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endpoint {
    /// `/v1/completions`: the prompt reaches the model as it is.
    #[default]
    Completions,
    /// `/v1/chat/completions`: the server's template adds tokens to the prompt.
    Chat,
}

/// How the answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerMode {
    /// As server-sent events, while it is made.
    #[default]
    Streamed,
    /// In one piece. Its first token is seen with its last, so TTFT is the whole answer's time,
    /// and TPOT and ITL are not known.
    Whole,
}

/// Where requests go: `http://host:port`, with or without a path and a `/v1` at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    authority: uri::Authority,
    /// Without `/v1` and without a slash at its end.
    path: String,
}

impl Target {
    /// Parses a base URL.
    ///
    /// # Errors
    /// When `url` is no `http` URL with a host.
    pub fn parse(url: &str) -> Result<Self, LoadError> {
        let wrong = |reason| LoadError::Target { url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(wrong("https is not spoken here")),
            Some(_) | None => return Err(wrong("it does not start with http://")),
        }
        if uri.query().is_some() {
            return Err(wrong("a base URL has no query"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?.clone();
        let path = uri.path().trim_end_matches('/');
        let path = path.strip_suffix("/v1").unwrap_or(path).to_owned();
        Ok(Self { authority, path })
    }

    /// The full URL of an endpoint.
    pub(crate) fn uri(&self, endpoint: Endpoint) -> Result<Uri, LoadError> {
        let tail = match endpoint {
            Endpoint::Completions => "/v1/completions",
            Endpoint::Chat => "/v1/chat/completions",
        };
        let wrong = |_| LoadError::Target {
            url: format!("http://{}{}{tail}", self.authority, self.path),
            reason: "it is not a URL",
        };
        let path: PathAndQuery = format!("{}{tail}", self.path)
            .parse()
            .map_err(|error: uri::InvalidUri| wrong(error.into()))?;
        Uri::builder()
            .scheme("http")
            .authority(self.authority.clone())
            .path_and_query(path)
            .build()
            .map_err(wrong)
    }
}

/// How to send a trace. Durations are in model time.
#[derive(Clone, Debug)]
pub struct LoadConfig {
    /// The server.
    pub target: Target,
    /// The model to ask for.
    pub model: String,
    /// The endpoint to ask.
    pub endpoint: Endpoint,
    /// How answers come.
    pub answer_mode: AnswerMode,
    /// Model seconds per second of wall time, in `(0, TIME_SCALE_MAX]`.
    pub time_scale: f64,
    /// From sending a request to giving it up, its retries included.
    pub request_timeout: Duration,
    /// How often a request may be sent again when nothing of an answer had come.
    pub retries_max: u32,
    /// How many requests may be under way at once; one more fails as `client_limit`. Each has
    /// its own connection, so the process needs as many file descriptors.
    pub in_flight_max: usize,
    /// How long a cancelled run waits for the requests under way.
    pub drain_timeout: Duration,
    /// The SLO on TTFT.
    pub ttft_slo: Option<Duration>,
    /// The SLO on TPOT.
    pub tpot_slo: Option<Duration>,
    /// The `Authorization` header, if one is needed; mark it sensitive to keep it out of `Debug`.
    pub authorization: Option<HeaderValue>,
    /// Decides which words a prompt has and how long a back-off is.
    pub seed: u64,
}

impl LoadConfig {
    /// Streamed completions in real time, with the timeout and the retries of OpenAI's SDK.
    #[must_use]
    pub fn new(target: Target, model: impl Into<String>) -> Self {
        Self {
            target,
            model: model.into(),
            endpoint: Endpoint::default(),
            answer_mode: AnswerMode::default(),
            time_scale: 1.0,
            request_timeout: Duration::from_secs(600),
            retries_max: 2,
            in_flight_max: 10_000,
            drain_timeout: Duration::from_secs(30),
            ttft_slo: None,
            tpot_slo: None,
            authorization: None,
            seed: 0,
        }
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if !(self.time_scale > 0.0 && self.time_scale <= TIME_SCALE_MAX) {
            return Err(LoadError::TimeScale { found: self.time_scale });
        }
        if self.in_flight_max == 0 {
            return Err(LoadError::NothingInFlight);
        }
        if self.answer_mode == AnswerMode::Whole && self.tpot_slo.is_some() {
            return Err(LoadError::TpotUnseen);
        }
        Ok(())
    }
}

/// Why a run could not start. What goes wrong later is in the report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The base URL cannot be used.
    #[error("cannot send requests to {url:?}: {reason}")]
    Target {
        /// The base URL.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The time scale cannot be used.
    #[error("the time scale {found} is outside (0, {TIME_SCALE_MAX}]")]
    TimeScale {
        /// What was asked for.
        found: f64,
    },
    /// No request may be under way.
    #[error("the limit on requests in flight is 0, so that none could be sent")]
    NothingInFlight,
    /// An SLO on TPOT without streaming.
    #[error("TPOT cannot be seen in answers that are not streamed: leave its SLO out or stream")]
    TpotUnseen,
    /// The trace has no requests.
    #[error("the trace has no requests")]
    TraceEmpty,
    /// The model's name cannot be written as JSON.
    #[error("the model's name cannot be sent")]
    Model(#[source] serde_json::Error),
    /// A histogram could not be made.
    #[error("cannot make a histogram")]
    Histogram(#[source] hdrhistogram::CreationError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(base: &str, expected: &str) {
        let uri = Target::parse(base).unwrap().uri(Endpoint::Chat).unwrap();
        assert_eq!(uri.to_string(), expected);
    }

    #[test]
    fn base_urls() {
        check("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1/chat/completions");
        check("http://gateway/", "http://gateway/v1/chat/completions");
        check("http://gateway:80/v1", "http://gateway:80/v1/chat/completions");
        check("http://[::1]:80/pool/a/v1/", "http://[::1]:80/pool/a/v1/chat/completions");
        for wrong in ["https://a", "a:80", "ftp://a", "http://", "", "/v1", "http://a/?b=c"] {
            assert!(matches!(Target::parse(wrong), Err(LoadError::Target { .. })), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_run() {
        let good = LoadConfig::new(Target::parse("http://a").unwrap(), "m");
        assert!(good.check().is_ok());
        for time_scale in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let bad = LoadConfig { time_scale, ..good.clone() };
            assert!(matches!(bad.check(), Err(LoadError::TimeScale { .. })));
        }
        let bad = LoadConfig { in_flight_max: 0, ..good.clone() };
        assert!(matches!(bad.check(), Err(LoadError::NothingInFlight)));
        let tpot_slo = Some(Duration::from_millis(50));
        let bad = LoadConfig { answer_mode: AnswerMode::Whole, tpot_slo, ..good };
        assert!(matches!(bad.check(), Err(LoadError::TpotUnseen)));
    }
}
