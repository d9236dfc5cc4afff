//! The rules that are rehearsed: how much to hold for which traffic.
//!
//! A rule holds `h + β·√h` slots, with `h = m · peak` and the peak the largest offered load of its hold
//! window; where it has a tail, h is at least a share of what a longer window asks for.

use std::time::Duration;

use crate::part::Part;

/// Headroom factors on the peak of the offered load.
const FACTORS: [f64; 8] = [1.0, 1.2, 1.45, 1.75, 2.1, 2.6, 3.2, 4.0];
/// β of square-root staffing, on top. None is enough where a queue may take what little comes above a
/// peak: steady traffic, and an SLO that lets some wait.
const BETAS: [f64; 3] = [0.0, 1.0, 2.5];
/// Windows whose peak is held, in lead times: a replica that is given up can't be back sooner, and
/// one that idles for a lead time has cost as much as its next start would.
const HOLDS: [f64; 3] = [1.0, 2.0, 6.0];
/// The shortest window that is held, however soon a start is ready.
const HOLD_MIN: Duration = secs(30);
/// The longest that is held as a whole.
const HOLD_MAX: Duration = secs(3600);
/// What is held beyond: a share of the peak of a longer window, or that peak and no more, whatever the
/// factor on the last minutes' is: load that comes and goes needs what it needed before.
const TAILS: [Option<Tail>; 4] = [
    None,
    Some(Tail { share: 0.4, window: secs(2400) }),
    Some(Tail { share: 0.6, window: secs(9600) }),
    Some(Tail { share: 1.0, window: secs(9600) }),
];
/// The tail whose share is of the peak itself; of the others the factor is taken too.
const TAIL_WHOLE: usize = 3;

/// Whether the load is taken as it is or smoothed, which overlooks short peaks and sees a jump later.
const SMOOTHED: [bool; 2] = [false, true];

/// How many rules there are.
pub const RULES: usize = FACTORS.len() * BETAS.len() * SMOOTHED.len() * HOLDS.len() * TAILS.len();
/// The longest window of any rule.
pub(crate) const WINDOW_LONGEST: Duration = secs(9600);

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A share of the peak of a longer window, before the factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tail {
    pub(crate) share: f64,
    pub(crate) window: Duration,
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rule {
    pub(crate) factor: f64,
    pub(crate) beta: f64,
    pub(crate) hold: Duration,
    pub(crate) hold_lead_times: f64,
    pub(crate) tail: Option<Tail>,
    pub(crate) smoothed: bool,
}

/// Peaks of the offered load that rules ask for, in slots.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Peaks {
    holds: [f64; HOLDS.len()],
    tails: [f64; TAILS.len()],
}

impl Peaks {
    /// Asks `peak` for the largest load of each window that some rule has.
    pub(crate) fn of(lead_time: Duration, peak: impl Fn(Duration) -> f64) -> Self {
        let tail = |tail: Option<Tail>| tail.map_or(0.0, |tail| tail.share * peak(tail.window));
        let hold = |lead_times: f64| peak(hold(lead_time, lead_times));
        Self { holds: HOLDS.map(hold), tails: TAILS.map(tail) }
    }
}

/// Where each part of a rule stands in its list.
struct Place {
    factor: usize,
    beta: usize,
    smoothed: usize,
    hold: usize,
    tail: usize,
}

/// Rules are numbered: the tail runs fastest, then the hold, the smoothing, β, and the factor.
fn place(index: usize) -> Place {
    let (rest, tail) = (index / TAILS.len(), index % TAILS.len());
    let (rest, hold) = (rest / HOLDS.len(), rest % HOLDS.len());
    let (rest, smoothed) = (rest / SMOOTHED.len(), rest % SMOOTHED.len());
    let (rest, beta) = (rest / BETAS.len(), rest % BETAS.len());
    Place { factor: rest % FACTORS.len(), beta, smoothed, hold, tail }
}

fn hold(lead_time: Duration, lead_times: f64) -> Duration {
    lead_time.mul_f64(lead_times).clamp(HOLD_MIN, HOLD_MAX)
}

