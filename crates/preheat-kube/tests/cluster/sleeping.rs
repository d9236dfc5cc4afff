//! Pods that sleep: out of traffic, woken by load, and never asleep where requests arrive.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use kube::runtime::wait::await_condition;
use preheat_kube::pods::DELETION_COST;
use preheat_kube::traffic::Traffic;
use preheat_runtime::probe::Prober;
use serde_json::{Value, json};

use crate::kubelet::PORT;
use crate::scenario::{Scenario, condition, is};
use crate::traffic::Traffic as Clients;

/// More streams than one replica has slots.
const CLIENTS: usize = 10;
/// Long enough for a loaded machine; what takes as long hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two replicas at most, of which one sleeps: whatever grows, grows by waking it.
fn one_asleep() -> Value {
    json!({
        "mode": "Act", "maxReplicas": 2, "standby": {"replicas": 1, "wake": "1s"},
    })
}

pub(crate) async fn follows_load(scenario: Scenario) {
    scenario.deploy_labelled(1, true, true).await;
    scenario.autoscale(one_asleep()).await;
    let preheat = scenario.preheat("a").await;
    // A second one is started, and sleeps as soon as it is not needed.
    let status = scenario.until(|status| status.standby_replicas == Some(1)).await;
    assert!(is(&status, "StandbyAvailable", "Possible"), "{status:?}");
    assert_eq!((status.ready_replicas, scenario.asked().await), (Some(1), 2));
    let sleeper = sleeper(&scenario).await;
    assert!(is_sleeping(&sleeper).await);
    let listed = || scenario.endpoints.lock().unwrap().get(&scenario.namespace).cloned();
    assert!(!listed().unwrap().contains(&address(&sleeper)));
    // Load wakes it, and nothing is started for it.
    let peak = Clients::start(&scenario.endpoints, &scenario.namespace, CLIENTS);
    until_traffic(&scenario, &sleeper, Traffic::On).await;
    scenario.until(|status| status.ready_replicas == Some(2)).await;
    assert!(!is_sleeping(&sleeper).await);
    let woken = scenario.pods().get(&sleeper.name_any()).await.unwrap();
    assert_eq!(woken.uid(), sleeper.uid());
    assert!(!woken.annotations().contains_key(DELETION_COST));
    assert_eq!((all(&scenario).await.len(), scenario.asked().await), (2, 2));
    // It leaves traffic before it sleeps, under streams that go on.
    let rest = Clients::start(&scenario.endpoints, &scenario.namespace, 1);
    let (whole, cut) = peak.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    scenario.until(|status| status.standby_replicas == Some(1)).await;
    let (whole, cut) = rest.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    let pool = preheat.statuses.get().pop().unwrap();
    assert!(pool.totals.wakes >= 1 && pool.totals.sleeps >= 2, "{pool:?}");
    // Wanted no more, it is the one that goes.
    let asleep = self::sleeper(&scenario).await;
    scenario.change(json!({"standby": null})).await;
    scenario.until_ready(1).await;
    let left = all(&scenario).await;
    assert!(left.iter().all(|pod| pod.uid() != asleep.uid()));
    assert!(left.iter().all(|pod| Traffic::of(pod.metadata.labels.as_ref()) == Traffic::On));
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn outlives_preheat(scenario: Scenario) {
    scenario.deploy_labelled(1, true, true).await;
    scenario.autoscale(one_asleep()).await;
    let leader = scenario.preheat("leader").await;
    scenario.until(|status| status.standby_replicas == Some(1)).await;
    let sleeper = sleeper(&scenario).await;
    leader.kill().await;
    let follower = scenario.preheat("follower").await;
    scenario.change(json!({"maxReplicas": 3, "standby": {"replicas": 1, "wake": "2s"}})).await;
    let status = scenario.until(|status| status.observed_generation >= 2).await;
    assert_eq!((status.standby_replicas, status.ready_replicas), (Some(1), Some(1)), "{status:?}");
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert!(is_sleeping(&sleeper).await);
    let peak = Clients::start(&scenario.endpoints, &scenario.namespace, CLIENTS);
    until_traffic(&scenario, &sleeper, Traffic::On).await;
    assert!(!is_sleeping(&sleeper).await);
    let (whole, cut) = peak.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    assert!(follower.stop().await > 0);
}

pub(crate) async fn is_recalled(scenario: Scenario) {
    scenario.deploy_labelled(2, true, false).await;
    scenario.autoscale(one_asleep()).await;
    let preheat = scenario.preheat("a").await;
    // Nothing sleeps where a Service would send it requests; what is surplus goes as ever.
    let status = scenario.until(|status| is(status, "StandbyAvailable", "BlindService")).await;
    let message = &condition(&status, "StandbyAvailable").unwrap().message;
    assert!(message.contains("the Service chat would send requests"), "{message}");
    scenario.until_ready(1).await;
    scenario.heed(true).await;
    scenario.until(|status| status.standby_replicas == Some(1)).await;
    // The Service forgets the label: what slept wakes and serves, or goes where it is not needed.
    scenario.heed(false).await;
    scenario.until(|status| status.standby_replicas == Some(0)).await;
    scenario.until_ready(1).await;
    // Somebody puts the one that serves to sleep.
    let serving = all(&scenario).await.pop().unwrap();
    let prober = Prober::new();
    prober.post(address(&serving), "/sleep?level=1", PATIENCE).await.unwrap();
    until_awake(&serving).await;
    assert!(preheat.stop().await > 0);
}

/// Who stands back wakes nobody later, so all are awake before.
pub(crate) async fn yields_awake(scenario: Scenario) {
    scenario.deploy_labelled(1, true, true).await;
    scenario.autoscale(one_asleep()).await;
    let preheat = scenario.preheat("a").await;
    scenario.until(|status| status.standby_replicas == Some(1)).await;
    let sleeper = sleeper(&scenario).await;
    scenario.set_scale(3).await;
    scenario.until(|status| is(status, "Conflicted", "ForeignWrite")).await;
    until_traffic(&scenario, &sleeper, Traffic::On).await;
    assert!(!is_sleeping(&sleeper).await);
    scenario.until_ready(3).await;
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn needs_endpoints(scenario: Scenario) {
    scenario.deploy_labelled(2, false, true).await;
    scenario.autoscale(one_asleep()).await;
    let preheat = scenario.preheat("a").await;
    let status = scenario.until(|status| is(status, "StandbyAvailable", "NoSleepEndpoints")).await;
    let message = &condition(&status, "StandbyAvailable").unwrap().message;
    assert!(message.contains("/is_sleeping: answered with status 404"), "{message}");
    // It shrinks as if nobody had asked for standby.
    scenario.until_ready(1).await;
    let status = scenario.until(|status| status.current_replicas == Some(1)).await;
    assert_eq!(status.standby_replicas, Some(0));
    let pods = all(&scenario).await;
    assert!(pods.iter().all(|pod| Traffic::of(pod.metadata.labels.as_ref()) == Traffic::On));
    assert!(preheat.stop().await > 0);
}

/// The target's pods that are not ending.
async fn all(scenario: &Scenario) -> Vec<Pod> {
    let pods = scenario.pods().list(&ListParams::default()).await.unwrap().items;
    pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// The one that is out of traffic.
async fn sleeper(scenario: &Scenario) -> Pod {
    let mut pods = all(scenario).await;
    pods.retain(|pod| Traffic::of(pod.metadata.labels.as_ref()) == Traffic::Off);
    assert_eq!(pods.len(), 1);
    pods.pop().unwrap()
}

async fn until_traffic(scenario: &Scenario, pod: &Pod, traffic: Traffic) {
    let is_so = |pod: Option<&Pod>| {
        pod.is_some_and(|pod| Traffic::of(pod.metadata.labels.as_ref()) == traffic)
    };
    await_condition(scenario.pods(), &pod.name_any(), is_so).await.unwrap();
}

fn address(pod: &Pod) -> SocketAddr {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_ref()).unwrap();
    SocketAddr::new(address.parse().unwrap(), PORT)
}

async fn is_sleeping(pod: &Pod) -> bool {
    Prober::new().is_sleeping(address(pod), "/is_sleeping", true, PATIENCE).await.is_ok()
}

async fn until_awake(pod: &Pod) {
    while is_sleeping(pod).await {
        tokio::task::yield_now().await;
    }
}
