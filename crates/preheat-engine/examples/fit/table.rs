//! Fits a profile's step times to points: `t = g(P + D) + c·PX + e·KV + f·[P > 0]`.

use preheat_engine::{KNOT_TOKENS, StepLoad, StepProfile};

use crate::least_squares::{Equation, solve};
use crate::points::Point;

const KNOTS: usize = KNOT_TOKENS.len();

/// The coefficients, in ms, rounded to what is printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table {
    pub(crate) at_knots: [f64; KNOTS],
    pub(crate) per_attention: f64,
    pub(crate) per_context: f64,
    pub(crate) if_prefill: f64,
}

impl Table {
    /// The fit to these points; errors count relative to a point's time.
    pub(crate) fn fit(points: &[Point]) -> Self {
        let equations: Vec<Equation> = points
            .iter()
            .map(|point| Equation {
                terms: terms(&point.load()).iter().map(|term| term / point.ms).collect(),
                target: 1.0,
            })
            .collect();
        let mut solved = solve(&equations).into_iter().map(round);
        let at_knots = std::array::from_fn(|_| solved.next().unwrap_or(0.0));
        let mut next = || solved.next().unwrap_or(0.0);
        Self { at_knots, per_attention: next(), per_context: next(), if_prefill: next() }
    }

    pub(crate) fn profile(&self) -> StepProfile {
        let Self { at_knots, per_attention, per_context, if_prefill } = *self;
        StepProfile::from_table_ms(at_knots, per_attention, per_context, if_prefill)
    }
}

/// What each coefficient is multiplied with.
fn terms(load: &StepLoad) -> [f64; KNOTS + 3] {
    let mut terms = [0.0; KNOTS + 3];
    let tokens = load.tokens();
    let right = (1..KNOTS - 1).find(|knot| tokens <= KNOT_TOKENS[*knot]).unwrap_or(KNOTS - 1);
    let (x0, x1) = (f64::from(KNOT_TOKENS[right - 1]), f64::from(KNOT_TOKENS[right]));
    let share = (f64::from(tokens) - x0) / (x1 - x0);
    terms[right - 1] = 1.0 - share;
    terms[right] = share;
    terms[KNOTS] = load.prefill_attention_twice as f64 / 2.0;
    terms[KNOTS + 1] = load.decode_context as f64;
    terms[KNOTS + 2] = f64::from(u8::from(load.prefill_tokens > 0));
    terms
}

/// To six figures.
pub(crate) fn round(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}
