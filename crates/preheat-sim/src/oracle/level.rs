//! One replica level: the cheapest way through off, asleep and ready, slot by slot.
//!
//! **Invariant:** exact, in O(slots): a forward pass keeps the best cost of each state and where it
//! came from, a backward pass reads the way. On a tie a level stays as it is.

use super::plan::Plan;

/// What a level is in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Does not exist.
    Off = 0,
    /// Holds its memory, serves nobody.
    Asleep = 1,
    /// Serves.
    Ready = 2,
}

/// What one level pays; infinite where it may not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct LevelCosts {
    /// A slot ready.
    pub(super) ready: f64,
    /// A slot asleep.
    pub(super) asleep: f64,
    /// Off to ready.
    pub(super) cold: f64,
    /// Asleep to ready.
    pub(super) wake: f64,
    /// First slot in which a cold start can be ready.
    pub(super) cold_from: usize,
    /// Whether the level is ready when slot 0 begins.
    pub(super) opens_ready: bool,
}

impl LevelCosts {
    /// What the level is before slot 0.
    pub(super) fn opening(&self) -> State {
        if self.opens_ready { State::Ready } else { State::Off }
    }

    /// Cost of being `to` in a slot after having been `from`, misses aside; infinite for the two
    /// steps that no optimum takes. Off to asleep: off is cheaper and no later ready. Asleep to
    /// off: off all along is cheaper.
    fn step(&self, from: State, to: State) -> f64 {
        match (from, to) {
            (State::Off, State::Asleep) | (State::Asleep, State::Off) => f64::INFINITY,
            (State::Off | State::Ready, State::Off) => 0.0,
            (State::Asleep | State::Ready, State::Asleep) => self.asleep,
            (State::Off, State::Ready) => self.cold + self.ready,
            (State::Asleep, State::Ready) => self.wake + self.ready,
            (State::Ready, State::Ready) => self.ready,
        }
    }
}

/// A level's way: its state from each change on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct LevelPath {
    /// Slot and state, by slot.
    changes: Vec<(u32, State)>,
    /// Cost, misses aside.
    pub(super) cost: f64,
    /// Requests missed.
    pub(super) misses: f64,
}

impl LevelPath {
    /// Writes the state of each slot.
    pub(super) fn write(&self, states: &mut [State]) {
        for (i, &(from, state)) in self.changes.iter().enumerate() {
            let until = self.changes.get(i + 1).map_or(states.len(), |next| next.0 as usize);
            states[from as usize..until].fill(state);
        }
    }

    /// Adds the level to `plan`.
    pub(super) fn count(&self, plan: &mut Plan) {
        for (i, &(from, state)) in self.changes.iter().enumerate() {
            let until = self.changes.get(i + 1).map_or(plan.ready.len(), |next| next.0 as usize);
            let counts = match state {
                State::Off => continue,
                State::Asleep => &mut plan.asleep,
                State::Ready => &mut plan.ready,
            };
            counts[from as usize..until].iter_mut().for_each(|count| *count += 1);
        }
    }
}

/// The best way when a missed request costs `price`, which may be infinite. `came_from` is
/// scratch.
pub(super) fn cheapest(
    costs: &LevelCosts,
    misses: &[f64],
    price: f64,
    came_from: &mut Vec<u8>,
) -> LevelPath {
    let mut end = forward(costs, misses, price, came_from);
    let mut path = LevelPath::default();
    for slot in (0..misses.len()).rev() {
        let before = match slot {
            0 => costs.opening(),
            _ => state_of(came_from[slot] >> (2 * end as u8)),
        };
        path.cost += costs.step(before, end);
        if end != State::Ready {
            path.misses += misses[slot];
        }
        if slot == 0 || before != end {
            path.changes.push((slot as u32, end));
        }
        end = before;
    }
    path.changes.reverse();
    path
}

/// Fills `came_from` with two bits per state: which one it follows. Returns the best last state.
fn forward(costs: &LevelCosts, misses: &[f64], price: f64, came_from: &mut Vec<u8>) -> State {
    let mut best = [f64::INFINITY; 3];
    best[costs.opening() as usize] = 0.0;
    came_from.clear();
    for (slot, &misses) in misses.iter().enumerate() {
        // An infinite price times no request is nothing.
        let missed = if misses > 0.0 { price * misses } else { 0.0 };
        let cold = if slot < costs.cold_from { f64::INFINITY } else { costs.cold };
        let [off, asleep, ready] = best;
        let (mut to_ready, mut ready_from) = (ready, State::Ready);
        take_less(&mut to_ready, &mut ready_from, asleep + costs.wake, State::Asleep);
        take_less(&mut to_ready, &mut ready_from, off + cold, State::Off);
        let (mut to_asleep, mut asleep_from) = (asleep, State::Asleep);
        take_less(&mut to_asleep, &mut asleep_from, ready, State::Ready);
        // Who ends up off was not asleep before: off was cheaper.
        let (mut to_off, mut off_from) = (off, State::Off);
        take_less(&mut to_off, &mut off_from, ready, State::Ready);
        best = [to_off + missed, to_asleep + costs.asleep + missed, to_ready + costs.ready];
        came_from.push(off_from as u8 | (asleep_from as u8) << 2 | (ready_from as u8) << 4);
    }
    let [off, asleep, ready] = best;
    let (mut least, mut end) = (off, State::Off);
    take_less(&mut least, &mut end, asleep, State::Asleep);
    take_less(&mut least, &mut end, ready, State::Ready);
    end
}

#[inline]
fn take_less(least: &mut f64, from: &mut State, cost: f64, state: State) {
    if cost < *least {
        (*least, *from) = (cost, state);
    }
}

fn state_of(bits: u8) -> State {
    match bits & 3 {
        0 => State::Off,
        1 => State::Asleep,
        _ => State::Ready,
    }
}
