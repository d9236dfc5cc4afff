//! The decoding part of a batch, kept so that a step costs the same however many decode.
//!
//! Each member gets one token per tick, so its state follows from the tick at which it joined:
//! nothing is touched per member and step. It knows neither time nor the queue.
//!
//! **Invariant:** `context_sum` is the sum over members of their computed tokens;
//! `block_places` counts the members that need a new KV block at each tick modulo the block size.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::store::{Entry, Slot, Stage, Store};

/// A member's last tick, its admission number, and its slot. Entries of members that left
/// otherwise stay behind and are told by their admission number.
type Finish = Reverse<(u64, u64, Slot)>;

/// Stale entries allowed in the heap before it is swept, beyond one per member.
const STALE_MAX: usize = 64;

/// All decoding requests of a batch.
#[derive(Clone, Debug)]
pub(crate) struct DecodeGroup {
    tick: u64,
    len: u32,
    context_sum: u64,
    block_places: Vec<u32>,
    /// The tick modulo the block size.
    place: usize,
    finishes: BinaryHeap<Finish>,
}

impl DecodeGroup {
    pub(crate) fn new(block_size: u32) -> Self {
        Self {
            tick: 0,
            len: 0,
            context_sum: 0,
            block_places: vec![0; block_size as usize],
            place: 0,
            finishes: BinaryHeap::new(),
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Tokens that the next step's decodes read, their own new ones included.
    pub(crate) fn context(&self) -> u64 {
        self.context_sum + u64::from(self.len)
    }

    /// Blocks that the next step's decodes need.
    pub(crate) fn blocks_needed(&self) -> u64 {
        u64::from(self.block_places[self.place])
    }

    /// Blocks that the next `steps` steps need.
    pub(crate) fn blocks_needed_for(&self, steps: u32) -> u64 {
        let size = self.block_places.len() as u32;
        let rest = (0..(steps % size) as usize).map(|i| self.needed_after(i)).sum::<u64>();
        u64::from(steps / size) * u64::from(self.len) + rest
    }

    /// How many of the next `steps` steps get their blocks when `blocks_free` are free.
    pub(crate) fn steps_within(&self, steps: u32, blocks_free: u64) -> u32 {
        let size = self.block_places.len() as u32;
        if self.len == 0 || u64::from(steps / size + 1) * u64::from(self.len) <= blocks_free {
            return steps;
        }
        let rounds = blocks_free / u64::from(self.len);
        let mut blocks_left = blocks_free % u64::from(self.len);
        let mut within = u32::try_from(rounds).unwrap_or(u32::MAX).saturating_mul(size);
        for i in 0..size as usize {
            let needed = self.needed_after(i);
            if within >= steps || needed > blocks_left {
                break;
            }
            blocks_left -= needed;
            within += 1;
        }
        within.min(steps)
    }

    /// Blocks needed by the step that comes `steps` after the next one; `steps` is below the
    /// block size.
    fn needed_after(&self, steps: usize) -> u64 {
        let at = self.place + steps;
        let size = self.block_places.len();
        u64::from(self.block_places[if at < size { at } else { at - size }])
    }

    /// Whether this member needs a new block in the next step.
    pub(crate) fn needs_block(&self, entry: &Entry) -> bool {
        entry.block_place as usize == self.place
    }

    /// Tokens that this member generated.
    pub(crate) fn generated(&self, entry: &Entry) -> u32 {
        entry.generated + (self.tick - entry.joined_tick) as u32
    }

    /// Tokens of this member whose KV is computed.
    pub(crate) fn computed(&self, entry: &Entry) -> u32 {
        entry.computed + (self.tick - entry.joined_tick) as u32
    }

    /// Passes `steps` steps in which every member got a token.
    pub(crate) fn pass(&mut self, steps: u32) {
        self.tick += u64::from(steps);
        self.context_sum += u64::from(steps) * u64::from(self.len);
        let size = self.block_places.len();
        self.place = (self.place + steps as usize) % size;
    }

    /// Adds a request whose prompt is computed and whose next token is generated.
    pub(crate) fn join(&mut self, slot: Slot, entry: &mut Entry) {
        let size = self.block_places.len();
        entry.stage = Stage::Decoding;
        entry.joined_tick = self.tick;
        entry.block_place = ((self.place + size - entry.computed as usize % size) % size) as u32;
        self.block_places[entry.block_place as usize] += 1;
        self.len += 1;
        self.context_sum += u64::from(entry.computed);
        let tokens_left = entry.request.output_tokens - entry.generated;
        self.finishes.push(Reverse((self.tick + u64::from(tokens_left), entry.admission, slot)));
    }

    /// Takes a member out; its token counts become plain numbers.
    pub(crate) fn leave(&mut self, entry: &mut Entry) {
        entry.generated = self.generated(entry);
        entry.computed = self.computed(entry);
        self.block_places[entry.block_place as usize] -= 1;
        self.len -= 1;
        self.context_sum -= u64::from(entry.computed);
    }

    /// Steps until the next member has generated its last token. May be early by members that
    /// left, never late.
    pub(crate) fn steps_to_finish(&self) -> Option<u64> {
        self.finishes.peek().map(|Reverse((tick, _, _))| tick - self.tick)
    }

    /// The next member that has generated its last token, in admission order.
    pub(crate) fn pop_finished(&mut self, store: &Store) -> Option<Slot> {
        while let Some(Reverse((tick, admission, slot))) = self.finishes.peek().copied() {
            let is_member = is_member(store, admission, slot);
            if is_member && tick > self.tick {
                return None;
            }
            self.finishes.pop();
            if is_member {
                return Some(slot);
            }
        }
        None
    }

    /// Sweeps the heap when more of it is stale than not.
    pub(crate) fn sweep(&mut self, store: &Store) {
        if self.finishes.len() > 2 * self.len as usize + STALE_MAX {
            self.finishes
                .retain(|Reverse((_, admission, slot))| is_member(store, *admission, *slot));
        }
    }
}

fn is_member(store: &Store, admission: u64, slot: Slot) -> bool {
    let entry = store.get(slot);
    entry.admission == admission && entry.stage == Stage::Decoding
}
