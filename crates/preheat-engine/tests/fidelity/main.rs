//! How far the engine model may be from figures that it did not compute itself.
//! `cargo run --release -p preheat-engine --example fidelity` prints all of them, and
//! `--example fit` how the model was fitted.
//!
//! The modules are `cfg(test)` so that lints know their helpers for test code too.

#[cfg(test)]
mod errors;
#[cfg(test)]
#[path = "../../examples/fit/least_squares.rs"]
mod least_squares;
#[cfg(test)]
mod points;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod serving;
#[cfg(test)]
#[path = "../../examples/fit/table.rs"]
mod table;
#[cfg(test)]
mod tables;

#[cfg(test)]
mod tests {
    use preheat_engine::{EngineConfig, EngineProfile};

    use crate::errors::Errors;
    use crate::points::{self, Kind, Point};
    use crate::serving::{self, Begin, Served};
    use crate::table::Table;
    use crate::tables::{DRAWN, GRID, HELD_OUT};

    /// Points of each profile that it is fitted to, and that it is not.
    const FITTED: usize = 242 + 180;
    const UNSEEN: usize = 120;

    const QWEN: &str = "qwen3-32b-bf16-h100-tp2";
    const LLAMA: &str = "llama3.1-70b-fp8-h100-tp4";

    /// Median errors, of each profile: of points that it was fitted to, and of others.
    const fn median_max(kind: Kind) -> (f64, f64) {
        match kind {
            Kind::Decode => (0.031, 0.03),
            Kind::Prompt => (0.02, 0.055),
            Kind::Chunk => (0.025, 0.045),
            Kind::Mixed => (0.02, 0.03),
        }
    }

    fn calibrated() -> impl Iterator<Item = &'static EngineProfile> {
        EngineProfile::all().iter().filter(|profile| !profile.origin.starts_with("derived"))
    }

    fn fitted_to(profile: &EngineProfile) -> Vec<Point> {
        let tables = [GRID, DRAWN].map(|table| points::of(profile, table).unwrap());
        tables.concat()
    }

    #[test]
    fn the_embedded_figures_are_what_the_fit_finds() {
        for profile in calibrated() {
            let fitted = Table::fit(&fitted_to(profile)).profile();
            assert_eq!(profile.step, fitted, "{}: `--example fit` prints others", profile.name);
        }
    }

    #[test]
    fn steps_take_as_long_as_their_kernels() {
        for profile in calibrated() {
            let (fitted, unseen) = (fitted_to(profile), points::of(profile, HELD_OUT).unwrap());
            assert_eq!((fitted.len(), unseen.len()), (FITTED, UNSEEN), "{}", profile.name);
            for kind in Kind::ALL {
                let (fitted_max, unseen_max) = median_max(kind);
                check_median(profile, &fitted, kind, fitted_max);
                check_median(profile, &unseen, kind, unseen_max);
            }
        }
    }

    #[track_caller]
    fn check_median(profile: &EngineProfile, points: &[Point], kind: Kind, max: f64) {
        let of_kind = points.iter().filter(|point| point.kind == kind);
        let median = Errors::new(of_kind.map(|point| point.error(profile))).median();
        let (name, kind_name, worst) = (profile.name, kind.name(), worst(profile, points, kind));
        assert!(
            median <= max,
            "{name}, {kind_name}: {median:.3} in the median, above {max}; worst: {worst}"
        );
    }

    fn worst(profile: &EngineProfile, points: &[Point], kind: Kind) -> String {
        let of_kind = points.iter().filter(|point| point.kind == kind);
        let error = |point: &&Point| point.error(profile).abs();
        let worst = of_kind.max_by(|a, b| error(a).total_cmp(&error(b)));
        worst.map(Point::describe).unwrap_or_default()
    }

    fn fitting(profile: &EngineProfile) -> Vec<Served> {
        let mut rows = serving::of(profile).unwrap();
        rows.retain(|row| row.fits(profile));
        rows
    }

    /// Errors of the TPOT of a profile's rows, with the host time of another.
    fn tpot_errors(name: &str, host_of: &str) -> Vec<f64> {
        let [profile, host_of] = [name, host_of].map(|name| EngineProfile::find(name).unwrap());
        let step = profile.step.with_host(host_of.host);
        let config = EngineConfig { profile: step, ..EngineConfig::for_profile(profile) };
        let error = |row: Served| row.model(config, Begin::Spread).tpot_ms / row.tpot_ms - 1.0;
        fitting(profile).into_iter().map(error).collect()
    }

    /// With host time fitted to the same rows, which only says that its form will do.
    #[test]
    fn served_tokens_take_as_long_as_modelled() {
        for (name, rows, median_max) in [(LLAMA, 15, 0.015), (QWEN, 26, 0.02)] {
            let errors = tpot_errors(name, name);
            assert_eq!(errors.len(), rows, "{name}");
            for error in &errors {
                assert!((-0.08..=0.06).contains(error), "{name}: off by {error:.3}");
            }
            let median = Errors::new(errors).median();
            assert!(median <= median_max, "{name}: {median:.3} in the median");
        }
    }

    /// With host time fitted to the rows of the other model, on another number of GPUs.
    #[test]
    fn host_time_of_another_model_is_better_than_none() {
        for (name, other, median_max, none) in
            [(LLAMA, QWEN, 0.02, 0.045), (QWEN, LLAMA, 0.045, 0.065)]
        {
            let median = Errors::new(tpot_errors(name, other)).median();
            assert!(median <= median_max, "{name}: {median:.3} in the median");
            // A profile of one GPU has no host time.
            let without = Errors::new(tpot_errors(name, "llama3.1-8b-bf16-h100")).median();
            assert!(without >= none, "{name}: {without:.3} in the median without host time");
        }
    }

    #[test]
    fn served_first_tokens_come_between_clients_in_turn_and_clients_in_step() {
        let (mut between, mut count) = (0, 0);
        for profile in calibrated() {
            let config = EngineConfig::for_profile(profile);
            for row in fitting(profile) {
                let [earliest, latest] =
                    [Begin::Spread, Begin::Together].map(|begin| row.model(config, begin).ttft_ms);
                count += 1;
                between += u32::from((earliest..=latest).contains(&row.ttft_ms));
            }
        }
        assert!(between * 4 >= count * 3, "{between} of {count}");
    }
}
