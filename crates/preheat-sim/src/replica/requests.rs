//! Requests between arrival and end: a slab whose size is what is in flight at most.
//!
//! **Invariant:** an id is never given twice in a run, though its place in the slab is.

use preheat_core::Instant;
use preheat_engine::{EngineRequest, RequestId};

/// One request inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) id: RequestId,
    pub(crate) arrived_at: Instant,
    /// When it reached the engine that it is in.
    pub(crate) sent_at: Instant,
    pub(crate) first_token_at: Option<Instant>,
    pub(crate) prompt_tokens: u32,
    pub(crate) output_tokens: u32,
    /// Steps that its engine had made when it began to decode, one token in each step since; `None`
    /// while it does not decode, or not in every step any more.
    pub(crate) decodes_from: Option<u64>,
}

impl Request {
    pub(crate) const fn for_engine(&self) -> EngineRequest {
        EngineRequest {
            id: self.id,
            prompt_tokens: self.prompt_tokens,
            output_tokens: self.output_tokens,
        }
    }
}

/// All requests inside.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    entries: Vec<Request>,
    free: Vec<u32>,
    sequence: u32,
    inside: u64,
}

/// Bits of an id that say where in the slab it is; the upper ones count.
const PLACE_BITS: u32 = 32;

impl Requests {
    pub(crate) fn insert(
        &mut self,
        arrived_at: Instant,
        prompt_tokens: u32,
        output_tokens: u32,
    ) -> RequestId {
        let place = self.free.pop().unwrap_or(self.entries.len() as u32);
        let id = RequestId(u64::from(self.sequence) << PLACE_BITS | u64::from(place));
        self.sequence = self.sequence.wrapping_add(1);
        let request = Request {
            id,
            arrived_at,
            sent_at: arrived_at,
            first_token_at: None,
            prompt_tokens,
            output_tokens,
            decodes_from: None,
        };
        match self.entries.get_mut(place as usize) {
            Some(entry) => *entry = request,
            None => self.entries.push(request),
        }
        self.inside += 1;
        id
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.entries.get_mut(id.0 as u32 as usize).filter(|entry| entry.id == id)
    }

    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Request> {
        /// No id that is ever given: that of a place which is far beyond any memory.
        const GONE: RequestId = RequestId(u64::MAX);
        let entry = self.get_mut(id)?;
        let request = *entry;
        entry.id = GONE;
        self.free.push(id.0 as u32);
        self.inside -= 1;
        Some(request)
    }

    pub(crate) const fn len(&self) -> u64 {
        self.inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_reused_and_ids_are_not() {
        let mut requests = Requests::default();
        let first = requests.insert(Instant::ORIGIN, 1, 1);
        let second = requests.insert(Instant::ORIGIN, 2, 2);
        assert_eq!(requests.remove(first).map(|r| r.prompt_tokens), Some(1));
        assert!(requests.remove(first).is_none());
        let third = requests.insert(Instant::ORIGIN, 3, 3);
        assert_ne!(first, third);
        assert!(requests.get_mut(first).is_none());
        assert_eq!(requests.get_mut(third).map(|r| r.output_tokens), Some(3));
        assert_eq!((requests.len(), requests.entries.len()), (2, 2));
        assert!(requests.remove(second).is_some());
    }
}
