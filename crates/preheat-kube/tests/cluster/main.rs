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

mod container_logs;
mod control_plane;
mod custom_kind;
mod demand_source;
mod events;
mod hundreds;
mod kubelet;
mod nodes;
mod objects;
mod scenario;
mod traffic;

mod acting;
mod announced;
mod asking;
mod definition;
mod headroom;
mod idle;
mod image;
mod leader_worker_set;
mod observing;
mod outage;
mod page;
mod picker;
mod publishing;
mod shipped;
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
use serde_json::json;

type Run = fn(Scenario) -> BoxFuture<'static, ()>;

const SCENARIOS: &[(&str, Run)] = &[
    ("definition_refuses_what_contradicts_itself", |s| definition::refuses(s).boxed()),
    ("observe_changes_nothing_but_its_status", |s| observing::changes_nothing(s).boxed()),
    ("act_follows_load_up_and_down_and_cuts_no_stream", |s| acting::follows(s).boxed()),
    ("metrics_gone_at_the_peak_hold_what_is_there", |s| acting::holds_blind(s).boxed()),
    ("a_target_that_goes_and_comes_back_is_followed", |s| acting::target_returns(s).boxed()),
    ("a_stateful_set_gives_up_its_highest_ordinals", |s| acting::scales_a_stateful_set(s).boxed()),
    ("a_leader_worker_set_is_scaled_by_whole_groups", |s| leader_worker_set::is_scaled(s).boxed()),
    ("a_kind_of_which_only_the_scale_is_known_is_scaled", |s| custom_kind::is_scaled(s).boxed()),
    ("a_scale_read_before_another_write_is_refused", |s| {
        acting::stale_scales_are_refused(s).boxed()
    }),
    ("an_idle_target_goes_to_zero_and_comes_back", |s| idle::goes_to_zero_and_back(s).boxed()),
    ("none_is_left_at_zero_when_nobody_tells", |s| idle::is_left_when_nobody_tells(s).boxed()),
    ("an_inference_pools_own_picker_is_asked", |s| picker::is_asked_itself(s).boxed()),
    ("placeholders_give_way_to_replicas", |s| headroom::gives_way(s).boxed()),
    ("starts_are_followed_node_by_node", |s| starting::are_followed_node_by_node(s).boxed()),
    ("engines_logs_tell_loading_from_warming_up", |s| starting::are_told_by_logs(s).boxed()),
    ("a_schedule_raises_the_floor_ahead_within_the_quota", |s| announced::is_met(s).boxed()),
    ("a_foreign_writer_is_given_way", |s| standing_back::from_a_person(s).boxed()),
    ("a_horizontal_pod_autoscaler_is_given_way", |s| standing_back::from_an_hpa(s).boxed()),
    ("the_image_runs_as_the_deployment_starts_it", |s| image::runs(s).boxed()),
    ("an_apiserver_that_is_away_is_waited_for", |s| outage::is_waited_out(s).boxed()),
    ("kubectl_users_are_told_what_is_done_and_why", |s| asking::is_answered(s).boxed()),
    ("a_follower_takes_over_without_a_jump", |s| taking_over::after_a_kill(s).boxed()),
    ("a_follower_goes_on_with_what_was_learned_of_starts", |s| {
        taking_over::with_what_was_learned(s).boxed()
    }),
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
    ("kedas_own_definitions_take_what_is_shipped", |s| shipped::is_taken_by_keda(s).boxed()),
    ("keda_reads_the_same_from_a_follower", |s| publishing::keda_reads_a_follower(s).boxed()),
];

/// The one that needs a cluster of its own.
const PAGE: &str = "the_pages_commands_do_what_it_says";

/// A scenario that takes this long hangs. The longest takes 100 s on two idle cores.
const HANG: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let Some(binaries) = built("controlplane") else {
        println!(
            "skipped: no control plane to test against; `make test-kube` builds one with Go \
             (about ten minutes, once)"
        );
        return if is_demanded() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
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

fn is_demanded() -> bool {
    std::env::var_os("PREHEAT_TEST_KUBE").is_some()
}

/// What the script of this name in e2e has built: a program, or the directory of several.
fn built(name: &str) -> Option<PathBuf> {
    let script = format!("{}/../../e2e/{name}/build", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new("bash").args([&script, "--check"]).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| PathBuf::from(path.trim()))
}

/// The same for a scenario, which is left out where that is not built.
fn needed(name: &str) -> Option<PathBuf> {
    let built = built(name);
    if built.is_none() {
        assert!(!is_demanded(), "run e2e/{name}/build first");
        println!("skipped: ./e2e/{name}/build makes what the next scenario needs");
    }
    built
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
    let is_wanted =
        |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let mut failed = 0;
    if is_wanted(PAGE) {
        failed += usize::from(!goes_well(PAGE, page::is_run(binaries.clone())).await);
    }
    let mut scenarios = SCENARIOS.iter().filter(|(name, _)| is_wanted(name)).peekable();
    if scenarios.peek().is_none() {
        return failed;
    }
    let plane = ControlPlane::start(&binaries).await;
    let kubelet = kubelet::Kubelet::start(plane.admin());
    let admin = plane.admin();
    objects::apply_all(&admin, &preheat_kube::manifests::rbac()).await;
    objects::apply_all(&admin, &publishing::manifests()).await;
    objects::define(&admin, json!(preheat_kube::resource::definition())).await;
    for (name, run) in scenarios {
        let scenario = Scenario::new(&plane, &kubelet).await;
        failed += usize::from(!goes_well(name, run(scenario)).await);
    }
    kubelet.stop().await;
    plane.stop().await;
    failed
}

/// Whether a scenario holds, which is told.
async fn goes_well(name: &str, scenario: impl Future<Output = ()>) -> bool {
    let scenario = AssertUnwindSafe(tokio::time::timeout(HANG, scenario)).catch_unwind();
    let outcome = match scenario.await {
        Ok(Ok(())) => "ok",
        Ok(Err(_)) => "FAILED: it hangs",
        Err(_) => "FAILED",
    };
    println!("cluster {name} ... {outcome}");
    outcome == "ok"
}
