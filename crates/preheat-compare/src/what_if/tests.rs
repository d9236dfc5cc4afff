//! What if, on a past that was simulated, so that everything about it is known.

use std::sync::{Arc, Mutex};

use preheat_core::{Instant, Observation, PolicySpec, ReplicaCount, ScheduledDemand};
use preheat_sim::preheat_policy::Preheat;
use preheat_traffic::{Trace, TraceRequest};

use super::*;
use crate::backtest::Past;
use crate::pool::PoolSetup;
use crate::setting::Setting;

const COLD_START: Duration = Duration::from_secs(90);

fn spec() -> PolicySpec {
    let mut spec = PolicySpec { replicas_max: ReplicaCount(12), ..PolicySpec::default() };
    spec.slo.quantile = preheat_core::Probability::new(0.95).unwrap();
    spec
}

/// Traffic that doubles after a third of an hour, in an hour.
fn traffic() -> Trace {
    let requests = (0..9_000).map(|index| {
        let rate = if index < 1_800 { 1.5 } else { 3.0 };
        let offset = if index < 1_800 { 0.0 } else { 1_200.0 - 1_800.0 / rate };
        TraceRequest {
            arrival: Duration::from_secs_f64(offset + f64::from(index) / rate),
            input_tokens: 800,
            output_tokens: 600,
        }
    });
    Trace::new(requests.collect())
}

/// An hour under preheat, as its journal would tell it, and the last thing that was seen.
fn retold() -> (Retold, Observation) {
    let setup = PoolSetup {
        profile: "llama3.1-8b-fp8-h100".to_owned(),
        max_num_seqs: preheat_core::Concurrency::new(8),
        spec: spec(),
        cold_start: COLD_START,
        replicas_initial: Some(1),
        scheduled: Vec::new(),
        seed: 7,
    };
    let workload = setup.workload("past".to_owned(), traffic()).unwrap();
    let seen: Arc<Mutex<Vec<Observation>>> = Arc::default();
    let watching = Arc::clone(&seen);
    let preheat = Preheat::new(workload.policy(&Setting::defaults("preheat")).unwrap());
    let preheat = preheat.with_watcher(Box::new(move |observation, _| {
        watching.lock().unwrap().push(observation.clone());
    }));
    workload.run_preheat(preheat, false).unwrap();
    let seen = seen.lock().unwrap();
    let mut past = Past::new(STEP);
    seen.iter().for_each(|observation| past.take(observation));
    (past.end(), seen.last().unwrap().clone())
}

fn configured(last: &Observation) -> Configured {
    Configured::of("chat", spec(), [last])
}

fn request(alternatives: Vec<Alternative>) -> WhatIfRequest {
    WhatIfRequest { last_s: 3600.0, until_s: None, profile: None, max_num_seqs: None, alternatives }
}

fn peer(policy: &str) -> Alternative {
    Alternative { policy: Some(policy.to_owned()), ..Alternative::default() }
}

/// A pool that is down to zero at the end had engines before.
#[test]
fn the_engine_is_the_last_that_told() {
    let (_, last) = retold();
    let empty = Observation { replicas: Vec::new(), ..last.clone() };
    let known = Configured::of("chat", spec(), [&empty, &last]);
    assert_eq!(known, configured(&last));
    let unknown = Configured::of("chat", spec(), [&empty]).choices();
    assert_eq!((unknown.max_num_seqs, unknown.profile.as_str()), (None, crate::PROFILE_DEFAULT));
}

#[test]
fn what_is_not_said_is_as_configured_and_what_is_said_stands() {
    let (retold, last) = retold();
    let configured = configured(&last);
    // The engine is known by its KV cache, its slots by what it tells.
    assert_eq!(configured.choices().profile, "llama3.1-8b-fp8-h100");
    assert_eq!(configured.choices().max_num_seqs, Some(8));
    let quick = Alternative { cold_start_s: Some(20.0), ..Alternative::default() };
    let strict = Alternative { replicas_min: Some(6), standby_price: Some(0.25), ..peer("static") };
    let asked = request(vec![Alternative::default(), quick, strict]).check(&configured).unwrap();
    let answer = asked.run(&retold, vec!["noted".to_owned()], &mut |_| true).unwrap();

    let [same, quick, strict] = answer.alternatives.as_slice() else { panic!("{answer:?}") };
    assert_eq!(*same, answer.configured);
    // What was seen is the cold start of all who don't say theirs, up to a tick.
    let seen = answer.configured.settings.cold_start_s;
    assert!((seen - COLD_START.as_secs_f64()).abs() <= 2.0, "{seen}");
    assert_eq!(quick.settings.cold_start_s, 20.0);
    assert!(quick.outcome.attainment >= answer.configured.outcome.attainment);
    assert_eq!((strict.settings.replicas_min, strict.outcome.replicas_peak), (6, 6));
    assert_eq!(strict.settings.standby_price, Some(0.25));
    // preheat did what it does in the model of its own past, and what happened was the model.
    let happened = answer.happened.unwrap();
    let close = |a: f64, b: f64| (a / b - 1.0).abs() < 0.05;
    assert!(close(happened.attainment.unwrap(), answer.configured.outcome.attainment));
    assert!(close(happened.gpu_hours, answer.replayed.as_ref().unwrap().gpu_hours));
    assert!(answer.configured.optimum_gpu_hours.unwrap() <= answer.configured.outcome.gpu_hours);
    let minutes = &answer.minutes;
    assert_eq!(minutes.at_s.len(), 60);
    for run in [&answer.configured, same, quick, strict] {
        assert_eq!((run.replicas.len(), run.attainment.len()), (60, 60));
    }
    let came: f64 = minutes.arrivals.iter().flatten().sum();
    assert!(close(came, answer.requests as f64), "{came}");
    assert!(answer.trust.notes.contains(&"noted".to_owned()), "{:?}", answer.trust.notes);
}

