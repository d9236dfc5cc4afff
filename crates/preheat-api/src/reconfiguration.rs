//! What a pool was told to do otherwise: from two policies, what an operator ordered, and what was
//! announced, to the settings that differ.
//!
//! Settings are named as who sets them writes them: as the keys of a configuration file and of a
//! cluster's resource, or as the orders of the HTTP API.
//!
//! **Invariant:** every knob of a policy has a setting, so that no change goes untold.

use std::time::Duration;

use preheat_core::{Controls, Instant, PolicySpec, ScheduledDemand};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::duration_text;
use crate::schedule::AHEAD;
use crate::v1::Announced;

/// What a pool was told to do otherwise from one tick on: by its configuration, or by an operator.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconfiguration {
    /// The tick's moment: the first that was decided so.
    pub at_s: f64,
    /// Settings and orders that differ from before.
    pub settings: Vec<ChangedSetting>,
    /// Demand that was announced: by a schedule that is new or another, or by an operator.
    pub announced: Vec<Announced>,
    /// Demand that was announced before and is no more, though it had not ended.
    pub withdrawn: Vec<Announced>,
}

/// A setting that is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedSetting {
    /// Its key, or the order: `paused`, `pinned`.
    pub setting: String,
    /// What it was; absent where it was not set.
    pub before: Option<String>,
    /// What it is; absent where it is not set any more.
    pub after: Option<String>,
}

impl Reconfiguration {
    /// Whether nothing is another than before.
    pub const fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.announced.is_empty() && self.withdrawn.is_empty()
    }
}

/// Settings of a policy that differ.
pub fn of_policies(before: &PolicySpec, after: &PolicySpec) -> Vec<ChangedSetting> {
    differences(settings(before), settings(after))
}

/// Orders that differ.
pub fn of_orders(before: Controls, after: Controls) -> Vec<ChangedSetting> {
    let told = |Controls { paused, pinned }: Controls| {
        [("paused", Some(yes_or_no(paused))), ("pinned", text(pinned))]
    };
    differences(told(before), told(after))
}

/// What was announced, and what was withdrawn, between two ticks. What has only come near enough to be
/// told of, or has ended, is neither.
pub fn of_announcements(
    (before, told_before): (Instant, &[ScheduledDemand]),
    (now, told): (Instant, &[ScheduledDemand]),
) -> (Vec<Announced>, Vec<Announced>) {
    let was_near = |entry: &ScheduledDemand| entry.from <= before.saturating_add(AHEAD);
    // Schedules are told of a day ahead, what operators announce at once: beyond that it is theirs.
    let is_far = |entry: &ScheduledDemand| entry.from > now.saturating_add(AHEAD);
    let announced = told.iter().filter(|entry| !told_before.contains(entry));
    let announced = announced.filter(|entry| was_near(entry) || is_far(entry));
    let withdrawn = told_before.iter().filter(|entry| !told.contains(entry));
    let withdrawn = withdrawn.filter(|entry| entry.until > now);
    (announced.map(wire).collect(), withdrawn.map(wire).collect())
}

fn wire(entry: &ScheduledDemand) -> Announced {
    Announced {
        replicas: entry.replicas.0,
        from_s: entry.from.as_secs_f64(),
        until_s: entry.until.as_secs_f64(),
    }
}

