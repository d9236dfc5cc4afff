//! `preheat coldstart`: where the time of a pool's starts goes, and what would save some of it.

mod report;
mod savings;
mod seen;
mod text;

use preheat_api::config::{Launch, LocalConfig};
use preheat_emulator::find_profile;
use report::{PoolReport, Report};
use savings::Replica;
use seen::Seen;

use super::why;
use crate::cli::ColdstartArgs;
use crate::failure::{Answer, hinted};

pub(crate) fn run(args: &ColdstartArgs) -> anyhow::Result<Answer> {
    let reader = why::open(&args.journal)?;
    let config = args.config.as_deref().map(super::read_config).transpose()?;
    let mut report = Report { pools: Vec::new(), pools_without_starts: Vec::new() };
    for pool in why::pools(&reader, args.pool.as_deref())? {
        let seen = Seen::read(&reader, &pool)?;
        let replica = replica(args, config.as_ref(), &pool)?;
        match PoolReport::of(&pool, &seen, replica) {
            Some(told) => report.pools.push(told),
            None => report.pools_without_starts.push(pool),
        }
    }
    if report.pools.is_empty() {
        return Err(no_starts(args, &report.pools_without_starts));
    }
    if args.json {
        super::print(&format!("{}\n", serde_json::to_string(&report)?))?;
    } else {
        super::print(&text::text(&report))?;
    }
    Ok(Answer::Yes)
}

/// What a replica of the pool is, as far as anything given says so.
fn replica(
    args: &ColdstartArgs,
    config: Option<&LocalConfig>,
    pool: &str,
) -> anyhow::Result<Replica> {
    let mut replica = Replica { gpus: None, weights_bytes: None };
    let mut profile = args.profile.as_deref();
    if let Some(config) = config {
        let Some(found) = config.pools.iter().find(|found| found.name == pool) else {
            let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
            let hint = format!("it has: {}; choose one with --pool", names.join(", "));
            return Err(hinted(format!("the configuration has no pool {pool:?}"), hint));
        };
        replica.gpus = Some(found.engine.gpus_per_replica);
        if let Launch::Emulated(engine) = &found.engine.launch {
            profile = Some(&engine.profile);
        }
    }
    if let Some(name) = profile {
        let profile = find_profile(name)?;
        replica.gpus.get_or_insert(profile.gpus);
        replica.weights_bytes = Some(profile.weights_bytes);
    }
    Ok(replica)
}

fn no_starts(args: &ColdstartArgs, pools: &[String]) -> anyhow::Error {
    let of = if pools.is_empty() { String::new() } else { format!(" of {}", pools.join(", ")) };
    hinted(
        format!("{} holds no start{of} that became ready", args.journal.display()),
        "a start is known once a replica that was ordered has become ready: let preheat run until \
         then, or give another --journal or --pool",
    )
}
