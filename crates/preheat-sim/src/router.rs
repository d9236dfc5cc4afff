//! Who gets a request. Knows how many requests each ready replica has, and nothing else of them.
//!
//! **Invariant:** a choice takes time logarithmic in the number of replicas, not linear.

pub(crate) mod min_tree;

use min_tree::MinTree;
use serde::{Deserialize, Serialize};

/// How requests are spread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Router {
    /// The ready replica with the fewest requests outstanding; equals in turn. As preheat's
    /// gateway does.
    #[default]
    LeastOutstanding,
    /// Each ready replica in turn, whatever is in it.
    RoundRobin,
    /// Requests wait in one queue, and a replica gets one when it has a free slot.
    CentralQueue,
}

/// No request may go there.
const CLOSED: u32 = u32::MAX;

/// The router at work.
#[derive(Debug)]
pub(crate) struct Routing {
    router: Router,
    /// Requests outstanding of each replica that may get more; [`CLOSED`] for the others.
    loads: MinTree<u32>,
    /// Where the next turn begins.
    turn: usize,
    slots_per_replica: u32,
}

impl Routing {
    pub(crate) fn new(router: Router, slots_per_replica: u32) -> Self {
        Self { router, loads: MinTree::new(CLOSED), turn: 0, slots_per_replica }
    }

    pub(crate) fn open(&mut self, slot: u32, outstanding: u32) {
        self.loads.set(slot as usize, outstanding);
    }

    pub(crate) fn close(&mut self, slot: u32) {
        self.loads.set(slot as usize, CLOSED);
    }

    /// Notes how many are outstanding, where requests may go at all.
    pub(crate) fn update(&mut self, slot: u32, outstanding: u32) {
        if self.loads.get(slot as usize) != CLOSED {
            self.loads.set(slot as usize, outstanding);
        }
    }

    /// Whether requests are held while every replica is full, so that an end lets one through.
    pub(crate) fn holds_while_full(&self) -> bool {
        self.router == Router::CentralQueue
    }

    /// Whether there is a replica for another request.
    pub(crate) fn could_take(&self) -> bool {
        let fewest = self.loads.min();
        fewest != CLOSED && (!self.holds_while_full() || fewest < self.slots_per_replica)
    }

    /// The replica for the next request; `None` when it has to be held.
    pub(crate) fn pick(&mut self) -> Option<u32> {
        if !self.could_take() {
            return None;
        }
        let bound = match self.router {
            Router::LeastOutstanding | Router::CentralQueue => self.loads.min(),
            Router::RoundRobin => CLOSED - 1,
        };
        let slot = self.loads.next_at_most(self.turn, bound)?;
        self.turn = slot + 1;
        u32::try_from(slot).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picks(router: Router, loads: &[Option<u32>], count: usize) -> Vec<Option<u32>> {
        let mut routing = Routing::new(router, 2);
        let mut current: Vec<u32> = loads.iter().map(|load| load.unwrap_or(0)).collect();
        for (slot, load) in (0..).zip(loads) {
            if let Some(load) = load {
                routing.open(slot, *load);
            }
        }
        let mut next = || {
            let slot = routing.pick()?;
            current[slot as usize] += 1;
            routing.update(slot, current[slot as usize]);
            Some(slot)
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn each_router_picks_as_it_should() {
        let loads = [Some(1), None, Some(0), Some(0)];
        let least = picks(Router::LeastOutstanding, &loads, 5);
        assert_eq!(least, [Some(2), Some(3), Some(0), Some(2), Some(3)]);
        let turns = picks(Router::RoundRobin, &loads, 5);
        assert_eq!(turns, [Some(0), Some(2), Some(3), Some(0), Some(2)]);
        let central = picks(Router::CentralQueue, &loads, 6);
        assert_eq!(central, [Some(2), Some(3), Some(0), Some(2), Some(3), None]);
        assert_eq!(picks(Router::RoundRobin, &[None], 1), [None]);
    }
}