/// The rule of this number, where a start takes so long.
pub(crate) fn rule(index: usize, lead_time: Duration) -> Rule {
    let place = place(index);
    Rule {
        factor: FACTORS[place.factor],
        beta: BETAS[place.beta],
        hold: hold(lead_time, HOLDS[place.hold]),
        hold_lead_times: HOLDS[place.hold],
        tail: TAILS[place.tail].map(|tail| Tail { share: tail.share * relative(&place), ..tail }),
        smoothed: SMOOTHED[place.smoothed],
    }
}

/// By what a tail's share counts before the factor is taken.
fn relative(place: &Place) -> f64 {
    if place.tail == TAIL_WHOLE { 1.0 / FACTORS[place.factor] } else { 1.0 }
}

/// Whether the rule of this number is one when a part is left out.
pub(crate) fn remains(index: usize, without: Option<Part>) -> bool {
    let Some(without) = without else { return true };
    let Place { smoothed, hold, tail, .. } = place(index);
    match without {
        Part::Smoothing => !SMOOTHED[smoothed],
        Part::ShortHolds => hold + 1 == HOLDS.len(),
        Part::LongHolds => hold + 1 < HOLDS.len(),
        Part::Tails => TAILS[tail].is_none(),
        Part::Rehearsal
        | Part::Prior
        | Part::Backlog
        | Part::Stabilization
        | Part::Neighbours
        | Part::Fullness
        | Part::TtftGuard
        | Part::Schedules => true,
    }
}

/// Slots that the rule of this number holds, by the peaks of the load as it is and smoothed.
pub(crate) fn slots(index: usize, peaks: &[Peaks; 2]) -> f64 {
    let place = place(index);
    let peaks = &peaks[usize::from(SMOOTHED[place.smoothed])];
    let peak = peaks.holds[place.hold].max(peaks.tails[place.tail] * relative(&place));
    let held = FACTORS[place.factor] * peak;
    held + BETAS[place.beta] * libm::sqrt(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAD: Duration = secs(180);

    #[test]
    fn every_number_is_another_rule() {
        let mut seen: Vec<Rule> = Vec::new();
        for index in 0..RULES {
            let rule = rule(index, LEAD);
            assert!(!seen.contains(&rule), "{rule:?} comes twice");
            seen.push(rule);
        }
        let windows = |rule: &Rule| rule.tail.map_or(rule.hold, |tail| tail.window);
        assert_eq!(seen.iter().map(windows).max(), Some(WINDOW_LONGEST));
        assert_eq!(rule(0, Duration::ZERO).hold, HOLD_MIN);
    }

    #[test]
    fn a_rule_holds_its_factor_of_the_peak_and_square_root_staffing() {
        let peaks = Peaks::of(LEAD, |window| if window < secs(300) { 25.0 } else { 100.0 });
        let peaks = [peaks, Peaks::of(LEAD, |_| 16.0)];
        let index = (0..RULES).find(|index| {
            let rule = rule(*index, LEAD);
            let plain = rule.tail.is_none() && !rule.smoothed;
            rule.factor == 1.0 && rule.beta == 1.0 && rule.hold == LEAD && plain
        });
        assert_eq!(slots(index.unwrap(), &peaks), 25.0 + 5.0);
        // A tail of 0.4 of 100 is more than 25.
        assert_eq!(slots(index.unwrap() + 1, &peaks), 40.0 + libm::sqrt(40.0));
        // Twice the last minutes' peak is less than all of the longer window's, once.
        let double = (0..RULES).find(|index| {
            let rule = rule(*index, LEAD);
            let whole = rule.tail.is_some_and(|tail| (tail.share * rule.factor - 1.0).abs() < 1e-9);
            rule.factor == 2.1 && rule.beta == 0.0 && rule.hold == LEAD && !rule.smoothed && whole
        });
        assert!((slots(double.unwrap(), &peaks) - 100.0).abs() < 1e-9);
        let smoothed = index.unwrap() + HOLDS.len() * TAILS.len();
        assert!(rule(smoothed, LEAD).smoothed);
        assert_eq!(slots(smoothed, &peaks), 16.0 + 4.0);
    }
}
