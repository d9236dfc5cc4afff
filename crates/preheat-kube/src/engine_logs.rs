//! When engines' logs say that the weights are there: which logs are to be read when, and what their
//! lines tell.
//!
//! A log is read from a start's first line to the one that is looked for, some seconds of it at a time,
//! and not any more once its replica is ready: what requests leave in it is never read.
//!
//! **Invariant:** pure; what is read is bounded for each start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::jiff::Timestamp;
use preheat_core::{Instant, ReplicaPhase};
use preheat_runtime::start_log::phase_of;

use crate::pods::{condition, engine, instant};

/// Read of a log at a time: vLLM writes some 50 kB in a whole start.
pub const READ_BYTES_MAX: u32 = 256 * 1024;
/// Between two reads of one log: what a start still takes need not be known better.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// Reads for one start: an hour, at the interval.
const READS_MAX: u32 = 360;
/// Logs read at one tick of a resource, side by side.
const READS_AT_ONCE: usize = 8;

/// What is known from the logs of one pool's engines.
#[derive(Clone, Debug, Default)]
pub struct EngineLogs(BTreeMap<String, Reading>);

/// How far one log has been read.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    reads: u32,
    read_at: Option<Instant>,
    /// Time of the last line.
    until: Option<Timestamp>,
    weights_at: Option<Instant>,
    /// Whether nothing more is to be read.
    is_over: bool,
}

/// A log that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogWanted {
    /// Its pod's identity.
    pub uid: String,
    /// Its pod's name.
    pub pod: String,
    /// Its container.
    pub container: String,
    /// Lines before this have been read.
    pub since: Option<Timestamp>,
}

impl EngineLogs {
    /// The logs that are to be read now, of these pods; `container` is the engine's, where it is not
    /// the first. Each counts as read, whatever comes of it.
    pub fn due(
        &mut self,
        pods: &[Arc<Pod>],
        container: Option<&str>,
        now: Instant,
    ) -> Vec<LogWanted> {
        self.0.retain(|uid, _| pods.iter().any(|pod| pod.metadata.uid.as_ref() == Some(uid)));
        let mut wanted = Vec::new();
        for pod in pods {
            let (Some(uid), Some(name)) = (&pod.metadata.uid, &pod.metadata.name) else { continue };
            let Some(engine) = engine(pod, container).filter(|engine| runs_first(engine)) else {
                continue;
            };
            let ready = condition(pod.status.as_ref(), "Ready");
            let is_ready = ready.is_some_and(|condition| condition.status == "True");
            // Of one that is met when it is ready, nobody asks how it started.
            let met = Reading { is_over: is_ready, ..Reading::default() };
            let reading = self.0.entry(uid.clone()).or_insert(met);
            let waited = reading.read_at.is_none_or(|at| now.since(at) >= READ_INTERVAL);
            if reading.is_over || !(waited || is_ready) || wanted.len() >= READS_AT_ONCE {
                continue;
            }
            reading.reads += 1;
            reading.read_at = Some(now);
            reading.is_over = is_ready || reading.reads >= READS_MAX;
            wanted.push(LogWanted {
                uid: uid.clone(),
                pod: name.clone(),
                container: engine.name.clone(),
                since: reading.until,
            });
        }
        wanted
    }

    /// Takes in what was read of a pod's log, each line after its time.
    pub fn take(&mut self, uid: &str, text: &[u8]) {
        let Some(reading) = self.0.get_mut(uid) else { return };
        let text = String::from_utf8_lossy(text);
        // What follows the last line end may be cut.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for line in whole.lines() {
            let Some((time, line)) = line.split_once(' ') else { continue };
            let Ok(time) = time.parse::<Timestamp>() else { continue };
            reading.until = Some(time);
            if phase_of(line) == Some(ReplicaPhase::Warming) {
                reading.weights_at = instant(Some(time));
                reading.is_over = true;
                return;
            }
        }
    }

    /// When a pod's engine said that the weights were there.
    pub fn weights_at(&self, uid: &str) -> Option<Instant> {
        self.0.get(uid)?.weights_at
    }
}

