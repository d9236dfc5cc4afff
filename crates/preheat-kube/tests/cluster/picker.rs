//! An InferencePool whose endpoint picker is asked itself, where there is no Prometheus.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::wait::{await_condition, conditions};
use serde_json::{Value, json};

use crate::objects::{apply_all, define};
use crate::scenario::{NAME, Scenario, condition, is};

const PICKER: &str = "chat-epp";
const GROUP: &str = "inference.networking.k8s.io";

/// What the picker's metrics are answered with.
type Answer = Arc<Mutex<(&'static str, String)>>;

pub(crate) async fn is_asked_itself(scenario: Scenario) {
    scenario.deploy(1).await;
    let demand = json!({"inferencePool": NAME});
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 0, "demand": demand})).await;
    let preheat = scenario.preheat("a").await;
    unseen(&scenario, "there is no InferencePool").await;
    define(&scenario.admin, definition()).await;
    apply_all(&scenario.admin, &pool(&scenario.namespace)).await;
    unseen(&scenario, "no pod of the Service `chat-epp`").await;
    let answer = start(&scenario).await;
    unseen(&scenario, "--metrics-endpoint-auth=false").await;
    assert_eq!(scenario.asked().await, 1);
    // Flow control is on, and nothing has waited yet.
    let full = format!("llm_d_epp_flow_control_pool_saturation{{inference_pool=\"{NAME}\"}} 1\n");
    *answer.lock().unwrap() = ("200 OK", full.clone());
    scenario.until_ready(0).await;
    let status = scenario.until(|status| status.current_replicas == Some(0)).await;
    assert!(is(&status, "DemandSeen", "Fresh"), "{status:?}");
    let held = format!("{full}llm_d_epp_flow_control_queue_size{{inference_pool=\"{NAME}\"}} 2\n");
    *answer.lock().unwrap() = ("200 OK", held);
    scenario.until_asked(1).await;
    scenario.until(|status| status.ready_replicas >= Some(1)).await;
    *answer.lock().unwrap() = ("200 OK", full);
    scenario.until_ready(0).await;
    assert!(preheat.stop().await > 0);
}

/// Waits until demand is not seen for this reason.
async fn unseen(scenario: &Scenario, why: &str) {
    let says = |status: &_| {
        is(status, "DemandSeen", "Unseen")
            && condition(status, "DemandSeen").is_some_and(|seen| seen.message.contains(why))
    };
    scenario.until(says).await;
}

/// The part of the kind's definition that a picker is found by.
fn definition() -> Value {
    let text = json!({"type": "string"});
    let port = json!({"type": "object", "properties": {"number": {"type": "integer"}}});
    let reference = json!({"type": "object", "required": ["name"], "properties": {
        "group": {"type": "string", "default": ""},
        "kind": {"type": "string", "default": "Service"},
        "name": text, "port": port, "failureMode": text,
    }});
    let labels = json!({"type": "object", "additionalProperties": text});
    let spec = json!({"type": "object", "properties": {
        "endpointPickerRef": reference,
        "selector": {"type": "object", "properties": {"matchLabels": labels}},
        "targetPorts": {"type": "array", "items": port},
    }});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": format!("inferencepools.{GROUP}"),
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {
                "kind": "InferencePool", "listKind": "InferencePoolList",
                "plural": "inferencepools", "singular": "inferencepool",
            },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            }],
        },
    })
}

/// A pool and its picker's Service.
fn pool(namespace: &str) -> [Value; 2] {
    let pool = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "InferencePool",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": NAME}}, "targetPorts": [{"number": 8000}],
            "endpointPickerRef": {"name": PICKER, "port": {"number": 9002}},
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": PICKER, "namespace": namespace},
        "spec": {
            "selector": {"app": PICKER},
            "ports": [
                {"name": "grpc-ext-proc", "port": 9002}, {"name": "http-metrics", "port": 9091},
            ],
        },
    });
    [pool, service]
}

/// Makes the picker's pod, which asks for a token at first, and what it answers with.
async fn start(scenario: &Scenario) -> Answer {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": PICKER, "namespace": scenario.namespace, "labels": {"app": PICKER},
        },
        "spec": {"containers": [{"name": "epp", "image": "epp"}]},
    });
    apply_all(&scenario.admin, &[pod]).await;
    let running = conditions::is_pod_running();
    let pod: Pod = await_condition(scenario.pods(), PICKER, running).await.unwrap().unwrap();
    let address: IpAddr = pod.status.unwrap().pod_ip.unwrap().parse().unwrap();
    let listener = TcpListener::bind((address, 9091)).unwrap();
    let answer = Answer::new(Mutex::new(("401 Unauthorized", String::new())));
    let shared = Arc::clone(&answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&shared);
            thread::spawn(move || converse(stream, &answer));
        }
    });
    answer
}

/// Answers until the client goes.
fn converse(mut stream: TcpStream, answer: &Mutex<(&'static str, String)>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
        let (status, body) = answer.lock().unwrap().clone();
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        if line.is_empty() || stream.write_all(text.as_bytes()).is_err() {
            break;
        }
    }
}
