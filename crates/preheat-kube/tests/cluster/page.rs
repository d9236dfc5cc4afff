//! docs/kubernetes.md, command by command: what it tells a user to type is typed here, against a
//! cluster that has nothing of preheat in it, and is answered as the page says. Its order is kept, but
//! that somebody else writes while preheat acts, and that going back comes late, and installing without
//! Helm after that.
//!
//! Times, ages, names of pods and long numbers are the only words that may differ. Commands that can't
//! be run here are listed with why; any other is run.

mod parts;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::control_plane::ControlPlane;
use crate::kubelet::Kubelet;
use parts::{Part, parts};

/// A step that has not come out as the page says by then won't.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// By how they begin, and why they aren't run here.
const LEFT_OUT: [(&str, &str); 5] = [
    ("docker ", "e2e/image follows the Dockerfile"),
    ("kubectl get apiservice", "there is no network of Services by which it could be available"),
    // counts_are_told_to_whom_they_may_be does, with an address in the Service's place.
    ("kubectl get --raw '/apis/external.metrics", "there is no network of Services"),
    // starts_are_followed_node_by_node asks for the same.
    ("kubectl preheat nodes", "the page shows another cluster"),
    ("make cluster", "this is one"),
];

/// By how they begin: the other way to install. It must find nothing of the first one's.
const WITHOUT_HELM: [&str; 3] = [
    "kubectl apply -f deploy/crd.yaml",
    "kubectl apply -f deploy/rbac.yaml",
    "kubectl apply -f deploy/deployment.yaml",
];
/// And to go back from it.
const BACK_WITHOUT_HELM: &str = "kubectl delete -f deploy/deployment.yaml";

/// A terminal.
struct Terminal {
    folder: tempfile::TempDir,
    path: String,
    kubeconfig: PathBuf,
    /// The preheat that was started in it.
    controller: Option<Child>,
}

/// The programs that the page takes for installed.
struct Programs {
    preheat: PathBuf,
    helm: PathBuf,
}

