//! From the counts of a comparison to what is told of it.

use std::time::Duration;

use preheat_core::Instant;
use serde::{Deserialize, Serialize};

use super::counts::{Counts, Stretch};
use super::trouble::Episode;
use super::{Shadow, Totals, Watch};

/// Preheat's orders that were carried out, as a share of all, from which on it is preheat that scaled.
const FOLLOWED_MIN: f64 = 0.5;

/// One pool under another autoscaler, and what preheat wanted meanwhile. Field names are stable; times
/// are in seconds, moments since the world's origin (the Unix epoch of a live world).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// Whose replicas.
    pub pool: String,
    /// The first tick.
    pub from_s: f64,
    /// The last.
    pub until_s: f64,
    /// Ticks.
    pub ticks: u64,
    /// Time between ticks, without pauses.
    pub watched_s: f64,
    /// Of it, time in which too little was known to give a replica up.
    pub blind_s: f64,
    /// Replicas that there were, ready or on their way.
    pub there: Side,
    /// Those that preheat wanted.
    pub wanted: Side,
    /// Where preheat wanted more.
    pub more: Differences,
    /// Where it wanted fewer.
    pub fewer: Differences,
    /// Each time that the other scaled up.
    pub scale_ups: ScaleUps,
    /// Times at which first tokens were late, or requests queued.
    pub troubles: Troubles,
    /// Time in which preheat wanted as many as it may have.
    pub at_most_s: f64,
    /// Ticks at which preheat ordered replicas.
    pub orders: u64,
    /// Those after which there were more: about all where preheat itself scales.
    pub orders_followed: u64,
    /// How far to believe it, in words.
    pub notes: Vec<String>,
}

/// Replicas of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// Ready or on their way, over time.
    pub replica_hours: f64,
    /// Most at once.
    pub replicas_peak: u32,
    /// Fewest.
    pub replicas_min: u32,
    /// Replicas that were added, which is as many starts.
    pub starts: u64,
    /// Times at which the count changed.
    pub changes: u64,
}

/// Times at which one side had more than the other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Differences {
    /// How often.
    pub times: u64,
    /// For how long in all.
    pub s: f64,
    /// Largest difference.
    pub replicas_peak: u32,
    /// The difference over time.
    pub replica_hours: f64,
}

/// Each time that the other scaled up, and when preheat wanted as many.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScaleUps {
    /// How many preheat wanted before the other did.
    pub earlier: u64,
    /// How many it wanted at the same tick.
    pub at_once: u64,
    /// How many it wanted only later.
    pub later: u64,
    /// How many it never wanted while the other had them.
    pub never: u64,
    /// Median of the leads of those that it wanted at all.
    pub lead_p50_s: Option<f64>,
    /// In order.
    pub all: Vec<ScaleUp>,
}

/// One time that the other scaled up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScaleUp {
    /// When.
    pub at_s: f64,
    /// Replicas before.
    pub before: u32,
    /// Replicas after.
    pub after: u32,
    /// How much earlier preheat wanted as many, without a break; negative where it was later, absent
    /// where it never did while the other had them. Counted from when the other last had as many.
    pub lead_s: Option<f64>,
    /// Whether it wanted them from the begin of what is known, and may have before.
    pub lead_is_at_least: bool,
}

/// Times at which first tokens were late, or where nobody counts those, requests queued for every
/// replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Troubles {
    /// First tokens that a gateway saw.
    pub first_tokens: u64,
    /// Those later than the SLO.
    pub late: u64,
    /// Time in which a request or more waited for each ready replica.
    pub clipped_s: f64,
    /// How many began when preheat would have had more replicas ready.
    pub with_more: u64,
    /// How many began when it would have had no more.
    pub without_more: u64,
    /// In order.
    pub all: Vec<Trouble>,
}

/// Trouble from one moment to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// When it began.
    pub at_s: f64,
    /// How long it went on.
    pub s: f64,
    /// Most requests that waited at one tick.
    pub queued_peak: u32,
    /// First tokens that were late, where a gateway counted them.
    pub late: Option<u64>,
    /// Ready replicas when it began.
    pub ready: u32,
    /// Replicas that preheat wanted when it began.
    pub wanted: u32,
    /// Replicas that preheat wanted a lead time before, which would have been ready by then; absent
    /// where that is before what is known.
    pub wanted_lead_time_before: Option<u32>,
}

