//! KEDA's side of the external scaler, written anew: over plain connections, TLS and mutual TLS, as
//! its handler calls it. `keda_itself` does the same with KEDA's own code, where that is built.

use std::net::SocketAddr;
use std::time::Duration;

use preheat_publish::contract::external_scaler_client::ExternalScalerClient;
use preheat_publish::contract::{GetMetricsRequest, ScaledObjectRef};
use preheat_publish::{Certificate, METRIC, Publisher, PublisherOptions, ScalerOptions, make};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::Code;
use tonic::transport::{Certificate as Authority, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::Chat;
use crate::cluster::{self, Cluster};

/// The name in the certificate, which has `localhost` as well.
const NAME: &str = "preheat.preheat-system.svc";
/// A test that takes this long hangs.
pub(crate) const HANG: Duration = Duration::from_secs(30);

/// A scaler, with its certificate in files.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) chat: Chat,
    folder: tempfile::TempDir,
    pub(crate) authority: String,
    stop: watch::Sender<bool>,
}

pub(crate) enum Security {
    Plain,
    Server,
    /// Who signs those that are answered.
    Mutual(String),
}

impl Server {
    pub(crate) async fn start(security: Security) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let made =
            make(vec![NAME.to_owned(), "localhost".to_owned()], jiff::Timestamp::now()).unwrap();
        let certificate = Certificate::Files {
            certificate: file("tls.crt", &made.certificate),
            key: file("tls.key", &made.key),
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let client_authority = match &security {
            Security::Mutual(pem) => Some(file("clients.crt", pem)),
            Security::Plain | Security::Server => None,
        };
        let plain = matches!(security, Security::Plain);
        let scaler = Some(ScalerOptions { listener, plain, client_authority });
        let options = PublisherOptions { external_metrics: None, scaler, certificate };
        let publisher = Publisher::start(options, Cluster::default().client()).await.unwrap();
        let chat = Chat::default();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(publisher.serve(chat.counts(), stopped));
        Self { address, chat, folder, authority: made.authority, stop }
    }

    fn tls(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Authority::from_pem(&self.authority))
            .domain_name(NAME)
    }

    async fn connect(&self, tls: Option<ClientTlsConfig>) -> Result<Keda, tonic::transport::Error> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{}", self.address))?;
        let endpoint = match tls {
            Some(tls) => endpoint.tls_config(tls)?,
            None => endpoint,
        };
        Ok(Keda(ExternalScalerClient::new(endpoint.connect().await?)))
    }
}

/// What KEDA does with a scaler.
struct Keda(ExternalScalerClient<Channel>);

fn scaled_object() -> ScaledObjectRef {
    let metadata = [("inferenceAutoscaler", "chat"), ("scalerAddress", "preheat:9090")];
    let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    ScaledObjectRef {
        name: "chat-by-keda".to_owned(),
        namespace: "here".to_owned(),
        scaler_metadata: metadata.map(text).into(),
    }
}

impl Keda {
    /// A read of the metric by the HorizontalPodAutoscaler: the metric's name is cut off its prefix,
    /// `GetMetrics` is asked, then `IsActive`, and an error of either fails the read.
    async fn read(&mut self) -> Result<(f64, bool), tonic::Status> {
        let specs = self.0.get_metric_spec(scaled_object()).await?.into_inner().metric_specs;
        let in_hpa = format!("s0-{}", specs[0].metric_name);
        let metric_name = in_hpa.strip_prefix("s0-").unwrap().to_owned();
        let request = GetMetricsRequest { scaled_object_ref: Some(scaled_object()), metric_name };
        let values = self.0.get_metrics(request).await?.into_inner().metric_values;
        assert_eq!(values.len(), 1);
        assert_eq!(values[0].metric_name, METRIC);
        let float = values[0].metric_value_float;
        let whole = u32::try_from(values[0].metric_value).unwrap();
        let value = if float > 0.0 { float } else { f64::from(whole) };
        let active = self.0.is_active(scaled_object()).await?.into_inner().result;
        Ok((value, active))
    }
}

#[tokio::test]
async fn keda_reads_the_count_and_holds_at_an_error() {
    let server = Server::start(Security::Plain).await;
    let mut keda = server.connect(None).await.unwrap();
    for replicas in [0, 1, 12, 11, 1] {
        server.chat.set(Some(replicas));
        assert_eq!(keda.read().await.unwrap(), (f64::from(replicas), replicas > 0));
    }
    server.chat.set(None);
    assert_eq!(keda.read().await.unwrap_err().code(), Code::Unavailable);
    let other = ScaledObjectRef { namespace: "there".to_owned(), ..scaled_object() };
    assert_eq!(keda.0.is_active(other).await.unwrap_err().code(), Code::NotFound);
    let nothing = keda.0.get_metrics(GetMetricsRequest::default()).await.unwrap_err();
    assert_eq!(nothing.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn activity_is_pushed_at_its_edges() {
    let server = Server::start(Security::Plain).await;
    server.chat.set(Some(0));
    let mut keda = server.connect(None).await.unwrap();
    let mut stream = keda.0.stream_is_active(scaled_object()).await.unwrap().into_inner();
    let told = async {
        assert!(!stream.message().await.unwrap().unwrap().result);
        server.chat.set(Some(2));
        assert!(stream.message().await.unwrap().unwrap().result);
        // Neither another count nor none is an edge.
        server.chat.set(Some(3));
        server.chat.set(None);
        server.chat.set(Some(0));
        assert!(!stream.message().await.unwrap().unwrap().result);
        // Who stops tells nothing any more.
        server.stop.send_replace(true);
        assert!(!matches!(stream.message().await, Ok(Some(_))));
    };
    tokio::time::timeout(HANG, told).await.unwrap();
}

#[tokio::test]
async fn tls_shows_who_serves() {
    let server = Server::start(Security::Server).await;
    server.chat.set(Some(4));
    let mut keda = server.connect(Some(server.tls())).await.unwrap();
    assert_eq!(keda.read().await.unwrap(), (4.0, true));
    // Whoever trusts another authority, or no TLS at all, gets nowhere.
    let other = cluster::Authority::new("other");
    let tls = ClientTlsConfig::new().ca_certificate(Authority::from_pem(&other.pem));
    assert!(server.connect(Some(tls.domain_name(NAME))).await.is_err());
    let plain = server.connect(None).await;
    assert!(match plain {
        Ok(mut keda) => keda.read().await.is_err(),
        Err(_) => true,
    });
}

#[tokio::test]
async fn mutual_tls_answers_only_whom_the_authority_signed() {
    let authority = cluster::Authority::new("clients");
    let server = Server::start(Security::Mutual(authority.pem.clone())).await;
    server.chat.set(Some(4));
    let (certificate, key) = authority.sign("keda-operator");
    let tls = server.tls().identity(Identity::from_pem(certificate, key));
    let mut keda = server.connect(Some(tls)).await.unwrap();
    assert_eq!(keda.read().await.unwrap(), (4.0, true));
    let (certificate, key) = cluster::Authority::new("others").sign("keda-operator");
    let stranger = server.tls().identity(Identity::from_pem(certificate, key));
    for tls in [server.tls(), stranger] {
        // With TLS 1.3 the refusal comes with the first answer.
        let refused = match server.connect(Some(tls)).await {
            Ok(mut keda) => keda.read().await.is_err(),
            Err(_) => true,
        };
        assert!(refused);
    }
    assert!(server.folder.path().exists());
}
