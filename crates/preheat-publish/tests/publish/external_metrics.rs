//! The External Metrics API as an apiserver and its users reach it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use preheat_publish::{Certificate, Publisher, PublisherOptions};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use crate::Chat;
use crate::cluster::{Authority, Cluster};

const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";
const NAME: &str = "preheat.preheat-system.svc";

struct Server {
    address: SocketAddr,
    cluster: Cluster,
    proxies: Authority,
    clients: Authority,
    _stop: watch::Sender<bool>,
}

impl Server {
    async fn start() -> Self {
        let (proxies, clients) = (Authority::new("proxies"), Authority::new("clients"));
        let cluster = Cluster::default();
        *cluster.authentication.lock().unwrap() = json!({
            "requestheader-client-ca-file": proxies.pem,
            "requestheader-allowed-names": "[\"front-proxy-client\"]",
            "requestheader-username-headers": "[\"X-Remote-User\"]",
            "requestheader-group-headers": "[\"X-Remote-Group\"]",
            "requestheader-extra-headers-prefix": "[\"X-Remote-Extra-\"]",
            "client-ca-file": clients.pem,
        });
        *cluster.api_service.lock().unwrap() = Some(json!({
            "metadata": {}, "spec": {
                "service": {"namespace": "preheat-system", "name": "preheat"},
                "groupPriorityMinimum": 100, "versionPriority": 100,
            },
        }));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = PublisherOptions {
            external_metrics: Some(listener),
            scaler: None,
            certificate: Certificate::default(),
        };
        let publisher = Publisher::start(options, cluster.client()).await.unwrap();
        let chat = Chat::default();
        chat.set(Some(12));
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(publisher.serve(chat.counts(), stopped));
        Self { address, cluster, proxies, clients, _stop: stop }
    }

    /// The authority that preheat made and told the apiserver of.
    fn authority(&self) -> Vec<u8> {
        let secret = self.cluster.secret.lock().unwrap().clone().unwrap();
        let service = self.cluster.api_service.lock().unwrap().clone().unwrap();
        assert_eq!(service["spec"]["caBundle"], secret["data"]["ca.crt"]);
        let bundle: k8s_openapi::ByteString =
            serde_json::from_value(service["spec"]["caBundle"].clone()).unwrap();
        bundle.0
    }

    async fn get(
        &self,
        path: &str,
        identity: Option<(String, String)>,
        headers: &[(&str, &str)],
    ) -> (StatusCode, Value) {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.authority()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
            None => config.with_no_client_auth(),
        };
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(NAME).unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::get(path).header(HOST, NAME);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let code = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (code, serde_json::from_slice(&body).unwrap())
    }
}

fn metric(namespace: &str) -> String {
    format!(
        "{BASE}/namespaces/{namespace}/preheat-desired-replicas?labelSelector=preheat.dev%2Fname%3Dchat"
    )
}

const MASTER: [(&str, &str); 2] =
    [("X-Remote-User", "system:kube-aggregator"), ("X-Remote-Group", "system:masters")];
const READER: [(&str, &str); 2] = [("X-Remote-User", "reader"), ("X-Remote-Group", "readers")];

#[tokio::test]
async fn the_front_proxys_users_read_what_they_may() {
    let server = Server::start().await;
    let proxy = || Some(server.proxies.sign("front-proxy-client"));
    let (code, body) = server.get(&metric("here"), proxy(), &READER).await;
    assert_eq!((code, &body["items"][0]["value"]), (StatusCode::OK, &json!("12")));
    let asked = server.cluster.reviews.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    let expected = json!({
        "group": "external.metrics.k8s.io", "version": "v1beta1", "namespace": "here",
        "resource": "preheat-desired-replicas", "verb": "list",
    });
    assert_eq!(asked[0]["resourceAttributes"], expected);
    assert_eq!(asked[0]["groups"], json!(["readers", "system:authenticated"]));
    // Believed for a while.
    server.get(&metric("here"), proxy(), &READER).await;
    assert_eq!(server.cluster.reviews.lock().unwrap().len(), 1);
    let (code, body) = server.get(&metric("there"), proxy(), &READER).await;
    assert_eq!((code, &body["reason"]), (StatusCode::FORBIDDEN, &json!("Forbidden")));
    // The apiserver's own look whether we are there needs nobody's leave.
    let (code, body) = server.get(BASE, proxy(), &MASTER).await;
    assert_eq!((code, &body["kind"]), (StatusCode::OK, &json!("APIResourceList")));
}

#[tokio::test]
async fn headers_of_anybody_else_are_ignored() {
    let server = Server::start().await;
    let path = metric("here");
    let other = Authority::new("other");
    let (code, body) = server.get(&path, None, &MASTER).await;
    assert_eq!((code, &body["reason"]), (StatusCode::UNAUTHORIZED, &json!("Unauthorized")));
    let misnamed = Some(server.proxies.sign("somebody"));
    assert_eq!(server.get(&path, misnamed, &MASTER).await.0, StatusCode::UNAUTHORIZED);
    // A client of the cluster is who its certificate says, and that one may not.
    let client = Some(server.clients.sign("front-proxy-client"));
    let (code, body) = server.get(&path, client, &MASTER).await;
    assert_eq!(code, StatusCode::FORBIDDEN);
    assert!(body["message"].as_str().unwrap().starts_with("front-proxy-client may not list"));
    // A stranger's certificate ends the handshake.
    let (certificate, key) = other.sign("front-proxy-client");
    let strangers = tokio::spawn(async move {
        server.get(&path, Some((certificate, key)), &MASTER).await;
    });
    assert!(strangers.await.unwrap_err().is_panic());
}

#[tokio::test]
async fn tokens_are_reviewed_and_health_is_told_to_anybody() {
    let server = Server::start().await;
    let path = metric("here");
    let (code, _) = server.get(&path, None, &[("Authorization", "Bearer good")]).await;
    assert_eq!(code, StatusCode::OK);
    let (code, _) = server.get(&path, None, &[("Authorization", "Bearer bad")]).await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    assert_eq!(server.get("/healthz", None, &[]).await.0, StatusCode::OK);
    assert_eq!(server.get("/apis", None, &[]).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_api_service_that_leads_elsewhere_is_left_alone() {
    let cluster = Cluster::default();
    let theirs = json!({
        "metadata": {}, "spec": {
            "service": {"namespace": "keda", "name": "keda-operator-metrics-apiserver"},
            "groupPriorityMinimum": 100, "versionPriority": 100, "caBundle": "dGhlaXJz",
        },
    });
    *cluster.authentication.lock().unwrap() = json!({});
    *cluster.api_service.lock().unwrap() = Some(theirs.clone());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let options =
        PublisherOptions { external_metrics: Some(listener), ..PublisherOptions::default() };
    assert!(Publisher::start(options, cluster.client()).await.is_ok());
    assert_eq!(*cluster.api_service.lock().unwrap(), Some(theirs));
}