pub(super) fn report(shadow: Shadow) -> ShadowReport {
    let Shadow { pool, watches, totals, .. } = shadow;
    let stretches: Vec<Vec<Stretch>> =
        watches.iter().map(|watch| watch.there.beside(&watch.wanted, watch.end)).collect();
    let ups = watches.iter().flat_map(scale_ups).collect();
    let all = watches.iter().flat_map(troubles).collect();
    let edge = |watch: Option<&Watch>, of: fn(&Watch) -> Instant| {
        watch.map_or(Instant::ORIGIN, of).as_secs_f64()
    };
    let troubles = Troubles {
        first_tokens: totals.first_tokens,
        late: totals.late,
        clipped_s: totals.clipped.as_secs_f64(),
        ..judged(all)
    };
    let mut report = ShadowReport {
        pool,
        from_s: edge(watches.first(), |watch| watch.begin),
        until_s: edge(watches.last(), |watch| watch.end),
        ticks: totals.ticks,
        watched_s: totals.watched.as_secs_f64(),
        blind_s: totals.blind.as_secs_f64(),
        there: side(&stretches, watches.iter().map(|watch| &watch.there), |counts| counts.0),
        wanted: side(&stretches, watches.iter().map(|watch| &watch.wanted), |counts| counts.1),
        more: differences(&stretches, |(there, wanted)| wanted.saturating_sub(there)),
        fewer: differences(&stretches, |(there, wanted)| there.saturating_sub(wanted)),
        scale_ups: summed(ups),
        troubles,
        at_most_s: totals.at_most.as_secs_f64(),
        orders: totals.orders,
        orders_followed: totals.orders_followed,
        notes: Vec::new(),
    };
    report.notes = notes(&report, &totals);
    report
}

fn hours(replicas: u32, lasts: Duration) -> f64 {
    f64::from(replicas) * lasts.as_secs_f64() / 3600.0
}

fn side<'a>(
    stretches: &[Vec<Stretch>],
    counts: impl Iterator<Item = &'a Counts>,
    of: fn((u32, u32)) -> u32,
) -> Side {
    let mut side = Side { replicas_min: u32::MAX, ..Side::default() };
    for stretch in stretches.iter().flatten() {
        let count = of(stretch.counts);
        side.replica_hours += hours(count, stretch.lasts());
        side.replicas_peak = side.replicas_peak.max(count);
        side.replicas_min = side.replicas_min.min(count);
    }
    for pair in counts.flat_map(|counts| counts.changes().windows(2)) {
        let &[(_, before), (_, after)] = pair else { continue };
        side.starts += u64::from(after.saturating_sub(before));
        side.changes += 1;
    }
    side
}

fn differences(stretches: &[Vec<Stretch>], by: fn((u32, u32)) -> u32) -> Differences {
    let mut found = Differences::default();
    for watch in stretches {
        let mut differed = false;
        for stretch in watch {
            let difference = by(stretch.counts);
            if difference > 0 {
                found.times += u64::from(!differed);
                found.s += stretch.lasts().as_secs_f64();
                found.replicas_peak = found.replicas_peak.max(difference);
                found.replica_hours += hours(difference, stretch.lasts());
            }
            differed = difference > 0;
        }
    }
    found
}

fn scale_ups(watch: &Watch) -> Vec<ScaleUp> {
    let ups = watch.there.changes().windows(2).filter_map(|pair| {
        let &[(_, before), (at, after)] = pair else { return None };
        (after > before).then_some((at, before, after))
    });
    ups.map(|(at, before, after)| {
        let (lead_s, lead_is_at_least) = lead(watch, at, after);
        ScaleUp { at_s: at.as_secs_f64(), before, after, lead_s, lead_is_at_least }
    })
    .collect()
}

/// How much earlier than `at` preheat wanted `level` replicas, and whether that is all that is known.
fn lead(watch: &Watch, at: Instant, level: u32) -> (Option<f64>, bool) {
    if let Some((since, from_begin)) = watch.wanted.at_least_since(level, at) {
        // While the other had as many, preheat was not ahead of it.
        let had = watch.there.at_least_until(level, at);
        let from = had.map_or(since, |had| since.max(had));
        let lead_s = at.since(from).as_secs_f64();
        return (Some(lead_s), from_begin && had.is_none());
    }
    let until = watch.there.below_after(level, at).unwrap_or(watch.end);
    let later = watch.wanted.at_least_after(level, at).filter(|later| *later < until);
    (later.map(|later| -later.since(at).as_secs_f64()), false)
}

