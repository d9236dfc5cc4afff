//! The simulated world against a run of real processes: as many requests in time, and as many
//! replicas ready, when the pool grows and shrinks at the same moments. What decides is left out, so
//! that a change of it asks for no new run. `cargo run --release -p preheat-sim --example demo` puts
//! preheat in.
//!
//! The modules are `cfg(test)` so that lints know their helpers for test code too.

#[cfg(test)]
mod demo;

#[cfg(test)]
mod tests {
    use crate::demo;

    /// What `preheat demo --json` printed of that run.
    const ATTAINMENT: f64 = 0.8603;
    const TTFT_P90_S: f64 = 4.182;
    const TTFT_P99_S: f64 = 19.579;

    #[track_caller]
    fn close(got: f64, live: f64, apart_max: f64) {
        let apart = (got / live - 1.0).abs();
        assert!(apart <= apart_max, "{got}, live {live}: {apart:.3} apart");
    }

    #[test]
    fn clients_see_what_those_of_real_processes_saw() {
        let report = demo::follow_live_plan().unwrap();
        close(report.attainment, ATTAINMENT, 0.005);
        close(report.ttft_s.p90.unwrap(), TTFT_P90_S, 0.05);
        close(report.ttft_s.p99.unwrap(), TTFT_P99_S, 0.05);
    }

    #[test]
    fn replicas_are_ready_when_the_real_ones_were() {
        let live = demo::live_ready().unwrap();
        let simulated = demo::simulated_ready(&demo::follow_live_plan().unwrap());
        assert_eq!(simulated.get(..live.len()).unwrap(), live);
    }
}
