//! Nodes: what they hold of what a start needs, and on which of them a pod may land.
//!
//! **Invariant:** pure. What can't be told is absent, and what is hard to tell (affinities) is left out
//! on the side that makes more nodes count than would: a lead time is that of the slowest of them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, ContainerImage, Node, Pod, Taint, Toleration};
use preheat_core::MachineState;

/// As many images as a kubelet tells of, the largest first: of what is not among so many, nobody
/// knows whether it is there.
const IMAGES_TOLD_MAX: usize = 50;
/// Nodes remembered to hold a pool's weights: as many as its status may list.
pub const WEIGHTS_NODES_MAX: usize = 256;

/// What a pod wants of its node, as far as it is looked at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wants {
    /// Its engine's image, by its full name.
    pub image: Option<String>,
    /// Labels that the node must have.
    selector: BTreeMap<String, String>,
    /// Devices: resources of a vendor's name, such as `nvidia.com/gpu`, which are whole numbers.
    devices: Devices,
    tolerations: Vec<Toleration>,
    /// Pods of a lower priority go for it.
    priority: i32,
}

/// How many of each device.
pub type Devices = BTreeMap<String, u64>;
/// Devices that pods hold, by node and by the pods' priority.
pub type Taken = BTreeMap<String, BTreeMap<i32, Devices>>;

impl Wants {
    /// What a pod wants; `container` is the engine's, where it is not the first.
    pub fn of(pod: &Pod, container: Option<&str>) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let named = |of: &&Container| container.is_none_or(|name| of.name == name);
        Self {
            image: spec
                .containers
                .iter()
                .find(named)
                .and_then(|engine| engine.image.as_deref().map(full_name)),
            selector: spec.node_selector.clone().unwrap_or_default(),
            devices: devices(pod),
            tolerations: spec.tolerations.clone().unwrap_or_default(),
            priority: match spec.preemption_policy.as_deref() {
                Some("Never") => i32::MIN,
                Some(_) | None => priority(pod),
            },
        }
    }
}

/// Devices that a pod asks for.
fn devices(pod: &Pod) -> Devices {
    let mut devices = Devices::new();
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    for resources in containers.filter_map(|container| container.resources.as_ref()) {
        // Of devices the two are always the same, and one may stand for both.
        let asked = resources.limits.as_ref().or(resources.requests.as_ref());
        for (name, quantity) in asked.into_iter().flatten().filter(|(name, _)| is_device(name)) {
            *devices.entry(name.clone()).or_default() += quantity.0.parse().unwrap_or(0);
        }
    }
    devices
}

/// As admission has written it into the pod.
fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

fn is_device(name: &str) -> bool {
    name.contains('/') && !name.starts_with("kubernetes.io/")
}

/// Devices that pods hold.
pub fn taken<'a>(pods: impl Iterator<Item = &'a Pod>) -> Taken {
    let mut taken = Taken::new();
    for pod in pods {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let Some(node) = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) else {
            continue;
        };
        let devices = devices(pod);
        if devices.is_empty() || matches!(phase, Some("Succeeded" | "Failed")) {
            continue;
        }
        let held = taken.entry(node.clone()).or_default().entry(priority(pod)).or_default();
        for (name, count) in devices {
            *held.entry(name).or_default() += count;
        }
    }
    taken
}

/// What the nodes hold that a pod may land on which is made now, each state once. `taken` is absent
/// where not all pods are seen: then every node has room that is large enough. Where none has, one is
/// to be made or to become free. Empty where no node is known at all.
pub fn landing<'a>(
    wants: &Wants,
    nodes: impl Iterator<Item = &'a Node>,
    taken: Option<&Taken>,
    holds: impl Fn(&Node) -> MachineState,
) -> Vec<MachineState> {
    let mut nodes = nodes.peekable();
    if nodes.peek().is_none() {
        return Vec::new();
    }
    let free = nodes.filter(|node| {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        let taken = taken.and_then(|taken| taken.get(name));
        let stays = taken.into_iter().flat_map(|by| by.range(wants.priority..));
        admits(node, wants) && has_room(node, wants, stays.map(|(_, devices)| devices))
    });
    let states: BTreeSet<MachineState> = free.map(holds).collect();
    if states.is_empty() { vec![MachineState::BARE] } else { states.into_iter().collect() }
}

