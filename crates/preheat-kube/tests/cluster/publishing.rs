//! Others write the scale: the real controller of HorizontalPodAutoscalers, through the real
//! aggregator, and KEDA's calls.

use std::net::SocketAddr;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Secret, Service, ServiceAccount};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, Config};
use preheat_kube::manifests::{NAME as PREHEAT, NAMESPACE};
use preheat_kube::resource::Mode;
use preheat_publish::contract::external_scaler_client::ExternalScalerClient;
use preheat_publish::contract::{GetMetricsRequest, ScaledObjectRef};
use preheat_publish::{
    API_SERVICE, Certificate, METRIC, Publisher, PublisherOptions, SECRET, ScalerOptions,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::transport::Endpoint;

use crate::control_plane::{ADMIN_TOKEN, token};
use crate::demand_source::{DemandSource, HELD};
use crate::scenario::{NAME, Preheat, Scenario, condition, is};

/// What is shipped for publishing.
pub(crate) fn manifests() -> Vec<Value> {
    let mut all = preheat_kube::manifests::publishing();
    all.extend(preheat_kube::manifests::external_metrics());
    all
}

/// Servers of one preheat's counts. They end when it is dropped.
struct Servers {
    metrics: SocketAddr,
    scaler: SocketAddr,
    _stop: watch::Sender<bool>,
}

impl Servers {
    /// Serves with preheat's own account, and leads the cluster's APIService here.
    async fn start(scenario: &Scenario, preheat: &Preheat) -> Self {
        let bind = || TcpListener::bind(("127.0.0.1", 0));
        let (metrics, scaler) = (bind().await.unwrap(), bind().await.unwrap());
        let (metrics_at, scaler_at) = (metrics.local_addr().unwrap(), scaler.local_addr().unwrap());
        let options = PublisherOptions {
            external_metrics: Some(metrics),
            scaler: Some(ScalerOptions { listener: scaler, plain: true, client_authority: None }),
            certificate: Certificate::default(),
        };
        let publisher = Publisher::start(options, scenario.preheat.clone()).await.unwrap();
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(publisher.serve(preheat.counts.clone(), stopped));
        Self { metrics: metrics_at, scaler: scaler_at, _stop: stop }
    }

    /// There is no network of Services here: the apiserver is sent to loopback by name instead.
    async fn aggregate(&self, scenario: &Scenario) {
        let services: Api<Service> = Api::namespaced(scenario.admin.clone(), NAMESPACE);
        let patch = json!({"spec": {
            "type": "ExternalName", "externalName": "localhost", "clusterIP": null,
            "clusterIPs": null, "selector": null,
        }});
        let params = PatchParams::default();
        services.patch(PREHEAT, &params, &Patch::Merge(&patch)).await.unwrap();
        let api_services: Api<APIService> = Api::all(scenario.admin.clone());
        let patch = json!({"spec": {"service": {"port": self.metrics.port()}}});
        api_services.patch(API_SERVICE, &params, &Patch::Merge(&patch)).await.unwrap();
        let available = |service: Option<&APIService>| {
            let status = service.and_then(|service| service.status.as_ref());
            let conditions = status.and_then(|status| status.conditions.as_ref());
            conditions.into_iter().flatten().any(|c| c.type_ == "Available" && c.status == "True")
        };
        await_condition(api_services, API_SERVICE, available).await.unwrap();
    }

    /// A client that talks to the server itself, and not through the apiserver.
    async fn direct(
        &self,
        scenario: &Scenario,
        token: Option<&str>,
        headers: bool,
    ) -> (u16, Value) {
        let secrets: Api<Secret> = Api::namespaced(scenario.admin.clone(), NAMESPACE);
        let authority = secrets.get(SECRET).await.unwrap().data.unwrap()["ca.crt"].0.clone();
        let url = format!("https://{}", self.metrics).parse().unwrap();
        let mut config = Config::new(url);
        config.root_cert = Some(ders(&authority));
        config.tls_server_name = Some(format!("{PREHEAT}.{NAMESPACE}.svc"));
        config.auth_info.token = token.map(|token| token.to_owned().into());
        let client = Client::try_from(config).unwrap();
        let mut request = http::Request::get(metric(&scenario.namespace));
        if headers {
            request =
                request.header("X-Remote-User", "admin").header("X-Remote-Group", "system:masters");
        }
        answer(&client, request.body(Vec::new()).unwrap()).await
    }
}

fn ders(pem: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(pem).map(|der| der.unwrap().to_vec()).collect()
}

async fn answer(client: &Client, request: http::Request<Vec<u8>>) -> (u16, Value) {
    match client.request::<Value>(request).await {
        Ok(value) => (200, value),
        Err(kube::Error::Api(status)) => (status.code, json!(status.message)),
        Err(error) => panic!("{error}"),
    }
}

fn metric(namespace: &str) -> String {
    format!(
        "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{METRIC}\
         ?labelSelector=preheat.dev%2Fname%3D{NAME}"
    )
}

/// As the example has it, but with this tolerance.
fn hpa(tolerance: Option<&str>) -> HorizontalPodAutoscaler {
    let mut hpa = preheat_kube::manifests::hpa_example().pop().unwrap();
    for direction in ["scaleUp", "scaleDown"] {
        hpa["spec"]["behavior"][direction]["tolerance"] = json!(tolerance);
    }
    serde_json::from_value(hpa).unwrap()
}

pub(crate) async fn an_hpa_follows(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario
        .autoscale(json!({
            "mode": "Publish", "minReplicas": 1, "maxReplicas": 20, "maxStarts": 20,
            // Twelve engines start at once: none of them is overdue for that.
            "coldStart": {"p50": "5s", "p90": "20s"},
        }))
        .await;
    let preheat = scenario.preheat("a").await;
    let servers = Servers::start(&scenario, &preheat).await;
    servers.aggregate(&scenario).await;
    let status = scenario.until(|status| is(status, "ScalingActive", "NobodyFollows")).await;
    assert_eq!((status.mode, status.published_replicas), (Some(Mode::Publish), Some(1)));
    let hpas: Api<HorizontalPodAutoscaler> =
        Api::namespaced(scenario.admin.clone(), &scenario.namespace);
    hpas.create(&PostParams::default(), &hpa(None)).await.unwrap();
    let status = scenario.until(|status| is(status, "ScalingActive", "Inexact")).await;
    let message = &condition(&status, "ScalingActive").unwrap().message;
    assert!(message.contains("leaves out single steps from 10 replicas on"), "{message}");
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    scenario.change(json!({"minReplicas": 12})).await;
    scenario.until_ready(12).await;
    // One less is a twelfth, and less than its tolerance: it has read 11, and stays at 12.
    scenario.change(json!({"minReplicas": 11})).await;
    scenario.until(|status| status.published_replicas == Some(11)).await;
    let read = |hpa: Option<&HorizontalPodAutoscaler>| {
        let status = hpa.and_then(|hpa| hpa.status.as_ref());
        let metrics = status.and_then(|status| status.current_metrics.as_ref());
        let external = metrics.into_iter().flatten().find_map(|metric| metric.external.as_ref());
        let value = external.and_then(|external| external.current.average_value.as_ref());
        value.is_some_and(|value| value.0 == "917m")
    };
    let seen = await_condition(hpas.clone(), NAME, read).await.unwrap().unwrap();
    assert_eq!(seen.status.unwrap().desired_replicas, 12);
    // Without that tolerance it follows each count.
    let patch = json!({"spec": {"behavior": hpa(Some("0")).spec.unwrap().behavior}});
    hpas.patch(NAME, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    scenario.until_ready(11).await;
    let status = scenario.until(|status| is(status, "ScalingActive", "Publishing")).await;
    assert_eq!(status.written_replicas, None);
    scenario.change(json!({"minReplicas": 12})).await;
    scenario.until_ready(12).await;
    // Whoever pauses holds what is there.
    scenario.change(json!({"pause": "All", "minReplicas": 1})).await;
    let status = scenario.until(|status| is(status, "ScalingActive", "Paused")).await;
    let held = status.published_replicas.unwrap();
    assert!(held >= 12, "{status:?}");
    let (code, body) = answer(&scenario.admin, get(&metric(&scenario.namespace))).await;
    assert_eq!((code, &body["items"][0]["value"]), (200, &json!(held.to_string())));
    scenario.change(json!({"pause": null})).await;
    scenario.until_ready(1).await;
    // Without a count there is an error, and everything stays.
    scenario.change(json!({"mode": "Observe", "minReplicas": 3})).await;
    let failing = |hpa: Option<&HorizontalPodAutoscaler>| {
        let conditions = hpa.and_then(|hpa| hpa.status.as_ref()?.conditions.as_ref());
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|c| c.reason.as_deref() == Some("FailedGetExternalMetric"))
    };
    let failed = await_condition(hpas, NAME, failing).await.unwrap().unwrap();
    let conditions = failed.status.unwrap().conditions.unwrap();
    let said = conditions.iter().filter_map(|c| c.message.as_deref()).collect::<Vec<_>>();
    assert!(said.iter().any(|said| said.contains("its mode is Observe")), "{said:?}");
    let status = scenario.until(|status| status.mode == Some(Mode::Observe)).await;
    assert_eq!(status.published_replicas, None);
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert_eq!(scenario.asked().await, 1);
    // Two who write are one too many.
    scenario.change(json!({"mode": "Act"})).await;
    let status = scenario.until(|status| is(status, "Conflicted", "HorizontalPodAutoscaler")).await;
    assert!(status.summary.unwrap().contains("set mode: Publish to let it"));
    assert!(preheat.stop().await > 0);
}

/// A HorizontalPodAutoscaler that may go to zero (since Kubernetes 1.37 without a feature gate), and
/// KEDA, which asks whether there is anything to do.
pub(crate) async fn may_publish_none(scenario: Scenario) {
    let source = DemandSource::start();
    source.is_up(true);
    scenario.deploy(1).await;
    let demand = json!({"queries": {"held": format!("sum({HELD})")}});
    scenario.autoscale(json!({"mode": "Publish", "minReplicas": 0, "demand": demand})).await;
    let preheat = scenario.preheat_that_asks("a", Some(source.prometheus())).await;
    let servers = Servers::start(&scenario, &preheat).await;
    servers.aggregate(&scenario).await;
    scenario.until(|status| status.published_replicas == Some(0)).await;
    let channel = Endpoint::from_shared(format!("http://{}", servers.scaler)).unwrap();
    let mut keda = ExternalScalerClient::new(channel.connect().await.unwrap());
    let of = ScaledObjectRef {
        name: NAME.to_owned(),
        namespace: scenario.namespace.clone(),
        ..ScaledObjectRef::default()
    };
    assert!(!keda.is_active(of.clone()).await.unwrap().into_inner().result);
    assert_eq!(scenario.asked().await, 1, "nobody has written it yet");
    let hpas: Api<HorizontalPodAutoscaler> =
        Api::namespaced(scenario.admin.clone(), &scenario.namespace);
    let mut hpa = hpa(Some("0"));
    hpa.spec.as_mut().unwrap().min_replicas = Some(0);
    hpas.create(&PostParams::default(), &hpa).await.unwrap();
    scenario.until_ready(0).await;
    source.hold(2.0);
    scenario.until_ready(1).await;
    assert!(keda.is_active(of).await.unwrap().into_inner().result);
    source.hold(0.0);
    scenario.until_ready(0).await;
    assert!(preheat.stop().await > 0);
}

fn get(path: &str) -> http::Request<Vec<u8>> {
    http::Request::get(path).body(Vec::new()).unwrap()
}

pub(crate) async fn to_readers_only(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Publish", "minReplicas": 2})).await;
    let preheat = scenario.preheat("a").await;
    let servers = Servers::start(&scenario, &preheat).await;
    servers.aggregate(&scenario).await;
    scenario.until(|status| status.published_replicas == Some(2)).await;
    // Through the apiserver, and by a token at the door.
    let (code, body) = answer(&scenario.admin, get(&metric(&scenario.namespace))).await;
    assert_eq!((code, &body["items"][0]["value"]), (200, &json!("2")));
    let (code, body) = servers.direct(&scenario, Some(ADMIN_TOKEN), false).await;
    assert_eq!((code, &body["items"][0]["value"]), (200, &json!("2")));
    // Headers that only the aggregator may send help nobody else.
    assert_eq!(servers.direct(&scenario, None, true).await.0, 401);
    assert_eq!(servers.direct(&scenario, Some("made-up"), true).await.0, 401);
    // An account without the right to read has none here either.
    let token = stranger(&scenario).await;
    let (code, message) = servers.direct(&scenario, Some(&token), true).await;
    assert_eq!(code, 403, "{message}");
    let account = format!("system:serviceaccount:{}:stranger may not list", scenario.namespace);
    assert!(message.as_str().unwrap().starts_with(&account), "{message}");
    // What the aggregator knows of us by now.
    let path = "/apis/external.metrics.k8s.io/v1beta1";
    let (code, resources) = answer(&scenario.admin, get(path)).await;
    assert_eq!((code, &resources["resources"][0]["name"]), (200, &json!(METRIC)));
    assert!(preheat.stop().await > 0);
}

/// The token of an account that nobody gave any right.
async fn stranger(scenario: &Scenario) -> String {
    let accounts: Api<ServiceAccount> =
        Api::namespaced(scenario.admin.clone(), &scenario.namespace);
    let account = serde_json::from_value(json!({"metadata": {"name": "stranger"}})).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    token(&scenario.admin, &scenario.namespace, "stranger").await
}

/// KEDA spreads its calls over all preheats: one that does not lead tells what the leader published.
pub(crate) async fn keda_reads_a_follower(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Publish", "minReplicas": 3})).await;
    let mut leader = scenario.preheat("leader").await;
    leader.leading.wait_for(|leads| *leads).await.unwrap();
    scenario.until(|status| status.published_replicas == Some(3)).await;
    let follower = scenario.preheat("follower").await;
    let servers = Servers::start(&scenario, &follower).await;
    let url = format!("http://{}", servers.scaler);
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    let mut keda = ExternalScalerClient::new(channel);
    let of = ScaledObjectRef {
        name: NAME.to_owned(),
        namespace: scenario.namespace.clone(),
        ..ScaledObjectRef::default()
    };
    // It is pushed as soon as the follower has listed what there is.
    let mut active = keda.stream_is_active(of.clone()).await.unwrap().into_inner();
    assert!(active.message().await.unwrap().unwrap().result);
    let specs = keda.get_metric_spec(of.clone()).await.unwrap().into_inner().metric_specs;
    let request = GetMetricsRequest {
        scaled_object_ref: Some(of.clone()),
        metric_name: specs[0].metric_name.clone(),
    };
    let values = keda.get_metrics(request).await.unwrap().into_inner().metric_values;
    assert_eq!((values.len(), values[0].metric_value), (1, 3));
    assert!(keda.is_active(of).await.unwrap().into_inner().result);
    assert!(!*follower.leading.borrow());
    assert!(leader.stop().await > 0);
    follower.kill().await;
}
