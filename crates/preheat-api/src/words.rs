//! From an explanation's numbers to sentences, as a colleague would put them.

mod figures;
mod warnings;

use std::fmt::Write;
use std::time::Duration;

use figures::{milliseconds, minutes, sentence_case};
pub use figures::{rate, seconds};

use preheat_core::{
    Action, ArrivalSource, CapacityBound, Explanation, Instant, MachineState, Observation, Plan,
    Reason, RehearsalExplanation, ReplicaId, ScheduledDemand, StopReason,
};

use crate::journal::{EntryBody, ViolationRecord};

/// `Started 2 replicas; drained r3.` or what it did not do.
pub fn headline(plan: &Plan, explanation: &Explanation) -> String {
    let done: Vec<String> = plan.actions.iter().map(action).collect();
    let why = reason(explanation);
    if done.is_empty() {
        format!("Changed nothing: {why}.")
    } else {
        format!("{}: {why}.", sentence_case(&done.join(", ")))
    }
}

/// The same for whatever a journal's entry says; `None` for a checkpoint, which did nothing.
pub fn entry(body: &EntryBody) -> Option<String> {
    match body {
        EntryBody::Decided(tick) => Some(headline(&tick.plan, &tick.explanation)),
        EntryBody::Held(tick) => {
            let ViolationRecord { id, seen } = &tick.violation;
            Some(format!(
                "Did nothing: the decision broke invariant {id} ({seen}). Please report it, with the \
                 journal."
            ))
        }
        EntryBody::Checkpoint(_) => None,
    }
}

/// Everything that led there, one sentence a line. `moment` is how a time is shown: here, nobody knows
/// in which time zone it is read.
pub fn details(
    explanation: &Explanation,
    observation: &Observation,
    moment: impl Fn(Instant) -> String,
) -> Vec<String> {
    let mut lines = vec![demand(explanation)];
    lines.extend(rehearsals(explanation));
    lines.push(capacity(explanation));
    lines.push(backlog(explanation));
    lines.extend(guard(explanation));
    lines.extend(schedule(explanation, observation, moment));
    lines.push(supply(explanation));
    lines.extend(phases(explanation));
    lines.extend(machines(explanation));
    lines.push(target(explanation));
    lines.extend(quota(explanation));
    lines.extend(warnings::all(explanation, observation));
    lines
}

fn action(action: &Action) -> String {
    match action {
        Action::Start { count: 1 } => "started 1 replica".to_owned(),
        Action::Start { count } => format!("started {count} replicas"),
        Action::Wake { replica } => format!("woke {replica}"),
        Action::Resume { replica } => {
            format!("gave {replica}, which was draining, its traffic back")
        }
        Action::Drain { replica } => format!("began to drain {replica}"),
        Action::Sleep { replica, .. } => format!("put {replica} to sleep"),
        Action::Stop { replica, because } => format!("stopped {replica} ({})", stop(*because)),
    }
}

fn stop(because: StopReason) -> &'static str {
    match because {
        StopReason::Drained => "drained",
        StopReason::DrainDeadlinePassed => {
            "its drain deadline has passed, with requests still in it"
        }
        StopReason::StartCancelled => "still starting, and no longer needed",
        StopReason::StandbySurplus => "more in standby than wanted",
    }
}

