//! LeaderWorkerSets, with their own definition, controller and webhooks: a replica is a group of pods,
//! of which only the leader is asked, and the highest groups go first.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use kube::api::{ListParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::objects::{apply_all, define, documents};
use crate::scenario::{NAME, Scenario, is};

const GROUP: &str = "leaderworkerset.x-k8s.io";
/// Of each group: a leader and a worker.
const SIZE: usize = 2;

pub(crate) async fn is_scaled(scenario: Scenario) {
    let Some(built) = crate::needed("leaderworkerset") else { return };
    let _manager = start(&scenario, &built).await;
    let kind = GroupVersionKind::gvk(GROUP, "v1", "LeaderWorkerSet");
    let kind = ApiResource::from_gvk_with_plural(&kind, "leaderworkersets");
    let sets: Api<DynamicObject> =
        Api::namespaced_with(scenario.admin.clone(), &scenario.namespace, &kind);
    sets.create(&PostParams::default(), &set()).await.unwrap();
    let target = json!({"apiVersion": kind.api_version, "kind": kind.kind, "name": NAME});
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 3, "targetRef": target})).await;
    let preheat = scenario.preheat("a").await;
    until_ready(&sets, 3).await;
    let status = scenario.until(|status| status.ready_replicas == Some(3)).await;
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert_eq!(status.written_replicas, Some(3));
    assert_eq!(staying(&scenario).await.len(), 3 * SIZE);
    scenario.change(json!({"minReplicas": 1})).await;
    until_ready(&sets, 1).await;
    // The worker of a group goes with its leader.
    let gone = |pod: Option<&k8s_openapi::api::core::v1::Pod>| pod.is_none();
    for pod in ["chat-2", "chat-2-1", "chat-1", "chat-1-1"] {
        await_condition(scenario.pods(), pod, gone).await.unwrap();
    }
    assert_eq!(staying(&scenario).await, ["chat-0", "chat-0-1"]);
    let status = scenario.until(|status| status.current_replicas == Some(1)).await;
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert!(preheat.stop().await > 0);
}

fn set() -> DynamicObject {
    let set = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "LeaderWorkerSet", "metadata": {"name": NAME},
        "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": SIZE, "workerTemplate": {"spec": {
            "terminationGracePeriodSeconds": 60,
            "containers": [{"name": "vllm", "image": "engine"}],
        }}}},
    });
    serde_json::from_value(set).unwrap()
}

async fn until_ready(sets: &Api<DynamicObject>, groups: u64) {
    let ready = |set: Option<&DynamicObject>| {
        set.is_some_and(|set| {
            let status = &set.data["status"];
            let counts = [&set.data["spec"], status].map(|of| of["replicas"].as_u64());
            counts == [Some(groups); 2] && status["readyReplicas"] == groups
        })
    };
    await_condition(sets.clone(), NAME, ready).await.unwrap();
}

async fn staying(scenario: &Scenario) -> Vec<String> {
    let pods = scenario.pods().list(&ListParams::default()).await.unwrap();
    let staying = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut names: Vec<String> = staying.map(ResourceExt::name_any).collect();
    names.sort();
    names
}

/// Its controller. It ends when this is dropped, and its webhooks are of this namespace alone.
async fn start(scenario: &Scenario, built: &Path) -> Child {
    for name in ["leaderworkersets", "disaggregatedsets"] {
        let group = name.trim_end_matches('s');
        let file = built.join(format!("{group}.x-k8s.io_{name}.yaml"));
        for definition in documents(&file) {
            define(&scenario.admin, definition).await;
        }
    }
    let folder = scenario.folder.path();
    let keys = scenario.kubeconfig.parent().unwrap();
    fs::copy(keys.join("server.crt"), folder.join("tls.crt")).unwrap();
    fs::copy(keys.join("server.key"), folder.join("tls.key")).unwrap();
    let authority = fs::read(keys.join("authority.crt")).unwrap();
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let config = json!({
        "apiVersion": "config.lws.x-k8s.io/v1alpha1", "kind": "Configuration",
        "leaderElection": {"leaderElect": false},
        "internalCertManagement": {"enable": false},
        "webhook": {"host": "127.0.0.1", "port": port, "certDir": folder},
        "metrics": {"bindAddress": "0"},
        "health": {"healthProbeBindAddress": "0"},
    });
    fs::write(folder.join("config.yaml"), config.to_string()).unwrap();
    let log = fs::File::create(folder.join("manager.log")).unwrap();
    let manager = Command::new(built.join("manager"))
        .arg("--config")
        .arg(folder.join("config.yaml"))
        .env("KUBECONFIG", &scenario.kubeconfig)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Nothing is let through until it answers.
    let mut webhooks = documents(&built.join("manifests.yaml"));
    for webhook in &mut webhooks {
        for hook in webhook["webhooks"].as_array_mut().unwrap() {
            reroute(hook, port, &authority);
            let label = "kubernetes.io/metadata.name";
            hook["namespaceSelector"] = json!({"matchLabels": {label: scenario.namespace}});
        }
    }
    let answers = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    answers.await;
    apply_all(&scenario.admin, &webhooks).await;
    manager
}

/// There is no network of Services here: the apiserver is sent to loopback instead.
fn reroute(hook: &mut Value, port: u16, authority: &[u8]) {
    let path = hook["clientConfig"]["service"]["path"].as_str().unwrap();
    let authority = k8s_openapi::ByteString(authority.to_vec());
    hook["clientConfig"] =
        json!({"url": format!("https://127.0.0.1:{port}{path}"), "caBundle": authority});
}