type Told = (&'static str, Option<String>);

fn differences<const N: usize>(before: [Told; N], after: [Told; N]) -> Vec<ChangedSetting> {
    let both = before.into_iter().zip(after);
    let differ = both.filter(|((_, before), (_, after))| before != after);
    let changed = differ.map(|((setting, before), (_, after))| ChangedSetting {
        setting: setting.to_owned(),
        before,
        after,
    });
    changed.collect()
}

/// Every knob, taken apart so that one that is added must be told.
fn settings(spec: &PolicySpec) -> [Told; 23] {
    let PolicySpec {
        replicas_min,
        replicas_max,
        slo,
        slo_tpot,
        concurrency_cap,
        tick_interval,
        staleness_max,
        cold_start_prior,
        service_time_prior,
        backlog_drain_time,
        arrival_window,
        scale_down_window,
        scale_down_limit,
        starts_max,
        standby,
        drain_timeout,
        without,
    } = spec;
    let time = |duration: &Duration| Some(duration_text(*duration));
    let standby = standby.as_ref();
    [
        ("minReplicas", text(Some(replicas_min))),
        ("maxReplicas", text(Some(replicas_max))),
        ("slo.ttft", time(&slo.threshold)),
        ("slo.quantile", text(Some(slo.quantile.get()))),
        ("slo.tpot", slo_tpot.as_ref().and_then(time)),
        ("maxConcurrency", text(concurrency_cap.as_ref())),
        ("maxStarts", text(Some(starts_max))),
        ("coldStart.p50", time(&cold_start_prior.p50)),
        ("coldStart.p90", time(&cold_start_prior.p90)),
        ("serviceTime", time(service_time_prior)),
        ("standby.price", text(standby.map(|standby| standby.price.get()))),
        ("standby.wake", standby.and_then(|standby| time(&standby.wake_prior))),
        ("standby.replicas", text(standby.and_then(|standby| standby.replicas))),
        ("behavior.scaleDown.stabilizationWindow", time(scale_down_window)),
        ("behavior.scaleDown.limit.replicas", text(Some(scale_down_limit.replicas))),
        ("behavior.scaleDown.limit.share", text(Some(scale_down_limit.share.get()))),
        ("behavior.scaleDown.limit.period", time(&scale_down_limit.period)),
        ("backlogDrainTime", time(backlog_drain_time)),
        ("arrivalWindow", time(arrival_window)),
        ("drainTimeout", time(drain_timeout)),
        ("tickInterval", time(tick_interval)),
        ("staleness", time(staleness_max)),
        ("without", without.map(|part| part.name().to_owned())),
    ]
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn yes_or_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use preheat_core::{Probability, ReplicaCount, Standby};

    use super::*;

    fn lines(changed: &[ChangedSetting]) -> Vec<String> {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "–".to_owned());
        let line = |one: &ChangedSetting| {
            format!("{}: {} → {}", one.setting, value(&one.before), value(&one.after))
        };
        changed.iter().map(line).collect()
    }

    #[test]
    fn settings_that_differ_are_told_as_they_are_written() {
        let before = PolicySpec::default();
        assert_eq!(of_policies(&before, &before), []);
        let mut after = before.clone();
        after.replicas_max = ReplicaCount(12);
        after.slo.threshold = Duration::from_millis(1500);
        after.slo_tpot = Some(Duration::from_millis(50));
        after.standby = Some(Standby {
            price: Probability::saturating(0.1),
            wake_prior: Duration::from_secs(10),
            replicas: None,
        });
        let expected = [
            "maxReplicas: 8 → 12",
            "slo.ttft: 2s → 1500ms",
            "slo.tpot: – → 50ms",
            "standby.price: – → 0.1",
            "standby.wake: – → 10s",
        ];
        assert_eq!(lines(&of_policies(&before, &after)), expected);
    }

    #[test]
    fn an_order_and_its_end_are_told() {
        let pinned = Controls { paused: false, pinned: Some(ReplicaCount(4)) };
        let off = Controls::default();
        assert_eq!(lines(&of_orders(off, pinned)), ["pinned: – → 4"]);
        let paused = Controls { paused: true, pinned: None };
        assert_eq!(lines(&of_orders(pinned, paused)), ["paused: no → yes", "pinned: 4 → –"]);
        assert_eq!(of_orders(off, off), []);
    }

    /// Hours of the two ticks, what each was told, and what of it is news.
    #[test]
    fn what_comes_near_and_what_ends_is_no_news() {
        let hour = |hours: u64| Instant::ORIGIN.saturating_add(Duration::from_secs(3600 * hours));
        let entry = |from, until| ScheduledDemand {
            from: hour(from),
            until: hour(until),
            replicas: ReplicaCount(6),
        };
        let soon = entry(12, 14);
        for (what, before, after, announced, withdrawn) in [
            ("the same", (1, vec![soon]), (2, vec![soon]), 0, 0),
            ("new", (1, vec![]), (2, vec![soon]), 1, 0),
            ("taken back", (1, vec![soon]), (2, vec![]), 0, 1),
            ("ended", (13, vec![soon]), (14, vec![]), 0, 0),
            ("come near", (1, vec![]), (2, vec![entry(26, 30)]), 0, 0),
            ("far ahead", (1, vec![]), (2, vec![entry(72, 74)]), 1, 0),
            ("another", (1, vec![soon]), (2, vec![entry(12, 15)]), 1, 1),
        ] {
            let told = of_announcements((hour(before.0), &before.1), (hour(after.0), &after.1));
            assert_eq!((told.0.len(), told.1.len()), (announced, withdrawn), "{what}");
        }
    }
}
