//! ScaledObject of KEDA, which owns the way from and to zero and leaves the rest to an HPA.

use std::time::Duration;

use super::behavior::{self, seconds};
use super::manifest::{Field, Section};
use super::{Fallback, Head, ImportError, Imported, METRIC_REASON, target};
use crate::schedule::ScheduleSpec;

/// What KEDA fills in.
const MAX_DEFAULT: u32 = 100;
const POLLING_DEFAULT: Duration = Duration::from_secs(30);

const REASONS: &[(&str, &str)] = &[
    ("pollingInterval", "preheat decides every `tickInterval`, 2s unless that is set"),
    ("cooldownPeriod", "the last replica goes like the others, after `stabilizationWindow`"),
    ("initialCooldownPeriod", "preheat gives nothing up while it has not seen what arrives"),
    ("idleReplicaCount", "preheat has one lower bound, `minReplicas`"),
];

pub(super) fn read<'a>(document: &Field<'a>, top: Section<'a>) -> Result<Imported, ImportError> {
    let Head { of, mut annotations, mut spec } = Head::take(document, top)?;
    let (target, notes) = target(&spec.need("scaleTargetRef")?, Some(("apps/v1", "Deployment")))?;
    let mut imported = of.imported("ScaledObject", target);
    imported.notes = notes;
    imported.keys.min_replicas = Some(match spec.take("minReplicaCount") {
        Some(field) => field.count()?,
        None => 0,
    });
    imported.keys.max_replicas = Some(match spec.take("maxReplicaCount") {
        Some(field) => field.count()?,
        None => {
            imported.assume("maxReplicas", "100, which is KEDA's when nothing is said");
            MAX_DEFAULT
        }
    });
    let polling = spec.take("pollingInterval");
    let every = polling.as_ref().map_or(Ok(POLLING_DEFAULT), seconds)?;
    imported.drop_all(polling, reason("pollingInterval"));
    let mut advanced = spec.section("advanced")?;
    let mut hpa = advanced.section("horizontalPodAutoscalerConfig")?;
    behavior::read(&mut imported, hpa.section("behavior")?)?;
    imported.drop_rest(hpa, &[("name", "preheat makes no HPA")]);
    imported.drop_rest(
        advanced,
        &[
            ("restoreToOriginalReplicaCount", "a target stays as it is when preheat goes"),
            ("scalingModifiers", METRIC_REASON),
        ],
    );
    if let Some(field) = spec.take("fallback") {
        fallback(&mut imported, &field, every)?;
    }
    for trigger in spec.need("triggers")?.list()? {
        read_trigger(&mut imported, &trigger)?;
    }
    paused(&mut imported, &mut annotations);
    imported.drop_rest(spec, REASONS);
    Ok(imported)
}

fn reason(key: &str) -> &'static str {
    REASONS.iter().find(|(name, _)| *name == key).map_or("", |(_, reason)| reason)
}

const ANNOTATIONS: &str = "autoscaling.keda.sh/";

fn paused(imported: &mut Imported, annotations: &mut Section<'_>) {
    for field in annotations.take_prefixed(ANNOTATIONS) {
        let pause = match field.key.strip_prefix(ANNOTATIONS) {
            Some("paused") if field.is_true() => "All",
            Some("paused-replicas") => "All",
            Some("paused-scale-in") if field.is_true() => "ScaleDown",
            Some("paused-scale-out") if field.is_true() => "ScaleUp",
            Some(_) | None => {
                imported.notes.push(field.note("preheat has nothing like it"));
                continue;
            }
        };
        imported.pause = match imported.pause {
            Some(before) if before != pause => Some("All"),
            Some(_) | None => Some(pause),
        };
    }
}

fn fallback(
    imported: &mut Imported,
    field: &Field<'_>,
    every: Duration,
) -> Result<(), ImportError> {
    let mut section = field.section()?;
    let failures = section.need("failureThreshold")?.count()?;
    let replicas = section.need("replicas")?.count()?;
    if let Some(behavior) = section.take("behavior") {
        match behavior.text()? {
            "static" | "currentReplicasIfHigher" => {}
            other => {
                let why = format!("`{}`: preheat only ever raises to `fallback.replicas`", other);
                imported.notes.push(behavior.note(why));
            }
        }
    }
    let after = every.saturating_mul(failures.max(1)).min(Duration::from_secs(3600));
    imported.fallback = Some(Fallback { after, replicas });
    imported.drop_rest(section, &[]);
    Ok(())
}

