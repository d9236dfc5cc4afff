//! A pool's schedules in the file: where each of their mistakes stands.

use preheat_core::ReplicaCount;
use serde_saphyr::{Location, Spanned};

use super::error::{ConfigError, Problem, Source};
use super::values::{OneOrMore, at};
use super::wire::ScheduleWire;
use crate::schedule::{ScheduleError, ScheduleField, ScheduleSpec, Schedules};

pub(super) fn resolve(
    wire: Vec<Spanned<ScheduleWire>>,
    replicas_max: ReplicaCount,
    source: &Source<'_>,
) -> Result<Schedules, ConfigError> {
    let specs: Vec<ScheduleSpec> = wire.iter().map(|schedule| spec(&schedule.value)).collect();
    Schedules::new(&specs, replicas_max).map_err(|ScheduleError { index, field, mistake }| {
        let location = wire.get(index).map(|schedule| place(schedule, field));
        source.error(location, Problem::Schedule(mistake))
    })
}

fn spec(wire: &ScheduleWire) -> ScheduleSpec {
    let words = |list: &Spanned<OneOrMore>| {
        list.value.0.iter().map(|(word, _)| word.clone()).collect::<Vec<_>>()
    };
    ScheduleSpec {
        name: wire.name.value.clone(),
        days: wire.days.as_ref().map(words),
        dates: wire.dates.as_ref().map(words),
        from: wire.from.value.clone(),
        until: wire.until.value.clone(),
        timezone: wire.timezone.value.clone(),
        replicas: wire.replicas.value,
    }
}

fn place(schedule: &Spanned<ScheduleWire>, field: ScheduleField) -> Location {
    let wire = &schedule.value;
    let item = |list: &Option<Spanned<OneOrMore>>, index: usize| {
        let (_, place) = list.as_ref()?.value.0.get(index)?;
        *place
    };
    let found = match field {
        ScheduleField::Whole => None,
        ScheduleField::Name => Some(wire.name.referenced),
        ScheduleField::Days => at(&wire.days),
        ScheduleField::Day(index) => item(&wire.days, index).or(at(&wire.days)),
        ScheduleField::Dates => at(&wire.dates),
        ScheduleField::Date(index) => item(&wire.dates, index).or(at(&wire.dates)),
        ScheduleField::From => Some(wire.from.referenced),
        ScheduleField::Until => Some(wire.until.referenced),
        ScheduleField::Timezone => Some(wire.timezone.referenced),
        ScheduleField::Replicas => Some(wire.replicas.referenced),
    };
    found.unwrap_or(schedule.referenced)
}
