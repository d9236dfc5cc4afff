//! Logs of containers at a kubelet's port, where the apiserver asks for them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use k8s_openapi::jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Longest head of a request that is read.
const HEAD_MAX: usize = 16 * 1024;

/// What containers have written, each line after its time, by `namespace/pod/container`.
#[derive(Clone, Default)]
pub(crate) struct ContainerLogs(Arc<Mutex<BTreeMap<String, String>>>);

impl ContainerLogs {
    pub(crate) fn append(&self, container: &str, line: &str) {
        let mut all = self.0.lock().unwrap();
        let log = all.entry(container.to_owned()).or_default();
        writeln!(log, "{} {line}", Timestamp::now()).unwrap();
    }

    /// Serves them on loopback, as long as `tasks` lives. Its port.
    pub(crate) async fn serve(&self, tasks: &mut JoinSet<()>) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(tls()));
        let logs = self.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, logs) = (acceptor.clone(), logs.clone());
                connections.spawn(async move {
                    // Who hangs up is no concern of ours.
                    let _answered = logs.answer(stream, acceptor).await;
                });
            }
        });
        port
    }

    /// Answers one request.
    async fn answer(&self, stream: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && head.len() < HEAD_MAX {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head);
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let name = path.strip_prefix("/containerLogs/").unwrap_or_default();
        let asked = |key: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs.find(|(name, _)| *name == key).map(|(_, value)| value.replace("%3A", ":"))
        };
        assert_eq!(asked("timestamps").as_deref(), Some("true"), "{target}");
        let since = asked("sinceTime").and_then(|time| time.parse::<Timestamp>().ok());
        let limit = asked("limitBytes").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let log = self.0.lock().unwrap().get(name).cloned().unwrap_or_default();
        let is_asked = |line: &&str| {
            let time = line.split(' ').next().and_then(|time| time.parse::<Timestamp>().ok());
            since.is_none() || time >= since
        };
        let mut body: Vec<u8> =
            log.split_inclusive('\n').filter(is_asked).flat_map(str::bytes).collect();
        body.truncate(limit);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).await?;
        stream.shutdown().await
    }
}

/// An apiserver that is given no authority for kubelets takes any certificate.
fn tls() -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap()
}
