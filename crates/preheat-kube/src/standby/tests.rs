//! Pods, labels and engines as phases, and plans as steps, table by table.

use preheat_core::{Action, Counters, Plan, ReplicaCount, ReplicaPhase::*, Sample};

use super::*;
use crate::pods::SeenPod;
use crate::resource::{Mode, Pause};
use crate::roster::Roster;
use crate::traffic::Reach;
use Traffic::{Off, On, Unlabelled};

fn at(seconds: u64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
}

fn pod(traffic: Traffic, phase: ReplicaPhase) -> SeenPod {
    SeenPod {
        uid: "u".to_owned(),
        name: "chat-x".to_owned(),
        phase,
        phase_since: at(1),
        created_at: at(0),
        passed: [None; 5],
        node: None,
        machine: preheat_core::MachineState::default(),
        restarts: 0,
        address: Some([127, 0, 0, 1].into()),
        deletion_cost: None,
        of_replica_set: true,
        traffic,
        grace: None,
        waiting: None,
    }
}

/// One pod, tick by tick.
struct World {
    aside: Aside,
    roster: Roster,
    pod: SeenPod,
    stance: Stance,
    replicas: Vec<Replica>,
    /// Replicas that the plan wants ready.
    desired: u32,
}

impl World {
    fn of(traffic: Traffic) -> Self {
        let stance = Stance { acts: true, recall: false, staleness_max: Duration::from_secs(5) };
        let (aside, roster) = (Aside::default(), Roster::default());
        Self { aside, roster, pod: pod(traffic, Ready), stance, replicas: Vec::new(), desired: 0 }
    }

    /// The phase at a tick at which the engine says that, and has nothing inside.
    fn phase(&mut self, second: u64, asleep: Option<bool>) -> ReplicaPhase {
        self.look(second, asleep, (0, 0)).phase
    }

    /// The same with requests inside, and some that have ended since the last look.
    fn look(
        &mut self,
        second: u64,
        asleep: Option<bool>,
        (inside, ended): (u32, u64),
    ) -> &ReplicaObservation {
        let now = at(second);
        self.replicas = self.roster.take(vec![self.pod.clone()], 1, now);
        let seen = &mut self.replicas[0].observation;
        seen.in_flight = Some(Sample::new(inside, now));
        seen.queue_depth = Some(Sample::new(0, now));
        let counters = Counters { completions: ended, ..Counters::default() };
        seen.counters = Some(Sample::new(counters, now));
        let said = asleep.map(|asleep| (seen.id, asleep)).into_iter().collect();
        self.aside.place(&mut self.replicas, &said, self.stance, now);
        &self.replicas[0].observation
    }

    fn steps(&mut self, second: u64, action: Option<Action>) -> Vec<Step> {
        self.steps_in((Mode::Act, None, true), second, action)
    }

    fn steps_in(
        &mut self,
        (mode, pause, possible): (Mode, Option<Pause>, bool),
        second: u64,
        action: Option<Action>,
    ) -> Vec<Step> {
        let outlook =
            Outlook { mode, pause, replicas: &self.replicas, possible, recall: self.stance.recall };
        let plan = Plan {
            desired: ReplicaCount(self.desired),
            actions: action.into_iter().collect(),
            next_tick_at: Instant::ORIGIN,
        };
        let steps = self.aside.steps(&outlook, &plan, at(second));
        steps.into_iter().map(|step| step.step).collect()
    }
}

const R0: ReplicaId = ReplicaId(0);
const DRAIN: Action = Action::Drain { replica: R0 };
const RESUME: Action = Action::Resume { replica: R0 };
const WAKE: Action = Action::Wake { replica: R0 };
const SLEEP: Action = Action::Sleep { replica: R0, rung: Rung::Sleeping };

