//! What pools spent: told when it is known, equal to what the library says of the same journal.

use std::time::Duration;

use preheat_compare::backtest::Past;
use preheat_compare::what_if::{Configured, STEP};
use preheat_core::{PolicySpec, ReplicaCount};
use preheat_runtime::journal::{JournalReader, Selection};
use preheat_web::Source;
use serde_json::{Value, json};

use crate::world::{BEGIN_S, Server, World};

/// A pool's summary as soon as it tells what was spent.
pub(crate) async fn known(server: &Server) -> Value {
    loop {
        let fleet = server.json("/api/v1/fleet", 200).await;
        if !fleet["pools"][0]["spent"].is_null() {
            return fleet["pools"][0].clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_a_pool_spent_is_told_beside_the_optimum_on_both_pages() {
    let mut world = World::new();
    world.drive(300, 4);
    world.drive(300, 12);
    let server = world.serve(None).await;
    let spent = known(&server).await["spent"].clone();
    let pool = server.json("/api/v1/pools/chat", 200).await;
    assert_eq!(pool["summary"]["spent"], spent);

    let reader = JournalReader::open_read_only(world.path()).unwrap();
    let entries = reader.entries(Selection::default()).map(Result::unwrap);
    let ticks: Vec<_> =
        entries.filter_map(|stored| stored.entry.body.observation().cloned()).collect();
    let mut past = Past::new(STEP);
    ticks.iter().for_each(|tick| past.take(tick));
    let spec = PolicySpec { replicas_max: ReplicaCount(6), ..PolicySpec::default() };
    let configured = Configured::of("chat", spec, ticks.last());
    let expected = configured.spent(past.end(), Some(1));
    assert_eq!(spent["gpu_hours"], json!(expected.happened.unwrap().gpu_hours));
    assert_eq!(spent["optimum_gpu_hours"], json!(expected.optimum_gpu_hours.unwrap()));
    assert_eq!(
        spent["over"],
        json!({"from_s": BEGIN_S as f64, "until_s": BEGIN_S as f64 + 1200.0})
    );
    // Its gateway tells of no first tokens beside the SLO, which is not the same as none in time.
    assert_eq!((&spent["attainment"], &spent["optimum_missing"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn where_there_is_no_optimum_it_says_why() {
    for (ticks, arrivals, why) in [
        (100, 4, "the journal has less than 10 minutes of it"),
        (400, 0, "no request is in the history"),
    ] {
        let mut world = World::new();
        world.drive(ticks, arrivals);
        let spent = known(&world.serve(None).await).await["spent"].clone();
        assert_eq!(spent["optimum_gpu_hours"], Value::Null);
        assert!(spent["gpu_hours"].is_number(), "{spent}");
        let missing = spent["optimum_missing"].as_str().unwrap();
        assert!(missing.starts_with(why), "{missing}");
    }
}

#[tokio::test]
async fn without_a_journal_nothing_is_told_of_it() {
    let status = std::sync::Arc::new(|| preheat_api::status::Status {
        pools: vec![preheat_api::status::PoolStatus::default()],
        ..preheat_api::status::Status::default()
    });
    let source = Source { status, journal: None, controls: None, figures: None, live: true };
    let fleet = Server::of(source, None).await.json("/api/v1/fleet", 200).await;
    assert_eq!(fleet["pools"][0]["spent"], Value::Null);
}