fn reason(explanation: &Explanation) -> String {
    let supply = explanation.supply.ready.0 + explanation.supply.starting.0;
    let target = explanation.target;
    match explanation.reason {
        Reason::Steady => format!("{supply} ready or on the way, as many as needed"),
        Reason::DemandAbovePlan if schedule_decides(explanation) => format!(
            "the load needs {}, {} are scheduled to be ready within a lead time, and {supply} are \
             ready or on the way",
            needed_for_traffic(explanation),
            explanation.needed_for_schedule
        ),
        Reason::DemandAbovePlan => {
            format!("the load needs {target}, and {supply} are ready or on the way")
        }
        Reason::Backlog => format!(
            "{:.0} requests would still be queued when a start ordered now is ready",
            explanation.backlog.requests_at_lead_time
        ),
        Reason::TtftGuard => format!(
            "first tokens come late though there is room for the load, so {} more are held",
            explanation.guard.replicas
        ),
        Reason::Scheduled => format!(
            "{} are scheduled to be ready within a lead time, and {supply} are ready or on the way",
            explanation.needed_for_schedule
        ),
        Reason::Activate => "requests are there, and nothing is ready or on its way".to_owned(),
        Reason::BelowMinimum => "fewer than the lower bound".to_owned(),
        Reason::StandbyBelowPlan => {
            let in_all = explanation.standby.as_ref().map_or(target, |rung| rung.needed_in_all);
            format!("{in_all} should be there in all, ready or asleep")
        }
        Reason::StartsUnderWay => {
            let eta = explanation.supply.residuals.first().map_or_else(String::new, |residual| {
                format!(", the next in about {}", seconds(*residual))
            });
            format!("{} starting are enough{eta}", explanation.supply.starting)
        }
        Reason::Capped => lacking(explanation).unwrap_or_else(|| {
            format!("{target} are needed, but bounds, quota or the limit of starts allow no more")
        }),
        Reason::ScaleDownStabilized => format!(
            "{target} would do now, but the stabilization window has seen a need for {}",
            explanation.target_stabilized
        ),
        Reason::ScaleDownRateLimited => {
            format!("{target} would do, but the pool has just shrunk as fast as it may")
        }
        Reason::DemandBelowPlan => format!(
            "no more than {} were needed in the whole stabilization window, and {supply} are there",
            explanation.target_stabilized
        ),
        Reason::ToZero => "nothing has arrived in the whole stabilization window".to_owned(),
        Reason::AboveMaximum => "more than the upper bound".to_owned(),
        Reason::QuotaTaken => {
            let taken_by = explanation.allowance.as_ref().map(|may| first(&may.taken_by));
            let who = taken_by.flatten().unwrap_or_else(|| "others come first".to_owned());
            let most = explanation.allowance.as_ref().map_or(0, |may| may.replicas.0);
            format!("the GPUs are needed elsewhere: {who}, and {most} may be held")
        }
        Reason::SignalsMissing => {
            "signals are missing or stale, and nothing is given up on ignorance".to_owned()
        }
        Reason::DemandUnseen => {
            "nobody would see a request that finds no replica, so the last one \
                                 stays"
                .to_owned()
        }
        Reason::Pinned => match explanation.pinned {
            Some(pinned) => {
                format!("an operator has pinned it at {pinned}, and {supply} are there")
            }
            None => "an operator has pinned the count".to_owned(),
        },
        Reason::Paused => {
            format!("an operator has paused it; {target} would be needed, and {supply} are there")
        }
    }
}

/// Why a pool that shares GPUs with others may not have what it needs; `None` where it may.
fn lacking(explanation: &Explanation) -> Option<String> {
    let allowance = explanation.allowance.as_ref()?;
    (explanation.target > allowance.replicas).then(|| {
        short_of(
            explanation.target.0,
            allowance.replicas.0,
            &allowance.taken_by,
            allowance.settles_in,
        )
    })
}

/// `4 are needed, but 2 may be held: chat comes first`.
pub fn short_of(
    target: u32,
    allowed: u32,
    taken_by: &[String],
    settles_in: Option<Duration>,
) -> String {
    let why = match (settles_in, first(taken_by)) {
        (Some(settles_in), _) => {
            format!("others give GPUs up if the need lasts for another {}", seconds(settles_in))
        }
        (None, Some(who)) => who,
        (None, None) => "the GPUs are shared out".to_owned(),
    };
    format!("{target} are needed, but {allowed} may be held: {why}")
}

/// `chat comes first`, `vip and chat come first`; `None` of nobody.
fn first(pools: &[String]) -> Option<String> {
    match pools {
        [] => None,
        [pool] => Some(format!("{pool} comes first")),
        [before @ .., last] => Some(format!("{} and {last} come first", before.join(", "))),
    }
}

