//! The cluster: replicas, requests, the router, and what they come to. Who decides about it is not
//! known here.
//!
//! **Invariant:** a request is held, in one engine, or ended; never two of these.
//!
//! **Invariant:** no request is held while a replica could take it.

mod life;
mod look;
mod rollout;
mod serve;

pub(crate) use look::GatewayTaken;

use std::collections::VecDeque;
use std::time::Duration;

use preheat_core::{Instant, ReplicaId};
use preheat_engine::{EngineEvent, RequestId};

use crate::cold_start::{ColdStarts, Placement};
use crate::event::EventQueue;
use crate::random::Streams;
use crate::replica::Replica;
use crate::replica::requests::Requests;
use crate::replica::serving::NEVER;
use crate::report::Tally;
use crate::router::Routing;
use crate::router::min_tree::MinTree;
use crate::run::{SimulationConfig, SimulationError};

/// Everything that exists in a run.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) config: SimulationConfig,
    pub(crate) now: Instant,
    pub(crate) events: EventQueue,
    pub(crate) tally: Tally,
    /// How engines are scraped, where they are scraped for an autoscaler that does not do it itself.
    scrapes: Option<Duration>,
    /// Places are reused.
    replicas: Vec<Option<Replica>>,
    /// Lives that each place has seen.
    lives: Vec<u32>,
    free: Vec<u32>,
    /// Places of the replicas that exist, by id.
    order: Vec<u32>,
    next_id: u64,
    /// When each engine must be looked at next.
    wakes: MinTree<Instant>,
    routing: Routing,
    requests: Requests,
    held: VecDeque<RequestId>,
    placement: Placement,
    cold_starts: ColdStarts,
    streams: Streams,
    /// Replicas wanted, as the last answer had it.
    pub(crate) desired: u32,
    /// Successors on their way at one time, as the last rollout has it.
    surge: u32,
    minute: look::MinuteCounts,
    /// Room for the events of one engine.
    scratch: Vec<EngineEvent>,
}

impl Cluster {
    pub(crate) fn new(config: SimulationConfig, scrapes: Option<Duration>) -> Self {
        let slots = config.engine.max_num_seqs.get();
        Self {
            now: Instant::ORIGIN,
            events: EventQueue::default(),
            tally: Tally::new(&config.bounds),
            scrapes,
            replicas: Vec::new(),
            lives: Vec::new(),
            free: Vec::new(),
            order: Vec::new(),
            next_id: 0,
            wakes: MinTree::new(NEVER),
            routing: Routing::new(config.router, slots),
            requests: Requests::default(),
            held: VecDeque::new(),
            placement: Placement::new(config.gpus, config.gpus_per_replica),
            cold_starts: ColdStarts::new(&config.startup),
            streams: Streams::new(config.seed),
            desired: 0,
            surge: 0,
            minute: look::MinuteCounts::default(),
            scratch: Vec::new(),
            config,
        }
    }

    /// When an engine must be looked at next.
    pub(crate) fn wakes_at(&self) -> Instant {
        self.wakes.min()
    }

    /// Requests that have not ended.
    pub(crate) const fn requests_inside(&self) -> u64 {
        self.requests.len()
    }

    /// Moves the clock.
    pub(crate) fn pass_to(&mut self, at: Instant) -> Result<(), SimulationError> {
        if at < self.now {
            return Err(SimulationError::TimeBackwards { at, now: self.now });
        }
        self.now = at;
        Ok(())
    }

    fn replica(&self, slot: u32) -> Option<&Replica> {
        self.replicas.get(slot as usize)?.as_ref()
    }

    fn replica_mut(&mut self, slot: u32) -> Option<&mut Replica> {
        self.replicas.get_mut(slot as usize)?.as_mut()
    }

    /// Replicas that exist, by id.
    fn existing(&self) -> impl Iterator<Item = (u32, &Replica)> {
        self.order.iter().filter_map(|&slot| Some((slot, self.replica(slot)?)))
    }

    fn find(&self, id: ReplicaId) -> Option<u32> {
        let id_of = |slot: &u32| self.replica(*slot).map_or(ReplicaId(0), |replica| replica.id);
        let index = self.order.binary_search_by_key(&id, id_of).ok()?;
        self.order.get(index).copied()
    }

    /// What must hold whenever someone looks.
    pub(crate) fn check(&mut self) -> Result<(), SimulationError> {
        let at = self.now;
        let (arrived, inside) = (self.tally.requests, self.requests.len());
        let ended = self.tally.completed + self.tally.failed;
        let in_engines: u64 = self.existing().map(|(_, r)| u64::from(r.outstanding())).sum();
        let held = self.held.len();
        if arrived != ended + inside || inside != in_engines + held as u64 {
            return Err(SimulationError::NotConserved { arrived, ended, inside, at });
        }
        if held > 0 && self.routing.could_take() {
            return Err(SimulationError::HeldInVain { held, at });
        }
        Ok(())
    }
}
