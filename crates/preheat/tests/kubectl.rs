//! `kubectl preheat`: the program under the plugin's name, against an apiserver that answers with two
//! lists; by kubectl itself where that is installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

use serde_json::{Value, json};

const RESOURCES: &str = "/apis/preheat.dev/v1alpha1/namespaces/models/inferenceautoscalers";

fn answer(path: &str) -> (u16, Value) {
    let resource = json!({
        "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
        "metadata": {"name": "chat", "namespace": "models", "uid": "u1"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "llama"},
            "maxReplicas": 8,
        },
        "status": {
            "summary": "Observing, nothing is written.", "mode": "Observe", "desiredReplicas": 2,
            "readyReplicas": 1,
        },
    });
    let event = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {},
        "reason": "Conflicted", "message": "somebody set the target", "type": "Warning",
    });
    let list =
        |items: Value| json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items});
    match path {
        RESOURCES => (200, list(json!([resource]))),
        "/api/v1/namespaces/models/events" => (200, list(json!([event]))),
        _ => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "not found", "reason": "NotFound", "code": 404,
            });
            (404, status)
        }
    }
}

/// The program under the plugin's name, and a kubeconfig for the apiserver. The server's thread ends
/// with the test.
struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut reader = BufReader::new(stream.unwrap());
                let mut lines = Vec::new();
                while lines.last().is_none_or(|line: &String| line != "\r\n") {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap() == 0 {
                        break;
                    }
                    lines.push(line);
                }
                let Some(first) = lines.first() else { continue };
                let target = first.split(' ').nth(1).unwrap();
                let (code, body) = answer(target.split('?').next().unwrap());
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {code} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     connection: close\r\n\r\n",
                    body.len()
                );
                let mut stream = reader.into_inner();
                stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
            }
        });
        let folder = tempfile::tempdir().unwrap();
        symlink(env!("CARGO_BIN_EXE_preheat"), folder.path().join("kubectl-preheat")).unwrap();
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             clusters: [{{name: c, cluster: {{server: \"http://{address}\"}}}}]\n\
             users: [{{name: c, user: {{}}}}]\n\
             contexts: [{{name: c, context: {{cluster: c, user: c, namespace: models}}}}]\n"
        );
        std::fs::write(folder.path().join("config"), config).unwrap();
        Self { folder }
    }

    fn run(&self, program: PathBuf, arguments: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.folder.path().display());
        let mut command = Command::new(program);
        command.args(arguments).env("KUBECONFIG", self.folder.path().join("config"));
        command.env("PATH", path).output().unwrap()
    }

    fn plugin(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.run(self.folder.path().join("kubectl-preheat"), arguments);
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn the_plugin_tells_what_is_done_and_why() {
    let stage = Stage::new();
    let (code, status, error) = stage.plugin(&["status"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(
        status,
        "chat  Deployment/llama  Observe  ready 1/2  Observing, nothing is written.\n"
    );
    let (code, why, _) = stage.plugin(&["why", "chat"]);
    assert_eq!(code, 0);
    assert!(
        why.contains("wanted 2 of 1 to 8") && why.contains("Conflicted   somebody set"),
        "{why}"
    );
    let (code, _, error) = stage.plugin(&["why", "chit"]);
    assert_eq!(code, 2);
    assert!(
        error.contains("no InferenceAutoscaler `chit`") && error.contains("it has: chat"),
        "{error}"
    );
    let (code, _, error) = stage.plugin(&["status", "-n", "other"]);
    assert_eq!(code, 2);
    assert!(error.contains("preheat is not installed there"), "{error}");
}

#[test]
fn kubectl_finds_it() {
    let stage = Stage::new();
    if Command::new("kubectl").arg("version").arg("--client").output().is_err() {
        println!("skipped: there is no kubectl to find the plugin");
        return;
    }
    let output = stage.run("kubectl".into(), &["preheat", "status"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), stage.plugin(&["status"]).1);
}
