//! Who is answered: by token where there is one, else only browsers that mean this machine. And what
//! every answer says about how it may be used.
//!
//! **Invariant:** no answer may be read by a page from elsewhere: there is no CORS header, and
//! without a token a name that is not this machine's own is refused, so that no page can come back
//! under a name that it lets point here.

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{
    AUTHORIZATION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::api::Refusal;
use crate::page;

/// Shorter ones can be guessed: 16 characters of letters and digits are 95 bits.
const TOKEN_LENGTH_MIN: usize = 16;
/// No header can hold more.
const TOKEN_LENGTH_MAX: usize = 1024;

/// Everything comes from here, and nothing runs that was not built in.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a client must show to be answered.
#[derive(Clone)]
pub struct Token(String);

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It could be guessed, or fits no header.
    #[error("the token has {0} characters; it must have from 16 to 1024")]
    Length(usize),
    /// It can't be sent as it is.
    #[error("the token has a character that is not a visible one of ASCII")]
    Characters,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// Reads a token as it stands in a file: space around it does not count.
    ///
    /// # Errors
    /// When it is too short, too long, or can't be sent in a header.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TokenError::Characters);
        }
        if !(TOKEN_LENGTH_MIN..=TOKEN_LENGTH_MAX).contains(&text.len()) {
            return Err(TokenError::Length(text.len()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of `Authorization` that shows it.
    pub fn header(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// Whether `shown` is this token; takes as long for a near miss as for a far one.
    fn is(&self, shown: &str) -> bool {
        let (a, b) = (self.0.as_bytes(), shown.as_bytes());
        let differs = a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y));
        a.len() == b.len() && differs == 0
    }
}

/// What clients may show.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// To be told more than health.
    pub(crate) read: Option<Token>,
    /// To order, and to be told.
    pub(crate) control: Option<Token>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// An address of the fourth version may come in the form of the sixth.
    fn is_this_machine(self) -> bool {
        self.0.to_canonical().is_loopback()
    }
}

/// Lets a request through, or says why not.
pub(crate) async fn check(
    State(tokens): State<Tokens>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match refusal(&tokens, peer, request.uri().path(), request.headers()) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(tokens: &Tokens, peer: Peer, path: &str, headers: &HeaderMap) -> Option<Response> {
    // A probe learns only that somebody answers.
    if path == "/healthz" {
        return None;
    }
    match &tokens.read {
        // The page holds no data, and asks for the token.
        Some(_) if page::is_of_page(path) => None,
        Some(token) if shows(token, headers) => None,
        Some(_) if tokens.control.as_ref().is_some_and(|token| shows(token, headers)) => None,
        Some(_) => Some(without_token()),
        None if peer.is_this_machine() => other_host(headers),
        None if path == "/metrics" => None,
        None => Some(
            Refusal::new(StatusCode::FORBIDDEN, "this is for other machines only with a token")
                .with_hint("give preheat a token file, or ask from its own machine")
                .into_response(),
        ),
    }
}

/// Adds what every answer says.
pub(crate) async fn seal(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// Whether a request shows this token.
pub(crate) fn shows(token: &Token, headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    shown.is_some_and(|shown| token.is(shown))
}

fn without_token() -> Response {
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "this needs the token").with_hint(
        "send it as `Authorization: Bearer TOKEN`; it is in the file that preheat was given",
    );
    let mut response = refusal.into_response();
    response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn other_host(headers: &HeaderMap) -> Option<Response> {
    // Without one it is no browser.
    let host = headers.get(HOST)?;
    if host.to_str().is_ok_and(is_own_name) {
        return None;
    }
    let refusal = Refusal::new(
        StatusCode::MISDIRECTED_REQUEST,
        "without a token only requests to this machine's own name are answered",
    );
    let hint = "ask for localhost or 127.0.0.1, or give preheat a token file and send the token";
    Some(refusal.with_hint(hint).into_response())
}

/// Whether a `Host` header means this machine, whoever resolves it.
fn is_own_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    is_loopback || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_its_own() {
        for (host, expected) in [
            ("localhost", true),
            ("LOCALHOST:8081", true),
            ("127.0.0.1:8081", true),
            ("127.8.8.8", true),
            ("[::1]:8081", true),
            ("[::1]", true),
            ("192.168.1.5:8081", false),
            ("localhost.evil.example", false),
            ("evil.example:127", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            assert_eq!(is_own_name(host), expected, "{host}");
        }
    }

    #[test]
    fn without_a_token_other_machines_are_told_metrics_and_health_only() {
        let own = [(HOST, HeaderValue::from_static("localhost"))].into_iter().collect();
        let other = [(HOST, HeaderValue::from_static("10.0.0.7:8081"))].into_iter().collect();
        let status = |peer: &str, path: &str, headers: &HeaderMap| {
            let peer = Peer(peer.parse().unwrap());
            refusal(&Tokens::default(), peer, path, headers)
                .map_or(200, |refusal| refusal.status().as_u16())
        };
        for (peer, path, headers, expected) in [
            ("127.0.0.1", "/api/v1/fleet", &own, 200),
            ("::1", "/api/v1/fleet", &own, 200),
            ("::ffff:127.0.0.1", "/", &own, 200),
            ("127.0.0.1", "/metrics", &other, 421),
            ("10.0.0.9", "/metrics", &other, 200),
            ("10.0.0.9", "/healthz", &other, 200),
            ("10.0.0.9", "/api/v1/fleet", &other, 403),
            ("10.0.0.9", "/api/v1/fleet", &own, 403),
            ("10.0.0.9", "/", &own, 403),
        ] {
            assert_eq!(status(peer, path, headers), expected, "{peer} {path} {headers:?}");
        }
    }

    #[test]
    fn a_token_is_long_visible_and_equal() {
        assert_eq!(Token::parse("short").unwrap_err(), TokenError::Length(5));
        assert_eq!(Token::parse("sixteen chars  x").unwrap_err(), TokenError::Characters);
        let token = Token::parse(" 0123456789abcdef\n").unwrap();
        for (shown, expected) in [
            ("0123456789abcdef", true),
            ("0123456789abcdeF", false),
            ("0123456789abcde", false),
            ("", false),
        ] {
            assert_eq!(token.is(shown), expected, "{shown}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
