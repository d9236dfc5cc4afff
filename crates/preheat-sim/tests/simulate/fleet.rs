//! Fleets that grow, shrink, drain and are looked at.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use preheat_engine::{CompileCache, ImageSource, StartupInputs, WeightsSource};
use preheat_sim::cold_start::{ColdStartConfig, GpuSupply};
use preheat_sim::report::RunReport;
use preheat_sim::run::{
    Drain, ReplicasInitial, ScaleDown, Simulation, SimulationConfig, SimulationError, Victim,
};
use preheat_sim::view::{FleetView, MetricsPipeline, ReplicaState};
use preheat_traffic::TraceRequest;

use crate::common::{Script, at, config, fixed, poisson, secs};

fn run(config: SimulationConfig, trace: &[TraceRequest], mut script: Script) -> RunReport {
    let simulation = Simulation::new(config).unwrap();
    simulation.run(trace.iter().copied(), &mut script).unwrap()
}

/// Runs, and collects what `see` makes of each view.
fn watch<T: 'static>(
    config: SimulationConfig,
    trace: &[TraceRequest],
    mut script: Script,
    see: impl Fn(&FleetView<'_>) -> T + 'static,
) -> (RunReport, Vec<T>) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    script.look = Box::new(move |view| sink.borrow_mut().push(see(view)));
    let report = run(config, trace, script);
    (report, seen.take())
}

fn request(arrival_secs: u64, output_tokens: u32) -> TraceRequest {
    TraceRequest { arrival: secs(arrival_secs), input_tokens: 100, output_tokens }
}

fn count(replicas: u32) -> ReplicasInitial {
    ReplicasInitial::Count(replicas)
}

#[test]
fn a_start_takes_its_time_and_is_charged_from_its_order() {
    let trace = [request(0, 10), request(100, 10)];
    let config = SimulationConfig { replicas_initial: count(1), ..config() };
    let script = Script::of(&[(10, 3), (90, 1)]);
    let see = |view: &FleetView<'_>| (view.now, view.count(ReplicaState::Ready));
    let (report, seen) = watch(config, &trace, script, see);
    let ready_at = |time| seen.iter().find(|(now, _)| *now == at(time)).unwrap().1;
    assert_eq!((ready_at(69), ready_at(70), ready_at(91)), (1, 3, 1));
    // One replica all the time and its start, two more from order to stop.
    let expected = (100.0 + 60.0 + 2.0 * 80.0) / 3600.0;
    assert!((report.gpu_hours - expected).abs() < 1e-3, "{} {expected}", report.gpu_hours);
    assert_eq!((report.starts, report.stops, report.replicas_peak), (2, 2, 3));
    assert_eq!(report.direction_changes, 1);
}

#[test]
fn drawn_starts_depend_on_what_the_node_has() {
    let first = StartupInputs {
        image: ImageSource::Registry { bytes: 10_000_000_000, bytes_per_sec: 200_000_000 },
        weights_bytes: 32_000_000_000,
        weights: WeightsSource::RemoteStore,
        compile_cache: CompileCache::Miss,
    };
    let config = SimulationConfig {
        startup: ColdStartConfig::per_node(first),
        gpus: GpuSupply::Nodes { nodes: 1, gpus_each: 2 },
        replicas_initial: count(1),
        ..config()
    };
    let mut cold = config.clone();
    cold.gpus = GpuSupply::Nodes { nodes: 2, gpus_each: 1 };
    let trace = [request(0, 10), request(600, 10)];
    let ready_after = |config| {
        let see = |view: &FleetView<'_>| view.replicas.get(1).and_then(|r| r.ready_at);
        let (_, seen) = watch(config, &trace, Script::of(&[(1, 2)]), see);
        seen.into_iter().flatten().next().unwrap().since(at(1))
    };
    let (warm, cold) = (ready_after(config), ready_after(cold));
    // Medians of 44 s and 189 s, from `StartupProfile::from_inputs`.
    assert!(warm > secs(30) && warm < secs(80), "{warm:?}");
    assert!(cold > secs(120) && cold < secs(400), "{cold:?}");
}

