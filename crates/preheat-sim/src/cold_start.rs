//! How long starts take in the simulated world, and where replicas are placed.
//!
//! **Invariant:** no more GPUs of a node are given out than it has.

use std::time::Duration;

use preheat_core::{Probability, ReplicaId};
use preheat_engine::{CompileCache, ImageSource, StartupInputs, StartupProfile, WeightsSource};

use crate::random::Stream;

/// How long a start takes from order to ready.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ColdStartConfig {
    /// Always the same.
    Fixed(Duration),
    /// Drawn, phase by phase.
    Profile(StartupProfile),
    /// Drawn from a seed and the replica's number, whenever it starts: as the emulated engines of a
    /// live pool draw theirs.
    PerReplica {
        /// What it is drawn from.
        profile: StartupProfile,
        /// Added to the number.
        seed: u64,
    },
    /// Drawn by what the node has: a first start on a node is slower than the next ones.
    PerNode {
        /// On a node without image, weights and compiled kernels.
        first: StartupInputs,
        /// On a node where a replica has been ready before.
        later: StartupInputs,
    },
}

impl ColdStartConfig {
    /// First start as `first` says; later ones find the image, the weights in the page cache and
    /// compiled kernels.
    pub const fn per_node(first: StartupInputs) -> Self {
        let later = StartupInputs {
            image: ImageSource::Cached,
            weights_bytes: first.weights_bytes,
            weights: WeightsSource::PageCache,
            compile_cache: CompileCache::Hit,
        };
        Self::PerNode { first, later }
    }

    /// The median of a first start, phase by phase.
    pub fn typical(&self) -> Duration {
        ColdStarts::new(self).typical()
    }
}

/// The machines there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GpuSupply {
    /// As many as anyone asks for, each start on a node of its own.
    #[default]
    Unlimited,
    /// So many nodes of so many GPUs. One node of N is a quota of N GPUs.
    Nodes {
        /// How many.
        nodes: u32,
        /// GPUs of each.
        gpus_each: u32,
    },
}

/// Draws starts.
#[derive(Debug)]
pub(crate) struct ColdStarts {
    first: StartupProfile,
    later: StartupProfile,
    /// Where a replica's number decides.
    replica_seed: Option<u64>,
}

impl ColdStarts {
    pub(crate) fn new(config: &ColdStartConfig) -> Self {
        let (first, later, replica_seed) = match config {
            ColdStartConfig::Fixed(total) => {
                let profile = StartupProfile::fixed(*total);
                (profile, profile, None)
            }
            ColdStartConfig::Profile(profile) => (*profile, *profile, None),
            ColdStartConfig::PerReplica { profile, seed } => (*profile, *profile, Some(*seed)),
            ColdStartConfig::PerNode { first, later } => {
                (StartupProfile::from_inputs(first), StartupProfile::from_inputs(later), None)
            }
        };
        Self { first, later, replica_seed }
    }

    /// Time to ready; `None` for a start that hangs.
    pub(crate) fn draw(
        &self,
        replica: ReplicaId,
        node_is_warm: bool,
        stream: &mut Stream,
    ) -> Option<Duration> {
        let profile = if node_is_warm { &self.later } else { &self.first };
        let seed = match self.replica_seed {
            Some(seed) => seed.wrapping_add(replica.0),
            None => stream.bits(),
        };
        profile.draw(seed).ready_after()
    }

    /// The median of a first start, phase by phase.
    pub(crate) fn typical(&self) -> Duration {
        let median = Probability::saturating(0.5);
        let phases = [&self.first.pulling, &self.first.loading, &self.first.warming];
        phases.iter().fold(Duration::ZERO, |sum, d| sum.saturating_add(d.quantile(median)))
    }
}

/// Who is where.
#[derive(Debug)]
pub(crate) struct Placement {
    /// `None` when there is no limit.
    nodes: Option<Vec<Node>>,
    gpus_per_replica: u32,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    gpus_free: u32,
    /// A replica has been ready here.
    is_warm: bool,
}

/// A place for one replica; no number where there is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place(Option<u32>);

impl Placement {
    pub(crate) fn new(supply: GpuSupply, gpus_per_replica: u32) -> Self {
        let nodes = match supply {
            GpuSupply::Unlimited => None,
            GpuSupply::Nodes { nodes, gpus_each } => {
                Some(vec![Node { gpus_free: gpus_each, is_warm: false }; nodes as usize])
            }
        };
        Self { nodes, gpus_per_replica }
    }

    /// Takes a place, where a start is quick if possible; `None` when there is none.
    pub(crate) fn take(&mut self) -> Option<Place> {
        let gpus = self.gpus_per_replica;
        let Some(nodes) = &mut self.nodes else { return Some(Place(None)) };
        let fits = |node: &Node| node.gpus_free >= gpus;
        let warm = nodes.iter().position(|node| node.is_warm && fits(node));
        let index = warm.or_else(|| nodes.iter().position(fits))?;
        nodes.get_mut(index)?.gpus_free -= gpus;
        Some(Place(u32::try_from(index).ok()))
    }

    pub(crate) fn give_back(&mut self, place: Place) {
        let gpus = self.gpus_per_replica;
        if let Some(node) = self.node_mut(place) {
            node.gpus_free += gpus;
        }
    }

    pub(crate) fn warm_up(&mut self, place: Place) {
        if let Some(node) = self.node_mut(place) {
            node.is_warm = true;
        }
    }

    pub(crate) fn is_warm(&self, place: Place) -> bool {
        let nodes = self.nodes.as_deref().unwrap_or_default();
        place.0.and_then(|index| nodes.get(index as usize)).is_some_and(|node| node.is_warm)
    }

    /// Replicas that could still be placed; `None` when there is no limit.
    pub(crate) fn placeable(&self) -> Option<u32> {
        let per_replica = self.gpus_per_replica.max(1);
        let nodes = self.nodes.as_ref()?;
        Some(nodes.iter().map(|node| node.gpus_free / per_replica).sum())
    }

    fn node_mut(&mut self, place: Place) -> Option<&mut Node> {
        self.nodes.as_mut()?.get_mut(place.0? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_warm_ones_come_first() {
        let mut placement = Placement::new(GpuSupply::Nodes { nodes: 2, gpus_each: 3 }, 2);
        assert_eq!(placement.placeable(), Some(2));
        let first = placement.take().unwrap();
        let second = placement.take().unwrap();
        assert_eq!((placement.take(), placement.placeable()), (None, Some(0)));
        placement.warm_up(second);
        placement.give_back(first);
        placement.give_back(second);
        assert!(placement.is_warm(second) && !placement.is_warm(first));
        assert_eq!(placement.take(), Some(second));
        let mut unlimited = Placement::new(GpuSupply::Unlimited, 8);
        let place = unlimited.take().unwrap();
        unlimited.warm_up(place);
        assert!(!unlimited.is_warm(place));
        assert_eq!(unlimited.placeable(), None);
    }
}