/// What pools that share GPUs leave to this one.
fn quota(explanation: &Explanation) -> Option<String> {
    let most = explanation.allowance.as_ref()?.replicas;
    let text = match lacking(explanation) {
        Some(lacking) => lacking,
        None => format!("{most} may be held of the GPUs that pools share"),
    };
    Some(format!("Quota: {text}."))
}

fn demand(explanation: &Explanation) -> String {
    let demand = &explanation.demand;
    let source = match demand.source {
        ArrivalSource::Gateway => "counted by the gateway",
        ArrivalSource::Engines => "inferred from the engines",
        ArrivalSource::Unknown => "as last known",
    };
    let basis = if demand.service_time_measured { "measured" } else { "assumed" };
    let load = match demand.requests_inside {
        Some(inside) if !demand.service_time_measured => {
            format!("and until more is known, at most the {inside} requests inside count")
        }
        _ => format!("so {:.1} such slots are in use if nobody waits", demand.offered_load.get()),
    };
    format!(
        "Demand: {} arrive ({source}). Each holds a slot of a full replica for {} ({basis}), {load}.",
        rate(demand.arrival_rate.get()),
        seconds(demand.service_time),
    )
}

/// The rule that is followed for ready replicas, and the one for replicas in all.
fn rehearsals(explanation: &Explanation) -> Vec<String> {
    let mut lines = vec![rule("Rule", &explanation.rehearsal)];
    let Some(rung) = &explanation.standby else { return lines };
    lines.extend(rung.rehearsal.as_ref().map(|in_all| rule("Rule in all", in_all)));
    let seen = match rung.wakes {
        0 => "assumed until one was seen".to_owned(),
        n => format!("from {n} wakes seen"),
    };
    lines.push(format!(
        "Standby: {} should be there in all, ready or asleep. Asleep one costs {:.2} of one that is \
         awake, and wakes in {} at p90 ({seen}).",
        rung.needed_in_all,
        rung.price.get(),
        seconds(rung.wake_p90),
    ));
    lines
}

fn rule(name: &str, rehearsal: &RehearsalExplanation) -> String {
    let mut text = format!(
        "{name}: hold {:.2} × the {}peak of the last {}",
        rehearsal.headroom_factor,
        if rehearsal.smoothed { "smoothed " } else { "" },
        seconds(rehearsal.hold_window)
    );
    if let (Some(share), Some(window)) = (rehearsal.tail_share, rehearsal.tail_window) {
        // Writing to a string can't fail.
        let _ = write!(text, " (or {:.1} × that of {})", share.get(), minutes(window));
    }
    let _ = write!(
        text,
        " + {:.1} × √ of that = {:.1} slots. Of {} rules rehearsed on {} of this pool's traffic it \
         is {}: {:.2} % in time, {:.1} slots paid for each in use.",
        rehearsal.headroom_beta,
        rehearsal.slots_held,
        preheat_core::RULES,
        minutes(rehearsal.rehearsed),
        match rehearsal.rules_close {
            0 | 1 => "the best on balance".to_owned(),
            n => format!("the middle of the {n} that are best on balance"),
        },
        rehearsal.attainment_expected.get() * 100.0,
        rehearsal.cost_expected
    );
    text
}

fn capacity(explanation: &Explanation) -> String {
    let capacity = &explanation.capacity;
    let bound = match capacity.bound_by {
        CapacityBound::MaxNumSeqs => "max-num-seqs",
        CapacityBound::Configured => "the configured maxConcurrency",
        CapacityBound::KvMemory => "KV memory",
        CapacityBound::Tpot => "the objective on TPOT",
        CapacityBound::Default => "a cautious default, as the engine states none",
    };
    let mut text = format!(
        "Capacity: a replica has {} slots ({bound}), so that takes {}.",
        capacity.concurrency_cap, explanation.needed_for_load
    );
    if let Some(itl) = &capacity.itl {
        // Writing to a string can't fail.
        let _ = write!(
            text,
            " Tokens come {} apart, and {} more for each request in flight.",
            milliseconds(itl.base),
            milliseconds(itl.per_request)
        );
    }
    text
}