#[test]
fn a_graceful_drain_cuts_nothing_and_a_kill_does() {
    let trace = poisson(5, &[(120, 12.0)]);
    let shrink = || Script::of(&[(0, 4), (60, 1)]);
    let config = SimulationConfig { replicas_initial: count(4), ..config() };
    for victim in [Victim::Newest, Victim::Random] {
        let scale_down = ScaleDown { victim, drain: Drain::Graceful };
        let report = run(SimulationConfig { scale_down, ..config.clone() }, &trace, shrink());
        assert_eq!((report.streams_cut, report.failed), (0, 0));
        assert_eq!(report.completed, trace.len() as u64);
        assert_eq!(report.stops, 3);
    }
    let scale_down = ScaleDown { victim: Victim::Newest, drain: Drain::Kill { grace: secs(0) } };
    let report = run(SimulationConfig { scale_down, ..config }, &trace, shrink());
    assert!(report.streams_cut > 0);
    // Those without a first token went elsewhere.
    assert_eq!(report.failed, report.streams_cut);
    assert_eq!(report.completed + report.failed, report.requests);
}

#[test]
fn a_full_fleet_is_as_busy_as_its_load() {
    // Little's law: with slots in plenty, slots in use are arrivals × time inside.
    let trace = poisson(11, &[(900, 20.0)]);
    let config = SimulationConfig { replicas_initial: count(10), ..config() };
    let see = |view: &FleetView<'_>| {
        let running: u32 = view.ready_metrics().map(|m| m.running).sum();
        let gpu: f64 = view.ready_metrics().map(|m| m.gpu_utilization).sum();
        let kv: f64 = view.ready_metrics().map(|m| m.kv_utilization).sum();
        let cpu: f64 = view.ready_metrics().map(|m| m.cpu_cores).sum();
        (running, gpu / 10.0, kv / 10.0, view.proxy, cpu / 10.0)
    };
    let (report, seen) = watch(config, &trace, fixed(10), see);
    let late = &seen[100..900];
    let mean = |of: fn(&(u32, f64, f64, preheat_sim::view::ProxyView, f64)) -> f64| {
        late.iter().map(of).sum::<f64>() / late.len() as f64
    };
    let (slots, inside) = (mean(|s| f64::from(s.0)), mean(|s| f64::from(s.3.concurrency)));
    let answer_secs = report.ttft_s.p50.unwrap() + report.tpot_s.p50.unwrap() * 127.0;
    let expected = 20.0 * answer_secs;
    assert!((inside / expected - 1.0).abs() < 0.1, "{inside} inside, {expected} expected");
    assert!((slots / inside - 1.0).abs() < 0.1, "{slots} running of {inside}");
    // The gauge that misleads: with a fifth of the slots in use it shows nearly full.
    let (gpu, kv) = (mean(|s| s.1), mean(|s| s.2));
    assert!(slots < 40.0 && gpu > 0.75 && kv < 0.1, "{slots} slots, GPU {gpu}, KV {kv}");
    // So does the CPU: a core turns while anything runs, and 20 × 128 tokens a second add little.
    let cpu = mean(|s| s.4);
    assert!(cpu > gpu && cpu < gpu + 0.1, "{cpu} cores");
}

#[test]
fn metrics_come_late_and_totals_only_grow() {
    let trace = poisson(2, &[(200, 8.0)]);
    let mut script = fixed(2);
    script.pipeline = MetricsPipeline { scrape_interval: secs(15), delay: secs(7) };
    let config = SimulationConfig { replicas_initial: count(2), ..config() };
    let see = |view: &FleetView<'_>| (view.now, view.replicas.to_vec());
    let (_, seen) = watch(config, &trace, script, see);
    let mut before = preheat_sim::view::EngineMetrics::default();
    let mut scrapes = 0;
    for (now, replicas) in &seen {
        let Some(metrics) = replicas.first().and_then(|r| r.metrics) else { continue };
        let age = now.since(metrics.at);
        assert!(age >= secs(7) && age < secs(7 + 16), "{age:?}");
        assert!(metrics.generation_tokens_total >= before.generation_tokens_total);
        assert!(metrics.itl_seconds_sum >= before.itl_seconds_sum);
        assert!(metrics.itl_count >= before.itl_count);
        // Buckets hold each other; nothing takes 1 ms, and nothing is slower than the last bound.
        assert!(metrics.ttft_buckets.is_sorted() && metrics.ttft_buckets[0] == 0);
        assert_eq!(metrics.ttft_buckets.map(u64::from).last(), Some(&metrics.ttft_count));
        if metrics.at > before.at && before.at > at(0) {
            assert_eq!(metrics.at.since(before.at), secs(15));
            let gaps = (metrics.itl_count - before.itl_count) as f64;
            let itl = (metrics.itl_seconds_sum - before.itl_seconds_sum) / gaps;
            assert!(itl > 0.004 && itl < 0.05, "{itl}");
            scrapes += 1;
        }
        before = metrics;
    }
    assert!(scrapes > 10 && seen.first().is_some_and(|(_, r)| r[0].metrics.is_none()));
}

