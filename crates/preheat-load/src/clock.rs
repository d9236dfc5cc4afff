//! Between model time, in which a run is described and reported, and wall time, in which it
//! happens.

use std::time::Duration;

use tokio::time::Instant;

/// The longest wait in wall time: a year, so that no sum with an instant overflows.
const WAIT_MAX: Duration = Duration::from_secs(366 * 86_400);

/// A run's clock: where it starts and how fast it goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// Model seconds per second of wall time.
    scale: f64,
}

impl Clock {
    pub(crate) fn start(scale: f64) -> Self {
        Self { start: Instant::now(), scale }
    }

    /// How long a stretch of model time takes. Worked: 60 s at a scale of 20 take 3 s.
    pub(crate) fn wall(&self, model: Duration) -> Duration {
        let seconds = model.as_secs_f64() / self.scale;
        Duration::try_from_secs_f64(seconds).map_or(WAIT_MAX, |wait| wait.min(WAIT_MAX))
    }

    /// When a moment of model time comes.
    pub(crate) fn at(&self, model: Duration) -> Instant {
        self.start + self.wall(model)
    }

    pub(crate) fn model_s(&self, wall: Duration) -> f64 {
        wall.as_secs_f64() * self.scale
    }

    pub(crate) fn elapsed_s(&self) -> f64 {
        self.model_s(self.start.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_time_is_scaled_and_bounded() {
        let clock = Clock::start(20.0);
        assert_eq!(clock.wall(Duration::from_secs(60)), Duration::from_secs(3));
        assert_eq!(clock.at(Duration::from_secs(60)) - clock.start, Duration::from_secs(3));
        assert!((clock.model_s(Duration::from_secs(3)) - 60.0).abs() < 1e-9);
        assert_eq!(clock.wall(Duration::MAX), WAIT_MAX);
        assert!(clock.at(Duration::MAX) > clock.start);
    }
}
