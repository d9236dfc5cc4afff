//! What each path answers, and what a caller must be allowed to be answered. Pure.
//!
//! **Invariant:** a count that is not known is an error with a reason, which makes a
//! HorizontalPodAutoscaler hold what is there.

use http::StatusCode;
use serde_json::{Value, json};

use crate::count::{Counts, METRIC, NAME_LABEL, Published, Refusal};

/// The API group that is served.
pub(crate) const GROUP: &str = "external.metrics.k8s.io";
/// Its version.
pub(crate) const VERSION: &str = "v1beta1";

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// Whether this process is there; anybody may know.
    Health,
    /// All groups.
    Groups,
    /// The one group.
    Group,
    /// Its resources.
    Resources,
    /// One resource's count.
    Metric {
        /// Where.
        namespace: String,
        /// The metric's name as it was asked for.
        metric: String,
        /// The selector as it was asked for.
        selector: String,
    },
    /// Nothing that is served.
    Unknown,
}

/// What a caller must be allowed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Permission {
    /// To get a path.
    Path(String),
    /// To list a metric.
    Metric {
        /// In this namespace.
        namespace: String,
        /// Of this name.
        metric: String,
    },
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) code: StatusCode,
    pub(super) body: Value,
}

impl Route {
    pub(super) fn of(path: &str, query: &str) -> Self {
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').skip(1).collect();
        match parts.as_slice() {
            ["healthz" | "livez" | "readyz"] => Self::Health,
            ["apis"] => Self::Groups,
            ["apis", GROUP] => Self::Group,
            ["apis", GROUP, VERSION] => Self::Resources,
            ["apis", GROUP, VERSION, "namespaces", namespace, metric] => {
                let selector = query
                    .split('&')
                    .find_map(|pair| pair.strip_prefix("labelSelector="))
                    .unwrap_or_default();
                Self::Metric {
                    namespace: decoded(namespace),
                    metric: decoded(metric),
                    selector: decoded(&selector.replace('+', " ")),
                }
            }
            _ => Self::Unknown,
        }
    }

    /// `None` for what anybody may know.
    pub(super) fn permission(&self, path: &str) -> Option<Permission> {
        match self {
            Self::Health => None,
            Self::Groups | Self::Group | Self::Resources | Self::Unknown => {
                Some(Permission::Path(path.to_owned()))
            }
            Self::Metric { namespace, metric, .. } => {
                Some(Permission::Metric { namespace: namespace.clone(), metric: metric.clone() })
            }
        }
    }

    pub(super) fn reply(&self, counts: &Counts) -> Reply {
        let ok = |body| Reply { code: StatusCode::OK, body };
        match self {
            Self::Health => ok(json!("ok")),
            Self::Groups => ok(json!({
                "kind": "APIGroupList", "apiVersion": "v1", "groups": [group()],
            })),
            Self::Group => {
                let mut group = group();
                group["kind"] = "APIGroup".into();
                group["apiVersion"] = "v1".into();
                ok(group)
            }
            Self::Resources => ok(json!({
                "kind": "APIResourceList", "apiVersion": "v1",
                "groupVersion": format!("{GROUP}/{VERSION}"),
                "resources": [{
                    "name": METRIC, "singularName": "", "namespaced": true,
                    "kind": "ExternalMetricValueList", "verbs": ["get"],
                }],
            })),
            Self::Metric { namespace, metric, selector } => match whose(metric, selector) {
                Ok(name) => match counts.get(namespace, &name) {
                    Ok(published) => ok(value(&name, metric, &published)),
                    Err(refusal) => refused(&refusal),
                },
                Err(problem) => failure(StatusCode::BAD_REQUEST, "BadRequest", &problem),
            },
            Self::Unknown => failure(StatusCode::NOT_FOUND, "NotFound", "nothing is served here"),
        }
    }
}

fn group() -> Value {
    let version = json!({"groupVersion": format!("{GROUP}/{VERSION}"), "version": VERSION});
    json!({"name": GROUP, "versions": [version], "preferredVersion": version})
}

/// The resource that a metric and a selector name: by the label, or by the end of the metric's name.
fn whose(metric: &str, selector: &str) -> Result<String, String> {
    if let Some(name) = metric.strip_prefix(METRIC).and_then(|rest| rest.strip_prefix('.')) {
        return Ok(name.to_owned());
    }
    if metric != METRIC {
        return Err(format!("the only metrics here are {METRIC} and {METRIC}.NAME"));
    }
    let label = selector.split_once('=').and_then(|(key, name)| {
        let name = name.strip_prefix('=').unwrap_or(name).trim();
        let plain = !name.is_empty() && !name.contains([',', '=', '!', ' ']);
        (key.trim() == NAME_LABEL && plain).then(|| name.to_owned())
    });
    label.ok_or_else(|| {
        format!(
            "the selector must be {NAME_LABEL}=NAME, the name of an InferenceAutoscaler, and is \
             `{}`",
            selector.chars().take(256).collect::<String>()
        )
    })
}

