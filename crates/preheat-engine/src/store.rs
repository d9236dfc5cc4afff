//! Where requests are kept while inside: a slab, an index by id, and the batch as a linked list
//! in admission order. It knows neither time nor KV blocks.
//!
//! **Invariant:** a request is in the batch list exactly while it is prefilling or decoding.

use std::collections::BTreeMap;

use crate::request::{EngineRequest, RequestId};

/// Index of a request in the slab; reused after it left.
pub(crate) type Slot = u32;

/// End of a list.
const NONE: Slot = Slot::MAX;

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In the waiting queue, without KV blocks.
    Waiting,
    /// In the batch, its prompt not computed yet.
    Prefilling,
    /// In the batch, a token per step.
    Decoding,
    /// Out of the batch, its slot and blocks not given back yet.
    Leaving,
}

/// One request inside.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) request: EngineRequest,
    /// When it was submitted, in ns.
    pub(crate) arrived_at_nanos: u64,
    pub(crate) stage: Stage,
    /// Its client hung up: it leaves at the next opportunity, without an event.
    pub(crate) is_cancelled: bool,
    /// It has been in the batch before.
    pub(crate) was_scheduled: bool,
    /// Number of its latest admission: the order of the batch, never reused.
    pub(crate) admission: u64,
    /// Tokens generated; for a decoding request as of `joined_tick`.
    pub(crate) generated: u32,
    /// Tokens whose KV is computed; for a decoding request as of `joined_tick`.
    pub(crate) computed: u32,
    /// Tokens to compute before the next one is generated: prompt and generated ones.
    pub(crate) target: u32,
    /// Tick of the decode group at which it joined.
    pub(crate) joined_tick: u64,
    /// At which ticks, modulo the block size, it needs a new block.
    pub(crate) block_place: u32,
    /// Generated tokens that were reported.
    pub(crate) reported: u32,
    previous: Slot,
    next: Slot,
}

/// All requests inside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    entries: Vec<Entry>,
    free: Vec<Slot>,
    slots: BTreeMap<RequestId, Slot>,
    head: Option<Slot>,
    tail: Option<Slot>,
    batch_len: u32,
}

impl Store {
    /// Takes a request in, waiting.
    pub(crate) fn insert(&mut self, request: EngineRequest, arrived_at_nanos: u64) -> Slot {
        let entry = Entry {
            request,
            arrived_at_nanos,
            stage: Stage::Waiting,
            is_cancelled: false,
            was_scheduled: false,
            admission: 0,
            generated: 0,
            computed: 0,
            target: request.prompt_tokens,
            joined_tick: 0,
            block_place: 0,
            reported: 0,
            previous: NONE,
            next: NONE,
        };
        let slot = if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = entry;
            slot
        } else {
            assert!(self.entries.len() < NONE as usize, "more requests inside than slots");
            self.entries.push(entry);
            (self.entries.len() - 1) as Slot
        };
        let replaced = self.slots.insert(request.id, slot);
        assert!(replaced.is_none(), "the caller checks for duplicates");
        slot
    }

    /// Lets a request out that is in no list.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.forget(slot);
        self.free_slot(slot);
    }

    /// Makes the id of a request free for another.
    pub(crate) fn forget(&mut self, slot: Slot) {
        self.slots.remove(&self.entries[slot as usize].request.id);
    }

    /// Makes the slot of a forgotten request free for another.
    pub(crate) fn free_slot(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Lets all requests out; their ids in ascending order, cancelled ones left out.
    pub(crate) fn drain(&mut self) -> Vec<RequestId> {
        let slots = std::mem::take(&mut self.slots);
        let alive = |slot: &Slot| !self.entries[*slot as usize].is_cancelled;
        let ids = slots.iter().filter(|(_, slot)| alive(slot)).map(|(id, _)| *id).collect();
        *self = Self::default();
        ids
    }

    pub(crate) fn slot(&self, id: RequestId) -> Option<Slot> {
        self.slots.get(&id).copied()
    }

    pub(crate) fn get(&self, slot: Slot) -> &Entry {
        &self.entries[slot as usize]
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> &mut Entry {
        &mut self.entries[slot as usize]
    }

    /// Requests in the batch list.
    pub(crate) fn batch_len(&self) -> u32 {
        self.batch_len
    }

    /// First of the batch in admission order.
    pub(crate) fn batch_first(&self) -> Option<Slot> {
        self.head
    }

    /// Last of the batch in admission order.
    pub(crate) fn batch_last(&self) -> Option<Slot> {
        self.tail
    }

    /// The one admitted after `slot`.
    pub(crate) fn batch_next(&self, slot: Slot) -> Option<Slot> {
        present(self.get(slot).next)
    }

    /// Appends to the batch.
    pub(crate) fn batch_push(&mut self, slot: Slot) {
        let previous = self.tail.replace(slot);
        match previous {
            Some(previous) => self.get_mut(previous).next = slot,
            None => self.head = Some(slot),
        }
        let entry = self.get_mut(slot);
        entry.previous = previous.unwrap_or(NONE);
        entry.next = NONE;
        self.batch_len += 1;
    }

    /// Takes out of the batch.
    pub(crate) fn batch_remove(&mut self, slot: Slot) {
        let Entry { previous, next, .. } = *self.get(slot);
        match present(previous) {
            Some(previous) => self.get_mut(previous).next = next,
            None => self.head = present(next),
        }
        match present(next) {
            Some(next) => self.get_mut(next).previous = previous,
            None => self.tail = present(previous),
        }
        self.batch_len -= 1;
    }
}

fn present(slot: Slot) -> Option<Slot> {
    (slot != NONE).then_some(slot)
}