#[test]
fn label_and_engine_make_the_phase() {
    let case = |own, traffic, asleep, is_wanted, before, acts| {
        phase(&Signs { own, traffic, asleep, is_wanted, before, acts })
    };
    for (own, traffic, asleep, is_wanted, before, expected) in [
        // In traffic, only sleep is told.
        (Ready, On, Some(false), false, None, None),
        (Ready, On, None, false, None, None),
        (Loading, On, None, false, None, None),
        (Ready, On, Some(true), false, None, Some(WAKING)),
        (Ready, Unlabelled, Some(true), false, None, Some(WAKING)),
        // Out of it, an engine that says makes the phase.
        (Ready, Off, Some(false), false, None, Some(Draining)),
        (Ready, Off, Some(true), false, None, Some(STANDBY)),
        (Ready, Off, Some(true), false, Some(Draining), Some(STANDBY)),
        (Ready, Off, Some(false), false, Some(STANDBY), Some(Draining)),
        // A readiness probe may not like it asleep.
        (Warming, Off, Some(true), false, None, Some(STANDBY)),
        // One that does not say is what it was; unknown from the start, it is not asleep.
        (Ready, Off, None, false, Some(STANDBY), Some(STANDBY)),
        (Ready, Off, None, false, Some(Draining), Some(Draining)),
        (Ready, Off, None, false, None, Some(Draining)),
        (Warming, Off, None, false, Some(STANDBY), Some(STANDBY)),
        // On its way back, until it is in traffic.
        (Ready, Off, Some(true), true, Some(STANDBY), Some(WAKING)),
        (Ready, Off, None, true, Some(STANDBY), Some(WAKING)),
        (Ready, Off, Some(false), true, Some(WAKING), Some(WAKING)),
        (Ready, Off, Some(false), true, Some(Draining), Some(Draining)),
        // An engine that starts again is no sleeper.
        (Loading, Off, None, false, Some(STANDBY), None),
        (Pending, Off, None, false, Some(STANDBY), None),
        (Warming, Off, Some(false), false, None, None),
        (Ready, Off, Some(false), true, None, Some(WAKING)),
    ] {
        let got = case(own, traffic, asleep, is_wanted, before, true);
        assert_eq!(got, expected, "{own:?} {traffic:?} {asleep:?} {is_wanted} {before:?}");
    }
    // Where nothing is done, nobody wakes what sleeps in traffic.
    assert_eq!(case(Ready, On, Some(true), false, None, false), Some(STANDBY));
}

#[test]
fn a_pod_goes_out_sleeps_and_comes_back() {
    let mut world = World::of(On);
    assert_eq!(world.phase(10, Some(false)), Ready);
    assert_eq!(world.steps(10, Some(DRAIN)), [Step::TakeOut]);
    world.aside.began("u");
    world.aside.ended("u", true, at(10));
    world.aside.wrote("u", Off, at(10));
    // Before the label has come back.
    assert_eq!(world.phase(12, Some(false)), Draining);
    world.pod.traffic = Off;
    // Not before it was empty for long.
    assert_eq!(world.look(14, Some(false), (1, 0)).phase, Draining);
    assert_eq!(world.phase(16, Some(false)), Draining);
    assert_eq!(world.steps(16, Some(SLEEP)), []);
    // One came and went.
    assert_eq!(world.look(20, Some(false), (0, 1)).phase, Draining);
    world.phase(22, Some(false));
    assert_eq!(world.steps(31, Some(SLEEP)), []);
    world.phase(32, Some(false));
    assert_eq!(world.steps(32, Some(SLEEP)), [Step::Sleep]);
    world.aside.began("u");
    world.phase(34, Some(false));
    // It is under way.
    assert_eq!(world.steps(34, Some(SLEEP)), []);
    world.aside.ended("u", true, at(35));
    let asleep = world.look(36, Some(true), (0, 0));
    assert_eq!((asleep.phase, asleep.phase_since), (STANDBY, at(36)));
    assert_eq!(world.steps(40, None), []);
    assert_eq!(world.steps(40, Some(WAKE)), [Step::BringBack]);
    world.aside.began("u");
    let waking = world.look(42, Some(true), (0, 0));
    assert_eq!((waking.phase, waking.start_ordered_at), (WAKING, at(40)));
    world.aside.ended("u", true, at(43));
    world.aside.wrote("u", On, at(43));
    let back = world.look(44, None, (0, 0));
    assert_eq!((back.phase, back.phase_since), (Ready, at(44)));
    assert_eq!(world.steps(44, None), []);
    // What its engine told before that is over.
    assert!(!world.aside.believes("u", at(42)) && world.aside.believes("u", at(44)));
}

#[test]
fn none_leaves_traffic_for_one_that_is_not_ready_yet() {
    let mut world = World::of(On);
    world.phase(10, Some(false));
    world.desired = 1;
    assert_eq!(world.steps(10, Some(DRAIN)), []);
    world.desired = 0;
    assert_eq!(world.steps(10, Some(DRAIN)), [Step::TakeOut]);
}

#[test]
fn a_drain_is_taken_back_without_a_wake() {
    let mut world = World::of(Off);
    assert_eq!(world.phase(10, Some(false)), Draining);
    assert_eq!(world.steps(10, Some(RESUME)), [Step::BringBack]);
    assert_eq!(world.phase(12, Some(false)), Draining);
    world.pod.traffic = On;
    assert_eq!(world.phase(14, Some(false)), Ready);
}

#[test]
fn what_sleeps_in_traffic_is_woken_whatever_was_planned() {
    let mut world = World::of(On);
    assert_eq!(world.phase(10, Some(true)), WAKING);
    for (mode, pause, expected) in [
        (Mode::Observe, None, &[][..]),
        (Mode::Act, Some(Pause::All), &[Step::BringBack]),
        (Mode::Publish, None, &[Step::BringBack]),
    ] {
        assert_eq!(world.steps_in((mode, pause, false), 10, Some(DRAIN)), expected, "{mode:?}");
    }
    // All must come back, even where nothing else is done.
    let mut world = World::of(Off);
    assert_eq!(world.phase(10, Some(true)), STANDBY);
    world.stance.recall = true;
    assert_eq!(world.phase(12, Some(true)), WAKING);
    let observing = (Mode::Observe, Some(Pause::All), false);
    assert_eq!(world.steps_in(observing, 12, None), [Step::BringBack]);
}

