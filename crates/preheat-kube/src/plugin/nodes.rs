//! Which nodes hold the image and the weights of which resource, as a table.
//!
//! **Invariant:** pure.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};

use super::advice::{Advice, Model};
use crate::nodes::WeightsSeen;
use crate::pods::node_of;
use crate::resource::InferenceAutoscaler;
use crate::terrain::Terrain;

/// One resource on one node that its pods run on or may land on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRow {
    /// The node.
    pub node: String,
    /// The resource, as `namespace/name`.
    pub resource: String,
    /// Its pods there.
    pub pods: usize,
    /// Whether its image is there.
    pub image: Option<bool>,
    /// Whether its weights are.
    pub weights: Option<bool>,
}

/// A resource on the nodes that its pods may land on, for pods like these.
pub fn node_rows(
    resource: &InferenceAutoscaler,
    pods: &[Arc<Pod>],
    nodes: &[Arc<Node>],
) -> Vec<NodeRow> {
    let (spec, metadata) = (&resource.spec, &resource.metadata);
    if pods.is_empty() {
        // Nobody tells what its pods want.
        return Vec::new();
    }
    let label = spec.cold_start.weights_node_label.as_deref();
    let terrain = Terrain::of(nodes, pods, spec.engine.container.as_deref(), label);
    let status = resource.status.as_ref();
    let seen = status.map(|status| status.weights_nodes.as_slice()).unwrap_or_default();
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    let name = format!("{}/{}", namespace.unwrap_or_default(), name.unwrap_or_default());
    let places = terrain.places(&WeightsSeen::restored(seen));
    let rows = places.into_iter().map(|(node, machine)| NodeRow {
        node: node.to_owned(),
        resource: name.clone(),
        pods: pods.iter().filter(|pod| node_of(pod) == Some(node)).count(),
        image: machine.image,
        weights: machine.weights,
    });
    rows.collect()
}

/// The rows by node, one a line.
pub fn node_table(rows: &[NodeRow]) -> String {
    let told = |held: Option<bool>| match held {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let mut rows: Vec<&NodeRow> = rows.iter().collect();
    rows.sort_by(|a, b| (&a.node, &a.resource).cmp(&(&b.node, &b.resource)));
    let longest = |head: &str, of: fn(&NodeRow) -> &str| {
        rows.iter().map(|row| of(row).len()).max().unwrap_or(0).max(head.len())
    };
    let node = longest("NODE", |row| &row.node);
    let resource = longest("RESOURCE", |row| &row.resource);
    let mut text =
        format!("{:node$}   {:resource$}   PODS   IMAGE   WEIGHTS\n", "NODE", "RESOURCE");
    for row in rows {
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{:node$}   {:resource$}   {:<4}   {:<5}   {}",
            row.node,
            row.resource,
            row.pods,
            told(row.image),
            told(row.weights),
        );
    }
    text
}

/// A resource as a model whose weights are that large; or what is not known of it yet. `rows` are its
/// own.
///
/// # Errors
/// What is not known, as a sentence.
pub fn model(
    resource: &InferenceAutoscaler,
    rows: &[NodeRow],
    bytes: u64,
) -> Result<Model, String> {
    let name = rows.first().map(|row| row.resource.clone());
    let name = name.ok_or("no pod of it tells which nodes it may land on")?;
    let status = resource.status.clone().unwrap_or_default();
    let per_day = status.starts_per_day.ok_or("preheat has watched it for less than an hour")?;
    // Of starts that found the same image, if there are both kinds.
    let kinds =
        |weights: bool| status.cold_starts.iter().filter(move |kind| kind.weights == Some(weights));
    let pairs = kinds(false).filter_map(|without| {
        let with = kinds(true).find(|with| with.image == without.image)?;
        Some((without.seen.min(with.seen), without.p50_seconds - with.p50_seconds))
    });
    let best = pairs.max_by_key(|(seen, _)| *seen);
    let (_, saves_s) = best
        .ok_or("starts with and without weights, that are else alike, have not both been seen")?;
    Ok(Model {
        name,
        starts_per_hour: per_day / 24.0,
        saves: Duration::try_from_secs_f64(saves_s).unwrap_or_default(),
        gpus: resource.spec.engine.gpus_per_replica,
        worth_per_gpu_hour: resource.spec.worth_per_gpu_hour.unwrap_or(1.0),
        bytes,
        nodes: rows.iter().map(|row| row.node.clone()).collect(),
    })
}

