//! Rollouts: whoever runs the replicas replaces each of them, as a Deployment with `maxSurge` does.
//!
//! A successor is ordered beside the fleet; once it is ready, one of the old replicas is let go. The
//! autoscaler is not asked, and its count is not touched: it sees neither successors on their way nor
//! old replicas that finish what they have.
//!
//! **Invariant:** of successors, no more are on their way than the surge, nor than old replicas are
//! left.

use preheat_core::Instant;

use super::Cluster;
use crate::replica::{Phase, Replica, Version};
use crate::run::SimulationError;

impl Cluster {
    /// All that exists is old from now on.
    pub(crate) fn roll_out(&mut self, index: u32) -> Result<(), SimulationError> {
        let Some(rollout) = self.config.faults.rollouts.get(index as usize).copied() else {
            return Ok(());
        };
        self.surge = rollout.surge;
        for slot in self.order.clone() {
            // Of what went out before, nobody waits any longer.
            if self.replica(slot).is_some_and(|replica| replica.version == Version::Successor) {
                self.remove(slot);
            } else if let Some(replica) = self.replica_mut(slot)
                && replica.phase != Phase::Draining
            {
                replica.version = Version::Old;
            }
        }
        self.order_successors();
        Ok(())
    }

    /// A successor is ready: it counts from now on, and an old one goes in its place.
    pub(super) fn succeed(&mut self, slot: u32) {
        let Some(replica) = self.replica_mut(slot) else { return };
        if replica.version != Version::Successor {
            return;
        }
        replica.version = Version::Current;
        if let Some(old) = self.next_to_replace() {
            self.let_go(old);
        }
        self.order_successors();
    }

    fn order_successors(&mut self) {
        let of = |cluster: &Self, wanted: fn(&Replica) -> bool| {
            cluster.existing().filter(|(_, replica)| wanted(replica)).count()
        };
        let on_their_way = of(self, |replica| replica.version == Version::Successor);
        let old = of(self, is_to_be_replaced);
        let surge = self.surge as usize;
        for _ in on_their_way..old.min(surge) {
            let slot = self.order_one();
            if let Some(replica) = self.replica_mut(slot) {
                replica.version = Version::Successor;
            }
        }
    }

    /// The old replica that serves least: one that does not serve yet, else the oldest.
    fn next_to_replace(&self) -> Option<u32> {
        let rank = |replica: &Replica| -> (bool, Instant) {
            (replica.phase == Phase::Ready, replica.ready_at.unwrap_or(replica.ordered_at))
        };
        let old = self.existing().filter(|(_, replica)| is_to_be_replaced(replica));
        old.min_by_key(|(_, replica)| rank(replica)).map(|(slot, _)| slot)
    }
}

fn is_to_be_replaced(replica: &Replica) -> bool {
    replica.version == Version::Old && replica.phase != Phase::Draining
}
