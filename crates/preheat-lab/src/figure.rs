//! What a question's answer is read from: a run's report, minute by minute.
//!
//! **Invariant:** the page computes the same; a browser test holds both against `preheat scenario`.

use preheat_scenario::Ran;
use preheat_sim::report::Minute;
use schemars::JsonSchema;
use serde::Serialize;

/// One figure of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// Share of requests within the SLO, in percent.
    AttainmentPercent,
    /// GPU-hours.
    GpuHours,
    /// Minutes from the experiment's event to the end of the first minute with more ready replicas.
    MinutesToReady,
    /// Requests that missed their SLO from the event to then.
    MissedUntilReady,
    /// Times that growing turned into shrinking or back.
    DirectionChanges,
}

/// How a question's answer is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Answer {
    /// A figure of one run.
    Figure {
        /// Which run.
        run: &'static str,
        /// Which figure.
        figure: FigureKind,
    },
    /// The run that costs least among those that keep so many requests within the SLO.
    Cheapest {
        /// In percent.
        attainment_percent_min: f64,
    },
    /// It is a number that a formula gives.
    Formula {
        /// What it comes to.
        value: f64,
    },
}

/// The first minute, from `event_minute` on, at whose end more are ready than before it.
pub fn first_ready_minute(series: &[Minute], event_minute: u64) -> Option<&Minute> {
    let before = series.iter().rev().find(|row| row.minute < event_minute)?.ready;
    series.iter().find(|row| row.minute >= event_minute && row.ready > before)
}

/// Requests that missed their SLO from `event_minute` until more were ready.
pub fn missed(series: &[Minute], event_minute: u64) -> Option<u64> {
    let until = first_ready_minute(series, event_minute)?.minute;
    let during = series.iter().filter(|row| row.minute >= event_minute && row.minute <= until);
    Some(during.map(|row| row.arrivals - row.within_slo).sum())
}

/// A figure of a run; `None` when there is none.
pub fn figure(kind: FigureKind, ran: &Ran, event_minute: u64) -> Option<f64> {
    let report = &ran.report;
    match kind {
        FigureKind::AttainmentPercent => Some(100.0 * report.attainment),
        FigureKind::GpuHours => Some(report.gpu_hours),
        FigureKind::DirectionChanges => Some(report.direction_changes as f64),
        FigureKind::MissedUntilReady => {
            missed(&report.series, event_minute).map(|missed| missed as f64)
        }
        FigureKind::MinutesToReady => {
            let ready = first_ready_minute(&report.series, event_minute)?;
            Some((ready.minute + 1 - event_minute) as f64)
        }
    }
}

/// What a question's answer comes to: a number, or the run that is meant.
pub fn answer(
    how: Answer,
    runs: &[(&'static str, Ran)],
    event_minute: u64,
) -> Option<Result<f64, &'static str>> {
    match how {
        Answer::Formula { value } => Some(Ok(value)),
        Answer::Figure { run, figure: kind } => {
            let (_, ran) = runs.iter().find(|(id, _)| *id == run)?;
            figure(kind, ran, event_minute).map(Ok)
        }
        Answer::Cheapest { attainment_percent_min } => {
            let keep = runs
                .iter()
                .filter(|(_, ran)| 100.0 * ran.report.attainment >= attainment_percent_min);
            let cost = |(_, ran): &&(&str, Ran)| ran.report.gpu_hours;
            let least = keep.min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
            Some(Err(least.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_when_there_are_more_than_before_the_event() {
        let row = |minute, ready, arrivals, within_slo| Minute {
            minute,
            ready,
            arrivals,
            within_slo,
            ..Minute::default()
        };
        let series =
            [row(0, 2, 9, 9), row(1, 3, 9, 8), row(2, 3, 20, 5), row(3, 4, 20, 7), row(4, 9, 9, 0)];
        assert_eq!(first_ready_minute(&series, 2).map(|row| row.minute), Some(3));
        assert_eq!(missed(&series, 2), Some(15 + 13));
        // Nothing is known before the first minute, and nothing comes after the last.
        assert_eq!(first_ready_minute(&series, 0), None);
        assert_eq!(first_ready_minute(&series[..3], 2), None);
    }
}