/// What nodes should hold, one a line.
pub fn advice_text(advice: &[Advice], rows: &[NodeRow]) -> String {
    let mut text = String::new();
    for Advice { node, model, worth_per_hour } in advice {
        let there = rows.iter().find(|row| row.node == *node && row.resource == *model);
        let holds = there.is_some_and(|row| row.weights == Some(true));
        let verb = if holds { "keeps" } else { "should get" };
        let worth = worth_per_hour * 24.0;
        // Writing to a string can't fail.
        let _ = writeln!(text, "{node} {verb} the weights of {model}: worth {worth:.2} a day");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_resource_is_told_on_each_node_that_its_pods_may_land_on() {
        let node = |name: &str, ready: &str, image: &str| {
            let node = json!({
                "metadata": {"name": name},
                "status": {
                    "conditions": [{"type": "Ready", "status": ready}],
                    "images": [{"names": [image]}],
                },
            });
            let mut node = serde_json::from_value(node).unwrap();
            crate::nodes::slim(&mut node);
            Arc::new(node)
        };
        let nodes = [
            node("gpu-2", "True", "other:1"),
            node("gpu-1", "True", "vllm/vllm-openai:v0.9.1"),
            node("broken", "Unknown", "vllm/vllm-openai:v0.9.1"),
        ];
        let pod = json!({
            "metadata": {"name": "chat-x"},
            "spec": {
                "nodeName": "gpu-1",
                "containers": [{"name": "vllm", "image": "vllm/vllm-openai:v0.9.1"}],
            },
        });
        let pods = [Arc::new(serde_json::from_value::<Pod>(pod).unwrap())];
        let resource = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": "chat", "namespace": "models"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
                "maxReplicas": 8,
            },
            "status": {"weightsNodes": ["gpu-1"]},
        });
        let resource: InferenceAutoscaler = serde_json::from_value(resource).unwrap();
        assert_eq!(
            node_table(&node_rows(&resource, &pods, &nodes)),
            "NODE    RESOURCE      PODS   IMAGE   WEIGHTS\n\
             gpu-1   models/chat   1      yes     yes\n\
             gpu-2   models/chat   0      no      no\n"
        );
        assert_eq!(node_rows(&resource, &[], &nodes), []);
    }

    fn row(node: &str, weights: bool) -> NodeRow {
        NodeRow {
            node: node.to_owned(),
            resource: "models/chat".to_owned(),
            pods: 0,
            image: Some(true),
            weights: Some(weights),
        }
    }

    fn resource(status: &serde_json::Value) -> InferenceAutoscaler {
        let resource = json!({
            "apiVersion": "preheat.dev/v1alpha1", "kind": "InferenceAutoscaler",
            "metadata": {"name": "chat", "namespace": "models"},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"},
                "maxReplicas": 8, "engine": {"gpusPerReplica": 4},
            },
            "status": status,
        });
        serde_json::from_value(resource).unwrap()
    }

    #[test]
    fn advice_follows_from_what_a_status_tells() {
        let kind = |image: bool, weights: bool, seen: u32, p50: f64| {
            json!({
                "image": image, "weights": weights, "seen": seen, "p50Seconds": p50,
                "p90Seconds": p50,
            })
        };
        let rows = [row("a", true), row("b", false)];
        let known = resource(&json!({
            "startsPerDay": 48.0,
            "coldStarts": [
                kind(false, false, 30, 400.0), kind(true, false, 3, 220.0), kind(true, true, 9, 40.0),
            ],
        }));
        let model = model(&known, &rows, 141_000_000_000).unwrap();
        // The image is another matter: what it took to pull it is not saved by weights.
        assert_eq!((model.starts_per_hour, model.saves), (2.0, Duration::from_secs(180)));
        let advice = super::super::advise(&[model], 200_000_000_000);
        assert_eq!(
            advice_text(&advice, &rows),
            "a keeps the weights of models/chat: worth 4.80 a day\n\
             b should get the weights of models/chat: worth 4.80 a day\n"
        );
    }

    #[test]
    fn what_is_not_known_is_said() {
        let check = |status: serde_json::Value, rows: &[NodeRow], expected: &str| {
            let problem = model(&resource(&status), rows, 1).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        };
        let rows = [row("a", true)];
        check(json!({"startsPerDay": 48.0}), &[], "no pod of it tells");
        check(json!({}), &rows, "less than an hour");
        check(json!({"startsPerDay": 48.0}), &rows, "have not both been seen");
    }
}
