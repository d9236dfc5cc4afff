//! To no replica and back, by what tells of demand; never on ignorance.

use serde_json::{Value, json};

use crate::demand_source::{ARRIVALS, DemandSource, HELD};
use crate::scenario::{Scenario, condition, is};

fn may_be_none() -> Value {
    json!({
        "mode": "Act", "minReplicas": 0,
        "demand": {"queries": {
            "held": format!("sum({HELD})"), "arrivals": format!("sum({ARRIVALS})"),
        }},
    })
}

pub(crate) async fn goes_to_zero_and_back(scenario: Scenario) {
    let source = DemandSource::start();
    scenario.deploy(2).await;
    scenario.autoscale(may_be_none()).await;
    let preheat = scenario.preheat_that_asks("a", Some(source.prometheus())).await;
    // Nobody would see a request: of two that are not needed one goes, and the last one stays.
    let unseen = |status: &_| is(status, "DemandSeen", "Unseen");
    let status =
        scenario.until(|status| unseen(status) && status.current_replicas == Some(1)).await;
    let message = &condition(&status, "DemandSeen").unwrap().message;
    assert!(message.contains("`held`: "), "{message}");
    assert!(message.ends_with("the last replica stays meanwhile"), "{message}");
    scenario.until(|status| status.reason.as_deref() == Some("DemandUnseen")).await;
    assert_eq!(scenario.asked().await, 1);
    // Seen, and idle for as long as the window.
    source.is_up(true);
    scenario.until_ready(0).await;
    let status = scenario.until(|status| status.current_replicas == Some(0)).await;
    assert_eq!((status.written_replicas, status.desired_replicas), (Some(0), Some(0)));
    assert!(is(&status, "DemandSeen", "Fresh"), "{status:?}");
    assert!(is(&status, "Conflicted", "OnlyWriter"), "{status:?}");
    assert!(is(&status, "ScalingActive", "Acting"), "{status:?}");
    // What waits starts one, which serves it; then there is none again.
    source.hold(3.0);
    scenario.until_asked(1).await;
    scenario.until(|status| status.ready_replicas >= Some(1)).await;
    source.hold(0.0);
    scenario.until_ready(0).await;
    // The next preheat knows whose zero that is, and a request that was turned away starts one.
    assert!(preheat.stop().await > 0);
    let preheat = scenario.preheat_that_asks("b", Some(source.prometheus())).await;
    let seen = |status: &_| is(status, "DemandSeen", "Fresh");
    scenario.until(|status| seen(status) && status.current_replicas == Some(0)).await;
    source.turn_one_away();
    scenario.until_asked(1).await;
    scenario.until_ready(0).await;
    assert!(preheat.stop().await > 0);
}

pub(crate) async fn is_left_when_nobody_tells(scenario: Scenario) {
    let source = DemandSource::start();
    source.is_up(true);
    scenario.deploy(1).await;
    scenario.autoscale(may_be_none()).await;
    let preheat = scenario.preheat_that_asks("a", Some(source.prometheus())).await;
    scenario.until_ready(0).await;
    // Away for less than the fallback says, it is waited for, and the status says so.
    source.is_up(false);
    let status = scenario.until(|status| is(status, "DemandSeen", "Unseen")).await;
    let message = &condition(&status, "DemandSeen").unwrap().message;
    assert!(message.ends_with("raised to 1 when that has lasted 300s"), "{message}");
    assert_eq!(scenario.asked().await, 0);
    // For longer, one is started, and stays for as long as nobody tells.
    scenario.change(json!({"fallback": {"after": "1s", "replicas": 1}})).await;
    scenario.until_ready(1).await;
    scenario.until(|status| status.reason.as_deref() == Some("DemandUnseen")).await;
    assert_eq!(scenario.asked().await, 1);
    source.is_up(true);
    scenario.until_ready(0).await;
    // Told to hold, it holds at none; what was asked for by a person is nobody's to take back.
    scenario.change(json!({"fallback": {"after": "1s", "replicas": 0}})).await;
    source.is_up(false);
    let status = scenario.until(|status| is(status, "DemandSeen", "Unseen")).await;
    let message = &condition(&status, "DemandSeen").unwrap().message;
    assert!(message.ends_with("nothing is started meanwhile"), "{message}");
    scenario.set_scale(1).await;
    scenario.until(|status| is(status, "Conflicted", "ForeignWrite")).await;
    scenario.until_ready(1).await;
    assert!(preheat.stop().await > 0);
}
