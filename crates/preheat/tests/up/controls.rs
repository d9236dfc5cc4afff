//! What an operator orders, from a request to engines and the journal.

use crate::common::{Stage, http};

const TOKEN: &str = "0123456789abcdef";

#[tokio::test]
async fn a_pinned_count_is_started_recorded_and_replayed() {
    let stage = Stage::new();
    let token = stage.file("control.token", TOKEN);
    let pool = "minReplicas: 0, maxReplicas: 2, coldStart: {p50: 20s, p90: 20s}";
    let config = stage.config(50.0, pool, "emulated: {}");
    let config = config.replace("admin: {", &format!("admin: {{controlTokenFile: '{token}', "));
    let mut up = stage.up(&config);
    let now = stage.pool("a tick", |pool| pool.summary.last_tick_s).await;
    let until_s = now + 6.0 * 3_600.0;
    let path = "/api/v1/pools/chat/controls";
    let body = format!(r#"{{"pinned": {{"replicas": 2, "until_s": {until_s}}}}}"#);
    let refused = http::put(stage.admin(), path, "wrong-0123456789", &body).await.expect("answers");
    assert_eq!(refused.status, 403, "{refused:?}");
    let taken = http::put(stage.admin(), path, TOKEN, &body).await.expect("answers");
    assert_eq!(taken.status, 200, "{taken:?}");
    stage.ready(2).await;
    assert!(up.terminate().await.success());

    // It stands over a restart.
    let mut again = stage.up(&config);
    stage.ready(2).await;
    assert!(again.terminate().await.success());
    assert_eq!(stage.processes(), []);
    stage.replay_agrees();
    let journal = stage.state().display().to_string();
    let changes = stage.run(&["why", "--journal", &journal, "--changes", "9"]);
    let pinned = "Started 2 replicas: an operator has pinned it at 2, and 0 are there.";
    assert!(changes.stdout.contains(pinned), "{changes:?}");
}
