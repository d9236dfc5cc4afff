//! A pool's past as preheat's own journal tells it.

use std::path::Path;

use preheat_compare::backtest::{Past, Retold};
use preheat_core::Instant;
use preheat_runtime::journal::Selection;

use super::super::why;
use crate::cli::PastArgs;
use crate::failure::hinted;

/// Reads the last `--from` of the journal.
pub(super) fn read(journal: &Path, args: &PastArgs) -> anyhow::Result<Retold> {
    let reader = why::open(journal)?;
    let pools = why::pools(&reader, args.pool.as_deref())?;
    let [pool] = pools.as_slice() else {
        let hint = format!("choose one with --pool: {}", pools.join(", "));
        return Err(hinted(format!("{} has several pools", journal.display()), hint));
    };
    let selection = || Selection { pool: Some(pool.clone()), ..Selection::default() };
    let mut last = Instant::ORIGIN;
    for stored in reader.entries(selection()) {
        if let Some(observation) = stored?.entry.body.observation() {
            last = last.max(observation.now);
        }
    }
    let earliest = last.saturating_sub(args.from);
    let mut past = Past::new(args.step);
    for stored in reader.entries(selection()) {
        let entry = stored?.entry;
        let Some(observation) = entry.body.observation() else { continue };
        if observation.now >= earliest {
            past.take(observation);
        }
    }
    Ok(past.end())
}