fn backlog(explanation: &Explanation) -> String {
    let backlog = &explanation.backlog;
    let lead_time = explanation.cold_start.lead_time;
    if backlog.requests == 0 && explanation.needed_for_backlog.0 == 0 {
        return "Backlog: none.".to_owned();
    }
    format!(
        "Backlog: {} queued now; {:.0} would still be when a start ordered now is ready, in {}: {} more.",
        backlog.requests,
        backlog.requests_at_lead_time,
        seconds(lead_time),
        explanation.needed_for_backlog
    )
}

/// Entries told before "and 3 more".
const ENTRIES_SHOWN: usize = 3;

/// What is announced, and whether it decided anything; `None` when nothing is.
fn schedule(
    explanation: &Explanation,
    observation: &Observation,
    moment: impl Fn(Instant) -> String,
) -> Option<String> {
    let entries = &observation.scheduled;
    if entries.is_empty() {
        return None;
    }
    let shown =
        entries.iter().take(ENTRIES_SHOWN).map(|entry| announced(entry, observation.now, &moment));
    let shown: Vec<String> = shown.collect();
    let rest = entries.len().saturating_sub(ENTRIES_SHOWN);
    let more = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    let asked = match explanation.needed_for_schedule.0 {
        0 => "nothing is asked for yet".to_owned(),
        asked if schedule_decides(explanation) => {
            format!("{asked} are asked for, and that sets the target")
        }
        asked => format!("{asked} are asked for, no more than the load needs"),
    };
    let start = seconds(explanation.cold_start.lead_time);
    let lead_time = match &explanation.standby {
        None => start,
        Some(rung) => format!("{} to wake and {start} to start", seconds(rung.lead_time)),
    };
    Some(format!(
        "Schedule: {}{more}. An entry counts from one lead time, {lead_time}, before it begins: \
         {asked}.",
        shown.join("; "),
    ))
}

/// `12 from 2026-12-01 08:50:00 (in 25 min) until 2026-12-01 11:00:00`.
fn announced(entry: &ScheduledDemand, now: Instant, moment: impl Fn(Instant) -> String) -> String {
    let begins = if entry.from <= now {
        "begun".to_owned()
    } else {
        format!("in {}", minutes(entry.from.since(now)))
    };
    let (from, until) = (moment(entry.from), moment(entry.until));
    format!("{} from {from} ({begins}) until {until}", entry.replicas)
}

/// Whether more is scheduled than traffic needs.
fn schedule_decides(explanation: &Explanation) -> bool {
    explanation.needed_for_schedule.0 > needed_for_traffic(explanation)
}

fn needed_for_traffic(explanation: &Explanation) -> u32 {
    let Explanation { needed_for_load, needed_for_backlog, guard, .. } = explanation;
    needed_for_load.0.saturating_add(guard.replicas.0).saturating_add(needed_for_backlog.0)
}

fn supply(explanation: &Explanation) -> String {
    let supply = &explanation.supply;
    let cold_start = &explanation.cold_start;
    let mut text = format!("Supply: {} ready", supply.ready);
    if let Some(utilization) = supply.utilization {
        // Writing to a string can't fail.
        let _ = write!(text, " ({:.0} % of their slots in use)", utilization.get() * 100.0);
    }
    for (count, what) in [
        (supply.starting, "starting"),
        (supply.draining, "draining"),
        (supply.standby, "in standby"),
    ] {
        if count.0 > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    }
    let seen = match cold_start.samples {
        0 => "assumed until one was seen".to_owned(),
        1 => "from 1 start seen".to_owned(),
        n => format!("from {n} starts seen"),
    };
    let unfinished = match cold_start.censored {
        0 => String::new(),
        n => format!("; {n} unfinished, which count as longer"),
    };
    let _ = write!(
        text,
        ". A start takes {}, {} at p90 ({seen}{unfinished}).",
        seconds(cold_start.p50),
        seconds(cold_start.p90)
    );
    text
}