#[test]
fn the_fleet_begins_sized_for_the_first_minute() {
    let initial = |rate| {
        let trace = poisson(4, &[(60, rate), (120, 0.1)]);
        let see = |view: &FleetView<'_>| view.desired;
        let script = Script::of(&[(30, 1)]);
        watch(config(), &trace, script, see).1[0]
    };
    let (few, many) = (initial(4.0), initial(40.0));
    assert!(few >= 1 && many >= 5 * few && many <= 20, "{few} {many}");
}

#[test]
fn no_more_than_the_machines_hold() {
    let trace = poisson(4, &[(300, 4.0)]);
    let config = SimulationConfig {
        gpus: GpuSupply::Nodes { nodes: 1, gpus_each: 5 },
        gpus_per_replica: 2,
        replicas_initial: count(1),
        ..config()
    };
    let see = |view: &FleetView<'_>| view.count(ReplicaState::Ready);
    let (report, seen) = watch(config, &trace, Script::of(&[(0, 4)]), see);
    assert_eq!((seen.iter().max(), report.replicas_peak), (Some(&2), 4));
    // What has no place costs nothing.
    assert!(report.gpu_hours < 2.0 * 2.0 * 400.0 / 3600.0, "{}", report.gpu_hours);
}

#[test]
fn without_a_drain_the_rest_has_failed() {
    let trace = [request(0, 10), request(5, 10_000), request(6, 10)];
    let config = SimulationConfig { drain: false, replicas_initial: count(1), ..config() };
    let report = run(config, &trace, fixed(1));
    assert_eq!((report.requests, report.completed, report.failed), (3, 1, 2));
    assert_eq!(report.attainment, 1.0 / 3.0);
}

#[test]
fn what_can_never_be_served_is_refused_and_counts() {
    let trace = [request(0, 10), request(1, u32::MAX)];
    let config = SimulationConfig { replicas_initial: count(1), ..config() };
    let report = run(config, &trace, fixed(1));
    assert_eq!((report.completed, report.failed, report.attainment), (1, 1, 0.5));
}

#[test]
fn a_trace_out_of_order_is_an_error() {
    let simulation = Simulation::new(config()).unwrap();
    let result = simulation.run([request(5, 10), request(4, 10)], &mut fixed(1));
    assert!(matches!(result, Err(SimulationError::TraceUnsorted { .. })), "{result:?}");
    let mut broken = config();
    broken.gpus_per_replica = 0;
    assert!(matches!(Simulation::new(broken), Err(SimulationError::Config { .. })));
}

#[test]
fn the_series_tells_the_fleet_minute_by_minute() {
    let trace = poisson(4, &[(180, 10.0)]);
    let config = SimulationConfig { series: true, replicas_initial: count(2), ..config() };
    let report = run(config, &trace, Script::of(&[(0, 2), (90, 4)]));
    let arrivals: u64 = report.series.iter().map(|minute| minute.arrivals).sum();
    assert!(arrivals <= report.requests && report.series.len() >= 3);
    let second = report.series[1];
    assert_eq!((second.ready, second.starting, second.desired), (2, 2, 4));
    assert!(second.need > 0.5 && second.need < 4.0, "{}", second.need);
    assert_eq!(Duration::from_secs(60 * second.minute), secs(60));
}
