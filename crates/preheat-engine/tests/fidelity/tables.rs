//! The tables of points of `tests/data`.

/// A grid; the profiles are fitted to it.
pub(crate) const GRID: &str = include_str!("../data/step_points.csv");
/// Drawn at random; the profiles are fitted to it as well.
pub(crate) const DRAWN: &str = include_str!("../data/step_points_drawn.csv");
/// Drawn at random; nothing is fitted to it.
pub(crate) const HELD_OUT: &str = include_str!("../data/step_points_held_out.csv");
