//! preheat against a real etcd, kube-apiserver and kube-controller-manager, with a kubelet written
//! here that runs an emulated engine for each pod.
//!
//! They are built by `e2e/controlplane/build`; where they are not, this says so and passes, unless
//! `PREHEAT_TEST_KUBE` demands them, as `make test-kube` does. Arguments choose scenarios by parts
//! of their names; `serve` runs none, and leaves the cluster to whoever wants to try something on it
//! until standard input ends, as `make cluster` does; `hundreds` measures hundreds of resources, as
//! `make bench-kube` does.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells on stdout how it went"
)]

mod control_plane;
mod custom_kind;
mod demand_source;
mod hundreds;
mod kubelet;
mod nodes;
mod scenario;
mod traffic;

mod acting;
mod announced;
mod asking;
mod definition;
mod headroom;
mod idle;
mod observing;
mod outage;
mod publishing;
mod sleeping;
mod standing_back;
mod starting;
mod taking_over;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use control_plane::ControlPlane;
use scenario::Scenario;

type Run = fn(Scenario) -> BoxFuture<'static, ()>;

const SCENARIOS: &[(&str, Run)] = &[
    ("definition_refuses_what_contradicts_itself", |s| definition::refuses(s).boxed()),
    ("observe_changes_nothing_but_its_status", |s| observing::changes_nothing(s).boxed()),
    ("act_follows_load_up_and_down_and_cuts_no_stream", |s| acting::follows(s).boxed()),
    ("metrics_gone_at_the_peak_hold_what_is_there", |s| acting::holds_blind(s).boxed()),
    ("a_target_that_goes_and_comes_back_is_followed", |s| acting::target_returns(s).boxed()),
    ("a_stateful_set_gives_up_its_highest_ordinals", |s| acting::scales_a_stateful_set(s).boxed()),
    ("a_kind_of_which_only_the_scale_is_known_is_scaled", |s| custom_kind::is_scaled(s).boxed()),
    ("a_scale_read_before_another_write_is_refused", |s| {
        acting::stale_scales_are_refused(s).boxed()
    }),
    ("an_idle_target_goes_to_zero_and_comes_back", |s| idle::goes_to_zero_and_back(s).boxed()),
    ("none_is_left_at_zero_when_nobody_tells", |s| idle::is_left_when_nobody_tells(s).boxed()),
    ("placeholders_give_way_to_replicas", |s| headroom::gives_way(s).boxed()),
    ("starts_are_followed_node_by_node", |s| starting::are_followed_node_by_node(s).boxed()),
    ("a_schedule_raises_the_floor_ahead_within_the_quota", |s| announced::is_met(s).boxed()),
    ("a_foreign_writer_is_given_way", |s| standing_back::from_a_person(s).boxed()),
    ("a_horizontal_pod_autoscaler_is_given_way", |s| standing_back::from_an_hpa(s).boxed()),
    ("an_apiserver_that_is_away_is_waited_for", |s| outage::is_waited_out(s).boxed()),
    ("kubectl_users_are_told_what_is_done_and_why", |s| asking::is_answered(s).boxed()),
    ("a_follower_takes_over_without_a_jump", |s| taking_over::after_a_kill(s).boxed()),
    ("a_pod_sleeps_out_of_traffic_and_is_woken_by_load", |s| sleeping::follows_load(s).boxed()),
    ("the_next_preheat_goes_on_with_a_sleeping_pod", |s| sleeping::outlives_preheat(s).boxed()),
    ("a_sleeping_pod_that_gets_requests_is_woken", |s| sleeping::is_recalled(s).boxed()),
    ("what_sleeps_is_woken_before_preheat_stands_back", |s| sleeping::yields_awake(s).boxed()),
    ("an_engine_that_can_not_sleep_is_left_awake", |s| sleeping::needs_endpoints(s).boxed()),
    ("a_horizontal_pod_autoscaler_writes_what_is_published", |s| {
        publishing::an_hpa_follows(s).boxed()
    }),
    ("what_is_published_may_be_none", |s| publishing::may_publish_none(s).boxed()),
    ("counts_are_told_to_whom_they_may_be", |s| publishing::to_readers_only(s).boxed()),
    ("keda_reads_the_same_from_a_follower", |s| publishing::keda_reads_a_follower(s).boxed()),
];

/// A scenario that takes this long hangs. The longest takes 100 s on two idle cores.
const HANG: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let demanded = std::env::var_os("PREHEAT_TEST_KUBE").is_some();
    let Some(binaries) = binaries() else {
        println!(
            "skipped: no control plane to test against; `make test-kube` builds one with Go \
             (about ten minutes, once)"
        );
        return if demanded { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    };
    if std::env::var_os("PREHEAT_LOG").is_some() {
        let filter = tracing_subscriber::EnvFilter::from_env("PREHEAT_LOG");
        tracing_subscriber::fmt().with_env_filter(filter).init();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if wanted == ["serve"] {
        runtime.block_on(serve(binaries));
        return ExitCode::SUCCESS;
    }
    match wanted.first().map(String::as_str) {
        Some("hundreds") => {
            runtime.block_on(hundreds::measure(binaries));
            return ExitCode::SUCCESS;
        }
        Some("hundreds-controller") => {
            runtime.block_on(hundreds::control());
            return ExitCode::SUCCESS;
        }
        Some(_) | None => {}
    }
    let failed = runtime.block_on(run(binaries, &wanted));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Where the binaries are, if all of them are there.
fn binaries() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../e2e/controlplane/build");
    let output = Command::new("bash").args([script, "--check"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// A bare cluster, until standard input ends or Ctrl-C.
async fn serve(binaries: PathBuf) {
    let plane = ControlPlane::start(&binaries).await;
    let kubelet = kubelet::Kubelet::start(plane.admin());
    println!("export KUBECONFIG={}", plane.kubeconfig().display());
    let stdin_ends =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    tokio::select! {
        _ended = stdin_ends => {}
        _interrupted = tokio::signal::ctrl_c() => {}
    }
    kubelet.stop().await;
    plane.stop().await;
    // The thread that reads can't be given up.
    std::process::exit(0);
}

/// How many scenarios failed.
async fn run(binaries: PathBuf, wanted: &[String]) -> usize {
    let plane = ControlPlane::start(&binaries).await;
    let kubelet = kubelet::Kubelet::start(plane.admin());
    plane.apply_all(&preheat_kube::manifests::rbac()).await;
    plane.apply_all(&publishing::manifests()).await;
    plane.define().await;
    let mut failed = 0;
    for (name, run) in SCENARIOS {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        let scenario = Scenario::new(&plane, &kubelet).await;
        let scenario = AssertUnwindSafe(tokio::time::timeout(HANG, run(scenario))).catch_unwind();
        let outcome = match scenario.await {
            Ok(Ok(())) => "ok",
            Ok(Err(_)) => "FAILED: it hangs",
            Err(_) => "FAILED",
        };
        failed += usize::from(outcome != "ok");
        println!("cluster {name} ... {outcome}");
    }
    kubelet.stop().await;
    plane.stop().await;
    failed
}
