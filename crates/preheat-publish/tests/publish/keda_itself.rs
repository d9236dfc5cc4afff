//! KEDA's own external scaler, from its Go module, asks preheat's: `e2e/keda/build` builds it. Where it
//! is not there this says so and passes, unless `PREHEAT_TEST_KEDA` demands it, as `make test-keda`
//! does.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use preheat_publish::METRIC;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::cluster;
use crate::scaler::{HANG, Security, Server};

fn program() -> Option<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/keda/build");
    let output = std::process::Command::new("bash").arg(script).arg("--check").output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    }
    let demanded = std::env::var_os("PREHEAT_TEST_KEDA").is_some();
    assert!(!demanded, "KEDA's scaler is not built: run e2e/keda/build");
    println!("skipped: no KEDA to ask; ./e2e/keda/build makes its external scaler with Go");
    None
}

/// KEDA, with one trigger.
struct Keda {
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Keda {
    /// The program, as KEDA would run it for a trigger of this type: `None` where it is not built.
    async fn start(server: &Server, kind: &str, enable_tls: bool, auth: Value) -> Option<Self> {
        let mut child = Command::new(program()?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let trigger = json!({
            "type": kind, "namespace": "here", "name": "chat-by-keda", "metricType": "AverageValue",
            "metadata": {
                "scalerAddress": format!("localhost:{}", server.address.port()),
                "enableTLS": enable_tls.to_string(),
                "inferenceAutoscaler": "chat",
            },
            "auth": auth,
        });
        let mut keda = Self { input, output, _child: child };
        keda.write(&trigger.to_string()).await;
        Some(keda)
    }

    async fn write(&mut self, line: &str) {
        self.input.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn line(&mut self) -> Value {
        let line = tokio::time::timeout(HANG, self.output.next_line()).await.unwrap().unwrap();
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    async fn ask(&mut self, what: &str) -> Value {
        self.write(what).await;
        self.line().await
    }
}

/// What a HorizontalPodAutoscaler reads by way of KEDA.
fn read(value: &str, active: bool) -> Value {
    json!({"read": {"values": {format!("s0-{METRIC}"): value}, "active": active}})
}

#[tokio::test]
async fn kedas_own_scaler_reads_each_count_and_fails_without_one() {
    let server = Server::start(Security::Plain).await;
    let Some(mut keda) = Keda::start(&server, "external", false, json!({})).await else { return };
    let spec = json!([{"type": "External", "external": {
        "metric": {"name": format!("s0-{METRIC}")},
        "target": {"type": "AverageValue", "averageValue": "1"},
    }}]);
    assert_eq!(keda.ask("spec").await, json!({"spec": spec}));
    for replicas in [0, 1, 12, 11, 1] {
        server.chat.set(Some(replicas));
        assert_eq!(keda.ask("read").await, read(&replicas.to_string(), replicas > 0));
    }
    server.chat.set(None);
    let refused = keda.ask("read").await;
    let said = "publishes no count: it is a test";
    assert!(refused["error"].as_str().is_some_and(|text| text.contains(said)), "{refused}");
}

#[tokio::test]
async fn kedas_own_push_scaler_is_told_of_activity_as_it_begins() {
    let server = Server::start(Security::Plain).await;
    server.chat.set(Some(0));
    let Some(mut keda) = Keda::start(&server, "external-push", false, json!({})).await else {
        return;
    };
    for replicas in [0, 2, 0] {
        server.chat.set(Some(replicas));
        assert_eq!(keda.line().await, json!({"pushed": replicas > 0}));
    }
    // It is polled beside that, as any other.
    assert_eq!(keda.ask("read").await, read("0", false));
}

#[tokio::test]
async fn kedas_own_scaler_takes_tls_and_shows_its_certificate() {
    let authority = cluster::Authority::new("clients");
    let (certificate, key) = authority.sign("keda-operator");
    let server = Server::start(Security::Server).await;
    server.chat.set(Some(4));
    let ca = json!({"caCert": server.authority});
    let Some(mut keda) = Keda::start(&server, "external", true, ca).await else { return };
    assert_eq!(keda.ask("read").await, read("4", true));
    // Without the authority nothing is believed.
    let mut stranger = Keda::start(&server, "external", true, json!({})).await.unwrap();
    assert_eq!(stranger.ask("spec").await, json!({"spec": null}));

    let server = Server::start(Security::Mutual(authority.pem.clone())).await;
    server.chat.set(Some(4));
    let mut auth = json!({"caCert": server.authority});
    let mut nobody = Keda::start(&server, "external", true, auth.clone()).await.unwrap();
    assert_eq!(nobody.ask("spec").await, json!({"spec": null}));
    auth["tlsClientCert"] = certificate.into();
    auth["tlsClientKey"] = key.into();
    let mut keda = Keda::start(&server, "external", true, auth).await.unwrap();
    assert_eq!(keda.ask("read").await, read("4", true));
}