impl Programs {
    fn find(binaries: &Path) -> Option<Self> {
        if !binaries.join("kubectl").exists() {
            assert!(!crate::is_demanded(), "run e2e/controlplane/build first, which makes kubectl");
            println!(
                "skipped: ./e2e/controlplane/build makes kubectl, which the next scenario needs"
            );
            return None;
        }
        let helm = crate::needed("helm")?;
        let tests = std::env::current_exe().unwrap();
        let preheat = tests.ancestors().nth(2).unwrap().join("preheat");
        if !preheat.exists() {
            assert!(!crate::is_demanded(), "build it first: cargo build -p preheat");
            println!("skipped: `cargo build -p preheat` makes what the next scenario needs");
            return None;
        }
        Some(Self { preheat, helm })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// In a control plane of its own.
pub(crate) async fn is_run(binaries: PathBuf) {
    let Some(programs) = Programs::find(&binaries) else { return };
    let plane = ControlPlane::start(&binaries).await;
    let kubelet = Kubelet::start(plane.admin());
    let kubeconfig = plane.kubeconfig();
    let mut terminal = Terminal::open(&binaries, &programs, kubeconfig);
    let text = fs::read_to_string(root().join("docs/kubernetes.md")).unwrap();
    let (mut ran, mut left_out) = (0, BTreeSet::new());
    for (section, part) in in_order(parts(&text)) {
        match part {
            Part::Yaml(yaml) => terminal.take_file(&section, &yaml).await,
            Part::Command { text, output } => {
                let left = LEFT_OUT.iter().find(|(begin, _)| text.starts_with(begin));
                if let Some((begin, _)) = left {
                    left_out.insert(*begin);
                } else {
                    ran += 1;
                    terminal.enter(&section, &text, &output).await;
                }
            }
        }
    }
    assert!(ran > 35, "{ran} commands were found in the page");
    assert_eq!(left_out, LEFT_OUT.map(|(begin, _)| begin).into(), "what the page has of these");
    // Which preheat left as it was, and so did those who removed preheat.
    terminal.must("kubectl get deployment chat").await;
    terminal.close().await;
    kubelet.stop().await;
    plane.stop().await;
}

impl Terminal {
    fn open(binaries: &Path, programs: &Programs, kubeconfig: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join(".local/bin");
        fs::create_dir_all(&own).unwrap();
        std::os::unix::fs::symlink(root().join("deploy"), folder.path().join("deploy")).unwrap();
        let folders = [own.as_path(), binaries]
            .into_iter()
            .chain([programs.preheat.parent().unwrap(), programs.helm.parent().unwrap()]);
        let folders = folders.map(|folder| folder.display().to_string());
        let folders: Vec<String> = folders.chain(std::env::var("PATH").ok()).collect();
        let path = folders.join(":");
        Self { folder, path, kubeconfig, controller: None }
    }

    fn command(&self, text: &str) -> Command {
        let mut command = Command::new("bash");
        command
            .args(["-o", "pipefail", "-c", text])
            .current_dir(self.folder.path())
            .env("PATH", &self.path)
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Whether it went well, and what it said.
    async fn run(&self, text: &str) -> (bool, String) {
        let output = self.command(text).output().await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    /// What a user does that the page does not write down.
    async fn must(&self, text: &str) {
        let (well, said) = self.run(text).await;
        assert!(well, "`{text}` said: {said}");
    }

    /// Writes what the next `kubectl apply -f` names; the engine's Deployment is what is there.
    async fn take_file(&self, section: &str, yaml: &str) {
        if !yaml.starts_with("apiVersion") {
            return;
        }
        let write = |name: &str| fs::write(self.folder.path().join(name), yaml).unwrap();
        if yaml.contains("kind: InferenceAutoscaler") {
            write("chat.yaml");
            let bad = yaml.replace("name: chat\nspec", "name: bad\nspec");
            let bad = bad.replace("minReplicas: 2", "minReplicas: 9");
            fs::write(self.folder.path().join("bad.yaml"), bad).unwrap();
            if section == "Observe" {
                // With the grace that the page asks for.
                self.must(concat!(
                    "kubectl create deployment chat --image engine --dry-run=client -o json | ",
                    "kubectl patch --local -f - -o json --type json -p '[{\"op\": \"add\", \"path\": ",
                    "\"/spec/template/spec/terminationGracePeriodSeconds\", \"value\": 600}]' | ",
                    "kubectl apply -f -",
                ))
                .await;
                self.must("kubectl rollout status deployment chat --timeout 120s").await;
            }
        } else if yaml.contains("kind: Deployment") {
            write("engine.yaml");
            self.must("kubectl delete infas chat && kubectl delete deployment chat").await;
            self.must("kubectl wait --for=delete pods -l app=chat --timeout 120s").await;
            self.must("kubectl apply -f engine.yaml").await;
            self.must("kubectl rollout status deployment chat --timeout 120s").await;
        }
    }

    /// Ends the preheat that was started in it, which nothing on the page may have ended.
    async fn close(mut self) {
        if let Some(mut controller) = self.controller.take() {
            assert_eq!(controller.try_wait().unwrap(), None, "preheat ended: {}", self.log());
            controller.kill().await.unwrap();
        }
    }

    /// What that preheat said.
    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("controller.log")).unwrap_or_default()
    }

    async fn enter(&mut self, section: &str, text: &str, output: &[String]) {
        if text.starts_with("preheat controller") {
            let log = fs::File::create(self.folder.path().join("controller.log")).unwrap();
            // It stands for the pods that run nothing here, so it serves KEDA, too.
            let more = "--admin 127.0.0.1:0 --scaler 127.0.0.1:0";
            let mut command = self.command(&format!("exec {text} {more}"));
            command.stdout(log.try_clone().unwrap()).stderr(log);
            self.controller = Some(command.spawn().unwrap());
            return;
        }
        if section == "KEDA" && text.contains("example-keda") {
            let Some(keda) = crate::needed("keda") else { return };
            let folder = keda.parent().unwrap().display();
            for kind in ["scaledobjects", "triggerauthentications"] {
                let file = format!("{folder}/keda.sh_{kind}.yaml");
                self.must(&format!("kubectl apply --server-side -f {file}")).await;
                let made = format!("crd/{kind}.keda.sh");
                self.must(&format!("kubectl wait --for=condition=Established {made}")).await;
            }
        }
        if text.contains(" -n models ") {
            let (_made_before, _said) = self.run("kubectl create namespace models").await;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let (well, said) = self.run(text).await;
            let refused = output.iter().any(|line| line.contains(" is invalid: "));
            if well != refused && is_like(output, &said) {
                return;
            }
            assert!(
                Instant::now() < until && !output.is_empty(),
                "`{text}` ({section}) said, well: {well}\n{said}\ninstead of\n{}\npreheat said\n{}",
                output.join("\n"),
                self.log(),
            );
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// Whether a command said what the page says, in any order of its lines.
fn is_like(expected: &[String], said: &str) -> bool {
    let canonical = |line: &str| {
        let words = line.split_whitespace().map(|word| {
            let varies = word.bytes().any(|byte| byte.is_ascii_digit());
            // How many replicas there are is what the page is about.
            let counts = word.len() == 1 || (word.len() == 3 && word.contains('/'));
            if varies && !counts { "#" } else { word }
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let mut said: Vec<String> = said.lines().map(canonical).collect();
    for line in expected.iter().map(|line| canonical(line)) {
        let Some(at) = said.iter().position(|said| *said == line) else { return false };
        said.swap_remove(at);
    }
    expected.is_empty() || said.is_empty()
}

/// As a user would come to them.
fn in_order(mut parts: Vec<(String, Part)>) -> Vec<(String, Part)> {
    parts.sort_by_key(|(section, part)| match (section.as_str(), part) {
        (_, Part::Command { text, .. })
            if WITHOUT_HELM.iter().any(|begin| text.starts_with(begin)) =>
        {
            4
        }
        (_, Part::Command { text, .. }) if text.starts_with(BACK_WITHOUT_HELM) => 5,
        ("Install" | "Observe" | "Act", _) => 0,
        ("When somebody else writes", _) => 1,
        ("Go back", _) => 3,
        _ => 2,
    });
    parts
}
