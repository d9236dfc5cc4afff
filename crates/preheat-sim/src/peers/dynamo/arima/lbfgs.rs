//! The minimum of a function of a few numbers, without bounds.
//!
//! Source: L-BFGS (Byrd, Lu, Nocedal and Zhu 1995) with the line search of Moré and Thuente (1994),
//! with the limits of SciPy 1.17 `fmin_l_bfgs_b` and its forward differences, as statsmodels calls
//! it.
//!
//! **Invariant:** the function is never evaluated more than [`EVALUATIONS_MAX`] times in one line.

use std::collections::VecDeque;

use super::polynomial::ORDER_MAX;

/// An intercept, p, q and a variance.
pub(super) const FREE_MAX: usize = 2 * ORDER_MAX + 2;
/// Step of the forward differences (`epsilon`).
const DIFFERENCE: f64 = 1e-5;
/// Largest slope under which it stops (`pgtol`).
const SLOPE_MIN: f64 = 1e-5;
/// Gain relative to the function under which it stops (`factr` × machine epsilon).
const GAIN_MIN: f64 = 1e7 * f64::EPSILON;
/// Steps that are remembered (`m`).
const MEMORY: usize = 10;
/// Evaluations along one line.
const EVALUATIONS_MAX: u32 = 20;
/// Share of the slope's promise that a step has to keep.
const DECREASE: f64 = 1e-3;
/// Share of the slope that may be left after it.
const CURVATURE: f64 = 0.9;
/// Relative width of the bracket at which a line search gives up.
const BRACKET_MIN: f64 = 0.1;
/// The longest step.
const STEP_MAX: f64 = 1e10;

pub(super) type Point = [f64; FREE_MAX];

/// A point, the function there, and its slope.
#[derive(Clone, Copy)]
struct Spot {
    at: Point,
    value: f64,
    slope: Point,
}

/// A step that was made, and how the slope changed over it.
struct Pair {
    step: Point,
    change: Point,
    product: f64,
}

/// Searches from `start`, over the first `n` numbers. `None` if the function has no value there.
pub(super) fn minimize(
    start: Point,
    n: usize,
    iterations: u32,
    function: impl Fn(&Point) -> Option<f64>,
) -> Option<Point> {
    let look = |at: Point| {
        let value = function(&at)?;
        let mut slope = [0.0; FREE_MAX];
        for index in 0..n {
            let mut moved = at;
            moved[index] += DIFFERENCE;
            slope[index] = (function(&moved)? - value) / (moved[index] - at[index]);
        }
        Some(Spot { at, value, slope })
    };
    let Some(mut spot) = look(start) else { return function(&start).map(|_| start) };
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    let mut made = 0;
    while made < iterations && spot.slope.iter().any(|slope| slope.abs() > SLOPE_MIN) {
        let direction = direction(&spot.slope, &pairs);
        let first = if made == 0 { (1.0 / norm(&direction)).min(STEP_MAX) } else { 1.0 };
        let Some(next) = search_line(&spot, &direction, first, look) else {
            // Once more, straight downhill.
            if pairs.is_empty() {
                break;
            }
            pairs.clear();
            continue;
        };
        made += 1;
        let (step, change) = (minus(&next.at, &spot.at), minus(&next.slope, &spot.slope));
        let gain = spot.value - next.value;
        let scale = spot.value.abs().max(next.value.abs()).max(1.0);
        let promised = -dot(&spot.slope, &step);
        spot = next;
        if gain <= GAIN_MIN * scale {
            break;
        }
        let product = dot(&step, &change);
        if product > f64::EPSILON * promised {
            pairs.push_back(Pair { step, change, product });
            if pairs.len() > MEMORY {
                pairs.pop_front();
            }
        }
    }
    Some(spot.at)
}

/// Downhill by what the remembered steps say of the curvature: the two-loop recursion.
fn direction(slope: &Point, pairs: &VecDeque<Pair>) -> Point {
    let mut result = slope.map(|value| -value);
    let mut weights = Vec::with_capacity(pairs.len());
    for pair in pairs.iter().rev() {
        let weight = dot(&pair.step, &result) / pair.product;
        weights.push(weight);
        add(&mut result, -weight, &pair.change);
    }
    if let Some(last) = pairs.back() {
        let scale = last.product / dot(&last.change, &last.change);
        result = result.map(|value| value * scale);
    }
    for (pair, weight) in pairs.iter().zip(weights.iter().rev()) {
        let correction = weight - dot(&pair.change, &result) / pair.product;
        add(&mut result, correction, &pair.step);
    }
    result
}

