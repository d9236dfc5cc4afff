//! The label that keeps a pod out of traffic, and whether Services heed it.
//!
//! A Service that selects `preheat.dev/traffic: "on"` sends requests only to pods that carry it. The
//! pods' template does, so that all of them serve where there is no preheat; preheat sets single pods
//! to `off` and back.
//!
//! **Invariant:** pure. A Service that selects a pod whatever the label says is named, and never taken
//! to heed it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Service;

/// The label, on pods and in Services' selectors.
pub const TRAFFIC_LABEL: &str = "preheat.dev/traffic";
/// Its value on a pod that takes requests.
pub const ON: &str = "on";
/// Its value on a pod that is set aside.
pub const OFF: &str = "off";
/// Its value on a Service that carries no requests, as one that is there for metrics only.
pub const NONE: &str = "none";

/// What a pod's label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// It takes requests.
    On,
    /// preheat has set it aside.
    Off,
    /// Nothing that preheat knows.
    Unlabelled,
}

/// Labels of a pod or a Service.
type Labels = BTreeMap<String, String>;

impl Traffic {
    /// Reads a pod's labels.
    pub fn of(labels: Option<&Labels>) -> Self {
        match labels.and_then(|labels| labels.get(TRAFFIC_LABEL)).map(String::as_str) {
            Some(ON) => Self::On,
            Some(OFF) => Self::Off,
            Some(_) | None => Self::Unlabelled,
        }
    }

    /// As it is written; `None` for what is nobody's.
    pub const fn value(self) -> Option<&'static str> {
        match self {
            Self::On => Some(ON),
            Self::Off => Some(OFF),
            Self::Unlabelled => None,
        }
    }
}

/// What a namespace's Services do with some pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// One that selects them by the label.
    pub heeding: Option<String>,
    /// One that selects some of them whatever the label says.
    pub blind: Option<String>,
}

impl Reach {
    /// Looks at the Services of the pods' own namespace.
    pub fn of<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        pods: impl IntoIterator<Item = &'a Labels>,
    ) -> Self {
        let pods: Vec<&Labels> = pods.into_iter().collect();
        let mut reach = Self::default();
        for service in services.into_iter().filter(|service| carries_requests(service)) {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            // What has no selector is given its endpoints by somebody.
            let Some(selector) = selector.filter(|selector| !selector.is_empty()) else { continue };
            let selects = |value| pods.iter().any(|pod| selects(selector, pod, value));
            let place = match (selects(ON), selects(OFF)) {
                (_, true) => &mut reach.blind,
                (true, false) => &mut reach.heeding,
                (false, false) => continue,
            };
            let name = service.metadata.name.clone().unwrap_or_default();
            // The same one at each look, in whatever order they come.
            if place.as_ref().is_none_or(|before| name < *before) {
                *place = Some(name);
            }
        }
        reach
    }
}

fn carries_requests(service: &Service) -> bool {
    let labels = service.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(TRAFFIC_LABEL)).is_none_or(|value| value != NONE)
}

/// Whether a selector takes the pod when its label has that value.
fn selects(selector: &Labels, pod: &Labels, value: &str) -> bool {
    selector.iter().all(|(key, wanted)| {
        let has = if key == TRAFFIC_LABEL { Some(value) } else { pod.get(key).map(String::as_str) };
        has == Some(wanted.as_str())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn labels(value: Value) -> Labels {
        serde_json::from_value(value).unwrap()
    }

    fn service(name: &str, selector: Value, labels: Value) -> Service {
        let object = json!({
            "metadata": {"name": name, "labels": labels}, "spec": {"selector": selector},
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_pods_label_is_read_and_others_are_nobodys() {
        for (value, expected) in [
            (json!({TRAFFIC_LABEL: "on"}), Traffic::On),
            (json!({TRAFFIC_LABEL: "off"}), Traffic::Off),
            (json!({TRAFFIC_LABEL: "yes"}), Traffic::Unlabelled),
            (json!({"app": "chat"}), Traffic::Unlabelled),
        ] {
            assert_eq!(Traffic::of(Some(&labels(value))), expected);
        }
        assert_eq!(Traffic::of(None), Traffic::Unlabelled);
    }

    #[test]
    fn a_service_heeds_the_label_only_where_its_selector_has_it() {
        let pods = [labels(json!({"app": "chat", TRAFFIC_LABEL: "off"}))];
        let heeding = || service("b", json!({"app": "chat", TRAFFIC_LABEL: "on"}), json!({}));
        let blind = |name: &str| service(name, json!({"app": "chat"}), json!({}));
        let sleepers = service("s", json!({"app": "chat", TRAFFIC_LABEL: "off"}), json!({}));
        let metrics = service("m", json!({"app": "chat"}), json!({TRAFFIC_LABEL: "none"}));
        let elsewhere = service("o", json!({"app": "other"}), json!({}));
        let bare = service("n", Value::Null, json!({}));
        let found = |services: &[Service]| {
            let reach = Reach::of(services, &pods);
            (reach.heeding, reach.blind)
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(found(&[]), (None, None));
        assert_eq!(found(&[elsewhere.clone(), bare, metrics.clone()]), (None, None));
        assert_eq!(found(&[heeding(), elsewhere, metrics]), (some("b"), None));
        assert_eq!(found(&[blind("z"), heeding(), blind("a")]), (some("b"), some("a")));
        // One that asks for those set aside sends them requests.
        assert_eq!(found(&[heeding(), sleepers]), (some("b"), some("s")));
        assert_eq!(Reach::of(&[heeding()], &[labels(json!({"app": "x"}))]), Reach::default());
    }
}
