//! A hand-made comparison, rendered.

use preheat_sim::report::Minute;

use super::{HtmlAbout, render};
use crate::across::across;
use crate::comparison::{
    AtAttainment, Comparison, OptimumAt, PolicyComparison, SweepPoint, WorkloadComparison,
};
use crate::frontier::cheapest;
use crate::outcome::Outcome;

const ATTAINMENTS: [f64; 2] = [0.95, 0.99];
const BOUND: [f64; 2] = [8.0, 10.0];

fn outcome(knob: Option<f64>, attainment: f64, gpu_hours: f64) -> Outcome {
    Outcome {
        knobs: knob.iter().map(|value| ("threshold".to_owned(), *value)).collect(),
        attainment,
        gpu_hours,
        ttft_p50_s: Some(0.2),
        ttft_p99_s: Some(1.0 / (1.0 - attainment).max(0.01)),
        tpot_p99_s: None,
        failed: 0,
        streams_cut: 7,
        starts: 1_234,
        replicas_peak: 9,
        direction_changes: 3,
    }
}

fn policy(name: &str, outcomes: Vec<Outcome>) -> PolicyComparison {
    let at = ATTAINMENTS.iter().zip(BOUND).map(|(attainment, bound)| {
        let outcome = cheapest(&outcomes, *attainment).cloned();
        let gpu_hours_ratio = outcome.as_ref().map(|outcome| outcome.gpu_hours / bound);
        AtAttainment { attainment: *attainment, outcome, gpu_hours_ratio }
    });
    let sweep = [600.0, 60.0].map(|cold_start_s| SweepPoint {
        cold_start_s,
        outcome: outcome(None, 1.0 - cold_start_s / 10_000.0, 10.0 + cold_start_s / 100.0),
    });
    let series = (0..600).map(|minute| Minute {
        minute,
        need: 3.0 + (minute % 7) as f64,
        ready: 5,
        starting: u32::from(minute % 11 == 0),
        ..Minute::default()
    });
    PolicyComparison {
        policy: name.to_owned(),
        at: at.collect(),
        chosen: outcomes.len() - 1,
        outcomes,
        cold_start_sweep: sweep.to_vec(),
        series: series.collect(),
    }
}

fn workload(name: &str, policies: Vec<PolicyComparison>) -> WorkloadComparison {
    let optimum = ATTAINMENTS.iter().zip(BOUND).map(|(attainment, bound)| OptimumAt {
        attainment: *attainment,
        bound_gpu_hours: bound,
        replayed: (*attainment < 0.99).then(|| outcome(None, 0.96, 9.0)),
    });
    WorkloadComparison {
        name: name.to_owned(),
        requests: 77_464,
        duration_s: 36_000.0,
        profile: "qwen-27b-fp8-h100".to_owned(),
        max_num_seqs: 256,
        cold_start_s: 180.0,
        slo_ttft_s: 2.0,
        slo_quantile: 0.99,
        optimum: optimum.collect(),
        policies,
    }
}

fn policies() -> Vec<PolicyComparison> {
    let mut all = vec![
        policy("preheat", vec![outcome(None, 0.98, 11.0), outcome(Some(0.999), 0.995, 13.0)]),
        policy("knative", vec![outcome(None, 0.70, 9.0), outcome(Some(2.0), 0.992, 12.5)]),
        policy("hostile <b>&\"'", vec![outcome(None, 0.5, 30.0)]),
        policy("always", vec![outcome(Some(9.0), 1.0, 90.0)]),
    ];
    all.extend((0..18).map(|number| {
        let attained = 0.9 + f64::from(number) * 0.004;
        policy(&format!("peer-{number}"), vec![outcome(None, attained, 20.0)])
    }));
    all
}

fn comparison(workloads: Vec<WorkloadComparison>) -> Comparison {
    Comparison { across: across(&workloads, &ATTAINMENTS), workloads }
}

fn html(comparison: &Comparison) -> String {
    let command = "preheat compare --trace 'a<b.csv'".to_owned();
    render(comparison, &HtmlAbout { command, version: "0.1.0".to_owned() })
}

fn typical() -> Comparison {
    comparison(vec![workload("azure-code@10", policies()), workload("<i>mine</i>", policies())])
}

/// Every element that opens closes, in order. Style and script hold no markup.
#[track_caller]
fn assert_balanced(html: &str) {
    let mut open: Vec<&str> = Vec::new();
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').expect("each < opens a tag");
        if tag.starts_with('!') || tag.ends_with('/') {
            continue;
        }
        let name = tag.split_whitespace().next().expect("a tag has a name");
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "near {piece:.60}"),
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?} stay open");
}