/// One end of a bracket, or the trial between: how far, the function and its slope along the line.
#[derive(Clone, Copy)]
struct Trial {
    step: f64,
    value: f64,
    slope: f64,
}

impl Trial {
    /// Without the slope that has to be kept.
    fn tilted(self, by: f64) -> Self {
        Self { value: self.value - self.step * by, slope: self.slope - by, ..self }
    }
}

/// `None` if nothing is found, or the function has no value on the way.
fn search_line(
    from: &Spot,
    direction: &Point,
    first: f64,
    look: impl Fn(Point) -> Option<Spot>,
) -> Option<Spot> {
    let slope = dot(&from.slope, direction);
    if slope >= 0.0 {
        return None;
    }
    let enough = DECREASE * slope;
    let begin = Trial { step: 0.0, value: from.value, slope };
    let (mut best, mut other) = (begin, begin);
    let (mut is_bracketed, mut is_late) = (false, false);
    let (mut width, mut width_before) = (STEP_MAX, 2.0 * STEP_MAX);
    let (mut least, mut most) = (0.0, 5.0 * first);
    let mut step = first;
    for _ in 0..EVALUATIONS_MAX {
        let mut at = from.at;
        add(&mut at, step, direction);
        let spot = look(at)?;
        let trial = Trial { step, value: spot.value, slope: dot(&spot.slope, direction) };
        let ceiling = from.value + step * enough;
        is_late |= trial.value <= ceiling && trial.slope >= 0.0;
        let is_stuck =
            is_bracketed && (step <= least || step >= most || most - least <= BRACKET_MIN * most);
        let is_longest = step >= STEP_MAX && trial.value <= ceiling && trial.slope <= enough;
        let is_good = trial.value <= ceiling && trial.slope.abs() <= -CURVATURE * slope;
        if is_stuck || is_longest || is_good {
            return Some(spot);
        }
        // As long as no step has kept the promise, the function is searched less the promise.
        let tilt = !is_late && trial.value <= best.value && trial.value > ceiling;
        let by = if tilt { enough } else { 0.0 };
        let (mut low, mut high) = (best.tilted(by), other.tilted(by));
        step = next_step(&mut low, &mut high, trial.tilted(by), &mut is_bracketed, least, most);
        (best, other) = (low.tilted(-by), high.tilted(-by));
        if is_bracketed {
            if (other.step - best.step).abs() >= 0.66 * width_before {
                step = f64::midpoint(best.step, other.step);
            }
            width_before = width;
            width = (other.step - best.step).abs();
            (least, most) = (best.step.min(other.step), best.step.max(other.step));
        } else {
            least = step + 1.1 * (step - best.step);
            most = step + 4.0 * (step - best.step);
        }
        step = step.clamp(0.0, STEP_MAX);
        let is_narrow = most - least <= BRACKET_MIN * most;
        if is_bracketed && (step <= least || step >= most || is_narrow) {
            step = best.step;
        }
    }
    None
}

