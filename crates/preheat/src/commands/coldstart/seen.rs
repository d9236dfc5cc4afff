//! What a journal tells of a pool's starts.

use std::time::Duration;

use preheat_compare::shadow::PAUSE_MIN;
use preheat_core::{ColdStartSample, EndedStart, Instant, StartFollower};
use preheat_runtime::journal::{JournalReader, Selection};

/// Starts of one pool, and for how long it was watched.
pub(super) struct Seen {
    /// Those that became ready.
    pub(super) ready: Vec<ColdStartSample>,
    /// Those that were given up, and those under way at the end.
    pub(super) unfinished: Vec<ColdStartSample>,
    /// How long wakes took, ascending.
    pub(super) wakes: Vec<Duration>,
    /// Time between ticks, without pauses.
    pub(super) watched: Duration,
}

impl Seen {
    /// Follows the pool through every tick of the journal.
    pub(super) fn read(reader: &JournalReader, pool: &str) -> anyhow::Result<Self> {
        let mut follower = StartFollower::default();
        let mut seen = Self {
            ready: Vec::new(),
            unfinished: Vec::new(),
            wakes: Vec::new(),
            watched: Duration::ZERO,
        };
        let mut last: Option<Instant> = None;
        let selection = Selection { pool: Some(pool.to_owned()), ..Selection::default() };
        for stored in reader.entries(selection) {
            let entry = stored?.entry;
            let Some(observation) = entry.body.observation() else { continue };
            let step = last.map_or(Duration::ZERO, |last| observation.now.since(last));
            last = Some(observation.now);
            if step <= PAUSE_MIN {
                seen.watched += step;
            }
            for ended in follower.observe(observation) {
                seen.take(ended);
            }
        }
        seen.unfinished.extend(follower.under_way());
        seen.wakes.sort_unstable();
        Ok(seen)
    }

    fn take(&mut self, ended: EndedStart) {
        match ended {
            EndedStart::Wake(took) => self.wakes.push(took),
            EndedStart::ColdStart(start) if start.given_up_in.is_some() => {
                self.unfinished.push(start);
            }
            EndedStart::ColdStart(start) => self.ready.push(start),
        }
    }

    /// All starts, however they ended.
    pub(super) fn starts(&self) -> impl Iterator<Item = &ColdStartSample> {
        self.ready.iter().chain(&self.unfinished)
    }
}
