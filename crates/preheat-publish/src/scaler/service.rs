//! The contract's calls.

use std::pin::Pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, stream};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::watch;
use tonic::Status;
use tonic::codegen::Service;

use super::translate::{is_active, metric_spec, metrics, resource};
use crate::contract::external_scaler_server::{ExternalScaler, ExternalScalerServer};
use crate::contract::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, ScaledObjectRef,
};
use crate::count::Counts;
use crate::listener::Shown;

/// A request is two names and a trigger's metadata.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Between two words on a stream where nothing changes: KEDA may have dropped the last one.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// What answers requests.
pub(crate) fn handler(
    counts: Counts,
) -> impl Fn(Request<Incoming>, Option<Shown>) -> BoxFuture<'static, Response<tonic::body::Body>>
+ Clone
+ Send
+ Sync
+ 'static {
    let server = ExternalScalerServer::new(Scaler(counts));
    let server = server.max_decoding_message_size(REQUEST_BYTES_MAX);
    move |request, _shown| {
        let answer = server.clone().call(request);
        async move {
            match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        .boxed()
    }
}

struct Scaler(Counts);

impl Scaler {
    fn active(&self, of: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let (namespace, name) = resource(of);
        is_active(self.0.get(namespace, name))
    }
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    async fn is_active(
        &self,
        request: tonic::Request<ScaledObjectRef>,
    ) -> Result<tonic::Response<IsActiveResponse>, Status> {
        self.active(request.get_ref()).map(tonic::Response::new)
    }

    type StreamIsActiveStream =
        Pin<Box<dyn Stream<Item = Result<IsActiveResponse, Status>> + Send>>;

    async fn stream_is_active(
        &self,
        request: tonic::Request<ScaledObjectRef>,
    ) -> Result<tonic::Response<Self::StreamIsActiveStream>, Status> {
        let told = Told {
            scaler: Self(self.0.clone()),
            changes: self.0.changes(),
            of: request.into_inner(),
            last: None,
        };
        Ok(tonic::Response::new(Box::pin(stream::unfold(told, Told::next))))
    }

    async fn get_metric_spec(
        &self,
        _request: tonic::Request<ScaledObjectRef>,
    ) -> Result<tonic::Response<GetMetricSpecResponse>, Status> {
        Ok(tonic::Response::new(metric_spec()))
    }

    async fn get_metrics(
        &self,
        request: tonic::Request<GetMetricsRequest>,
    ) -> Result<tonic::Response<GetMetricsResponse>, Status> {
        let request = request.into_inner();
        let of = request
            .scaled_object_ref
            .ok_or_else(|| Status::invalid_argument("the request names no ScaledObject"))?;
        let (namespace, name) = resource(&of);
        metrics(&request.metric_name, self.0.get(namespace, name)).map(tonic::Response::new)
    }
}

/// One stream: tells at once, at every change between some and none, and now and then in between.
/// While nothing is known it says nothing.
struct Told {
    scaler: Scaler,
    changes: watch::Receiver<u64>,
    of: ScaledObjectRef,
    last: Option<bool>,
}

impl Told {
    async fn next(mut self) -> Option<(Result<IsActiveResponse, Status>, Self)> {
        loop {
            self.changes.mark_unchanged();
            let response = self.scaler.active(&self.of).ok();
            if let Some(response) = response.filter(|now| self.last != Some(now.result)) {
                self.last = Some(response.result);
                return Some((Ok(response), self));
            }
            match tokio::time::timeout(HEARTBEAT, self.changes.changed()).await {
                Ok(Ok(())) => {}
                // Whoever knew of changes is gone, and so ends what is told of them.
                Ok(Err(_)) => return None,
                Err(_) => self.last = None,
            }
        }
    }
}
