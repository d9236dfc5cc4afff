//! An apiserver of a few answers.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};

/// An authority that signs clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A client's certificate and key.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

/// What the apiserver holds, and what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) authentication: Arc<Mutex<Value>>,
    pub(crate) secret: Arc<Mutex<Option<Value>>>,
    pub(crate) api_service: Arc<Mutex<Option<Value>>>,
    /// Reviews of access that were asked for.
    pub(crate) reviews: Arc<Mutex<Vec<Value>>>,
}

impl Cluster {
    pub(crate) fn client(&self) -> Client {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let (code, answer) = cluster.answer(head.method.as_str(), head.uri.path(), body);
                let response = Response::builder()
                    .status(code)
                    .body(Body::from(serde_json::to_vec(&answer).unwrap()));
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        Client::new(service, "default")
    }

    fn answer(&self, method: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let missing = || {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "reason": "NotFound", "message": "none", "code": 404});
            (StatusCode::NOT_FOUND, status)
        };
        let found = |held: &Mutex<Option<Value>>| match held.lock().unwrap().clone() {
            Some(value) => (StatusCode::OK, value),
            None => missing(),
        };
        match (method, path.rsplit('/').next().unwrap_or_default()) {
            ("GET", "extension-apiserver-authentication") => {
                let data = self.authentication.lock().unwrap().clone();
                (StatusCode::OK, json!({"metadata": {}, "data": data}))
            }
            ("GET", "preheat-tls") => found(&self.secret),
            ("POST", "secrets") | ("PUT", "preheat-tls") => {
                *self.secret.lock().unwrap() = Some(body.clone());
                (StatusCode::OK, body)
            }
            ("GET", "v1beta1.external.metrics.k8s.io") => found(&self.api_service),
            ("PATCH", "v1beta1.external.metrics.k8s.io") => {
                let mut held = self.api_service.lock().unwrap();
                let service = held.as_mut().unwrap();
                service["spec"]["caBundle"] = body["spec"]["caBundle"].clone();
                (StatusCode::OK, service.clone())
            }
            ("POST", "tokenreviews") => {
                let known = body["spec"]["token"] == "good";
                let user = json!({"username": "reader", "groups": ["readers"]});
                let status =
                    json!({"authenticated": known, "user": if known { user } else { json!({}) }});
                (StatusCode::CREATED, json!({"metadata": {}, "spec": {}, "status": status}))
            }
            ("POST", "subjectaccessreviews") => {
                let spec = &body["spec"];
                let allowed = spec["user"] == "reader"
                    && (spec["resourceAttributes"]["namespace"] == "here"
                        || spec["nonResourceAttributes"]["verb"] == "get");
                self.reviews.lock().unwrap().push(spec.clone());
                let status = json!({"allowed": allowed});
                (StatusCode::CREATED, json!({"metadata": {}, "spec": {}, "status": status}))
            }
            _ => missing(),
        }
    }
}
