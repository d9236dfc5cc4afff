//! What is going to happen, in order, apart from arrivals and what engines do, which have their own
//! queues because there are so many of them.
//!
//! **Invariant:** events come out ordered by time, then priority, then the order in which they were
//! put in, so that a run is the same however the heap is laid out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use preheat_core::Instant;

/// Something that is going to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// A replica's life goes on; void when the replica has begun another life since.
    Replica { slot: u32, life: u32, step: LifeStep },
    /// The crash of this number in the list of faults.
    Crash { index: u32 },
    /// The rollout of this number in the list of faults.
    Rollout { index: u32 },
    /// An engine is scraped.
    Scrape { slot: u32, life: u32 },
    /// A minute ends.
    Minute,
    /// The autoscaler's turn.
    Tick,
    /// The turn of a preheat that watches.
    Shadow,
}

/// A step in a replica's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LifeStep {
    /// It is up, or awake again.
    Ready,
    /// Its start failed; another attempt begins after a back-off.
    StartFailed,
    /// It has had its time to finish what it has.
    GraceOver,
}

/// Order of what happens at one instant. Engines come before all of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Priority {
    /// Replicas become ready or fail.
    Life,
    /// Faults strike.
    Fault,
    /// Requests arrive.
    Arrival,
    /// Engines are scraped.
    Scrape,
    /// Someone looks: at the end of a minute, or an autoscaler.
    Look,
}

impl Event {
    const fn priority(self) -> Priority {
        match self {
            Self::Replica { .. } => Priority::Life,
            Self::Crash { .. } | Self::Rollout { .. } => Priority::Fault,
            Self::Scrape { .. } => Priority::Scrape,
            Self::Minute | Self::Tick | Self::Shadow => Priority::Look,
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    heap: BinaryHeap<Reverse<(Instant, Priority, u64, Event)>>,
    sequence: u64,
}

impl EventQueue {
    pub(crate) fn push(&mut self, at: Instant, event: Event) {
        self.heap.push(Reverse((at, event.priority(), self.sequence, event)));
        self.sequence += 1;
    }

    /// Time and priority of the next one.
    pub(crate) fn next(&self) -> Option<(Instant, Priority)> {
        self.heap.peek().map(|Reverse((at, priority, _, _))| (*at, *priority))
    }

    pub(crate) fn pop(&mut self) -> Option<(Instant, Event)> {
        self.heap.pop().map(|Reverse((at, _, _, event))| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_time_then_priority_then_sequence() {
        let mut queue = EventQueue::default();
        let at = Instant::from_nanos;
        queue.push(at(2), Event::Crash { index: 9 });
        queue.push(at(1), Event::Tick);
        queue.push(at(1), Event::Minute);
        queue.push(at(1), Event::Scrape { slot: 0, life: 0 });
        queue.push(at(1), Event::Crash { index: 0 });
        assert_eq!(queue.next(), Some((at(1), Priority::Fault)));
        let order: Vec<Event> = std::iter::from_fn(|| queue.pop()).map(|(_, e)| e).collect();
        let expected = [
            Event::Crash { index: 0 },
            Event::Scrape { slot: 0, life: 0 },
            Event::Tick,
            Event::Minute,
            Event::Crash { index: 9 },
        ];
        assert_eq!(order, expected);
    }
}
