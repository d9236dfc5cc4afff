//! Fits host time to measured servings.

use preheat_engine::{EngineConfig, EngineProfile, HostTime};

use crate::errors::Errors;
use crate::least_squares::{Equation, solve};
use crate::serving::{Begin, Served};
use crate::table::round;

/// Rounds of linearising: what host time does to a closed loop is all but linear.
const ROUNDS: usize = 3;
/// Steps of the difference quotients, in ms: a fraction of what is sought.
const DIFFERENCE: Host = Host { per_step: 0.1, per_seq: 0.005 };

/// A row and the profile that served it.
pub(crate) type Serving = (&'static EngineProfile, Served);

/// Host time, in ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Host {
    pub(crate) per_step: f64,
    pub(crate) per_seq: f64,
}

impl Host {
    /// What brings the modelled TPOT of these rows near the measured one.
    pub(crate) fn fit(rows: &[Serving]) -> Self {
        let mut host = Self::default();
        for _ in 0..ROUNDS {
            let equations: Vec<Equation> = rows.iter().map(|row| host.linearised(row)).collect();
            let solved = solve(&equations);
            let at = |index: usize| solved.get(index).copied().map_or(0.0, round);
            host = Self { per_step: at(0), per_seq: at(1) };
        }
        host
    }

    /// By how much more than this host time the row's TPOT would be met, as shares of that TPOT.
    fn linearised(self, row: &Serving) -> Equation {
        let Self { per_step, per_seq } = self;
        let at = self.tpot_ms(row);
        let step = Self { per_step: per_step + DIFFERENCE.per_step, per_seq }.tpot_ms(row) - at;
        let seq = Self { per_step, per_seq: per_seq + DIFFERENCE.per_seq }.tpot_ms(row) - at;
        let slopes = [step / DIFFERENCE.per_step, seq / DIFFERENCE.per_seq];
        let target = row.1.tpot_ms - at + slopes[0] * per_step + slopes[1] * per_seq;
        Equation {
            terms: slopes.iter().map(|slope| slope / row.1.tpot_ms).collect(),
            target: target / row.1.tpot_ms,
        }
    }

    fn tpot_ms(self, (profile, row): &Serving) -> f64 {
        row.model(self.config(profile), Begin::Spread).tpot_ms
    }

    fn config(self, profile: &EngineProfile) -> EngineConfig {
        let host = HostTime::from_ms(self.per_step, self.per_seq);
        EngineConfig { profile: profile.step.with_host(host), ..EngineConfig::for_profile(profile) }
    }

    /// Errors of TPOT.
    pub(crate) fn errors(self, rows: &[Serving]) -> Errors {
        Errors::new(rows.iter().map(|row| self.tpot_ms(row) / row.1.tpot_ms - 1.0))
    }

    /// In how many rows TTFT comes between that of clients in turn and of clients in step.
    pub(crate) fn between(self, rows: &[Serving]) -> usize {
        let is_between = |(profile, row): &&Serving| {
            let config = self.config(profile);
            let [earliest, latest] =
                [Begin::Spread, Begin::Together].map(|begin| row.model(config, begin).ttft_ms);
            (earliest..=latest).contains(&row.ttft_ms)
        };
        rows.iter().filter(is_between).count()
    }
}
