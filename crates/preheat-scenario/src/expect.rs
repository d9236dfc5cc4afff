//! What is expected of a run, and whether it held.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use preheat_sim::peers;
use preheat_sim::report::{Minute, RunReport};
use preheat_sim::view::PoolBounds;
use serde_saphyr::Location;

use crate::Scenario;
use crate::error::{ScenarioError, Source};
use crate::values::{Set, at};
use crate::wire::{ExpectWire, MinutesWire};
use preheat_sim::preheat_policy::{PREHEAT, PREHEAT_WITHOUT, is_preheat};

/// Bounds on one figure of the report of a run under one autoscaler.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Under whom.
    pub policy: String,
    figure: Figure,
    min: Option<f64>,
    max: Option<f64>,
}

/// One figure of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Figure {
    Total(Total),
    /// At the end of each minute that ends in `(from, until]`.
    Minutes {
        series: Series,
        from: Duration,
        until: Duration,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Total {
    Attainment,
    Failed,
    StreamsCut,
    GpuHours,
    Starts,
    Stops,
    ReplicasPeak,
    DirectionChanges,
    TtftP50,
    TtftP99,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Ready,
    Desired,
}

/// What became of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<'a> {
    /// Which one.
    pub expectation: &'a Expectation,
    /// The figure that is furthest outside, or one that is inside; `None` when there is none.
    pub found: Option<f64>,
    /// Whether it held.
    pub held: bool,
}

impl Scenario {
    /// Whether what is expected under `policy` held in its report.
    pub fn outcomes(&self, policy: &str, report: &RunReport) -> Vec<Outcome<'_>> {
        let ours = self.expectations.iter().filter(|expectation| expectation.policy == policy);
        ours.map(|expectation| expectation.outcome(report)).collect()
    }
}

impl Expectation {
    pub(crate) const fn looks_at_minutes(&self) -> bool {
        matches!(self.figure, Figure::Minutes { .. })
    }

    fn outcome(&self, report: &RunReport) -> Outcome<'_> {
        let figures = self.figure.of(report);
        let outside = figures.iter().copied().find(|figure| !self.allows(*figure));
        let found = outside.or(figures.first().copied());
        Outcome { expectation: self, found, held: outside.is_none() && found.is_some() }
    }

    fn allows(&self, figure: f64) -> bool {
        self.min.is_none_or(|min| figure >= min) && self.max.is_none_or(|max| figure <= max)
    }
}

impl Figure {
    fn of(self, report: &RunReport) -> Vec<f64> {
        match self {
            Self::Total(total) => total.of(report).into_iter().collect(),
            Self::Minutes { series, from, until } => {
                let ends = |minute: &Minute| Duration::from_secs((minute.minute + 1) * 60);
                let inside = |minute: &&Minute| ends(minute) > from && ends(minute) <= until;
                let minutes = report.series.iter().filter(inside);
                minutes
                    .map(|minute| match series {
                        Series::Ready => f64::from(minute.ready),
                        Series::Desired => f64::from(minute.desired),
                    })
                    .collect()
            }
        }
    }
}

impl Total {
    /// As the report names it.
    const fn name(self) -> &'static str {
        match self {
            Self::Attainment => "attainment",
            Self::Failed => "failed",
            Self::StreamsCut => "streams_cut",
            Self::GpuHours => "gpu_hours",
            Self::Starts => "starts",
            Self::Stops => "stops",
            Self::ReplicasPeak => "replicas_peak",
            Self::DirectionChanges => "direction_changes",
            Self::TtftP50 => "ttft_p50_s",
            Self::TtftP99 => "ttft_p99_s",
        }
    }

    fn of(self, report: &RunReport) -> Option<f64> {
        match self {
            Self::Attainment => Some(report.attainment),
            Self::Failed => Some(report.failed as f64),
            Self::StreamsCut => Some(report.streams_cut as f64),
            Self::GpuHours => Some(report.gpu_hours),
            Self::Starts => Some(report.starts as f64),
            Self::Stops => Some(report.stops as f64),
            Self::ReplicasPeak => Some(f64::from(report.replicas_peak)),
            Self::DirectionChanges => Some(report.direction_changes as f64),
            Self::TtftP50 => report.ttft_s.p50,
            Self::TtftP99 => report.ttft_s.p99,
        }
    }
}

