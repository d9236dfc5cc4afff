//! What a pool came to over a whole journal, restarts included. Knows nothing of who asks.

use preheat_api::status::PoolTotals;

use super::error::JournalError;
use super::reader::{JournalReader, Selection};
use crate::controller::Totals;

/// Adds up the journal of `pool`, whose replicas have `gpus_per_replica` GPUs each. Time in which
/// preheat was not running is charged as if nothing had changed in it.
///
/// # Errors
/// When the journal, or an entry of it, can't be read.
pub fn tally(
    reader: &JournalReader,
    pool: &str,
    gpus_per_replica: u32,
) -> Result<PoolTotals, JournalError> {
    let mut totals = Totals::new(gpus_per_replica);
    let mut previous = None;
    let selection = Selection { pool: Some(pool.to_owned()), ..Selection::default() };
    for stored in reader.entries(selection) {
        let body = stored?.entry.body;
        let before =
            previous.as_ref().and_then(|body: &preheat_api::journal::EntryBody| body.observation());
        totals.count(before, &body);
        if body.observation().is_some() {
            previous = Some(body);
        }
    }
    Ok(totals.status())
}