fn value(name: &str, metric: &str, published: &Published) -> Value {
    json!({
        "kind": "ExternalMetricValueList",
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "metadata": {},
        "items": [{
            "metricName": metric,
            "metricLabels": {NAME_LABEL: name},
            "timestamp": published.at.to_string(),
            "value": published.replicas.to_string(),
        }],
    })
}

fn refused(refusal: &Refusal) -> Reply {
    let text = refusal.to_string();
    match refusal {
        Refusal::Unknown { .. } => failure(StatusCode::NOT_FOUND, "NotFound", &text),
        Refusal::Silent { .. } => {
            failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", &text)
        }
    }
}

/// A failure as Kubernetes writes one.
pub(super) fn failure(code: StatusCode, reason: &str, message: &str) -> Reply {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    Reply { code, body }
}

/// Percent-encoding undone; what is none stays as it is.
pub(super) fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let code = code.filter(|two| two.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match code.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) if first == b'%' => {
                bytes.push(byte);
                rest = &after[2..];
            }
            Some(_) | None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use tokio::sync::watch;

    use super::*;

    const BASE: &str = "/apis/external.metrics.k8s.io/v1beta1";

    fn counts() -> Counts {
        let ask = |namespace: &str, name: &str| match (namespace, name) {
            ("here", "chat") => Ok(Published { replicas: 12, at: Timestamp::UNIX_EPOCH }),
            ("here", "act") => {
                let why = "its mode is Act".to_owned();
                Err(Refusal::Silent { name: name.to_owned(), why })
            }
            _ => {
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                Err(Refusal::Unknown { namespace, name })
            }
        };
        Counts::new(ask, watch::Sender::new(0).subscribe())
    }

    fn reply(path: &str, query: &str) -> Reply {
        Route::of(path, query).reply(&counts())
    }

    #[test]
    fn a_count_is_a_plain_number() {
        let by_label = (METRIC, "labelSelector=preheat.dev%2Fname%3Dchat");
        let by_name = ("preheat-desired-replicas.chat", "");
        for (metric, query) in [by_label, by_name] {
            let reply = reply(&format!("{BASE}/namespaces/here/{metric}"), query);
            assert_eq!(reply.code, StatusCode::OK);
            let expected = json!([{
                "metricName": metric, "metricLabels": {"preheat.dev/name": "chat"},
                "timestamp": "1970-01-01T00:00:00Z", "value": "12",
            }]);
            assert_eq!(reply.body["items"], expected);
        }
    }

    #[test]
    fn what_has_no_count_says_why() {
        let label = |name: &str| format!("labelSelector=preheat.dev/name={name}");
        for (metric, query, code, said) in [
            (METRIC, label("act"), 503, "publishes no count: its mode is Act"),
            (METRIC, label("other"), 404, "there is no InferenceAutoscaler `other`"),
            (METRIC, String::new(), 400, "the selector must be preheat.dev/name=NAME"),
            (METRIC, label("a,b=c"), 400, "the selector must be"),
            (METRIC, "labelSelector=app=chat".to_owned(), 400, "and is `app=chat`"),
            ("queue", label("chat"), 400, "the only metrics here are"),
        ] {
            let reply = reply(&format!("{BASE}/namespaces/here/{metric}"), &query);
            assert_eq!(reply.code.as_u16(), code, "{query}");
            assert_eq!(reply.body["kind"], "Status");
            let message = reply.body["message"].as_str().unwrap();
            assert!(message.contains(said), "{message}");
        }
    }

    #[test]
    fn discovery_tells_of_one_group_version_and_metric() {
        assert_eq!(reply("/apis", "").body["groups"][0]["name"], GROUP);
        let group = reply("/apis/external.metrics.k8s.io", "").body;
        assert_eq!(group["preferredVersion"]["version"], "v1beta1");
        let resources = reply(BASE, "").body;
        assert_eq!(resources["resources"][0]["name"], METRIC);
        assert_eq!(reply("/openapi/v2", "").code, StatusCode::NOT_FOUND);
        assert_eq!(reply("/healthz", "").code, StatusCode::OK);
    }

    #[test]
    fn each_path_has_its_permission() {
        let permission = |path: &str| Route::of(path, "").permission(path);
        assert_eq!(permission("/healthz"), None);
        assert_eq!(permission("/apis"), Some(Permission::Path("/apis".to_owned())));
        assert_eq!(permission("/metrics"), Some(Permission::Path("/metrics".to_owned())));
        let metric = Permission::Metric { namespace: "here".to_owned(), metric: METRIC.to_owned() };
        assert_eq!(permission(&format!("{BASE}/namespaces/here/{METRIC}")), Some(metric));
    }
}
