//! How each policy looks, the same on every chart of the document.

use std::collections::BTreeMap;

use super::ranking::{highest_attainment, ranked};
use super::svg::Marker;
use crate::comparison::Comparison;
use preheat_sim::preheat_policy::PREHEAT;

/// Colours for the best peers; the others share a grey, and all have a marker and a label.
const TONES: [&str; 6] = ["tone-1", "tone-2", "tone-3", "tone-4", "tone-5", "tone-6"];

const MARKERS: [Marker; 7] = [
    Marker::Circle,
    Marker::Square,
    Marker::Diamond,
    Marker::Triangle,
    Marker::TriangleDown,
    Marker::Plus,
    Marker::Cross,
];

/// How strongly a policy is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// In grey.
    Other,
    /// In a colour of its own.
    Best,
    /// preheat.
    Strongest,
}

/// How one policy looks.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// Its number in the document, which scripts know it by.
    pub(super) number: String,
    /// Its colour's class.
    pub(super) tone: &'static str,
    pub(super) marker: Marker,
    pub(super) weight: Weight,
}

/// How all look.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    by_policy: BTreeMap<String, Look>,
    order: Vec<String>,
}

impl Looks {
    /// Colours go to those that come first on some workload.
    pub(super) fn of(comparison: &Comparison) -> Self {
        let order = best_first(comparison);
        let peers = order.iter().filter(|name| *name != PREHEAT).enumerate();
        let mut by_policy: BTreeMap<String, Look> = peers
            .map(|(rank, name)| {
                let (tone, weight) = match TONES.get(rank) {
                    Some(tone) => (*tone, Weight::Best),
                    None => ("tone-other", Weight::Other),
                };
                let marker = MARKERS[rank % MARKERS.len()];
                let number = (rank + 1).to_string();
                (name.clone(), Look { number, tone, marker, weight })
            })
            .collect();
        if order.iter().any(|name| name == PREHEAT) {
            let look = Look {
                number: "0".to_owned(),
                tone: "tone-preheat",
                marker: Marker::Star,
                weight: Weight::Strongest,
            };
            by_policy.insert(PREHEAT.to_owned(), look);
        }
        Self { by_policy, order }
    }

    /// How `policy` looks.
    pub(super) fn get(&self, policy: &str) -> Option<&Look> {
        self.by_policy.get(policy)
    }

    /// Every policy, preheat first and then the best.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &Look)> {
        let preheat = self.order.iter().filter(|name| *name == PREHEAT);
        let peers = self.order.iter().filter(|name| *name != PREHEAT);
        preheat.chain(peers).filter_map(|name| Some((name.as_str(), self.get(name)?)))
    }
}

/// Policies by the best place that they have on any workload, then by their mean place.
fn best_first(comparison: &Comparison) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for workload in &comparison.workloads {
        let highest = highest_attainment(workload);
        for (place, policy) in ranked(workload, highest).into_iter().enumerate() {
            places.entry(&policy.policy).or_default().push(place);
        }
    }
    let mut names: Vec<(&str, usize, f64)> = places
        .into_iter()
        .map(|(name, places)| {
            let best = places.iter().copied().min().unwrap_or(usize::MAX);
            (name, best, places.iter().sum::<usize>() as f64 / places.len() as f64)
        })
        .collect();
    names.sort_by(|a, b| a.1.cmp(&b.1).then(a.2.total_cmp(&b.2)));
    names.into_iter().map(|(name, _, _)| name.to_owned()).collect()
}