#[test]
fn a_report_is_whole_and_needs_nothing_else() {
    let comparison = typical();
    let html = html(&comparison);
    assert_balanced(&html);
    assert!(html.contains("Content-Security-Policy\" content=\"default-src &#39;none&#39;;"));
    for url in ["http:", "https:", "url(", "@import", " src=", "onclick", "onload"] {
        assert!(!html.contains(url), "there is {url}");
    }
    for id in ["w1", "w2", "across", "w1-frontier-title", "w2-sweep-cost-desc", "w1-ttft-desc"] {
        assert_eq!(html.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    for numbers in ["NaN", "inf,", "inf ", "infinity"] {
        assert!(!html.contains(numbers), "there is {numbers}");
    }
    let charts = html.matches("<svg role=\"img\"").count();
    assert_eq!(html.matches("<desc ").count(), charts);
    // Frontier, TTFT, two of the sweep and six fleets, of each of two workloads.
    assert_eq!(charts, 20);
}

#[test]
fn equal_comparisons_give_equal_bytes() {
    assert_eq!(html(&typical()), html(&typical()));
}

#[test]
fn every_policy_is_named_and_nothing_a_user_named_is_markup() {
    let html = html(&typical());
    for policy in policies().iter().filter(|policy| !policy.policy.contains('<')) {
        assert!(html.contains(&format!(">{}<", policy.policy)), "{}", policy.policy);
    }
    assert!(html.contains("hostile &lt;b&gt;&amp;&quot;&#39;"));
    for raw in ["<b>&", "<i>mine", "a<b.csv"] {
        assert!(!html.contains(raw), "{raw} came through");
    }
}

#[test]
fn five_workloads_of_twenty_policies_fit_into_a_megabyte() {
    let workloads = (0..5).map(|number| workload(&format!("w@{number}"), policies())).collect();
    let size = html(&comparison(workloads)).len();
    assert!(size < 1_000_000, "{size} bytes");
}

#[test]
fn the_finding_says_who_is_cheapest_and_where_preheat_stands() {
    #[track_caller]
    fn check(policies: Vec<PolicyComparison>, expected: &str) {
        let found = super::words::finding(&workload("w", policies)).replace('\u{202f}', " ");
        assert_eq!(found, expected);
    }
    let preheat = |attainment, cost| policy("preheat", vec![outcome(None, attainment, cost)]);
    let peer = |attainment, cost| policy("knative", vec![outcome(None, attainment, cost)]);
    check(
        vec![preheat(0.995, 12.0), peer(0.99, 15.0)],
        "preheat is the cheapest at 99 %: 12.00 GPU-hours, 1.20 × the optimum's bound. \
         The next, knative, takes 15.00, 25 % more.",
    );
    check(
        vec![preheat(0.995, 13.0), peer(0.99, 12.5)],
        "knative is the cheapest at 99 %: 12.50 GPU-hours, 1.25 × the optimum's bound. \
         preheat takes 13.00 (1.30 ×), 4 % more than that, and is number 2 of the 2 that reach it.",
    );
    check(
        vec![preheat(0.98, 11.0), peer(0.99, 12.5)],
        "knative is the cheapest at 99 %: 12.50 GPU-hours, 1.25 × the optimum's bound. \
         preheat does not reach 99 % here. preheat attains 98.00 % at most, for 11.00 GPU-hours.",
    );
    check(
        vec![preheat(0.98, 11.0), peer(0.985, 12.5)],
        "No policy reaches 99 %. knative attains 98.50 % at most, for 12.50 GPU-hours. \
         preheat attains 98.00 % at most, for 11.00 GPU-hours.",
    );
    check(
        vec![preheat(0.995, 12.0)],
        "preheat is the cheapest at 99 %: 12.00 GPU-hours, 1.20 × the optimum's bound. \
         No other policy reaches it.",
    );
}

#[test]
fn the_table_says_not_reached_and_the_sweep_where_it_ends() {
    let html = html(&typical()).replace('\u{202f}', " ");
    assert!(html.contains("<td class=\"nothing\" colspan=\"3\">not reached</td>"));
    assert!(html.contains("has no defaults"));
    assert!(html.contains("Longest cold start with 99 %: 60 s (preheat, knative"));
    assert!(html.contains("1 234"));
    assert!(html.contains("azure-code at 10 times its rate"));
}

#[test]
fn what_is_missing_leaves_no_hole() {
    let mut bare = policy("bare", vec![outcome(None, 0.99, 1.0)]);
    bare.series.clear();
    bare.cold_start_sweep.clear();
    bare.outcomes[0].ttft_p50_s = None;
    let mut empty = bare.clone();
    empty.outcomes.clear();
    empty.at.clear();
    for policies in [vec![bare.clone()], vec![empty], Vec::new()] {
        let mut workload = workload("w", policies);
        assert_balanced(&html(&comparison(vec![workload.clone()])));
        workload.optimum.clear();
        workload.requests = 0;
        let html = html(&Comparison { workloads: vec![workload], across: Vec::new() });
        assert_balanced(&html);
        assert!(!html.contains("NaN") && !html.contains("Other cold starts"));
    }
    let nothing = Comparison { workloads: Vec::new(), across: Vec::new() };
    assert_balanced(&html(&nothing));
}
