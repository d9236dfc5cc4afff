//! A request from its head to its answer: who asks, whether they may, and what.
//!
//! **Invariant:** nothing but health is told before it is known who asks and that they may.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;

use super::delegate::{Delegate, Trust};
use super::identity::{Claim, Identity, claim};
use super::routes::{Permission, Reply, Route, failure};
use crate::count::Counts;
use crate::listener::Shown;
use crate::serve::ServeError;

/// What answers requests.
pub(crate) fn handler(
    counts: Counts,
    trust: watch::Receiver<Trust>,
    delegate: Delegate,
) -> impl Fn(Request<Incoming>, Option<Shown>) -> BoxFuture<'static, Response<Full<Bytes>>>
+ Clone
+ Send
+ Sync
+ 'static {
    let served = Arc::new(Served { counts, trust, delegate });
    move |request, shown| {
        let served = Arc::clone(&served);
        async move { written(served.reply(&request, shown.as_ref()).await) }.boxed()
    }
}

struct Served {
    counts: Counts,
    trust: watch::Receiver<Trust>,
    delegate: Delegate,
}

impl Served {
    async fn reply<B>(&self, request: &Request<B>, shown: Option<&Shown>) -> Reply {
        let path = request.uri().path();
        if request.method() != Method::GET {
            let code = StatusCode::METHOD_NOT_ALLOWED;
            return failure(code, "MethodNotAllowed", "everything here is only read");
        }
        let route = Route::of(path, request.uri().query().unwrap_or_default());
        let Some(permission) = route.permission(path) else {
            return route.reply(&self.counts);
        };
        let trust = self.trust.borrow().clone();
        let peer = shown.and_then(|shown| trust.peer(shown));
        let identity = match claim(peer.as_ref(), request.headers(), &trust.rules) {
            Claim::Identity(identity) => Ok(Some(identity)),
            Claim::Token(token) => self.delegate.owner(&token).await,
            Claim::Nobody => Ok(None),
        };
        match identity {
            Ok(Some(identity)) => match self.delegate.allows(&identity, &permission).await {
                Ok(true) => route.reply(&self.counts),
                Ok(false) => forbidden(&identity, &permission),
                Err(error) => unasked(&error),
            },
            Ok(None) => {
                failure(StatusCode::UNAUTHORIZED, "Unauthorized", "it is not known who asks")
            }
            Err(error) => unasked(&error),
        }
    }
}

fn forbidden(identity: &Identity, permission: &Permission) -> Reply {
    let what = match permission {
        Permission::Path(path) => format!("get {path}"),
        Permission::Metric { namespace, metric } => {
            format!("list {metric} of external.metrics.k8s.io in the namespace {namespace}")
        }
    };
    let message = format!("{} may not {what}", identity.user);
    failure(StatusCode::FORBIDDEN, "Forbidden", &message)
}

fn unasked(error: &ServeError) -> Reply {
    tracing::warn!(%error, "the apiserver can't be asked who may read counts");
    let message = format!("the apiserver can't be asked who may do this: {error}");
    failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", &message)
}

fn written(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(reply.body.to_string()));
    *response.status_mut() = reply.code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
