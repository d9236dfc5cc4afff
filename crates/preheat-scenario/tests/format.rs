//! What a scenario file may say, and what each mistake in one is answered with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use preheat_core::{Instant, ReplicaCount, ScheduledDemand};
use preheat_scenario::Scenario;
use preheat_sim::cold_start::{ColdStartConfig, GpuSupply};
use preheat_sim::faults::{Crash, Rollout, Window};
use preheat_sim::router::Router;
use preheat_sim::run::{Drain, ReplicasInitial, Victim};

const SMALL: &str = "\
name: small
about: The least that a scenario says.
engine: {profile: llama3.1-8b-bf16-h100}
replicas: {max: 4}
coldStart: {fixed: 60s}
lengths: {input: {fixed: 100}, output: {fixed: 20}}
traffic:
  - constant: {rate: 1}
    lasts: 5m
";

const WHOLE: &str = "\
name: whole
about: Every section.
seed: 7
engine: {profile: llama3.1-8b-bf16-h100, maxNumSeqs: 8}
replicas: {min: 1, max: 9, initial: 3}
slo: {ttft: 1s, quantile: 0.9, tpot: 50ms}
coldStart:
  phases:
    pulling: {median: 30s}
    loading: {min: 20s, median: 60s, sigma: 0.5}
    never: 0.01
  timeout: 10m
  believed: {p50: 100s, p90: 200s}
gpus: {nodes: 3, gpusEach: 4}
router: central-queue
scaleDown: {victim: random, drain: kill, grace: 10s, drainTimeout: 5m}
standby: {replicas: 2, price: 0.1, wake: 3s}
schedule: [{from: 2m, until: 4m, replicas: 9}]
faults:
  scrapeLoss: 0.1
  metricsOutages: [{from: 10m, lasts: 1m}]
  startFailure: 0.2
  startStuck: 0.05
  crashes: [{at: 5m, index: 1}]
  slow: {share: 0.3, factor: 1.4}
  controllerOutages: [{from: 3m, lasts: 30s}]
  rollouts: [{at: 8m, surge: 2}]
lengths: {like: azure-conversation}
traffic:
  - {ramp: {rate: 0, rateEnd: 4}, lasts: 10m}
  - {sinusoid: {low: 0, high: 2, period: 10m}, lasts: 10m}
  - {onOff: {rate: 3, rateOff: 1, on: 1m, off: 2m}, lasts: 10m, gapCv: 2}
  - {burst: {rate: 9, rise: 10s, fall: 10s}, from: 5m, lasts: 1m}
  - trace: {name: azure-code, rateScale: 0.5, until: 10m}
    from: 1m
expect:
  preheat: {streams_cut: {max: 9}, ready: [{from: 0s, until: 10m, min: 1}]}
  static:3: {starts: {max: 0}}
";

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, Path::new("s.yaml")).map_err(|error| error.to_string())
}