/// Where the time of a start goes, when the world tells phases apart.
fn phases(explanation: &Explanation) -> Option<String> {
    let phases = &explanation.cold_start.phases;
    let told = phases.iter().map(|row| {
        let cut = match row.censored {
            0 => String::new(),
            n => format!(", {n} unfinished"),
        };
        let (name, p50, p90) = (row.phase.name(), seconds(row.p50), seconds(row.p90));
        format!("{name} {p50} ({p90} at p90, {} seen{cut})", row.samples)
    });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| format!("Phases of a start: {}.", told.join(", ")))
}

/// How long starts take by what their machine held, where the world tells.
fn machines(explanation: &Explanation) -> Option<String> {
    let cold_start = &explanation.cold_start;
    let told = cold_start.by_machine.iter().map(|row| {
        let (p50, p90) = (seconds(row.p50), seconds(row.p90));
        let cut = match row.censored {
            0 => String::new(),
            n => format!(", {n} unfinished"),
        };
        format!("{} {p50} ({p90} at p90, {} seen{cut})", machine(row.machine), row.samples)
    });
    let told: Vec<String> = told.collect();
    let slowest = cold_start.slowest.map_or_else(String::new, |slowest| {
        let lead_time = seconds(cold_start.lead_time);
        let slowest = machine(slowest);
        format!(" The lead time is {lead_time}: the slowest machine that a start may come to has {slowest}.")
    });
    let told = format!("Starts on machines with {}.{slowest}", told.join("; "));
    (!cold_start.by_machine.is_empty()).then_some(told)
}

/// What a machine holds: `image and weights`, `image, no weights`, …
pub fn machine(state: MachineState) -> String {
    let part = |held: Option<bool>, name: &str| match held {
        Some(true) => name.to_owned(),
        Some(false) => format!("no {name}"),
        None => format!("{name} unknown"),
    };
    match (state.image, state.weights) {
        (Some(true), Some(true)) => "image and weights".to_owned(),
        (Some(false), Some(false)) => "neither image nor weights".to_owned(),
        (image, weights) => format!("{}, {}", part(image, "image"), part(weights, "weights")),
    }
}

fn target(explanation: &Explanation) -> String {
    let scheduled = match explanation.needed_for_schedule.0 {
        0 => String::new(),
        scheduled => format!(", and {scheduled} for the schedule, whichever is more"),
    };
    let slow = match explanation.supply.slow.len() {
        0 => "",
        _ => ", with slow ones among them",
    };
    let guard = match explanation.guard.replicas.0 {
        0 => String::new(),
        more => format!(" + {more} for the TTFT guard"),
    };
    format!(
        "Target: {} for the load{guard} + {} for the backlog{scheduled} = {}{slow}; the stabilization window's \
         largest is {}.",
        explanation.needed_for_load,
        explanation.needed_for_backlog,
        explanation.target,
        explanation.target_stabilized
    )
}

/// Late first tokens that no shortage explains, while there are any or something is done about them.
fn guard(explanation: &Explanation) -> Option<String> {
    let guard = &explanation.guard;
    let share = guard.late_share.get();
    let mut text = format!(
        "TTFT guard: {:.2} % of {:.0} first tokens of the last minutes were late in no shortage",
        share * 100.0,
        guard.first_tokens
    );
    if guard.factor > 1.0 {
        // Writing to a string can't fail.
        let _ = write!(text, "; the load's need counts {:.2} times", guard.factor);
    }
    (share > 0.0 || guard.factor > 1.0).then(|| format!("{text}."))
}

/// Replicas named before "and 3 more".
const IDS_SHOWN: usize = 8;

fn ids(replicas: &[ReplicaId]) -> String {
    let shown: Vec<String> = replicas.iter().take(IDS_SHOWN).map(ToString::to_string).collect();
    let rest = replicas.len().saturating_sub(IDS_SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