/// Whether an engine runs, and has not been restarted.
fn runs_first(engine: &ContainerStatus) -> bool {
    let runs = engine.state.as_ref().is_some_and(|state| state.running.is_some());
    runs && engine.restart_count == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
    }

    fn pod(uid: &str, restarts: u32, ready: bool) -> Arc<Pod> {
        let pod = json!({
            "metadata": {"name": format!("chat-{uid}"), "uid": uid},
            "spec": {"containers": [{"name": "vllm"}]},
            "status": {
                "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
                "containerStatuses": [{
                    "name": "vllm", "ready": ready, "restartCount": restarts, "image": "",
                    "imageID": "", "state": {"running": {"startedAt": "2026-11-24T09:00:00Z"}},
                }],
            },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn due(logs: &mut EngineLogs, pods: &[Arc<Pod>], seconds: u64) -> Vec<String> {
        logs.due(pods, None, at(seconds)).into_iter().map(|wanted| wanted.uid).collect()
    }

    #[test]
    fn a_log_is_read_until_its_weights_are_there() {
        let mut logs = EngineLogs::default();
        let starting = [pod("a", 0, false)];
        assert_eq!(due(&mut logs, &starting, 0), ["a"]);
        logs.take("a", b"2026-11-24T09:00:01.5Z Starting to load model x\n2026-11-24T09:00:3");
        assert_eq!(due(&mut logs, &starting, 9), [] as [&str; 0]);
        let next = logs.due(&starting, None, at(10));
        let since: Timestamp = "2026-11-24T09:00:01.5Z".parse().unwrap();
        assert_eq!((next[0].since, next[0].container.as_str()), (Some(since), "vllm"));
        assert_eq!(logs.weights_at("a"), None);
        logs.take(
            "a",
            b"2026-11-24T09:01:01Z Loading weights took 59 seconds\n\
            2026-11-24T09:01:40Z init engine took 38 s\n",
        );
        assert_eq!(logs.weights_at("a"), instant("2026-11-24T09:01:01Z".parse().ok()));
        assert_eq!(due(&mut logs, &starting, 99), [] as [&str; 0]);
    }

    #[test]
    fn a_log_is_read_once_more_when_its_replica_is_ready() {
        let mut logs = EngineLogs::default();
        assert_eq!(due(&mut logs, &[pod("a", 0, false)], 0), ["a"]);
        assert_eq!(due(&mut logs, &[pod("a", 0, true)], 1), ["a"]);
        assert_eq!(due(&mut logs, &[pod("a", 0, true)], 60), [] as [&str; 0]);
        // One that was ready when it was met, and one that crashed.
        let others = [pod("b", 0, true), pod("c", 1, false)];
        assert_eq!(due(&mut logs, &others, 60), [] as [&str; 0]);
    }

    #[test]
    fn what_is_read_is_bounded() {
        let mut logs = EngineLogs::default();
        let many: Vec<Arc<Pod>> = (0..20).map(|n| pod(&n.to_string(), 0, false)).collect();
        assert_eq!(due(&mut logs, &many, 0).len(), READS_AT_ONCE);
        assert_eq!(due(&mut logs, &many, 0).len(), READS_AT_ONCE);
        let one = [pod("a", 0, false)];
        let reads = (0..10_000).flat_map(|n| due(&mut logs, &one, 10 * n)).count();
        assert_eq!(reads, READS_MAX as usize);
    }

    #[test]
    fn hostile_logs_tell_nothing() {
        let mut logs = EngineLogs::default();
        assert_eq!(due(&mut logs, &[pod("a", 0, false)], 0), ["a"]);
        for text in [
            &b""[..],
            b"Loading weights took 3 seconds\n",
            b"2026-11-24T09:00:00Z\n\n \n",
            b"2026-11-24T09:00:00Z Loading weights took 3 seconds",
            b"\xff\xfe \xf0\x9f\n",
            b"1960-01-01T00:00:00Z hello\n",
        ] {
            logs.take("a", text);
            logs.take("unknown", text);
            assert_eq!(logs.weights_at("a"), None, "{text:?}");
        }
    }
}