fn summed(all: Vec<ScaleUp>) -> ScaleUps {
    let count = |of: fn(Option<f64>) -> bool| all.iter().filter(|up| of(up.lead_s)).count() as u64;
    let mut leads: Vec<f64> = all.iter().filter_map(|up| up.lead_s).collect();
    leads.sort_by(f64::total_cmp);
    ScaleUps {
        earlier: count(|lead| lead.is_some_and(|lead| lead > 0.0)),
        at_once: count(|lead| lead == Some(0.0)),
        later: count(|lead| lead.is_some_and(|lead| lead < 0.0)),
        never: count(|lead| lead.is_none()),
        lead_p50_s: leads.get(leads.len().saturating_sub(1) / 2).copied(),
        all,
    }
}

fn troubles(watch: &Watch) -> Vec<Trouble> {
    let trouble = |episode: &Episode| {
        let at = |counts: &Counts, moment| counts.at(moment).unwrap_or(0);
        let ordered_by = episode.lead_time.map(|lead_time| episode.from.saturating_sub(lead_time));
        Trouble {
            at_s: episode.from.as_secs_f64(),
            s: episode.until.since(episode.from).as_secs_f64(),
            queued_peak: episode.queued_peak,
            late: episode.late,
            ready: at(&watch.ready, episode.from),
            wanted: at(&watch.wanted, episode.from),
            wanted_lead_time_before: ordered_by.and_then(|moment| watch.wanted.at(moment)),
        }
    };
    watch.episodes.all.iter().map(trouble).collect()
}

fn judged(all: Vec<Trouble>) -> Troubles {
    let count = |more: bool| {
        let judged = all.iter().filter_map(|it| Some(it.wanted_lead_time_before? > it.ready));
        judged.filter(|it| *it == more).count() as u64
    };
    Troubles { with_more: count(true), without_more: count(false), all, ..Troubles::default() }
}

fn notes(report: &ShadowReport, totals: &Totals) -> Vec<String> {
    let mut notes = vec![
        "what was seen is what came to the replicas that there were: with others, requests would \
         have waited, ended and been sent again at other times"
            .to_owned(),
        "nothing that preheat decided was carried out: a queue that its replicas would have kept \
         away makes it want more than it would have, and what it would have saved or served is not \
         simulated (`preheat backtest` does that)"
            .to_owned(),
        "both sides count replicas that are ready or on their way; those that drain are on neither"
            .to_owned(),
    ];
    let share = |part: Duration| {
        let share = part.as_secs_f64() / totals.watched.as_secs_f64();
        (share > 0.0).then(|| format!("{:.1} %", share * 100.0))
    };
    if let Some(share) = share(totals.clipped) {
        notes.push(format!(
            "clipped: in {share} of the time a request or more waited for each ready replica; what \
             would have come to a larger fleet is not known"
        ));
    }
    if let Some(share) = share(totals.blind) {
        notes.push(format!(
            "in {share} of the time preheat knew too little to give a replica up, and kept what it had"
        ));
    }
    if let Some(share) = share(totals.at_most) {
        notes.push(format!("in {share} of the time preheat wanted as many as it may have"));
    }
    if let Some(share) = share(totals.controlled) {
        notes.push(format!("in {share} of the time an operator had paused or pinned the pool"));
    }
    if totals.begins_anew {
        notes.push(
            "preheat knew nothing of the pool at the first tick: what it wanted in its first minutes is \
             from defaults, and `--from` leaves them out"
                .to_owned(),
        );
    }
    if totals.pauses > 0 {
        notes.push(format!(
            "{} in which nobody looked; after each, both sides begin with what was found",
            if totals.pauses == 1 {
                "a pause".to_owned()
            } else {
                format!("{} pauses", totals.pauses)
            }
        ));
    }
    if totals.sleeps {
        notes.push("replicas that sleep are on neither side".to_owned());
    }
    let followed = report.orders_followed as f64;
    if report.orders > 0 && followed >= FOLLOWED_MIN * report.orders as f64 {
        notes.push(format!(
            "{} of {} orders of preheat's were followed by replicas at the next tick: where preheat \
             itself scaled, this compares it with itself",
            report.orders_followed, report.orders
        ));
    }
    notes
}
