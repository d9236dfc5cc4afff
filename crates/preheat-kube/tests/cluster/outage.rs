//! What happens while nobody can be asked.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::scenario::{NAME, Scenario, is};
use crate::traffic::Traffic;

/// Stops the apiserver as a machine that hangs does; it goes on when this is dropped.
struct Away(Pid);

impl Away {
    fn new(apiserver: Pid) -> Self {
        kill(apiserver, Signal::SIGSTOP).unwrap();
        Self(apiserver)
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        kill(self.0, Signal::SIGCONT).unwrap();
    }
}

pub(crate) async fn is_waited_out(scenario: Scenario) {
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act"})).await;
    let mut preheat = scenario.preheat("a").await;
    let traffic = Traffic::start(&scenario.endpoints, &scenario.namespace, 12);
    scenario.until_ready(4).await;
    scenario.until(|status| status.ready_replicas == Some(4)).await;
    let before = scenario.deployments().get(NAME).await.unwrap().metadata.generation;
    let away = Away::new(scenario.apiserver);
    // It can't renew its lease, and stops acting before anybody else may begin.
    preheat.leading.wait_for(|leads| !leads).await.unwrap();
    drop(away);
    preheat.leading.wait_for(|leads| *leads).await.unwrap();
    scenario.change(json!({"staleness": "3s"})).await;
    let made = scenario.autoscalers().get(NAME).await.unwrap().metadata.generation.unwrap();
    let status = scenario.until(|status| status.observed_generation == made).await;
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert_eq!(status.current_replicas, Some(4));
    // Nobody has touched the scale in between.
    assert_eq!(scenario.deployments().get(NAME).await.unwrap().metadata.generation, before);
    let (whole, cut) = traffic.stop().await;
    assert!(whole > 0 && cut == 0, "{whole} whole, {cut} cut");
    scenario.until_ready(1).await;
    assert!(preheat.stop().await > 0);
}