fn read_trigger(imported: &mut Imported, trigger: &Field<'_>) -> Result<(), ImportError> {
    let mut section = trigger.section()?;
    let kind = section.need("type")?.text()?.to_owned();
    let mut metadata = section.section("metadata")?;
    if kind == "cron" {
        let name = format!("cron-{}", imported.schedules.len() + 1);
        match cron(name, &mut metadata)? {
            Ok(schedule) => imported.schedules.push(schedule),
            Err(why) => imported.notes.push(trigger.note(format!("cron trigger: {why}"))),
        }
        return Ok(());
    }
    let query = metadata.take("query").or(metadata.take("metricName"));
    let threshold = metadata.take("threshold").or(metadata.take("value"));
    if let (Some(query), Some(threshold)) = (&query, &threshold)
        && let Some(quantile) = query.text().ok().and_then(ttft_quantile)
        && imported.keys.slo_ttft.is_none()
    {
        let seconds = threshold.number()?;
        if (0.001..=3600.0).contains(&seconds) && (0.5..=0.99999).contains(&quantile) {
            // In bounds, as was just asked.
            imported.keys.slo_ttft = Some(Duration::from_secs_f64(seconds));
            imported.keys.slo_quantile = Some(quantile);
            let text = format!("from {}, in line {}", trigger.path, trigger.line());
            imported.assume("slo", text);
            return Ok(());
        }
    }
    let shown = |field: Option<Field<'_>>, before: &str| {
        field.map_or_else(String::new, |field| format!("{before}{}", field.shown()))
    };
    let what = format!("{kind} trigger{}{}", shown(query, " "), shown(threshold, " at "));
    imported.notes.push(trigger.note(format!("{what}: {METRIC_REASON}")));
    Ok(())
}

/// The quantile of a query that is one of the time to first token and nothing else.
fn ttft_quantile(query: &str) -> Option<f64> {
    let inside = query.trim().strip_prefix("histogram_quantile(")?.strip_suffix(')')?;
    let mut depth = 0_i32;
    for c in inside.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            return None;
        }
    }
    let (quantile, of) = inside.split_once(',')?;
    of.contains("time_to_first_token_seconds_bucket").then(|| quantile.trim().parse().ok())?
}

/// A schedule, or why it is none that preheat has.
fn cron(
    name: String,
    metadata: &mut Section<'_>,
) -> Result<Result<ScheduleSpec, &'static str>, ImportError> {
    let timezone = metadata.need("timezone")?.text()?.to_owned();
    let start = metadata.need("start")?.text()?.to_owned();
    let end = metadata.need("end")?.text()?.to_owned();
    let replicas = metadata.need("desiredReplicas")?.count()?;
    let (Some(from), Some(until)) = (Cron::parse(&start), Cron::parse(&end)) else {
        return Ok(Err("preheat's schedules have one time of day, on days of the week"));
    };
    // An end of its own days fits only where those follow from the begin's.
    let over_midnight = until.time <= from.time;
    if over_midnight && from.days.len() < 7 {
        return Ok(Err("it ends on another day than it begins, on some days only"));
    }
    if from.days != until.days {
        return Ok(Err("it ends on other days than it begins"));
    }
    let days = if from.days.len() == 7 { vec!["daily".to_owned()] } else { from.days };
    Ok(Ok(ScheduleSpec {
        name,
        days: Some(days),
        dates: None,
        from: from.time,
        until: until.time,
        timezone,
        replicas,
    }))
}

/// A cron expression of one time on days of the week.
struct Cron {
    time: String,
    days: Vec<String>,
}

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Cron {
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minute, hour, "*", "*", days] = fields.as_slice() else { return None };
        let (minute, hour): (u32, u32) = (minute.parse().ok()?, hour.parse().ok()?);
        if minute > 59 || hour > 23 {
            return None;
        }
        let mut on = [false; 7];
        for part in days.split(',') {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (day(first)?, day(last)?),
                None if part == "*" => (0, 6),
                None => (day(part)?, day(part)?),
            };
            let last = if last < first { last + 7 } else { last };
            (first..=last).for_each(|day| on[day % 7] = true);
        }
        // Monday first, as schedules are written.
        let days = (1..=7).map(|day| day % 7).filter(|day| on[*day]);
        let days = days.map(|day| DAYS[day].to_owned()).collect();
        Some(Self { time: format!("{hour:02}:{minute:02}"), days })
    }
}

fn day(text: &str) -> Option<usize> {
    let by_name = DAYS.iter().position(|day| day.eq_ignore_ascii_case(text));
    by_name.or_else(|| text.parse::<usize>().ok().filter(|day| *day <= 7))
}
