//! `preheat dashboard` as a whole: a recorded journal served by a real process.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking, and shows logs"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "common/mod.rs"]
mod common;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Stage, http};
use serde_json::{Value, json};

/// A process that is ended when the test is.
struct Served(Child, SocketAddr);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

fn record(stage: &Stage) -> String {
    let journal = stage.path("recorded.db").display().to_string();
    let recorded = stage
        .command(&["simulate", "--trace", "azure-code", "--until", "3m", "--journal", &journal])
        .output()
        .expect("preheat runs");
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    journal
}

fn serve(mut command: Command) -> Served {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("preheat runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it says where it is");
    let address = line.trim().trim_start_matches("http://").trim_end_matches('/').to_owned();
    Served(child, address.parse().unwrap_or_else(|_| panic!("{line:?} is no address")))
}

#[tokio::test]
async fn a_recorded_journal_is_served_where_it_says() {
    let stage = Stage::new();
    let journal = record(&stage);
    let served = serve(stage.command(&["dashboard", &journal, "--listen", "127.0.0.1:0"]));
    let fleet = http::get(served.1, "/api/v1/fleet").await.expect("it answers").json();
    assert_eq!((&fleet["live"], &fleet["pools"][0]["pool"]), (&false.into(), &"simulated".into()));
    let page = http::get(served.1, "/").await.expect("it answers");
    assert!(page.status == 200 && page.body.contains("<title>preheat</title>"), "{page:?}");
}

#[tokio::test]
async fn with_a_token_it_is_asked_for_by_the_api_and_sent_by_status() {
    let stage = Stage::new();
    let journal = record(&stage);
    let token = stage.file("token", "0123456789abcdef\n");
    let arguments = ["dashboard", &journal, "--listen", "127.0.0.1:0", "--token-file", &token];
    let served = serve(stage.command(&arguments));
    assert_eq!(http::get(served.1, "/api/v1/fleet").await.expect("it answers").status, 401);
    let admin = served.1.to_string();
    let status = |more: &[&str]| {
        let arguments = [&["status", "--admin", &admin], more].concat();
        stage.command(&arguments).output().expect("preheat runs")
    };
    let refused = status(&[]);
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("401") && text.contains("--token-file"), "{text}");
    let shown = status(&["--token-file", &token]);
    assert!(String::from_utf8_lossy(&shown.stdout).starts_with("simulated "), "{shown:?}");
}

/// What if, asked of the dashboard, has the figures of `preheat backtest` with the same settings.
#[tokio::test]
async fn what_if_says_what_a_backtest_says() {
    let stage = Stage::new();
    let journal = stage.path("recorded.db").display().to_string();
    let pool = ["--max-num-seqs", "16", "--max-replicas", "9", "--cold-start", "45s"];
    let simulate = ["simulate", "--trace", "azure-code", "--until", "20m", "--journal", &journal];
    let recorded = stage.command(&[&simulate[..], &pool].concat()).output().expect("preheat runs");
    assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
    let served = serve(stage.command(&["dashboard", &journal, "--listen", "127.0.0.1:0"]));
    let asked = json!({"last_s": 600, "alternatives": [
        {"policy": "keda-waiting"}, {"policy": "hpa-queue", "cold_start_s": 20, "replicas_max": 5},
    ]});
    let path = "/api/v1/pools/simulated/what-if";
    let job = http::post(served.1, path, &asked.to_string()).await.expect("it answers");
    assert_eq!(job.status, 202, "{job:?}");
    let path = format!("/api/v1/simulations/{}", job.json()["id"]);
    let answer = loop {
        let job = http::get(served.1, &path).await.expect("it answers").json();
        match job["state"].as_str() {
            Some("queued" | "running") => tokio::time::sleep(Duration::from_millis(20)).await,
            Some("done") => break job["result"].clone(),
            _ => panic!("{job}"),
        }
    };
    let backtest = |more: &[&str]| -> Value {
        let common = ["backtest", "--journal", &journal, "--from", "10m", "--json"];
        let output = stage.command(&[&common[..], more].concat()).output().expect("preheat runs");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    // A start that nobody gives takes what was seen, and one that somebody gives takes that.
    let configured = ["--max-num-seqs", "16", "--max-replicas", "9", "--policies", "keda-waiting"];
    let found = backtest(&configured);
    assert_eq!(answer["configured"]["outcome"], found["policies"][0][1]);
    assert_eq!(answer["alternatives"][0]["outcome"], found["policies"][1][1]);
    assert_eq!(answer["configured"]["optimum_gpu_hours"], found["optimum_gpu_hours"]);
    for key in ["happened", "replayed"] {
        assert_eq!(answer[key], found[key], "{key}");
    }
    let other = ["--max-num-seqs", "16", "--max-replicas", "5", "--cold-start", "20s"];
    let found = backtest(&[&other[..], &["--policies", "hpa-queue"]].concat());
    assert_eq!(answer["alternatives"][1]["outcome"], found["policies"][1][1]);
    assert_eq!(answer["alternatives"][1]["optimum_gpu_hours"], found["optimum_gpu_hours"]);
    assert_eq!(answer["alternatives"][1]["settings"]["cold_start_s"], 20.0);
}

#[test]
fn what_can_not_be_served_is_refused() {
    let stage = Stage::new();
    let journal = record(&stage);
    let short = stage.file("short", "abc");
    for (arguments, error, hint) in [
        (vec!["nowhere.db"], "nowhere.db", ""),
        (vec![&journal, "--listen", "0.0.0.0:0"], "no token is set", "--token-file"),
        (vec![&journal, "--token-file", &short], "the token has 3 characters", "write 16 or more"),
        (vec![&journal, "--token-file", "none"], "can't read the token", "write 16 or more"),
    ] {
        let arguments = [vec!["dashboard"], arguments].concat();
        let output = stage.command(&arguments).output().expect("preheat runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(error) && text.contains(hint), "{arguments:?}: {text}");
    }
}
