//! Requests on their way through the cluster: they arrive, are held or sent, and end.

use preheat_core::Instant;
use preheat_engine::RequestId;
use preheat_traffic::TraceRequest;

use super::Cluster;
use crate::replica::Phase;
use crate::run::SimulationError;

impl Cluster {
    /// A request arrives.
    pub(crate) fn arrive(&mut self, request: &TraceRequest) {
        self.tally.requests += 1;
        self.tally.prompt_tokens += u64::from(request.input_tokens);
        self.minute.arrived(request);
        let id = self.requests.insert(self.now, request.input_tokens, request.output_tokens);
        if self.held.is_empty() {
            self.send(id);
        } else {
            self.held.push_back(id);
        }
    }

    /// Gives a request to a replica, or holds it.
    fn send(&mut self, id: RequestId) {
        let Some(slot) = self.routing.pick() else {
            self.held.push_back(id);
            return;
        };
        let now = self.now;
        let Some(request) = self.requests.get_mut(id) else { return };
        request.sent_at = now;
        let replica = self.replicas.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(serving) = replica.and_then(|replica| replica.serving.as_mut()) else { return };
        if serving.submit(now, request).is_err() {
            self.requests.remove(id);
            self.tally.failed += 1;
            self.tally.rejected += 1;
            return;
        }
        self.wakes.set(slot as usize, serving.wake_at());
        self.routing.update(slot, serving.outstanding());
    }

    /// Sends what is held, as far as there is someone to take it.
    pub(super) fn send_held(&mut self) {
        while !self.held.is_empty() && self.routing.could_take() {
            if let Some(id) = self.held.pop_front() {
                self.send(id);
            }
        }
    }

    /// Looks at the engine that is due.
    pub(crate) fn wake(&mut self) -> Result<(), SimulationError> {
        let index = self.wakes.min_index();
        let Ok(slot) = u32::try_from(index) else { return Ok(()) };
        self.advance(slot)
    }

    /// Brings one engine up to date, and does what its ended requests made possible.
    pub(super) fn advance(&mut self, slot: u32) -> Result<(), SimulationError> {
        let now = self.now;
        let replica = self.replicas.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(replica) = replica else { return Ok(()) };
        let Some(serving) = replica.serving.as_mut() else { return Ok(()) };
        let before = serving.outstanding();
        serving.advance(now, &mut self.requests, &mut self.tally, &mut self.scratch)?;
        let outstanding = serving.outstanding();
        self.wakes.set(slot as usize, serving.wake_at());
        if outstanding == before {
            return Ok(());
        }
        if replica.phase == Phase::Draining {
            if outstanding == 0 && self.drains_itself(slot) {
                self.remove(slot);
            }
            return Ok(());
        }
        self.routing.update(slot, outstanding);
        if !self.held.is_empty() && self.routing.holds_while_full() {
            self.send_held();
        }
        Ok(())
    }

    /// Sends those that lost their engine to another one, unless an answer had begun.
    pub(super) fn lose(&mut self, ids: Vec<RequestId>) {
        for id in ids {
            let Some(request) = self.requests.get_mut(id) else { continue };
            if request.first_token_at.is_some() {
                self.requests.remove(id);
                self.tally.failed += 1;
                self.tally.streams_cut += 1;
            } else {
                self.send(id);
            }
        }
    }

    /// Gives up on all that has not ended.
    pub(crate) fn abandon(&mut self) {
        self.tally.failed += self.requests.len();
    }

    /// Age of the request that has been held longest.
    pub(super) fn held_oldest_since(&mut self) -> Option<Instant> {
        let id = *self.held.front()?;
        self.requests.get_mut(id).map(|request| request.arrived_at)
    }
}