/// The figures are those of the same settings run by hand.
#[test]
fn a_run_is_the_workloads_own() {
    let (retold, last) = retold();
    let keda = Alternative { replicas_max: Some(5), ..peer("keda-concurrency") };
    let asked = request(vec![keda]).check(&configured(&last)).unwrap();
    let answer = asked.run(&retold, Vec::new(), &mut |_| true).unwrap();
    let mut spec = spec();
    spec.replicas_max = ReplicaCount(5);
    let setup = PoolSetup {
        profile: "llama3.1-8b-fp8-h100".to_owned(),
        max_num_seqs: preheat_core::Concurrency::new(8),
        spec,
        cold_start: COLD_START,
        replicas_initial: None,
        scheduled: Vec::new(),
        seed: 1,
    };
    let setup = setup.with_cold_start(retold.history.cold_start_median().unwrap());
    let (trace, _) = retold.history.trace(1).unwrap();
    let workload = setup.workload_of_past("chat".to_owned(), trace).unwrap();
    let setting = Setting::defaults("keda-concurrency");
    let report = workload.run(&setting, true).unwrap();
    assert_eq!(answer.alternatives[0].outcome, Outcome::of(setting.knobs, &report));
    let optimum = Optimum::of(&workload).unwrap().bound_gpu_hours(0.95).unwrap();
    assert_eq!(answer.alternatives[0].optimum_gpu_hours, Some(optimum));
}

/// What was spent is what What if says of the pool as configured, times the GPUs that replicas have.
#[test]
fn what_was_spent_is_told_beside_the_optimum_of_the_same_requests() {
    let (retold, last) = retold();
    let configured = configured(&last);
    let asked = request(vec![Alternative::default()]).check(&configured).unwrap();
    let answer = asked.run(&retold, Vec::new(), &mut |_| true).unwrap();
    let (happened, optimum) = (answer.happened.unwrap(), answer.configured.optimum_gpu_hours);
    for (given, gpus) in [(None, 1.0), (Some(2), 2.0)] {
        let spent = configured.spent(retold.clone(), given);
        let seen = spent.happened.unwrap();
        assert_eq!(seen.gpu_hours, gpus * happened.gpu_hours);
        assert_eq!(seen.attainment, happened.attainment);
        let ratio = spent.optimum_gpu_hours.unwrap() / optimum.unwrap();
        assert!((ratio - gpus).abs() < 1e-9, "{ratio}");
        assert_eq!(spent.from, retold.begin);
        assert_eq!(spent.until.since(spent.from).as_secs_f64(), answer.until_s - answer.from_s);
    }
}

#[test]
fn what_was_spent_is_told_of_as_much_as_can_be_planned_and_never_of_nothing() {
    let (retold, last) = retold();
    let configured = configured(&last);
    let of = |change: &dyn Fn(&mut History)| {
        let mut retold = retold.clone();
        change(&mut retold.history);
        configured.spent(retold, None)
    };
    // Four minutes: what they cost is known.
    let short = of(&|history| history.steps.truncate(8));
    assert!(short.happened.is_some_and(|happened| happened.gpu_hours > 0.0));
    assert!(matches!(short.optimum_gpu_hours, Err(SpentError::Short)), "{short:?}");
    let idle = of(&|history| history.steps.iter_mut().for_each(|step| step.arrivals = Some(0.0)));
    assert!(matches!(idle.optimum_gpu_hours, Err(SpentError::History(_))), "{idle:?}");
    // A step with more than is planned for, and everything before it, is left out.
    let busy = of(&|history| history.steps[39].arrivals = Some(400_000.0));
    assert_eq!(busy.from, retold.begin.saturating_add(STEP * 40));
    assert!(busy.optimum_gpu_hours.is_ok(), "{busy:?}");
    let untold = of(&|history| {
        history.steps.iter_mut().for_each(|step| (step.ready, step.existing) = (None, None));
    });
    assert_eq!(untold.happened, None);
}