/// `attainment at least 0.95`, `ready at least 4 from 40m to 50m`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.figure {
            Figure::Total(total) => f.write_str(total.name())?,
            Figure::Minutes { series: Series::Ready, .. } => f.write_str("ready")?,
            Figure::Minutes { series: Series::Desired, .. } => f.write_str("desired")?,
        }
        match (self.min, self.max) {
            (Some(min), Some(max)) if min == max => write!(f, " exactly {min}")?,
            (Some(min), Some(max)) => write!(f, " from {min} to {max}")?,
            (Some(min), None) => write!(f, " at least {min}")?,
            (None, Some(max)) => write!(f, " at most {max}")?,
            (None, None) => {}
        }
        if let Figure::Minutes { from, until, .. } = self.figure {
            let minutes = |time: Duration| time.as_secs_f64() / 60.0;
            write!(f, " in minutes {} to {}", minutes(from), minutes(until))?;
        }
        Ok(())
    }
}

/// The expectation, and what was found instead where it did not hold.
impl fmt::Display for Outcome<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.expectation)?;
        match self.found {
            _ if self.held => Ok(()),
            Some(found) => write!(f, ", but it is {}", (found * 1e4).round() / 1e4),
            None => f.write_str(", but there is no such figure"),
        }
    }
}

pub(crate) fn resolve(
    wire: Option<BTreeMap<String, serde_saphyr::Spanned<ExpectWire>>>,
    bounds: &PoolBounds,
    source: &Source<'_>,
) -> Result<Vec<Expectation>, ScenarioError> {
    let mut expectations = Vec::new();
    for (policy, expected) in wire.unwrap_or_default() {
        if !is_preheat(&policy)
            && let Err(error) = peers::by_name(&policy, bounds)
        {
            let message = format!("`expect`: {error}, {PREHEAT} and {PREHEAT_WITHOUT}PART");
            return Err(source.error(Some(expected.referenced), message));
        }
        let mut add = |figure, min: &Set<f64>, max: &Set<f64>, whole| {
            let (min, max) = checked_bounds(min, max, whole, source)?;
            expectations.push(Expectation { policy: policy.clone(), figure, min, max });
            Ok(())
        };
        let wire = expected.value;
        let totals = [
            (Total::Attainment, wire.attainment),
            (Total::Failed, wire.failed),
            (Total::StreamsCut, wire.streams_cut),
            (Total::GpuHours, wire.gpu_hours),
            (Total::Starts, wire.starts),
            (Total::Stops, wire.stops),
            (Total::ReplicasPeak, wire.replicas_peak),
            (Total::DirectionChanges, wire.direction_changes),
            (Total::TtftP50, wire.ttft_p50_s),
            (Total::TtftP99, wire.ttft_p99_s),
        ];
        for (total, given) in totals {
            if let Some(given) = given {
                let (figure, bounds) = (Figure::Total(total), given.value);
                add(figure, &bounds.min, &bounds.max, given.referenced)?;
            }
        }
        for (series, list) in [(Series::Ready, wire.ready), (Series::Desired, wire.desired)] {
            for given in list {
                let MinutesWire { from, until, min, max } = given.value;
                let (from_at, until_at) = (from.value.0, until.value.0);
                // A window without the end of a minute would hold of anything.
                let minute = Duration::from_secs(60);
                let holds_one = until_at >= from_at.saturating_add(minute);
                source.require(holds_one, Some(until.referenced), || {
                    format!("`until` is {until_at:?}; it must be a minute or more after `from`")
                })?;
                let figure = Figure::Minutes { series, from: from_at, until: until_at };
                add(figure, &min, &max, given.referenced)?;
            }
        }
    }
    Ok(expectations)
}

type Bounds = (Option<f64>, Option<f64>);

fn checked_bounds(
    min: &Set<f64>,
    max: &Set<f64>,
    whole: Location,
    source: &Source<'_>,
) -> Result<Bounds, ScenarioError> {
    source.require(min.is_some() || max.is_some(), Some(whole), || {
        "an expectation must have `min` or `max`".to_owned()
    })?;
    for bound in [min, max] {
        let finite = bound.as_ref().is_none_or(|bound| bound.value.is_finite());
        source.require(finite, at(bound), || {
            "a bound of an expectation must be a finite number".to_owned()
        })?;
    }
    let value = |bound: &Set<f64>| bound.as_ref().map(|bound| bound.value);
    if let (Some(low), Some(high)) = (value(min), value(max)) {
        source.require(low <= high, at(min), || {
            format!("`min` is {low}; it must be at most `max`, which is {high}")
        })?;
    }
    Ok((value(min), value(max)))
}
