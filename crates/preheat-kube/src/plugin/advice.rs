//! Which node should hold which model's weights, where a node has room for some only.
//!
//! Weights on a node save what a start there then takes less. So a gigabyte of them is worth
//! starts an hour × hours saved × GPUs of a replica × what a GPU's hour is worth ÷ gigabytes, and
//! each node is filled with the most worth first. Starts of a model fall on all nodes that its pods
//! may land on alike. Two models on four nodes, each 141 GB: 8 starts an hour that save 3 min on
//! 4 GPUs are worth 8 ÷ 4 × 0.05 × 4 = 0.4 GPU-hours an hour and node.
//!
//! **Invariant:** pure. A model of which something is not known is not advised on.

use std::collections::BTreeSet;
use std::time::Duration;

/// A model, and what its weights on a node are worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// What it is called.
    pub name: String,
    /// Starts that become ready, on all nodes.
    pub starts_per_hour: f64,
    /// What weights on its node save a start.
    pub saves: Duration,
    /// GPUs that a start holds.
    pub gpus: u32,
    /// In any currency that all models share.
    pub worth_per_gpu_hour: f64,
    /// Of its weights.
    pub bytes: u64,
    /// Nodes that its pods may land on.
    pub nodes: BTreeSet<String>,
}

/// One node should hold one model.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// The node.
    pub node: String,
    /// The model.
    pub model: String,
    /// What that saves, an hour.
    pub worth_per_hour: f64,
}

impl Model {
    /// What its weights on one node save, an hour.
    fn worth_per_hour(&self) -> f64 {
        let starts = self.starts_per_hour / self.nodes.len().max(1) as f64;
        let hours = self.saves.as_secs_f64() / 3600.0;
        starts * hours * f64::from(self.gpus) * self.worth_per_gpu_hour
    }

    fn worth_per_byte(&self) -> f64 {
        self.worth_per_hour() / self.bytes.max(1) as f64
    }
}

/// What each node should hold that has room for so many bytes; nodes by name, most worth first.
pub fn advise(models: &[Model], room_bytes: u64) -> Vec<Advice> {
    let mut models: Vec<&Model> =
        models.iter().filter(|model| model.worth_per_hour() > 0.0).collect();
    models.sort_by(|a, b| {
        let worth = b.worth_per_byte().total_cmp(&a.worth_per_byte());
        worth.then_with(|| a.name.cmp(&b.name))
    });
    let nodes: BTreeSet<&String> = models.iter().flat_map(|model| &model.nodes).collect();
    let of_node = |node: &String| {
        let here: Vec<&Model> =
            models.iter().copied().filter(|model| model.nodes.contains(node)).collect();
        let advice = |model: &Model| Advice {
            node: node.clone(),
            model: model.name.clone(),
            worth_per_hour: model.worth_per_hour(),
        };
        best(&here, room_bytes).into_iter().map(advice).collect::<Vec<_>>()
    };
    nodes.into_iter().flat_map(of_node).collect()
}

/// The most worth first, unless a fill that begins with one certain model is worth more: a small one
/// must not keep out a large one that is worth twenty times as much.
fn best<'a>(models: &[&'a Model], room_bytes: u64) -> Vec<&'a Model> {
    let worth = |held: &[&Model]| held.iter().map(|model| model.worth_per_hour()).sum::<f64>();
    let mut best = fill(None, models, room_bytes);
    for first in models {
        let other = fill(Some(first), models, room_bytes);
        if worth(&other) > worth(&best) {
            best = other;
        }
    }
    best
}

/// Takes what fits, in order, after `first`.
fn fill<'a>(first: Option<&'a Model>, models: &[&'a Model], room_bytes: u64) -> Vec<&'a Model> {
    let mut room = room_bytes;
    let mut held = Vec::new();
    let others = models.iter().copied().filter(|model| first != Some(*model));
    for model in first.into_iter().chain(others) {
        // One that does not fit leaves its place to a smaller one.
        let Some(left) = room.checked_sub(model.bytes) else { continue };
        room = left;
        held.push(model);
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn model(name: &str, starts_per_hour: f64, saves_s: u64, gb: u64, nodes: &[&str]) -> Model {
        Model {
            name: name.to_owned(),
            starts_per_hour,
            saves: Duration::from_secs(saves_s),
            gpus: 4,
            worth_per_gpu_hour: 1.0,
            bytes: gb * GB,
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
        }
    }

    #[track_caller]
    fn check(models: &[Model], room_gb: u64, expected: &[(&str, &str)]) {
        let advice = advise(models, room_gb * GB);
        let told = advice.iter().map(|advice| (advice.node.as_str(), advice.model.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_node_is_filled_with_what_is_worth_most_for_its_size() {
        let chat = model("chat", 8.0, 180, 141, &["a", "b", "c", "d"]);
        let worth = advise(std::slice::from_ref(&chat), 141 * GB)[0].worth_per_hour;
        assert!((worth - 0.4).abs() < 1e-12, "{worth}");
        // As much for a tenth of the size.
        let small = model("small", 8.0, 180, 14, &["a", "b", "c", "d"]);
        let both = [chat.clone(), small.clone()];
        let small_only = [("a", "small"), ("b", "small"), ("c", "small"), ("d", "small")];
        check(&both, 150, &small_only);
        check(&both, 13, &[]);
        // Nor does what is small and worth little keep out what is worth much.
        let tiny = model("tiny", 0.1, 180, 1, &["a"]);
        check(
            &[chat.clone(), tiny],
            141,
            &[("a", "chat"), ("b", "chat"), ("c", "chat"), ("d", "chat")],
        );
        let large = model("large", 80.0, 180, 400, &["a"]);
        check(&[large, small], 100, &small_only);
    }

    #[test]
    fn worth_grows_with_starts_time_price_and_gpus_and_falls_with_nodes() {
        let on = |nodes: &[&str]| model("x", 1.0, 100, 100, nodes);
        let base = on(&["a", "b"]);
        let wins = |other: Model| {
            let other = Model { name: "other".to_owned(), ..other };
            let advice = advise(&[base.clone(), other], 100 * GB);
            advice[0].model == "other"
        };
        assert!(wins(Model { starts_per_hour: 1.1, ..base.clone() }));
        assert!(wins(Model { saves: Duration::from_secs(101), ..base.clone() }));
        assert!(wins(Model { gpus: 8, ..base.clone() }));
        assert!(wins(Model { worth_per_gpu_hour: 1.1, ..base.clone() }));
        assert!(wins(Model { bytes: 99 * GB, ..base.clone() }));
        assert!(wins(on(&["a"])));
        assert!(!wins(on(&["a", "b", "c"])));
    }

    #[test]
    fn what_saves_nothing_is_held_nowhere() {
        check(&[model("x", 0.0, 100, 1, &["a"]), model("y", 1.0, 0, 1, &["a"])], 100, &[]);
        check(&[model("x", 1.0, 100, 1, &[])], 100, &[]);
    }
}
