//! What to set, from what a history came to, each with its reason.
//!
//! **Invariant:** every number is from a run or from the history; none is a rule of thumb but the
//! quarter of headroom on the most replicas, which its reason names.

use std::time::Duration;

use preheat_sim::report::RunReport;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::workload::Workload;

/// On top of the most replicas that the past needed: next week is not last week.
const HEADROOM: f64 = 1.25;
/// A pool without a request in more than this share of its minutes may go to zero.
const IDLE_SHARE: f64 = 0.5;
/// Sleeping replicas are worth their trouble where they save this much.
const STANDBY_GAIN: f64 = 0.05;

/// What to set. Field names are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The configuration of a pool, as YAML with its reasons.
    pub yaml: String,
    /// GPUs that it must be allowed.
    pub gpus: u32,
    /// Whether the SLO can be kept as it is.
    pub slo_is_feasible: bool,
}

/// Recommends, from preheat's run minute by minute, the fewest replicas that it took to keep the SLO
/// in it where that was more than configured, the run with sleeping replicas at a price, and starts
/// that were seen.
pub fn recommend(
    workload: &Workload,
    report: &RunReport,
    fewest: Option<u32>,
    standby: Option<(f64, &Outcome)>,
    cold_starts: &[Duration],
) -> Recommendation {
    let config = &workload.config;
    let bounds = &config.bounds;
    let mut yaml = Yaml::default();
    let minutes = report.series.len().max(1) as f64;
    let idle = report.series.iter().filter(|minute| minute.arrivals == 0).count() as f64 / minutes;
    let lead = config.startup.typical();
    let idle_percent = idle * 100.0;
    if let Some(fewest) = fewest {
        yaml.why(format!(
            "with one fewer the SLO was missed; these take {:.1} GPU-hours in this history",
            report.gpu_hours
        ));
        yaml.set("minReplicas", fewest);
    } else if idle > IDLE_SHARE {
        yaml.why(format!("{idle_percent:.0} % of the minutes had no request; each first one after them waits {lead:?}"));
        yaml.set("minReplicas", 0);
    } else {
        yaml.why(format!("{idle_percent:.0} % of the minutes had no request; from zero, a first one would wait {lead:?}"));
        yaml.set("minReplicas", 1);
    }
    let max = (f64::from(report.replicas_peak) * HEADROOM).ceil() as u32;
    let gpus = max.saturating_mul(config.gpus_per_replica);
    yaml.why(format!(
        "{} at most at once in this history, and a quarter more: a quota of {gpus} GPUs",
        report.replicas_peak
    ));
    yaml.set("maxReplicas", max);

    let slo_is_feasible = report.attainment >= bounds.attainment_slo;
    let asked = bounds.ttft_slo;
    let reached = match bounds.attainment_slo {
        quantile if quantile > 0.9 => report.ttft_s.p99,
        _ => report.ttft_s.p90,
    };
    let ttft = if slo_is_feasible {
        yaml.why(format!("{:.2} % were within {asked:?}", report.attainment * 100.0));
        asked
    } else {
        let reached = reached.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let reached = reached.map_or(asked, |reached| Duration::from_secs(reached.as_secs() + 1));
        yaml.why(format!(
            "{:.2} % were within {asked:?}, which is less than {:.2} %: {reached:?} is what was kept; \
             shorter starts, or sleeping replicas, would do better",
            report.attainment * 100.0,
            bounds.attainment_slo * 100.0
        ));
        reached.max(asked)
    };
    let quantile = bounds.attainment_slo;
    yaml.set("slo", format!("{{ ttft: {}, quantile: {quantile} }}", text(ttft)));

    let mut seen = cold_starts.to_vec();
    seen.sort_unstable();
    let at = |share: f64| seen.get(((seen.len() as f64 - 1.0) * share).round() as usize).copied();
    let (p50, p90) = match (at(0.5), at(0.9)) {
        (Some(p50), Some(p90)) => {
            yaml.why(format!("{} starts were seen whole", seen.len()));
            (p50, p90)
        }
        _ => {
            yaml.why("as assumed here: no start was seen whole".to_owned());
            (lead, lead)
        }
    };
    yaml.set("coldStart", format!("{{ p50: {}, p90: {} }}", text(p50), text(p90)));
    if let Some((price, outcome)) = standby {
        let saved = 1.0 - outcome.gpu_hours / report.gpu_hours.max(f64::MIN_POSITIVE);
        let better = outcome.attainment - report.attainment;
        let pays = saved >= STANDBY_GAIN && better >= -0.001 || better >= 0.005 && saved >= 0.0;
        let what = format!(
            "at {price} of an awake one's price, sleeping replicas would have saved {:.1} % of the \
             GPU-hours, with {:.2} % within the SLO",
            saved * 100.0,
            outcome.attainment * 100.0
        );
        if pays {
            yaml.why(what);
            yaml.set("standby", format!("{{ price: {price} }}"));
        } else {
            yaml.why(format!("no standby: {what}"));
        }
    }
    Recommendation { yaml: yaml.text, gpus, slo_is_feasible }
}

#[derive(Default)]
struct Yaml {
    text: String,
}

impl Yaml {
    fn why(&mut self, why: String) {
        self.text.push_str(&format!("# {why}\n"));
    }

    fn set(&mut self, key: &str, value: impl std::fmt::Display) {
        self.text.push_str(&format!("{key}: {value}\n"));
    }
}

/// As a configuration writes a duration.
fn text(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{}s", duration.as_secs())
    } else {
        format!("{}ms", duration.as_millis())
    }
}