/// `SMALL` with `from` replaced by `to` is refused, and this is the message's first line.
#[track_caller]
fn refusal(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    let error = parse(&SMALL.replacen(from, to, 1)).unwrap_err();
    error.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_least_is_filled_in() {
    let scenario = parse(SMALL).unwrap();
    let config = &scenario.config;
    assert_eq!((config.bounds.replicas_min, config.bounds.replicas_max, config.seed), (1, 4, 1));
    assert_eq!(config.bounds.ttft_slo, Duration::from_secs(2));
    assert_eq!(config.startup, ColdStartConfig::Fixed(Duration::from_secs(60)));
    assert_eq!(scenario.policy.spec().cold_start_prior.p90, Duration::from_secs(60));
    assert!(!config.series && scenario.expectations.is_empty());
    assert!((220..380).contains(&scenario.trace.requests.len()));
}

#[test]
fn every_section_arrives_where_it_belongs() {
    let scenario = parse(WHOLE).unwrap();
    let (config, spec) = (&scenario.config, scenario.policy.spec());
    let secs = Duration::from_secs;
    let at = |seconds| Instant::ORIGIN.saturating_add(secs(seconds));
    assert_eq!((config.seed, config.engine.max_num_seqs.get()), (7, 8));
    assert_eq!(config.replicas_initial, ReplicasInitial::Count(3));
    assert_eq!(config.bounds.tpot_slo, Some(Duration::from_millis(50)));
    let ColdStartConfig::Profile(profile) = config.startup else { unreachable!() };
    assert_eq!(profile.pulling.mean(), secs(30));
    assert_eq!((config.start_timeout, spec.cold_start_prior.p90), (secs(600), secs(200)));
    assert_eq!(config.gpus, GpuSupply::Nodes { nodes: 3, gpus_each: 4 });
    assert_eq!(config.router, Router::CentralQueue);
    assert_eq!(config.scale_down.victim, Victim::Random);
    assert_eq!(config.scale_down.drain, Drain::Kill { grace: secs(10) });
    let standby = spec.standby.unwrap();
    assert_eq!((spec.drain_timeout, standby.replicas), (secs(300), Some(ReplicaCount(2))));
    assert_eq!((config.standby_price, config.engine.sleep.wake_offloaded), (0.1, secs(3)));
    let faults = &config.faults;
    assert_eq!((faults.scrape_loss.get(), faults.start_failure.get()), (0.1, 0.2));
    assert_eq!((faults.start_stuck.get(), faults.slow.get()), (0.05, 0.3));
    assert_eq!(faults.slow_factor, Some(1.4));
    assert_eq!(faults.metrics_outages, [Window { from: at(600), lasts: secs(60) }]);
    assert_eq!(faults.controller_outages, [Window { from: at(180), lasts: secs(30) }]);
    assert_eq!(faults.crashes, [Crash { at: at(300), index: 1 }]);
    assert_eq!(faults.rollouts, [Rollout { at: at(480), surge: 2 }]);
    let announced = ScheduledDemand { from: at(120), until: at(240), replicas: ReplicaCount(9) };
    assert_eq!(config.scheduled, [announced]);
    assert!(config.series);
    let texts: Vec<String> = scenario.expectations.iter().map(ToString::to_string).collect();
    let expected = ["streams_cut at most 9", "ready at least 1 in minutes 0 to 10"];
    assert_eq!(texts, [&expected[..], &["starts at most 0"]].concat());
}

#[test]
fn a_scenario_runs_under_anyone_and_says_what_held() {
    let scenario = parse(WHOLE).unwrap();
    let report = scenario.run("static:3").unwrap();
    let outcomes = scenario.outcomes("static:3", &report);
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes[0].to_string().starts_with("starts at most 0"), "{}", outcomes[0]);
    // Without the rollout, whose replacements are starts, and without failed ones.
    let calm = parse(&WHOLE.replace("  rollouts: [{at: 8m, surge: 2}]\n", "")).unwrap();
    let report = calm.run("static:3").unwrap();
    assert!(calm.outcomes("static:3", &report).iter().all(|outcome| outcome.held));
    assert_eq!(calm.run("static:3").unwrap(), report);
    assert!(scenario.outcomes("keda-waiting", &report).is_empty());
    assert!(scenario.run("crystal-ball").unwrap_err().to_string().contains("keda-waiting"));
}

#[test]
fn a_broken_expectation_says_what_was_found() {
    let expect = "expect: {preheat: {starts: {min: 99}, attainment: {min: 0}}}\n";
    let scenario = parse(&format!("{SMALL}{expect}")).unwrap();
    let report = scenario.run("preheat").unwrap();
    let texts: Vec<String> =
        scenario.outcomes("preheat", &report).iter().map(ToString::to_string).collect();
    let broken = format!("starts at least 99, but it is {}", report.starts);
    assert_eq!(texts, ["attainment at least 0".to_owned(), broken]);
}

