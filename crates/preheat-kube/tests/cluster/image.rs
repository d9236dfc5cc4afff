//! The image as the Deployment starts it: its user, its root, its arguments and its probes, with a
//! service account's token, on this machine's network. `e2e/image` makes it of the Dockerfile.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kube::config::Kubeconfig;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use preheat_kube::manifests::{NAME as PREHEAT, NAMESPACE, deployment};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::control_plane::token;
use crate::scenario::Scenario;

const LOOK_INTERVAL: Duration = Duration::from_millis(200);

pub(crate) async fn runs(scenario: Scenario) {
    // It is made of every source, so of any change; `make test-image` makes it.
    if crate::built("image").is_none() {
        println!("skipped: ./e2e/image/build makes the image, as root, of these sources");
        return;
    }
    scenario.deploy(1).await;
    scenario.autoscale(json!({"mode": "Act", "minReplicas": 2})).await;
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let secrets = write_secrets(&scenario).await;
    let mut image = start(&scenario, port, &secrets);
    tokio::select! {
        () = until_healthy(port) => {}
        ended = image.wait() => panic!("it ended: {ended:?}\n{}", log(&scenario)),
    }
    scenario.until(|status| status.written_replicas == Some(2)).await;
    scenario.until_ready(2).await;
    // It ends as a kubelet ends it.
    let pid = Pid::from_raw(i32::try_from(image.id().unwrap()).unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(image.wait().await.unwrap().success(), "{}", log(&scenario));
}

fn log(scenario: &Scenario) -> String {
    fs::read_to_string(scenario.folder.path().join("image.log")).unwrap()
}

/// With the arguments of the Deployment, but that its admin server listens on loopback.
fn start(scenario: &Scenario, port: u16, secrets: &Path) -> Child {
    let deployment = deployment();
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter().map(|argument| {
        argument.as_str().unwrap().replace("0.0.0.0:8081", &format!("127.0.0.1:{port}"))
    });
    let arguments: Vec<String> = arguments.collect();
    assert!(arguments.contains(&format!("127.0.0.1:{port}")), "{arguments:?}");
    let server = Kubeconfig::read_from(&scenario.kubeconfig).unwrap().clusters.pop().unwrap();
    let server = server.cluster.unwrap().server.unwrap();
    let (host, api) = server.trim_start_matches("https://").split_once(':').unwrap();
    let log = fs::File::create(scenario.folder.path().join("image.log")).unwrap();
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/image/run"))
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", std::env::var_os("HOME").unwrap())
        .env("PREHEAT_IMAGE_SECRETS", secrets)
        .env("KUBERNETES_SERVICE_HOST", host)
        .env("KUBERNETES_SERVICE_PORT", api)
        .env("POD_NAME", "preheat-image")
        .env("PREHEAT_LOG", "info")
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// What a pod sees of its service account.
async fn write_secrets(scenario: &Scenario) -> PathBuf {
    let folder = scenario.folder.path().join("account");
    fs::create_dir(&folder).unwrap();
    let authority = scenario.kubeconfig.with_file_name("authority.crt");
    fs::copy(authority, folder.join("ca.crt")).unwrap();
    fs::write(folder.join("namespace"), NAMESPACE).unwrap();
    fs::write(folder.join("token"), token(&scenario.admin, NAMESPACE, PREHEAT).await).unwrap();
    folder
}

/// As its readiness probe does.
async fn until_healthy(port: u16) {
    loop {
        let request = b"GET /healthz HTTP/1.1\r\nhost: preheat\r\nconnection: close\r\n\r\n";
        let mut answer = String::new();
        if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await
            && stream.write_all(request).await.is_ok()
            && stream.read_to_string(&mut answer).await.is_ok()
            && answer.starts_with("HTTP/1.1 200")
        {
            return;
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}
