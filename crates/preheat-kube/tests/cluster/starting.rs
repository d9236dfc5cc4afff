//! Where the time of starts goes, as nodes and pods tell it.

use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use preheat_core::MachineState;
use preheat_kube::manifests::engine_logs;
use preheat_kube::plugin::{node_rows, nodes, pods, resource};
use serde_json::json;

use crate::objects::apply_all;
use crate::scenario::{NAME, Scenario};

/// The apiserver cuts times to whole seconds: what takes two of them may look like little more than
/// one.
const SEEN_MIN: Duration = Duration::from_secs(1);

pub(crate) async fn are_followed_node_by_node(scenario: Scenario) {
    scenario.deploy_on_nodes(1).await;
    // Believed to be long, none is overdue, and nothing is started in its place.
    let believed = json!({"p50": "60s", "p90": "60s"});
    let spec = json!({"mode": "Act", "minReplicas": 2, "coldStart": believed});
    scenario.autoscale(spec).await;
    let preheat = scenario.preheat("a").await;
    scenario.until_ready(2).await;
    scenario.until(|status| status.ready_replicas == Some(2)).await;
    // The next comes to the node that one leaves.
    scenario.change(json!({"minReplicas": 1})).await;
    scenario.until_ready(1).await;
    scenario.change(json!({"minReplicas": 2})).await;
    scenario.until_ready(2).await;
    let status = scenario.until(|status| status.ready_replicas == Some(2)).await;
    assert_eq!(status.weights_nodes.len(), 2, "{status:?}");
    let resource = resource(&scenario.admin, &scenario.namespace, NAME).await.unwrap();
    let there = pods(&scenario.admin, &resource).await.unwrap();
    let rows = node_rows(&resource, &there, &nodes(&scenario.admin).await.unwrap());
    let warm = rows.iter().filter(|row| row.image == Some(true) && row.weights == Some(true));
    assert_eq!(warm.map(|row| row.pods).collect::<Vec<_>>(), [1, 1], "{rows:?}");
    let starts = preheat.stop_and_tell_starts().await;
    let [cold, warm] = starts.as_slice() else { panic!("two starts, not {starts:?}") };
    let [pending, provisioning, pulling, loading, warming] = cold.phases;
    // A node was made for it, its image pulled, and an init container fetched weights.
    for told in [provisioning, pulling, loading] {
        assert!(told >= Some(SEEN_MIN), "{cold:?}");
    }
    let known = [pending, provisioning, pulling, loading, warming].into_iter().flatten();
    assert_eq!(known.sum::<Duration>(), cold.took, "{cold:?}");
    assert_eq!(cold.machine, MachineState::BARE);
    // Everything was there, and no pull is what its volumes and its sandbox took.
    assert_eq!(warm.machine, MachineState { image: Some(true), weights: Some(true) }, "{warm:?}");
    let [_, provisioning, pulling, ..] = warm.phases;
    assert_eq!(pulling, Some(Duration::ZERO), "{warm:?}");
    assert!(provisioning >= Some(SEEN_MIN), "{warm:?}");
}

pub(crate) async fn are_told_by_logs(scenario: Scenario) {
    scenario.deploy_on_nodes(1).await;
    let believed = json!({"p50": "60s", "p90": "60s", "engineLogs": true});
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2, "coldStart": believed})).await;
    let preheat = scenario.preheat("a").await;
    scenario.until_ready(2).await;
    scenario.until(|status| status.ready_replicas == Some(2)).await;
    // Without the right to read logs, that is said, and the rest goes on.
    let events: Api<Event> = Api::namespaced(scenario.admin.clone(), &scenario.namespace);
    let listed = events.list(&Default::default()).await.unwrap();
    let unread = listed.iter().find(|event| event.reason.as_deref() == Some("LogsUnread")).unwrap();
    let note = unread.note.as_deref().unwrap();
    assert!(note.contains("deploy/engine-logs.yaml"), "{note}");
    apply_all(&scenario.admin, &engine_logs()).await;
    scenario.change(json!({"minReplicas": 3})).await;
    scenario.until_ready(3).await;
    scenario.until(|status| status.ready_replicas == Some(3)).await;
    let starts = preheat.stop_and_tell_starts().await;
    let [untold, told] = starts.as_slice() else { panic!("two starts, not {starts:?}") };
    let [.., loading, warming] = told.phases;
    // An init container fetched weights, and the engine loaded them.
    assert!(loading >= Some(SEEN_MIN * 2), "{told:?}");
    assert!(warming >= Some(SEEN_MIN), "{told:?}");
    assert_eq!(told.phases.into_iter().flatten().sum::<Duration>(), told.took, "{told:?}");
    // An engine answers once it has warmed up.
    let [.., loading, warming] = untold.phases;
    assert!(loading > warming.map(|warming| warming + SEEN_MIN * 2), "{untold:?}");
}
