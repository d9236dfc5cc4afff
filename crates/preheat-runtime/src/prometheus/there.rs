//! What a Prometheus has of pods that tell less than they should: whether it scrapes them, and names
//! that may be new ones of what is missing.
//!
//! A query for a metric that has been renamed is answered with nothing, as is one for a pod that is
//! gone: what tells them apart is `up`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use preheat_core::Instant;

use super::answer::Series;
use super::client::Prometheus;
use super::source::{PodScrape, one_of};
use crate::dialect::{Dialects, Signal};
use crate::exposition::Format;

/// A pod whose last scrape is older than this may have changed its names: longer than the usual times
/// between two scrapes.
const OLD: Duration = Duration::from_secs(60);

/// What is there of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct There {
    /// Whether its last scrape went well; `None` where `up` does not name pods.
    up: Option<bool>,
    /// Names of series that begin as the dialects' do, but parts of histograms.
    pub(super) names: BTreeSet<String>,
}

impl There {
    /// Whether it is scraped, as far as anybody can tell.
    pub(super) fn is_up(&self) -> bool {
        self.up == Some(true)
    }

    /// What the pod's silence is, where it is not that nobody has seen it.
    pub(super) fn silence(&self, dialects: &Dialects) -> Option<String> {
        let is_known = |name: &String| dialects.knows(name);
        if !self.is_up() || self.names.iter().any(is_known) {
            return None;
        }
        let body: String = self.names.iter().map(|name| format!("{name} NaN\n")).collect();
        let error = dialects.read(body.as_bytes(), Format::Text).err()?;
        let nothing = format!("has no series of {} of it", error.expected);
        Some(match error.unknown.as_slice() {
            [] => nothing,
            names => format!("{nothing}, but `{}`", names.join("`, `")),
        })
    }
}

/// Whether a pod tells so little that it is worth a look at what else there is of it.
pub(super) fn is_doubtful(scrape: Option<&PodScrape>, now: Instant) -> bool {
    let Some(Ok(scrape)) = scrape else { return true };
    let counts = [Signal::Completions, Signal::PromptTokens, Signal::GenerationTokens];
    let matters = |signal| Signal::ESSENTIAL.contains(&signal) || counts.contains(&signal);
    scrape.staleness(now) > OLD || scrape.value.untold.iter().any(|it| matters(it.signal))
}

/// Asks for `up`, and for names with these beginnings.
pub(super) fn query(
    prefixes: &BTreeSet<&str>,
    selector: &str,
    pod_label: &str,
    pods: &[&str],
) -> String {
    let begins = prefixes.iter().map(|prefix| format!("|{prefix}.+")).collect::<String>();
    let parts = "__name__!~\".+_(bucket|sum|count|created)\"";
    let pods = one_of(pods);
    format!(
        "max by (__name__,{pod_label}) \
         ({{__name__=~\"up{begins}\",{parts},{pod_label}=~\"{pods}\",{selector}}})"
    )
}

/// What it answered, pod by pod. No answer is no trouble of its own: what was asked for first had one.
pub(super) async fn ask(
    prometheus: &Prometheus,
    query: &str,
    pod_label: &str,
) -> BTreeMap<String, There> {
    read(&prometheus.instant(query, None).await.unwrap_or_default(), pod_label)
}

fn read(series: &[Series], pod_label: &str) -> BTreeMap<String, There> {
    let mut pods: BTreeMap<String, There> = BTreeMap::new();
    for one in series {
        let (Some(pod), Some(last)) = (one.label(pod_label), one.points.last()) else { continue };
        let there = pods.entry(pod.to_owned()).or_default();
        match one.name() {
            // A pod with several ports is up where any of them is.
            "up" => there.up = Some(there.up == Some(true) || last.value == 1.0),
            name => {
                there.names.insert(name.to_owned());
            }
        }
    }
    pods
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there(up: Option<bool>, names: &[&str]) -> There {
        There { up, names: names.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn silence_is_a_pod_that_is_up_without_a_name_that_is_known() {
        let known = Dialects::known();
        let silence = |up, names: &[&str]| there(up, names).silence(&known);
        let renamed = silence(Some(true), &["vllm:requests_on_the_run"]).unwrap();
        assert!(renamed.contains("has no series of vllm, "), "{renamed}");
        assert!(renamed.contains("but `vllm:requests_on_the_run`"), "{renamed}");
        let bare = silence(Some(true), &[]).unwrap();
        assert!(bare.ends_with("endpoint-picker of it"), "{bare}");
        // One that has names that are known is not silent, and one that is not up is gone.
        assert_eq!(silence(Some(true), &["vllm:num_requests_running"]), None);
        assert_eq!(silence(Some(false), &["vllm:requests_on_the_run"]), None);
        assert_eq!(silence(None, &[]), None);
    }

    #[test]
    fn it_is_asked_for_up_and_for_names_that_begin_as_the_engines() {
        let names = BTreeSet::from(["vllm:", "trtllm_"]);
        assert_eq!(
            query(&names, "namespace=\"n\"", "pod", &["a-1", "b.2"]),
            r#"max by (__name__,pod) ({__name__=~"up|trtllm_.+|vllm:.+",__name__!~".+_(bucket|sum|count|created)",pod=~"a-1|b\\.2",namespace="n"})"#
        );
    }
}