#[test]
fn every_mistake_names_its_place_the_value_and_what_is_allowed() {
    let mistakes = [
        ("name: small", "name: Small"),
        ("llama3.1-8b-bf16-h100", "abacus"),
        ("h100}", "h100, maxNumSeqs: 0}"),
        ("{max: 4}", "{min: 5, max: 4}"),
        ("{max: 4}", "{max: 4, initial: 5}"),
        ("{fixed: 60s}", "{fixed: 60}"),
        ("{fixed: 60s}", "{}"),
        ("{fixed: 60s}", "{fixed: 60s, phases: {}}"),
        ("{fixed: 60s}", "{phases: {loading: {min: 9s, median: 8s}}}"),
        ("coldStart", "slo: {quantile: 1.5}\ncoldStart"),
        ("coldStart", "slo: {ttft: 0s}\ncoldStart"),
        ("coldStart", "gpus: {nodes: 1, gpusEach: 0}\ncoldStart"),
        ("coldStart", "scaleDown: {grace: 5s}\ncoldStart"),
        ("coldStart", "standby: {replicas: 5}\ncoldStart"),
        ("coldStart", "schedule: [{from: 2m, until: 2m, replicas: 1}]\ncoldStart"),
        ("coldStart", "schedule: [{from: 2m, until: 3m, replicas: 5}]\ncoldStart"),
        ("coldStart", "schedule: [{from: 2m, until: 3m, replicas: 0}]\ncoldStart"),
        ("coldStart", "faults: {scrapeLoss: 2}\ncoldStart"),
        ("coldStart", "faults: {rollouts: [{at: 5m, surge: 0}]}\ncoldStart"),
        ("coldStart", "faults: {slow: {share: 1, factor: 0.5}}\ncoldStart"),
        ("rate: 1}", "rate: -1}"),
        ("rate: 1}", "rate: 0}"),
        ("    lasts: 5m\n", ""),
        ("lasts: 5m", "lasts: 15d"),
        ("lasts: 5m", "lasts: 5m\n    ramp: {rate: 1, rateEnd: 2}"),
        ("lasts: 5m", "lasts: 5m\n    gapCv: 11"),
        ("constant: {rate: 1}", "burst: {rate: 1, rise: 4m, fall: 2m}"),
        ("constant: {rate: 1}", "sinusoid: {low: 3, high: 2, period: 1h}"),
        ("constant: {rate: 1}", "trace: {name: azure-code}"),
        (
            "constant: {rate: 1}
    lasts: 5m",
            "trace: {name: sun}",
        ),
        (
            "constant: {rate: 1}
    lasts: 5m",
            "trace: {name: azure-code, rateScale: 0}",
        ),
        (
            "constant: {rate: 1}
    lasts: 5m",
            "trace: {name: azure-code, from: 9h}",
        ),
        ("{input: {fixed: 100}, output: {fixed: 20}}", "{input: {fixed: 100}}"),
        ("{fixed: 100}", "{mean: 100}"),
        ("{fixed: 100}", "{mean: 100, p99: 2000}"),
        ("{fixed: 100}", "{fixed: 200000}"),
        ("lengths: {input: {fixed: 100}, output: {fixed: 20}}\n", ""),
        ("    lasts: 5m\n", "    lasts: 5m\nexpect: {preheat: {starts: {}}}\n"),
        ("    lasts: 5m\n", "    lasts: 5m\nexpect: {preheat: {starts: {min: 2, max: 1}}}\n"),
        (
            "    lasts: 5m\n",
            "    lasts: 5m\nexpect: {preheat: {ready: [{from: 5m, until: 5m, min: 1}]}}\n",
        ),
    ];
    let mut text = String::new();
    for (from, to) in mistakes {
        writeln!(text, "{}", refusal(from, to)).unwrap();
    }
    insta::assert_snapshot!("mistakes", text);
}

#[test]
fn the_place_is_shown_with_its_line() {
    insta::assert_snapshot!(parse(&SMALL.replacen("rate: 1}", "rate: -1}", 1)).unwrap_err(), @r"
    s.yaml:8:22: `constant.rate` is -1; it must be from 0 to 10000
      |
    8 |   - constant: {rate: -1}
      |                      ^
    ");
}

#[test]
fn what_is_not_known_is_refused_and_what_is_known_is_named() {
    for (from, to, parts) in [
        ("seed", "sead", &["1:1: unknown field `sead`", "seed"][..]),
        ("lasts: 5m", "last: 5m", &["9:", "unknown field `last`", "lasts"]),
        ("name: small", "router: fastest\nname: small", &["fastest", "least-outstanding"]),
        (
            "    lasts: 5m\n",
            "    lasts: 5m\nexpect: {hpa: {}}\n",
            &["10:", "`hpa`", "keda-waiting"],
        ),
        (
            "    lasts: 5m\n",
            "    lasts: 5m\nexpect: {preheat: {luck: {}}}\n",
            &["luck", "attainment"],
        ),
        ("{rate: 1}", "{rate: fast}", &["8:"]),
    ] {
        let text = format!("seed: 1\n{SMALL}").replacen(from, to, 1);
        let error =
            parse(&text.replacen("seed: 1\n", "", usize::from(from != "seed"))).unwrap_err();
        for part in parts {
            assert!(error.contains(part), "{error}");
        }
    }
}

#[test]
fn a_file_that_is_not_there_and_a_trace_beside_a_scenario() {
    let error = Scenario::read(Path::new("absent.yaml")).unwrap_err().to_string();
    assert!(error.starts_with("absent.yaml: can't be read: "), "{error}");
    let trace = "constant: {rate: 1}\n    lasts: 5m";
    let text = SMALL.replacen(trace, "trace: {file: absent.csv}", 1);
    let error = Scenario::parse(&text, Path::new("folder/s.yaml")).unwrap_err().to_string();
    assert!(error.contains("`trace`: cannot open folder/absent.csv: "), "{error}");
}

/// Whatever is cut off or put in, the answer is a scenario or a message.
#[test]
fn damaged_files_are_answered() {
    for end in 0..WHOLE.len() {
        let _answered = parse(&WHOLE[..end]);
        let damaged = format!("{}[{}", &WHOLE[..end], &WHOLE[end..]);
        assert!(parse(&damaged).map_or_else(|error| !error.is_empty(), |_| true));
    }
}
