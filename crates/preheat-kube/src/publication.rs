//! A count that others write: what is published, what the scale is taken to ask for until they have
//! written it, and who they are. Pure.
//!
//! A published count is an order like a written one, only slower: a HorizontalPodAutoscaler carries it
//! out with its next look. Until then the pool is decided on as if it had been; else what was given up
//! at one tick would be counted among the removals of the period, and be asked for again at the next.
//!
//! **Invariant:** a count is told only of a resource that publishes, and that was heard of lately.

use std::time::Duration;

use k8s_openapi::api::autoscaling::v2::{
    HPAScalingRules, HorizontalPodAutoscaler, HorizontalPodAutoscalerSpec, MetricSpec,
};
use preheat_core::Instant;
use preheat_publish::{Answer, METRIC, Published, Refusal};

use crate::resource::{InferenceAutoscaler, Mode};

/// How long more replicas are taken as ordered although nobody has asked the target for them: four
/// looks of a HorizontalPodAutoscaler, or two of KEDA at a target with none. Later they would count as
/// starts that fail, and more would be ordered in their place.
const FOLLOW_MAX: Duration = Duration::from_secs(60);
/// A count that was not confirmed for this long is told no more: three times the interval at which
/// whoever leads confirms it.
pub const STALE_AFTER: Duration = Duration::from_secs(90);

/// A published count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The replicas.
    pub replicas: u32,
    /// When it was published, or last found written.
    since: Instant,
}

impl Order {
    /// Publishes `replicas`, of which the scale asks for `asked` so far.
    pub fn next(before: Option<Self>, replicas: u32, asked: u32, now: Instant) -> Self {
        let waits = |order: &Self| order.replicas == replicas && asked < replicas;
        before.filter(waits).unwrap_or(Self { replicas, since: now })
    }

    /// What the scale is taken to ask for where it asks for `asked`.
    pub fn taken_for(order: Option<Self>, asked: u32, now: Instant) -> u32 {
        match order {
            Some(order) if order.replicas <= asked => order.replicas,
            Some(order) if now.since(order.since) < FOLLOW_MAX => order.replicas,
            Some(_) | None => asked,
        }
    }
}

/// A HorizontalPodAutoscaler that reads the count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Follower {
    /// Its name.
    pub name: String,
    /// Why it does not follow every count, where it does not.
    pub inexact: Option<&'static str>,
}

impl Follower {
    /// `None` for one that reads something else.
    pub fn of(hpa: &HorizontalPodAutoscaler) -> Option<Self> {
        let spec = hpa.spec.as_ref()?;
        let ours = spec.metrics.iter().flatten().find(|metric| reads_ours(metric))?;
        let name = hpa.metadata.name.clone().unwrap_or_default();
        Some(Self { name, inexact: inexact(spec, ours) })
    }
}

fn reads_ours(metric: &MetricSpec) -> bool {
    metric.external.as_ref().is_some_and(|external| {
        let name = external.metric.name.as_str();
        // KEDA numbers its triggers.
        let bare = name.strip_prefix('s').and_then(|rest| rest.split_once('-'));
        let bare = bare.filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
        let bare = bare.map_or(name, |(_, bare)| bare);
        let rest = bare.strip_prefix(METRIC);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

fn inexact(spec: &HorizontalPodAutoscalerSpec, metric: &MetricSpec) -> Option<&'static str> {
    let target = metric.external.as_ref().map(|external| &external.target);
    let average = target.and_then(|target| target.average_value.as_ref());
    if average.is_none_or(|average| !matches!(average.0.as_str(), "1" | "1000m")) {
        return Some("the target of its metric is not averageValue: 1");
    }
    let exact = |rules: Option<&HPAScalingRules>| {
        let tolerance = rules.and_then(|rules| rules.tolerance.as_ref());
        tolerance.is_some_and(|tolerance| tolerance.0 == "0")
    };
    let behavior = spec.behavior.as_ref();
    let both = exact(behavior.and_then(|b| b.scale_up.as_ref()))
        && exact(behavior.and_then(|b| b.scale_down.as_ref()));
    // A step of one is a tenth of ten.
    if !both && spec.max_replicas > 9 {
        return Some(
            "its behavior has no tolerance: 0 for both directions, so it leaves out single steps \
             from 10 replicas on",
        );
    }
    None
}

/// What is told of a resource that was last heard of `age` ago.
///
/// # Errors
/// When nothing is published, or nobody has confirmed it for long.
pub fn answer(
    namespace: &str,
    name: &str,
    resource: Option<&InferenceAutoscaler>,
    age: Duration,
) -> Answer {
    let Some(resource) = resource else {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        return Err(Refusal::Unknown { namespace, name });
    };
    let silent = |why: String| Refusal::Silent { name: name.to_owned(), why };
    if resource.spec.mode != Mode::Publish {
        let mode = resource.spec.mode.name();
        return Err(silent(format!("its mode is {mode}; set mode: Publish")));
    }
    let Some(status) = &resource.status else {
        return Err(silent("nothing was decided yet".to_owned()));
    };
    let at = status.published_at.as_deref().and_then(|at| at.parse().ok());
    match (status.published_replicas, at) {
        (Some(_), Some(_)) if age >= STALE_AFTER => {
            Err(silent(format!("nobody has confirmed the last one for {} s", age.as_secs())))
        }
        (Some(replicas), Some(at)) => Ok(Published { replicas, at }),
        _ => Err(silent(
            status.summary.clone().unwrap_or_else(|| "nothing was decided yet".to_owned()),
        )),
    }
}

#[cfg(test)]
mod tests;
