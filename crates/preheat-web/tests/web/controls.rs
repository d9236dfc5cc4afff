//! Who may order what.

use std::sync::Arc;

use preheat_api::status::Status;
use preheat_core::ReplicaCount;
use preheat_runtime::control_board::{ControlBoard, PoolBounds};
use preheat_web::Source;

use crate::world::Server;

const READ: &str = "read-0123456789abcdef";
const CONTROL: &str = "control-0123456789abcdef";
const PATH: &str = "/api/v1/pools/chat/controls";
const PINNED: &str = r#"{"pinned": {"replicas": 3, "until_s": 600}}"#;

async fn server(folder: &tempfile::TempDir, read: Option<&str>) -> Server {
    let bounds = PoolBounds { replicas_min: ReplicaCount(1), replicas_max: ReplicaCount(4) };
    let file = folder.path().join("controls.json");
    let board = ControlBoard::open(file, [("chat".to_owned(), bounds)]);
    let source = Source {
        status: Arc::new(Status::default),
        journal: None,
        controls: Some(Arc::new(board)),
        figures: None,
        live: true,
    };
    Server::with_control_token(source, read, Some(CONTROL)).await
}

async fn put(server: &Server, token: &str, body: &str) -> String {
    let headers = format!(
        "Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    server.ask_with_body(&format!("PUT {PATH}"), &headers, body).await
}

#[tokio::test]
async fn who_may_only_read_is_told_and_may_not_order() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, Some(READ)).await;
    let refused = put(&server, READ, PINNED).await;
    assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    assert!(refused.contains("admin.controlTokenFile"), "{refused}");
    let taken = put(&server, CONTROL, PINNED).await;
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    for token in [READ, CONTROL] {
        let headers = format!("Authorization: Bearer {token}\r\n");
        let told = server.ask(&format!("GET {PATH}"), &headers).await;
        assert!(told.contains(r#""pinned":{"replicas":3,"until_s":600.0}"#), "{told}");
    }
    let unknown = server.ask(&format!("GET {PATH}"), "").await;
    assert!(unknown.starts_with("HTTP/1.1 401"), "{unknown}");
}

#[tokio::test]
async fn on_its_own_machine_reading_is_free_and_ordering_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    assert_eq!(server.json(PATH, 200).await["paused"], false);
    for token in ["", "control-0123456789abcdeF"] {
        let refused = put(&server, token, r#"{"paused": true}"#).await;
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
    }
    assert_eq!(server.json(PATH, 200).await["paused"], false);
}

#[tokio::test]
async fn what_can_not_be_ordered_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    for (body, status, part) in [
        (r#"{"pinned": {"replicas": 9, "until_s": 600}}"#, 400, "within the pool's bounds, 1 to 4"),
        (r#"{"pinned": {"replicas": 2, "until_s": -1}}"#, 400, "later than 0"),
        (r#"{"stop": true}"#, 422, "unknown field `stop`"),
        ("{", 400, "EOF"),
    ] {
        let refused = put(&server, CONTROL, body).await;
        assert!(refused.starts_with(&format!("HTTP/1.1 {status}")), "{body}: {refused}");
        assert!(refused.contains(part), "{body}: {refused}");
    }
    let other = server.ask("GET /api/v1/pools/coder/controls", "").await;
    assert!(other.contains(r#"there is no pool \"coder\""#) && other.contains("chat"), "{other}");
}
