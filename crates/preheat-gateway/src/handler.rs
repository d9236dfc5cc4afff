//! Answers one request: from the gateway's own knowledge, or by forwarding it. Knows nothing of
//! the connection that it came over.

use std::convert::Infallible;
use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use preheat_core::Instant;
use serde_json::json;

use crate::body::GatewayBody;
use crate::forward::{Forward, Forwarder};
use crate::headers::{RequestIds, X_REQUEST_ID, strip_hop_by_hop};
use crate::outcome::Arrival;
use crate::refusal::{Refusal, json_response};
use crate::request_body::{self, BodyBudget};
use crate::stats::count;

/// What every request needs.
pub(crate) struct Handler {
    pub(crate) forwarder: Forwarder,
    pub(crate) budget: Arc<BodyBudget>,
    pub(crate) request_ids: RequestIds,
    pub(crate) started_at: Instant,
}

/// What a request asks for, by its method and path.
#[derive(Debug, PartialEq, Eq)]
enum Route<'a> {
    Health,
    Models,
    Model(&'a str),
    Forward,
    Nothing,
}

fn route<'a>(method: &Method, path: &'a str) -> Route<'a> {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    match path {
        "/health" if reads => Route::Health,
        "/v1/models" if reads => Route::Models,
        _ if is_devious(path) => Route::Nothing,
        _ => match path.strip_prefix("/v1/") {
            Some(rest) if *method == Method::POST && !rest.is_empty() => Route::Forward,
            Some(rest) if reads => {
                rest.strip_prefix("models/").map_or(Route::Nothing, Route::Model)
            }
            _ => Route::Nothing,
        },
    }
}

/// Whether an engine that normalizes paths might see one outside of `/v1/`, such as its `/sleep`.
fn is_devious(path: &str) -> bool {
    let encoded = |code: &str| {
        path.as_bytes().windows(3).any(|part| part.eq_ignore_ascii_case(code.as_bytes()))
    };
    path.contains("..") || path.contains('\\') || encoded("%2e") || encoded("%5c")
}

impl Handler {
    pub(crate) async fn handle(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<GatewayBody>, Infallible> {
        let arrived_at = self.forwarder.clock.now();
        let request_id = self.request_ids.ensure(request.headers_mut());
        let answered = match route(request.method(), request.uri().path()) {
            Route::Health => Ok(json_response(StatusCode::OK, &json!({"status": "ok"}))),
            Route::Models => Ok(self.models()),
            Route::Model(model) => self.model(model),
            Route::Forward => self.forward(request, arrived_at).await,
            Route::Nothing => Err(Refusal::NotFound),
        };
        let mut response = answered.unwrap_or_else(|refusal| {
            let clock = &self.forwarder.clock;
            refusal.response(clock.to_wall(self.forwarder.config.retry_after))
        });
        response.headers_mut().entry(X_REQUEST_ID).or_insert(request_id);
        Ok(response)
    }

    async fn forward(
        &self,
        request: Request<Incoming>,
        arrived_at: Instant,
    ) -> Result<Response<GatewayBody>, Refusal> {
        let forwarder = &self.forwarder;
        let (mut head, body) = request.into_parts();
        let read = request_body::read(body, &forwarder.config, &self.budget).await;
        let (body, _reserved) = self.routable(read)?;
        let model = self.routable(request_body::model(&body).await)?;
        let pool = forwarder.pool(&model).ok_or_else(|| self.unknown_model(&model));
        let pool = self.routable(pool)?;
        let arrival =
            Arrival::new(Arc::clone(&pool.meter), Arc::clone(&forwarder.stats), arrived_at);
        strip_hop_by_hop(&mut head.headers);
        // The body is here already, so there is nothing for the engine to invite.
        head.headers.remove(header::EXPECT);
        let path = head.uri.into_parts().path_and_query;
        let path = path.unwrap_or(PathAndQuery::from_static("/"));
        let forward = Forward { method: head.method, path, headers: head.headers, body, model };
        forwarder.forward(&pool, forward, arrival).await
    }

    /// Counts a request that no pool will ever hear of.
    fn routable<T>(&self, result: Result<T, Refusal>) -> Result<T, Refusal> {
        result.inspect_err(|_refusal| count(&self.forwarder.stats.unroutable))
    }

    fn unknown_model(&self, model: &str) -> Refusal {
        let known = self.forwarder.routes.borrow().pools_by_model.keys().cloned().collect();
        Refusal::UnknownModel { model: model.to_owned(), known }
    }

    fn models(&self) -> Response<GatewayBody> {
        let table = self.forwarder.routes.borrow();
        let models: Vec<serde_json::Value> =
            table.pools_by_model.keys().map(|model| self.model_object(model)).collect();
        json_response(StatusCode::OK, &json!({"object": "list", "data": models}))
    }

    fn model(&self, model: &str) -> Result<Response<GatewayBody>, Refusal> {
        if self.forwarder.pool(model).is_none() {
            return Err(self.unknown_model(model));
        }
        Ok(json_response(StatusCode::OK, &self.model_object(model)))
    }

    fn model_object(&self, model: &str) -> serde_json::Value {
        let created = self.started_at.as_nanos() / 1_000_000_000;
        json!({"id": model, "object": "model", "created": created, "owned_by": "preheat"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_posts_below_v1_are_forwarded() {
        let get = |path| route(&Method::GET, path);
        let post = |path| route(&Method::POST, path);
        assert_eq!(get("/health"), Route::Health);
        assert_eq!(route(&Method::HEAD, "/v1/models"), Route::Models);
        assert_eq!(get("/v1/models/org/name"), Route::Model("org/name"));
        assert_eq!(post("/v1/chat/completions"), Route::Forward);
        assert_eq!(post("/v1/embeddings"), Route::Forward);
        for path in ["/", "/sleep", "/v1", "/v1/", "/v1/../sleep", "/v1/%2E%2e/sleep", "/v1/.%2e/x"]
        {
            assert_eq!(post(path), Route::Nothing, "{path}");
        }
        assert_eq!(get("/v1/chat/completions"), Route::Nothing);
        assert_eq!(route(&Method::DELETE, "/v1/models"), Route::Nothing);
        assert_eq!(route(&Method::OPTIONS, "*"), Route::Nothing);
    }
}
