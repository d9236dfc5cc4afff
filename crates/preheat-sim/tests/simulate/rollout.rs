//! A rollout replaces every replica, under whichever autoscaler, and cuts nothing.

use std::cell::RefCell;
use std::rc::Rc;

use preheat_core::{PolicySpec, ReplicaCount, ReplicaId};
use preheat_sim::cold_start::GpuSupply;
use preheat_sim::faults::{Faults, Rollout};
use preheat_sim::preheat_policy::Preheat;
use preheat_sim::report::RunReport;
use preheat_sim::run::{ReplicasInitial, Simulation, SimulationConfig};
use preheat_sim::view::{FleetView, ReplicaState};

use crate::common::{Script, at, config, fixed, poisson, secs};

/// Ids of ready replicas, tick by tick.
type Ready = Vec<Vec<ReplicaId>>;

fn set_up(rollouts: Vec<Rollout>) -> SimulationConfig {
    let faults = Faults { rollouts, ..Faults::default() };
    SimulationConfig { faults, replicas_initial: ReplicasInitial::Count(4), ..config() }
}

fn run(config: SimulationConfig, mut script: Script) -> (RunReport, Ready) {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    script.look = Box::new(move |view: &FleetView<'_>| {
        let ready = view.replicas.iter().filter(|r| r.state == ReplicaState::Ready);
        sink.borrow_mut().push(ready.map(|r| r.id).collect());
        let starting = view.count(ReplicaState::Starting);
        assert_eq!(starting, 0, "successors on their way are not shown");
    });
    let trace = poisson(9, &[(900, 6.0)]);
    let report = Simulation::new(config).unwrap().run(trace, &mut script).unwrap();
    (report, seen.take())
}

#[test]
fn every_replica_is_replaced_and_none_is_missed() {
    for surge in [1, 2, 9] {
        let (report, ready) = run(set_up(vec![Rollout { at: at(60), surge }]), fixed(4));
        assert!(ready.iter().all(|ids| ids.len() == 4), "surge {surge}");
        assert_eq!((report.starts, report.stops), (4, 4), "surge {surge}");
        assert_eq!((report.failed, report.streams_cut), (0, 0));
        assert!(ready.last().unwrap().iter().all(|id| id.0 >= 4));
        // One cold start of a minute for each turn.
        let turns = 4_u32.div_ceil(surge) as usize;
        let all_new = ready.iter().position(|ids| ids.iter().all(|id| id.0 >= 4)).unwrap();
        assert_eq!(all_new + 1, 60 + turns * 60, "surge {surge}");
        assert!(report.replicas_peak >= 4 + surge.min(4));
    }
}

#[test]
fn without_surge_or_a_free_gpu_nothing_is_replaced() {
    let (report, _) = run(set_up(vec![Rollout { at: at(60), surge: 0 }]), fixed(4));
    assert_eq!((report.starts, report.stops), (0, 0));
    let gpus = GpuSupply::Nodes { nodes: 1, gpus_each: 4 };
    let full = SimulationConfig { gpus, ..set_up(vec![Rollout { at: at(60), surge: 1 }]) };
    let (report, ready) = run(full, fixed(4));
    assert_eq!((report.starts, report.stops), (1, 0), "one is ordered and finds no place");
    assert!(ready.iter().all(|ids| ids.len() == 4));
}

#[test]
fn a_second_rollout_takes_the_place_of_the_first() {
    let rollouts = [60, 150].map(|seconds| Rollout { at: at(seconds), surge: 1 });
    let (report, ready) = run(set_up(rollouts.to_vec()), fixed(4));
    assert!(ready.iter().all(|ids| ids.len() == 4));
    // One was replaced, one was on its way and is dropped, then four are replaced.
    assert_eq!((report.starts, report.stops), (6, 6));
}

#[test]
fn preheat_lives_through_one_while_it_grows_and_shrinks() {
    let spec = PolicySpec {
        replicas_max: ReplicaCount(20),
        scale_down_window: secs(60),
        ..PolicySpec::default()
    };
    let mut preheat = Preheat::new(spec.validate().unwrap());
    let trace = poisson(3, &[(300, 4.0), (900, 16.0), (1800, 2.0)]);
    let rollouts = [250, 1000].map(|seconds| Rollout { at: at(seconds), surge: 2 });
    let simulation = Simulation::new(set_up(rollouts.to_vec())).unwrap();
    let report = simulation.run_preheat(trace, &mut preheat).unwrap();
    assert_eq!((report.failed, report.streams_cut), (0, 0));
    assert!(report.starts >= 6, "{report:?}");
}
