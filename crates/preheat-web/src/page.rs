//! The dashboard's page: files that were built from `web/` and are part of this program.
//!
//! **Invariant:** nothing is read from disk, so no path can lead out.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};

/// Paths on the server, and what is there. Empty when the page was not built.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/files.rs"));

const INDEX: &str = "/index.html";
/// Where Vite puts files whose names change with what is in them.
const HASHED: &str = "/assets/";

/// What `/` says when the page was not built.
const HOW_TO_GET_IT: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>preheat</title>
<h1>preheat</h1>
<p>This program was built without the dashboard's page, which needs Node.js 20.19 or later.
To get it: <code>make web</code>, and build again.
<p>What there is: <a href=\"/metrics\">/metrics</a>, and
<a href=\"/api/v1/fleet\">/api/v1/fleet</a> with its <a href=\"/api/v1/openapi.json\">description</a>.
</html>
";

/// Whether `path` is part of the page rather than data.
pub(crate) fn is_of_page(path: &str) -> bool {
    path == "/" || FILES.iter().any(|(name, _)| *name == path)
}

/// Answers `/`.
pub(crate) async fn index(headers: HeaderMap) -> Response {
    match find(INDEX) {
        Some(body) => answer(INDEX, body, &headers),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8")], HOW_TO_GET_IT).into_response(),
    }
}

/// Answers any other path that nothing else answers.
pub(crate) async fn file(uri: Uri, headers: HeaderMap) -> Response {
    match find(uri.path()) {
        Some(body) => answer(uri.path(), body, &headers),
        None => {
            let text = "there are /, /metrics, /healthz and /api/v1/openapi.json\n";
            (StatusCode::NOT_FOUND, text).into_response()
        }
    }
}

fn find(path: &str) -> Option<&'static [u8]> {
    FILES.iter().find(|(name, _)| *name == path).map(|(_, body)| *body)
}

fn answer(path: &str, body: &'static [u8], headers: &HeaderMap) -> Response {
    let tag = tag(body);
    // A hashed name's content never changes; anything else is asked for again.
    let keep = if path.starts_with(HASHED) {
        HeaderValue::from_static("public, max-age=31536000, immutable")
    } else {
        HeaderValue::from_static("no-cache")
    };
    let known = headers.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Bytes::from_static(body).into_response()
    };
    let answered = response.headers_mut();
    answered.insert(CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    answered.insert(CACHE_CONTROL, keep);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answered.insert(ETAG, tag);
    }
    response
}

/// 64-bit FNV-1a of what is in it: tells two builds apart.
fn tag(body: &[u8]) -> String {
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    format!("\"{:016x}\"", body.iter().fold(0xcbf2_9ce4_8422_2325, fold))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some(_) | None => "application/octet-stream",
    }
}
