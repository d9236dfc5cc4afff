//! More requests than fit: an overload, once of slots and once of KV memory.

use std::time::Duration;

use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};

use crate::common::{config, engine, fixed, poisson};

#[test]
fn an_overload_is_worked_off() {
    for (slots, kv_capacity_tokens) in [(8, 100_000), (1024, 20_000)] {
        let mut config = SimulationConfig {
            replicas_initial: ReplicasInitial::Count(8),
            drain_max: Duration::from_secs(1_000_000),
            ..config()
        };
        config.engine.max_num_seqs = engine(slots).max_num_seqs;
        config.engine.kv_capacity_tokens = kv_capacity_tokens;
        let trace = poisson(1, &[(50, 400.0)]);
        let report = Simulation::new(config).unwrap().run(trace, &mut fixed(8)).unwrap();
        assert!(report.requests > 15_000);
        assert_eq!(report.completed, report.requests);
    }
}
