//! The one place that reads a clock. Everything else asks a [`Clock`] for the world's time.
//!
//! A clock may run faster than real time: with a scale of 20, twenty seconds of model time pass in
//! one second of wall time, and every duration that preheat reports is model time.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use preheat_core::Instant;
use serde::{Deserialize, Serialize};

/// How many seconds of model time pass in one second of wall time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct TimeScale(f64);

/// A time scale outside of what makes sense.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("a time scale of {0} is out of range: it must be from 0.01 to 1000")]
pub struct TimeScaleError(f64);

impl TimeScale {
    /// Real time.
    pub const REAL: Self = Self(1.0);

    /// The bare factor.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for TimeScale {
    type Error = TimeScaleError;

    fn try_from(scale: f64) -> Result<Self, TimeScaleError> {
        if (0.01..=1000.0).contains(&scale) { Ok(Self(scale)) } else { Err(TimeScaleError(scale)) }
    }
}

impl From<TimeScale> for f64 {
    fn from(scale: TimeScale) -> f64 {
        scale.0
    }
}

/// Ties model time to wall time. Storing it lets a restarted process go on in the same model time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockAnchor {
    /// Wall time of the anchor, nanoseconds since the Unix epoch.
    pub wall_unix_nanos: u64,
    /// Model time at that moment.
    pub model: Instant,
    /// How fast model time runs from there.
    pub scale: TimeScale,
}

/// A monotone clock in model time. Cheap to clone; all clones agree.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    anchor: ClockAnchor,
    model_at_start: Instant,
    started: tokio::time::Instant,
}

impl Clock {
    /// A clock whose model time is wall time now and runs `scale` times as fast from here.
    pub fn start(scale: TimeScale) -> Self {
        let wall_unix_nanos = wall_unix_nanos();
        let model = Instant::from_nanos(wall_unix_nanos);
        Self::resume(ClockAnchor { wall_unix_nanos, model, scale })
    }

    /// A clock that goes on from an earlier process's anchor.
    pub fn resume(anchor: ClockAnchor) -> Self {
        let passed_nanos = wall_unix_nanos().saturating_sub(anchor.wall_unix_nanos);
        let passed = Duration::from_nanos(passed_nanos).mul_f64(anchor.scale.0);
        let model_at_start = anchor.model.saturating_add(passed);
        Self(Arc::new(Inner { anchor, model_at_start, started: tokio::time::Instant::now() }))
    }

    /// The anchor, for another process to share this clock's model time.
    pub fn anchor(&self) -> ClockAnchor {
        self.0.anchor
    }

    /// How fast model time runs.
    pub fn scale(&self) -> TimeScale {
        self.0.anchor.scale
    }

    /// Model time.
    pub fn now(&self) -> Instant {
        let passed = self.0.started.elapsed();
        self.0.model_at_start.saturating_add(self.to_model(passed))
    }

    /// Wall time that `model` takes to pass.
    pub fn to_wall(&self, model: Duration) -> Duration {
        if self.0.anchor.scale == TimeScale::REAL { model } else { model.div_f64(self.scale().0) }
    }

    /// Model time that passes in `wall`.
    pub fn to_model(&self, wall: Duration) -> Duration {
        if self.0.anchor.scale == TimeScale::REAL { wall } else { wall.mul_f64(self.scale().0) }
    }

    /// Sleeps until model time has advanced by `model`.
    pub async fn sleep(&self, model: Duration) {
        tokio::time::sleep(self.to_wall(model)).await;
    }

    /// Sleeps until model time `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Instant) {
        self.sleep(deadline.since(self.now())).await;
    }
}

fn wall_unix_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}