#[test]
fn pauses_and_doubts_hold() {
    for (action, traffic, mode, pause, possible, expected) in [
        (DRAIN, On, Mode::Act, None, true, true),
        (DRAIN, On, Mode::Act, None, false, false),
        (DRAIN, On, Mode::Act, Some(Pause::ScaleDown), true, false),
        (DRAIN, On, Mode::Act, Some(Pause::ScaleUp), true, true),
        (DRAIN, On, Mode::Observe, None, true, false),
        (RESUME, Off, Mode::Act, None, false, true),
        (RESUME, Off, Mode::Act, Some(Pause::ScaleUp), true, false),
        (RESUME, Off, Mode::Publish, Some(Pause::ScaleDown), true, true),
        (RESUME, Off, Mode::Observe, None, true, false),
    ] {
        let mut world = World::of(traffic);
        world.phase(10, Some(false));
        let steps = world.steps_in((mode, pause, possible), 10, Some(action));
        let case = format!("{action:?} {mode:?} {pause:?} {possible}");
        assert_eq!(!steps.is_empty(), expected, "{case}");
    }
    // Without an address there is nobody to ask.
    let mut world = World::of(Off);
    world.pod.address = None;
    world.phase(10, Some(true));
    assert_eq!(world.steps(10, Some(WAKE)), []);
}

#[test]
fn what_fails_is_tried_again_later_and_later() {
    let mut world = World::of(Off);
    world.phase(10, Some(true));
    let mut tries = Vec::new();
    for second in 10..150 {
        world.phase(second, Some(true));
        if world.steps(second, Some(WAKE)) == [Step::BringBack] {
            tries.push(second);
            world.aside.began("u");
            world.aside.ended("u", false, at(second));
        }
    }
    // A try each minute in the end.
    assert_eq!(tries, [10, 11, 13, 17, 25, 41, 73, 133]);
}

#[test]
fn requests_that_keep_coming_are_told() {
    let mut world = World::of(Off);
    for second in 10..60 {
        world.look(second, Some(false), (0, 1));
        assert_eq!(world.steps(second, Some(SLEEP)), []);
    }
    assert_eq!(world.aside.disturbed(&world.replicas, at(40)).len(), 0);
    assert_eq!(world.aside.disturbed(&world.replicas, at(60)).len(), 1);
    // A long answer that drains is none of that.
    let mut world = World::of(Off);
    for second in 10..60 {
        world.look(second, Some(false), (1, 0));
    }
    assert_eq!(world.aside.disturbed(&world.replicas, at(60)).len(), 0);
}

#[test]
fn what_is_missing_is_named() {
    let heeding = || Some(Reach { heeding: Some("chat".to_owned()), blind: None });
    let blind = Reach { heeding: Some("chat".to_owned()), blind: Some("old".to_owned()) };
    let absent = Known::Absent { pod: "chat-x".to_owned(), problem: "/is_sleeping: no".to_owned() };
    let of_set = SeenPod { of_replica_set: false, ..pod(On, Ready) };
    let said = |selector: &str, pod: SeenPod, reach: Option<Reach>, engines: &Known| {
        let replicas = Roster::default().take(vec![pod], 1, at(10));
        let availability =
            Availability::of(selector, &replicas, reach.as_ref(), engines, Vec::new());
        availability.told().1
    };
    use Known::{Present, Unasked};
    let by_label = "app=chat,preheat.dev/traffic=on";
    for (selector, pod, reach, engines, expected) in [
        ("app=chat", pod(On, Ready), heeding(), &Present, "Possible"),
        (by_label, pod(On, Ready), heeding(), &Present, "SelectedByTarget"),
        ("app=chat", of_set, heeding(), &Present, "NotOfReplicaSet"),
        ("app=chat", pod(Unlabelled, Ready), heeding(), &Present, "PodsUnlabelled"),
        ("app=chat", pod(On, Ready), heeding(), &absent, "NoSleepEndpoints"),
        ("app=chat", pod(On, Ready), None, &Present, "ServicesUnknown"),
        ("app=chat", pod(On, Ready), Some(blind), &Present, "BlindService"),
        ("app=chat", pod(On, Ready), Some(Reach::default()), &Present, "NoService"),
        ("app=chat", pod(On, Ready), heeding(), &Unasked, "EnginesUnknown"),
    ] {
        assert_eq!(said(selector, pod, reach, engines), expected);
    }
}
