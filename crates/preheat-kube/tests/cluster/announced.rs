//! Demand that is announced, and GPUs that are shared.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::scenario::{Scenario, is};

/// The entry begins in ten minutes, and a start is believed to take fifteen: what it asks for is there
/// before it begins, as far as the GPUs reach.
pub(crate) async fn is_met(scenario: Scenario) {
    scenario.deploy(1).await;
    let in_minutes = |number: i64| {
        let at = Timestamp::now() + SignedDuration::from_mins(number);
        at.strftime("%H:%M").to_string()
    };
    let entry = json!({
        "name": "launch", "days": ["daily"], "from": in_minutes(10), "until": in_minutes(70),
        "timezone": "UTC", "replicas": 3,
    });
    scenario
        .autoscale(json!({
            "mode": "Act", "schedules": [entry], "coldStart": {"p50": "12m", "p90": "15m"},
            "quota": {"name": "gpus", "gpuSlots": 2},
        }))
        .await;
    let preheat = scenario.preheat("a").await;
    let status = scenario.until(|status| is(status, "ScalingLimited", "Capped")).await;
    assert_eq!(status.desired_replicas, Some(2));
    scenario.until_ready(2).await;
    scenario.change(json!({"quota": {"name": "gpus", "gpuSlots": 4}})).await;
    scenario.until_ready(3).await;
    let pool = preheat.statuses.get().pop().unwrap();
    assert_eq!((pool.desired, pool.scheduled.len()), (3, 1), "{pool:?}");
    assert!(pool.last_tick_at.unwrap() < pool.scheduled[0].from, "{pool:?}");
    assert!(pool.quota.is_some_and(|quota| quota.replicas_allowed == 4));
    assert!(preheat.stop().await > 0);
}