/// Whether a node takes pods at all, and such ones.
pub(crate) fn admits(node: &Node, wants: &Wants) -> bool {
    let spec = node.spec.as_ref();
    let cordoned = spec.and_then(|spec| spec.unschedulable).unwrap_or(false);
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let labels = node.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    let mut taints = spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    ready
        && !cordoned
        && wants.selector.iter().all(|(key, value)| label(key) == Some(value))
        && taints.all(|taint| {
            taint.effect == "PreferNoSchedule"
                || wants.tolerations.iter().any(|toleration| tolerates(toleration, taint))
        })
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let of_effect = |effect: &str| effect.is_empty() || effect == taint.effect;
    let exists = toleration.operator.as_deref() == Some("Exists");
    let same_value = toleration.value.as_deref().unwrap_or_default()
        == taint.value.as_deref().unwrap_or_default();
    // Without a key it is for all taints.
    let of_key = |key: &str| key == taint.key || (key.is_empty() && exists);
    toleration.effect.as_deref().is_none_or(of_effect)
        && of_key(toleration.key.as_deref().unwrap_or_default())
        && (exists || same_value)
}

fn has_room<'a>(
    node: &Node,
    wants: &Wants,
    stays: impl Iterator<Item = &'a Devices> + Clone,
) -> bool {
    let allocatable = node.status.as_ref().and_then(|status| status.allocatable.as_ref());
    wants.devices.iter().all(|(name, count)| {
        let there = allocatable.and_then(|all| all.get(name)?.0.parse::<u64>().ok()).unwrap_or(0);
        let held: u64 = stays.clone().filter_map(|devices| devices.get(name)).sum();
        there.saturating_sub(held) >= *count
    })
}

/// Whether a node holds the image of this full name, as its kubelet tells; the node must be
/// [`slim`]med. Every tick asks this of every node.
pub fn holds_image(node: &Node, image: &str) -> Option<bool> {
    let images = node.status.as_ref()?.images.as_ref()?;
    let names = images.first().and_then(|all| all.names.as_deref()).unwrap_or_default();
    if names.binary_search_by(|name| name.as_str().cmp(image)).is_ok() {
        return Some(true);
    }
    (images.len() < IMAGES_TOLD_MAX).then_some(false)
}

/// Full names of all images, sorted, with the first of them.
fn index_images(images: &mut [ContainerImage]) {
    let names = images.iter_mut().flat_map(|image| image.names.take().unwrap_or_default());
    let mut names: Vec<String> = names.map(|name| full_name(&name)).collect();
    names.sort_unstable();
    if let Some(first) = images.first_mut() {
        first.names = Some(names);
    }
}

/// An image's name as a runtime writes it: with registry, and tag or digest.
fn full_name(image: &str) -> String {
    let (registry, path) = match image.split_once('/') {
        // What looks like no host is Docker Hub's.
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        Some(_) => ("docker.io", image),
        None => return full_name(&format!("library/{image}")),
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    let tag = if last.contains([':', '@']) { "" } else { ":latest" };
    // Of a tag and a digest the digest says which.
    let path = match path.split_once('@') {
        Some((name, digest)) => {
            let name = name.rsplit_once(':').map_or(name, |(name, _)| name);
            format!("{name}@{digest}")
        }
        None => path.to_owned(),
    };
    format!("{registry}/{path}{tag}")
}

/// Whether a node holds weights, as the label says that a cache writes.
pub fn has_label(node: &Node, label: &str) -> bool {
    let value = node.metadata.labels.as_ref().and_then(|labels| labels.get(label));
    value.is_some_and(|value| value != "false")
}

/// Nodes where a replica of a pool has been ready, and so has loaded its weights. What a node keeps
/// of them, starts there will tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WeightsSeen(BTreeMap<String, Option<String>>);

impl WeightsSeen {
    /// As a status lists them.
    pub fn restored(names: &[String]) -> Self {
        Self(names.iter().map(|name| (name.clone(), None)).collect())
    }

    /// Forgets nodes that are gone, or were made anew under their names, and takes in another.
    pub fn keep<'a>(&mut self, find: impl Fn(&str) -> Option<&'a Node>) {
        self.0.retain(|name, uid| {
            let Some(node) = find(name) else { return false };
            let known = uid.get_or_insert_with(|| node.metadata.uid.clone().unwrap_or_default());
            node.metadata.uid.as_deref().unwrap_or_default() == known
        });
    }

    /// A replica is ready there.
    pub fn insert(&mut self, node: &str) {
        if self.0.len() < WEIGHTS_NODES_MAX && !self.0.contains_key(node) {
            self.0.insert(node.to_owned(), None);
        }
    }

    /// Whether one has been.
    pub fn has(&self, node: &str) -> bool {
        self.0.contains_key(node)
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
}

/// Drops what nobody here reads of a node, and lays its images' names out to be looked up.
pub fn slim(node: &mut Node) {
    node.metadata.managed_fields = None;
    node.metadata.annotations = None;
    if let Some(status) = &mut node.status {
        index_images(status.images.as_deref_mut().unwrap_or_default());
        let conditions = status.conditions.iter_mut().flatten();
        // They tell how the node is at every heartbeat.
        conditions.for_each(|condition| condition.message = None);
        status.node_info = None;
        status.capacity = None;
        status.volumes_attached = None;
        status.volumes_in_use = None;
    }
}

#[cfg(test)]
mod tests;
