//! The nodes that pods run on: which there are, who is on them, and what they hold.
//!
//! A pod goes to the one node that is always there, unless its labels ask for a node of its own; that
//! is made for it where none of its namespace's is free, as an autoscaler of nodes does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::kubelet::now;

/// A pod with this label shares its node with none of its namespace.
pub(crate) const NODE_OF_ITS_OWN: &str = "preheat.test/node-of-its-own";
/// The node of all pods that do not ask for one.
const COMMON: &str = "node";
/// Time that a node takes to be made: longer than the second that the apiserver counts in.
const MAKE_TIME: Duration = Duration::from_secs(2);
/// Time that an image takes to be pulled.
const PULL_TIME: Duration = Duration::from_secs(2);

/// Shared by all pods.
#[derive(Clone)]
pub(crate) struct Nodes {
    api: Api<Node>,
    held: Arc<Mutex<BTreeMap<String, Held>>>,
    /// Where the kubelet of all of them is asked for logs, on loopback.
    kubelet_port: u16,
}

/// One node.
#[derive(Default)]
struct Held {
    /// Whose it is, where it is made for one namespace.
    namespace: Option<String>,
    pod: Option<String>,
    images: BTreeSet<String>,
    /// Init containers that have run here, with their namespaces.
    ran: BTreeSet<(String, String)>,
}

impl Nodes {
    pub(crate) fn new(client: Client, kubelet_port: u16) -> Self {
        let common = BTreeMap::from([(COMMON.to_owned(), Held::default())]);
        Self { api: Api::all(client), held: Arc::new(Mutex::new(common)), kubelet_port }
    }

    /// A node for this pod, if there is one.
    pub(crate) fn free(&self, alone_in: Option<&str>, pod: &str) -> Option<String> {
        let Some(namespace) = alone_in else { return Some(COMMON.to_owned()) };
        let mut held = self.held.lock().unwrap();
        let free = held
            .iter_mut()
            .find(|(_, node)| node.namespace.as_deref() == Some(namespace) && node.pod.is_none());
        let (name, node) = free?;
        node.pod = Some(pod.to_owned());
        Some(name.clone())
    }

    /// Makes a node for this pod.
    pub(crate) async fn make(&self, namespace: &str, pod: &str) -> kube::Result<String> {
        tokio::time::sleep(MAKE_TIME).await;
        let name = {
            let mut held = self.held.lock().unwrap();
            let name = format!("{namespace}-n{}", held.len());
            let (namespace, pod) = (Some(namespace.to_owned()), Some(pod.to_owned()));
            // What every node has: one that tells of no image tells nothing of images.
            let images = BTreeSet::from(["registry.k8s.io/pause:3.10".to_owned()]);
            held.insert(name.clone(), Held { namespace, pod, images, ran: BTreeSet::new() });
            name
        };
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        });
        let node: Node = serde_json::from_value(node).unwrap();
        self.api.create(&PostParams::default(), &node).await?;
        // It comes with the taint of a node that is not ready, which a controller takes away that
        // does not run here.
        let ready = Patch::Merge(json!({"spec": {"taints": null}}));
        self.api.patch(&name, &PatchParams::default(), &ready).await?;
        self.tell(&name).await?;
        Ok(name)
    }

    /// Whether an image is there; on the common node all are.
    pub(crate) fn has(&self, node: &str, image: &str) -> bool {
        node == COMMON || self.held.lock().unwrap()[node].images.contains(image)
    }

    /// Pulls an image.
    pub(crate) async fn pull(&self, node: &str, image: &str) -> kube::Result<()> {
        tokio::time::sleep(PULL_TIME).await;
        self.held.lock().unwrap().get_mut(node).unwrap().images.insert(image.to_owned());
        self.tell(node).await
    }

    /// Whether an init container runs there for the first time.
    pub(crate) fn first_run(&self, node: &str, namespace: &str, container: &str) -> bool {
        let ran = (namespace.to_owned(), container.to_owned());
        self.held.lock().unwrap().get_mut(node).unwrap().ran.insert(ran)
    }

    /// A pod is gone.
    pub(crate) fn leave(&self, pod: &str) {
        for node in self.held.lock().unwrap().values_mut() {
            node.pod.take_if(|there| there == pod);
        }
    }

    /// Writes what a kubelet tells of its node.
    async fn tell(&self, node: &str) -> kube::Result<()> {
        let images: Vec<String> = self.held.lock().unwrap()[node].images.iter().cloned().collect();
        let images =
            images.iter().map(|image| json!({"names": [image], "sizeBytes": 9_000_000_000_u64}));
        let status = json!({"status": {
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "KubeletReady",
                "lastHeartbeatTime": now(), "lastTransitionTime": now(),
            }],
            "images": images.collect::<Vec<_>>(),
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.kubelet_port}},
        }});
        self.api.patch_status(node, &PatchParams::default(), &Patch::Strategic(&status)).await?;
        Ok(())
    }
}
