//! A policy with its knobs set, and which settings are tried.

use std::collections::BTreeMap;

use preheat_core::Part;
use preheat_sim::peers::{self, UnknownPolicy};
use preheat_sim::preheat_policy::{PREHEAT, PREHEAT_WITHOUT, is_preheat, left_out};

use crate::told::Told;

/// Name of the policy that knows the future. Every comparison has it, asked for or not.
const ORACLE: &str = "oracle";
/// Stands for preheat without each part in turn.
const ABLATIONS: &str = "ablations";
/// Stands for the fleets that are told part of the future.
const TOLD: &str = "told";

/// Aims that preheat is run with, beside the SLO's own. Its aim is the share of requests that the
/// SLO asks for; there is nothing else to tune.
const AIMS: [f64; 20] = [
    0.8, 0.85, 0.9, 0.92, 0.93, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.9915, 0.993, 0.996,
    0.998, 0.999, 0.9995, 0.9998, 0.9999,
];
/// Name of that knob.
pub(crate) const AIM: &str = "aim";

/// A policy with its knobs set.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Its name on the command line.
    pub policy: String,
    /// Values for some of its knobs.
    pub knobs: BTreeMap<String, f64>,
}

impl Setting {
    /// A policy as its project ships it.
    pub fn defaults(policy: &str) -> Self {
        Self { policy: policy.to_owned(), knobs: BTreeMap::new() }
    }

    /// Whether preheat scales, whole or without a part.
    pub fn is_preheat(&self) -> bool {
        is_preheat(&self.policy)
    }

    /// Its knobs, as policies take them.
    pub(crate) fn knob_list(&self) -> Vec<(&str, f64)> {
        self.knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect()
    }

    /// What preheat is run without.
    pub(crate) fn without(&self) -> Option<Part> {
        left_out(&self.policy)
    }

    /// Whether it is as its project ships it.
    pub fn is_default(&self) -> bool {
        self.knobs.is_empty()
    }
}

/// Whether a policy of this name is one that somebody could run instead of preheat.
pub(crate) fn is_peer(policy: &str) -> bool {
    !is_preheat(policy) && Told::find(policy).is_none()
}

/// Names of the policies asked for: `all`, `ablations`, `told`, or names with commas between. Each
/// exists.
///
/// # Errors
/// Names the first that doesn't.
pub fn select(asked: &str) -> Result<Vec<String>, UnknownPolicy> {
    let mut names: Vec<String> = Vec::new();
    for name in asked.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if name == "all" {
            names.push(PREHEAT.to_owned());
            names.extend(peers::names_in_all().map(str::to_owned));
        } else if name == ABLATIONS {
            names.extend(Part::ALL.iter().map(|part| format!("{PREHEAT_WITHOUT}{}", part.name())));
        } else if name == TOLD {
            names.extend(Told::names().map(str::to_owned));
        } else if name != ORACLE {
            if is_peer(name) {
                peers::knobs(name)?;
            }
            names.push(name.to_owned());
        }
    }
    let mut seen = Vec::new();
    names.retain(|name| {
        let new = !seen.contains(name);
        seen.push(name.clone());
        new
    });
    Ok(names)
}

/// Settings of `policy` to try: its defaults first, then, if it is to be tuned, every combination
/// of its knobs' values. preheat always runs with each of its aims, and who is told with all.
pub(crate) fn settings(policy: &str, tune: bool) -> Result<Vec<Setting>, UnknownPolicy> {
    if let Some(told) = Told::find(policy) {
        return Ok(told.settings().collect());
    }
    let mut settings = vec![Setting::defaults(policy)];
    if is_preheat(policy) {
        settings.extend(AIMS.iter().map(|aim| Setting {
            policy: policy.to_owned(),
            knobs: BTreeMap::from([(AIM.to_owned(), *aim)]),
        }));
        return Ok(settings);
    }
    // A fleet that nobody scales has no default: its size is its setting.
    if policy == "static" {
        settings.clear();
    } else if !tune || policy.starts_with("static:") {
        return Ok(settings);
    }
    let mut combinations = vec![BTreeMap::new()];
    for knob in peers::knobs(policy)? {
        combinations = combinations
            .iter()
            .flat_map(|chosen: &BTreeMap<String, f64>| {
                knob.values.iter().map(|value| {
                    let mut chosen = chosen.clone();
                    chosen.insert(knob.name.to_owned(), *value);
                    chosen
                })
            })
            .collect();
    }
    settings
        .extend(combinations.into_iter().map(|knobs| Setting { policy: policy.to_owned(), knobs }));
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_every_policy_once() {
        let all = select("all,keda-waiting").unwrap();
        assert_eq!(all.len(), peers::names_in_all().count() + 1);
        assert!(!all.contains(&"hpa-cpu".to_owned()) && select("hpa-cpu").is_ok());
        assert_eq!(all[0], PREHEAT);
        assert_eq!(select("preheat, oracle, static:4").unwrap(), ["preheat", "static:4"]);
        let parts = select("preheat,ablations").unwrap();
        assert_eq!(parts.len(), 1 + Part::ALL.len());
        assert!(parts.iter().all(|name| is_preheat(name)), "{parts:?}");
        let told = select("told").unwrap();
        assert!(told.len() == 3 && !told.iter().any(|name| is_peer(name)), "{told:?}");
        assert!(select("preheat-without-luck").is_err());
        assert!(select("keda").unwrap_err().to_string().contains("keda-waiting"));
    }

    #[test]
    fn tuning_tries_the_defaults_and_every_combination() {
        assert_eq!(settings("hpa-gpu", false).unwrap().len(), 1);
        let knobs = peers::knobs("hpa-gpu").unwrap();
        let combinations: usize = knobs.iter().map(|knob| knob.values.len()).product();
        let tuned = settings("hpa-gpu", true).unwrap();
        assert_eq!(tuned.len(), combinations + 1);
        assert!(tuned[0].is_default());
        assert!(settings("static", false).unwrap().iter().all(|setting| !setting.is_default()));
        assert!(settings("preheat", false).unwrap().len() > 5);
    }
}