#[test]
fn what_can_not_be_is_refused_before_anything_runs() {
    let (_, last) = retold();
    let configured = configured(&last);
    let one = |alternative| request(vec![alternative]);
    let nothing = Alternative::default;
    for (asked, expected) in [
        (request(Vec::new()), "there are 0 alternatives"),
        (request(vec![nothing(); 5]), "there are 5 alternatives"),
        (WhatIfRequest { last_s: 1e9, ..one(nothing()) }, "last_s is 1000000000"),
        (WhatIfRequest { last_s: -1.0, ..one(nothing()) }, "last_s is -1"),
        (WhatIfRequest { last_s: f64::NAN, ..one(nothing()) }, "last_s is NaN"),
        (
            WhatIfRequest { profile: Some("abacus".into()), ..one(nothing()) },
            "unknown engine profile \"abacus\"",
        ),
        (WhatIfRequest { max_num_seqs: Some(0), ..one(nothing()) }, "max_num_seqs is 0"),
        (one(peer("crystal-ball")), "alternative 1: no policy is called `crystal-ball`"),
        (one(peer("told-shape")), "alternative 1: told-shape is told part of the future"),
        (
            one(Alternative { knobs: [("luck".to_owned(), 1.0)].into(), ..peer("keda-waiting") }),
            "has no knob `luck`",
        ),
        (
            one(Alternative { replicas_min: Some(13), ..nothing() }),
            "`replicas_min` is 13; it must be at most replicas_max, which is 12",
        ),
        (one(Alternative { replicas_max: Some(201), ..nothing() }), "replicas_max is 201"),
        (one(Alternative { slo_quantile: Some(1.5), ..nothing() }), "slo_quantile is 1.5"),
        (one(Alternative { slo_ttft_s: Some(0.0), ..nothing() }), "`slo.threshold` is 0ns"),
        (one(Alternative { cold_start_s: Some(1e6), ..nothing() }), "cold_start_s is 1000000"),
        (one(Alternative { standby_price: Some(2.0), ..nothing() }), "standby_price is 2"),
        (
            one(Alternative { standby_price: Some(0.5), no_standby: true, ..nothing() }),
            "beside no_standby",
        ),
    ] {
        let error = asked.check(&configured).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

#[test]
fn it_ends_when_nobody_wants_it_and_says_how_far_it_is() {
    let (retold, last) = retold();
    let asked = request(vec![peer("keda-waiting")]).check(&configured(&last)).unwrap();
    let mut told = Vec::new();
    asked
        .run(&retold, Vec::new(), &mut |share| {
            told.push(share);
            true
        })
        .unwrap();
    assert!(told.is_sorted() && told.last().is_some_and(|share| (0.9..=1.0).contains(share)));
    for stop_at in [0.0, 0.3, 0.7] {
        let stopped = asked.run(&retold, Vec::new(), &mut |share| share < stop_at).unwrap_err();
        assert!(matches!(stopped, WhatIfRunError::Run(CompareError::Cancelled)), "{stopped:?}");
    }
}

#[test]
fn a_past_without_requests_or_with_too_many_has_no_answer() {
    let (mut retold, last) = retold();
    let asked = request(vec![peer("keda-waiting")]).check(&configured(&last)).unwrap();
    retold.history.steps[0].arrivals = Some(400_000.0);
    let error = asked.run(&retold, Vec::new(), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("at most 300000 are replayed here"), "{error}");
    for step in &mut retold.history.steps {
        step.arrivals = Some(0.0);
    }
    let error = asked.run(&retold, Vec::new(), &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("no request is in the history"), "{error}");
}

/// What was announced is told to preheat again, as far as an alternative's bounds allow; what an
/// operator ordered is not, and is said.
#[test]
fn announcements_are_replayed_and_orders_are_told_of() {
    let (mut retold, last) = retold();
    let at = |seconds| Instant::ORIGIN.saturating_add(Duration::from_secs(seconds));
    retold.scheduled =
        vec![ScheduledDemand { from: at(600), until: at(1_200), replicas: ReplicaCount(9) }];
    retold.ordered_share = 0.25;
    let fewer = Alternative { replicas_max: Some(7), ..Alternative::default() };
    let asked = request(vec![fewer]).check(&configured(&last)).unwrap();
    let answer = asked.run(&retold, Vec::new(), &mut |_| true).unwrap();
    assert_eq!(answer.configured.replicas[15], Some(9));
    assert_eq!(answer.alternatives[0].replicas[15], Some(7));
    assert!(answer.trust.notes.iter().any(|note| note.starts_with("orders: at 25.0 %")));
}