/// A new trial from the bracket's better end, its other end and the last trial, by the cubic or the
/// secant through them; the bracket is narrowed.
fn next_step(
    best: &mut Trial,
    other: &mut Trial,
    trial: Trial,
    is_bracketed: &mut bool,
    least: f64,
    most: f64,
) -> f64 {
    let (x, t) = (*best, trial);
    let is_turned = t.slope * x.slope.signum() < 0.0;
    let secant = t.step + t.slope / (t.slope - x.slope) * (x.step - t.step);
    let step;
    if t.value > x.value {
        let cubic = x.step + cubic_share(x, t) * (t.step - x.step);
        let drop = (x.value - t.value) / (t.step - x.step) + x.slope;
        let quadratic = x.step + x.slope / drop / 2.0 * (t.step - x.step);
        let is_near = (cubic - x.step).abs() < (quadratic - x.step).abs();
        step = if is_near { cubic } else { cubic + (quadratic - cubic) / 2.0 };
        *is_bracketed = true;
    } else if is_turned {
        let cubic = t.step + cubic_share(t, x) * (x.step - t.step);
        let is_far = (cubic - t.step).abs() > (secant - t.step).abs();
        step = if is_far { cubic } else { secant };
        *is_bracketed = true;
    } else if t.slope.abs() < x.slope.abs() {
        let cubic = descending_cubic(x, t, least, most);
        let is_near = (cubic - t.step).abs() < (secant - t.step).abs();
        if *is_bracketed {
            let wish = if is_near { cubic } else { secant };
            let limit = t.step + 0.66 * (other.step - t.step);
            step = if t.step > x.step { wish.min(limit) } else { wish.max(limit) };
        } else {
            step = if is_near { secant } else { cubic }.clamp(least, most);
        }
    } else if *is_bracketed {
        let end = *other;
        step = t.step + cubic_share(t, end) * (end.step - t.step);
    } else {
        step = if t.step > x.step { most } else { least };
    }
    if t.value > x.value {
        *other = t;
    } else {
        if is_turned {
            *other = x;
        }
        *best = t;
    }
    step
}

/// Where the cubic through both has its minimum, as a share of the way from `a` to `b`.
fn cubic_share(a: Trial, b: Trial) -> f64 {
    let theta = 3.0 * (a.value - b.value) / (b.step - a.step) + a.slope + b.slope;
    let scale = theta.abs().max(a.slope.abs()).max(b.slope.abs());
    let square = (theta / scale) * (theta / scale) - a.slope / scale * (b.slope / scale);
    let gamma = scale * libm::sqrt(square.max(0.0));
    let gamma = if b.step < a.step { -gamma } else { gamma };
    ((gamma - a.slope) + theta) / (((gamma - a.slope) + gamma) + b.slope)
}

/// The same beyond the trial, where slopes fall off; the end of the range if there is no minimum.
fn descending_cubic(x: Trial, t: Trial, least: f64, most: f64) -> f64 {
    let theta = 3.0 * (x.value - t.value) / (t.step - x.step) + x.slope + t.slope;
    let scale = theta.abs().max(x.slope.abs()).max(t.slope.abs());
    let square = (theta / scale) * (theta / scale) - x.slope / scale * (t.slope / scale);
    let gamma = scale * libm::sqrt(square.max(0.0));
    let gamma = if t.step > x.step { -gamma } else { gamma };
    let share = ((gamma - t.slope) + theta) / ((gamma + (x.slope - t.slope)) + gamma);
    if share < 0.0 && gamma != 0.0 {
        t.step + share * (x.step - t.step)
    } else if t.step > x.step {
        most
    } else {
        least
    }
}

fn add(to: &mut Point, factor: f64, from: &Point) {
    to.iter_mut().zip(from).for_each(|(a, b)| *a += factor * b);
}

fn minus(a: &Point, b: &Point) -> Point {
    let mut result = *a;
    add(&mut result, -1.0, b);
    result
}

fn dot(a: &Point, b: &Point) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &Point) -> f64 {
    libm::sqrt(dot(a, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(values: &[f64]) -> Point {
        let mut point = [0.0; FREE_MAX];
        point.iter_mut().zip(values).for_each(|(to, from)| *to = *from);
        point
    }

    #[test]
    fn a_bent_valley_is_followed_to_its_lowest_point() {
        let rosenbrock = |p: &Point| {
            let (a, b) = (1.0 - p[0], p[1] - p[0] * p[0]);
            Some(a * a + 100.0 * b * b)
        };
        let found = minimize(point(&[-1.2, 1.0]), 2, 50, rosenbrock).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-2 && (found[1] - 1.0).abs() < 1e-2, "{found:?}");
        let short = minimize(point(&[-1.2, 1.0]), 2, 3, rosenbrock).unwrap();
        assert!(rosenbrock(&short).unwrap() > rosenbrock(&found).unwrap());
    }

    #[test]
    fn a_slope_that_is_flat_enough_is_left_alone() {
        let begin = point(&[1e6]);
        assert_eq!(minimize(begin, 1, 50, |p| Some(p[0] * p[0] * 1e-13)), Some(begin));
        assert_eq!(minimize(begin, 1, 50, |_| None), None);
    }
}
