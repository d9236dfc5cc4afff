//! How far the engine model may be from figures that it did not compute itself.
//! `cargo run --release -p preheat-engine --example fidelity` prints all of them.
//!
//! The modules are `cfg(test)` so that lints know their helpers for test code too.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod points;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod serving;

#[cfg(test)]
mod tests {
    use preheat_engine::EngineProfile;

    use crate::errors::Errors;
    use crate::points::{self, Kind, Point};
    use crate::serving::{self, Begin};

    /// Points of each profile.
    const POINTS: usize = 242;

    /// Median errors, of each profile. Per-tensor FP8 jumps just past powers of two, which no
    /// function of the tokens in a step alone follows; its mixed steps come out too short.
    fn median_max(kind: Kind, profile: &str) -> f64 {
        let jumps = profile.contains("fp8tensor")
            || (profile.starts_with("llama") && profile.contains("fp8-h"));
        match kind {
            Kind::Decode => 0.03,
            Kind::Prompt | Kind::Chunk => 0.02,
            Kind::Mixed if jumps => 0.30,
            Kind::Mixed => 0.09,
        }
    }

    fn calibrated() -> impl Iterator<Item = &'static EngineProfile> {
        EngineProfile::all().iter().filter(|profile| !profile.origin.starts_with("derived"))
    }

    #[test]
    fn steps_take_as_long_as_their_kernels() {
        for profile in calibrated() {
            let points = points::of(profile).unwrap();
            assert_eq!(points.len(), POINTS, "{}", profile.name);
            for kind in Kind::ALL {
                let of_kind = points.iter().filter(|point| point.kind == kind);
                let errors = Errors::new(of_kind.map(|point| point.error(profile)));
                let (median, max) = (errors.median(), median_max(kind, profile.name));
                let worst = worst(profile, &points, kind);
                assert!(
                    median <= max,
                    "{}, {}: {median:.3} in the median, above {max}; worst: {worst}",
                    profile.name,
                    kind.name()
                );
            }
        }
    }

    fn worst(profile: &EngineProfile, points: &[Point], kind: Kind) -> String {
        let of_kind = points.iter().filter(|point| point.kind == kind);
        let error = |point: &&Point| point.error(profile).abs();
        let worst = of_kind.max_by(|a, b| error(a).total_cmp(&error(b)));
        worst.map(Point::describe).unwrap_or_default()
    }

    /// What the kernels leave out, host time above all, makes measured steps longer, the more so
    /// the larger the batch.
    #[test]
    fn served_tokens_take_somewhat_longer_than_modelled() {
        for (name, rows, median_max) in
            [("llama3.1-70b-fp8-h100-tp4", 15, 0.06), ("qwen3-32b-bf16-h100-tp2", 26, 0.09)]
        {
            let profile = EngineProfile::find(name).unwrap();
            let served = serving::of(profile).unwrap();
            let fitting: Vec<_> = served.iter().filter(|row| row.fits(profile)).collect();
            assert_eq!(fitting.len(), rows, "{name}");
            let mut errors = Vec::new();
            for row in fitting {
                let error = row.model(profile, Begin::Spread).tpot_ms / row.tpot_ms - 1.0;
                assert!((-0.20..=0.02).contains(&error), "{name} {row:?}: off by {error:.3}");
                errors.push(error);
            }
            let median = Errors::new(errors).median();
            assert!(median <= median_max, "{name}: {median:.3} in the median");
        }
    }

    #[test]
    fn served_first_tokens_come_between_clients_in_turn_and_clients_in_step() {
        let (mut between, mut fitting) = (0, 0);
        for profile in calibrated() {
            for row in serving::of(profile).unwrap().iter().filter(|row| row.fits(profile)) {
                let [earliest, latest] =
                    [Begin::Spread, Begin::Together].map(|begin| row.model(profile, begin).ttft_ms);
                fitting += 1;
                between += u32::from((earliest..=latest).contains(&row.ttft_ms));
            }
        }
        assert!(between * 10 >= fitting * 8, "{between} of {fitting}");
    }
}
