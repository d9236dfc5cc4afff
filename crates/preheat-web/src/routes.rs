//! Which path answers what.

use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use preheat_runtime::telemetry;

use crate::access::{self, Tokens};
use crate::api::{self, Api};
use crate::simulations::SCENARIO_BYTES_MAX;
use crate::source::Source;
use crate::{openapi, page};

/// A body: a scenario with each of its characters escaped, and what comes with it.
const BODY_BYTES_MAX: usize = 4 * SCENARIO_BYTES_MAX;

pub(crate) fn router(source: Source, tokens: Tokens) -> Router {
    Router::new()
        .route(
            "/healthz",
            get(|| async { plain(StatusCode::OK, "text/plain; charset=utf-8", "ok\n") }),
        )
        .route("/metrics", get(metrics))
        .route("/api/v1/fleet", get(api::fleet))
        .route("/api/v1/events", get(api::fleet_events))
        .route("/api/v1/pools/{pool}", get(api::pool))
        .route("/api/v1/pools/{pool}/history", get(api::history))
        .route("/api/v1/pools/{pool}/decisions", get(api::decisions))
        .route("/api/v1/pools/{pool}/decisions/{seq}", get(api::decision))
        .route("/api/v1/pools/{pool}/events", get(api::pool_events))
        .route("/api/v1/pools/{pool}/controls", get(api::controls).put(api::set_controls))
        .route("/api/v1/pools/{pool}/what-if", get(api::what_if_choices).post(api::what_if))
        .route("/api/v1/lab", get(api::lesson))
        .route("/api/v1/lab/figures", get(api::pasts))
        .route("/api/v1/lab/figures/{pool}", get(api::figures))
        .route("/api/v1/sizing", post(api::sizing))
        .route("/api/v1/simulations", post(api::simulate))
        .route("/api/v1/simulations/{id}", get(api::simulation).delete(api::cancel))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/api/v1/openapi.json", get(|| async { Json(openapi::document()) }))
        .route("/", get(page::index))
        .fallback(get(page::file))
        .with_state(Api::new(source, tokens.control.clone()))
        .layer(from_fn_with_state(tokens, access::check))
        .layer(from_fn(access::seal))
}

async fn metrics(State(api): State<Api>) -> Response {
    let text = telemetry::render(&(api.source().status)());
    plain(StatusCode::OK, telemetry::CONTENT_TYPE, text)
}

fn plain(status: StatusCode, content_type: &'static str, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
