//! What each pool's last day cost beside the offline optimum, worked out when somebody looks.
//!
//! **Invariant:** who looks never waits for it: it is told as it was last known, or not at all.
//!
//! **Invariant:** one pool at a time, in turn with simulations, with a rest after each: however many
//! pools there are, most of a core is left to others.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::status::PoolStatus;
use preheat_api::v1::{Span, Spent};
use preheat_compare::what_if::SPENT_OVER;
use preheat_runtime::journal::JournalReader;
use tokio::time::Instant;

use crate::past;
use crate::simulations::{Simulations, Steering};

/// Least wall time between two times of one pool.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// Share by which the time that is told of grows before it is worked out anew: of a day a quarter of
/// an hour, of a demo's first minutes some seconds.
const GROWN_BY: f64 = 0.01;
/// The same after one that could not be read, which may have cost as much.
const RETRY_AFTER: Duration = Duration::from_secs(120);
/// Wall time of one pool. A day of ticks and 300,000 requests are some seconds, and ten times more in
/// a build without optimization.
const TIME_MAX: Duration = Duration::from_secs(60);
/// A rest is so many times as long as the work before it.
const REST: u32 = 4;

/// What is known of each pool.
#[derive(Debug, Default)]
pub(crate) struct Spending(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_pool: BTreeMap<String, Known>,
    is_busy: bool,
    rests_until: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Known {
    spent: Spent,
    at: Instant,
}

impl Spending {
    /// What is known of a pool.
    pub(crate) fn of(&self, pool: &str) -> Option<Spent> {
        self.lock().by_pool.get(pool).map(|known| known.spent.clone())
    }

    /// Begins to work out the pool that needs it most, if one does. To be called where tasks can be
    /// spawned.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        pools: &[PoolStatus],
        journal: &Path,
        simulations: &Simulations,
    ) {
        let Some(pool) = self.begin(pools) else { return };
        let working = Working { spending: Arc::clone(self), began: Instant::now() };
        let (name, gpus) = (pool.pool.clone(), pool.gpus_per_replica);
        let journal = PathBuf::from(journal);
        simulations.beside(TIME_MAX, move |steering| {
            let spent = work_out(&journal, &name, gpus, steering).unwrap_or_else(untold);
            let known = Known { spent, at: Instant::now() };
            working.spending.lock().by_pool.insert(name, known);
        });
    }

    /// The pool that is next; from here on it is being worked out.
    fn begin<'a>(&self, pools: &'a [PoolStatus]) -> Option<&'a PoolStatus> {
        let (mut kept, now) = (self.lock(), Instant::now());
        if kept.is_busy || kept.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        kept.by_pool.retain(|name, _| pools.iter().any(|pool| pool.pool == *name));
        let known = |pool: &PoolStatus| kept.by_pool.get(&pool.pool);
        let is_due = |pool: &&PoolStatus| known(pool).is_none_or(|it| it.is_due(pool, now));
        let due = pools.iter().filter(is_due);
        let next = due.min_by_key(|pool| known(pool).map(|it| it.at))?;
        kept.is_busy = true;
        Some(next)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is behind it is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Whether it tells of too little by now. A journal after the fact does not grow.
    fn is_due(&self, pool: &PoolStatus, now: Instant) -> bool {
        let age = now.duration_since(self.at);
        let Some(over) = self.spent.over else { return age >= RETRY_AFTER };
        let last_tick_s = pool.last_tick_at.map_or(0.0, |at| at.as_secs_f64());
        let grown = last_tick_s - over.until_s;
        age >= KEPT_FOR && grown > 0.0 && grown >= GROWN_BY * (over.until_s - over.from_s)
    }
}

/// While it lives, one pool is being worked out; however that ends, a rest comes after it.
struct Working {
    spending: Arc<Spending>,
    began: Instant,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut kept = self.spending.lock();
        kept.is_busy = false;
        kept.rests_until = Some(Instant::now() + self.began.elapsed() * REST);
    }
}

/// Blocks.
fn work_out(
    journal: &Path,
    pool: &str,
    gpus_per_replica: Option<u32>,
    steering: &Steering<'_>,
) -> Result<Spent, String> {
    let reader = JournalReader::open_read_only(journal).map_err(|error| error.to_string())?;
    let configured = past::configured(&reader, pool).map_err(|error| error.to_string())?;
    let configured = configured.ok_or("the journal does not know this pool")?;
    let go_on = &mut |done| steering.go_on(done);
    let (retold, _) = past::read(&reader, pool, SPENT_OVER, None, go_on)?;
    let spent = configured.spent(retold, gpus_per_replica);
    let (optimum_gpu_hours, optimum_missing) = match spent.optimum_gpu_hours {
        Ok(hours) => (Some(hours), None),
        Err(why) => (None, Some(why.to_string())),
    };
    let over = Span { from_s: spent.from.as_secs_f64(), until_s: spent.until.as_secs_f64() };
    Ok(Spent {
        over: Some(over),
        gpu_hours: spent.happened.map(|happened| happened.gpu_hours),
        attainment: spent.happened.and_then(|happened| happened.attainment),
        optimum_gpu_hours,
        optimum_missing,
    })
}

fn untold(why: String) -> Spent {
    Spent {
        over: None,
        gpu_hours: None,
        attainment: None,
        optimum_gpu_hours: None,
        optimum_missing: Some(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(name: &str, last_tick_s: u64) -> PoolStatus {
        let at = preheat_core::Instant::ORIGIN.saturating_add(Duration::from_secs(last_tick_s));
        PoolStatus { pool: name.to_owned(), last_tick_at: Some(at), ..PoolStatus::default() }
    }

    /// Who is next, as if it took so long to work it out, up to a moment.
    fn next(spending: &Arc<Spending>, pools: &[PoolStatus], until_s: f64) -> Option<String> {
        let name = spending.begin(pools)?.pool.clone();
        let working = Working { spending: Arc::clone(spending), began: Instant::now() };
        let spent = Spent { over: Some(Span { from_s: 0.0, until_s }), ..untold(String::new()) };
        let known = Known { spent, at: Instant::now() };
        working.spending.lock().by_pool.insert(name.clone(), known);
        Some(name)
    }

    #[tokio::test(start_paused = true)]
    async fn one_after_the_other_and_each_anew_when_it_is_old_and_behind() {
        let spending = Arc::default();
        let pools = [pool("a", 100), pool("b", 50)];
        let mut asked = Vec::new();
        let waits = [(0, 90.0), (1, 50.0), (1, 90.0), (200, 90.0), (200, 100.0), (200, 0.0)];
        for (wait_s, until_s) in waits {
            tokio::time::advance(Duration::from_secs(wait_s)).await;
            asked.push(next(&spending, &pools, until_s));
        }
        let name = |name: &str| Some(name.to_owned());
        // The newest of `b` is told of from the first time on, that of `a` from the third.
        assert_eq!(asked, [name("a"), name("b"), None, name("a"), name("a"), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_told_anew_when_there_is_a_hundredth_more_to_tell_of() {
        let at = Instant::now();
        let spent = |over| Spent { over, ..untold(String::new()) };
        let over = |until_s| Some(Span { from_s: 1_000.0, until_s });
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        for (over, last_tick_s, expected) in [
            (over(87_400.0), 88_000, false),
            (over(87_400.0), 88_300, true),
            (over(1_100.0), 1_101, true),
            (over(1_000.0), 1_000, false),
            (None, 88_000, false),
        ] {
            let known = Known { spent: spent(over), at };
            assert_eq!(known.is_due(&pool("a", last_tick_s), now), expected, "{over:?}");
            assert!(!known.is_due(&pool("a", 90_000), at), "just told");
        }
        tokio::time::advance(RETRY_AFTER).await;
        let unread = Known { spent: spent(None), at };
        assert!(unread.is_due(&pool("a", 0), Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn while_one_is_worked_out_and_for_a_rest_after_it_nobody_is_next() {
        let spending: Arc<Spending> = Arc::default();
        let pools = [pool("a", 100), pool("b", 100)];
        assert_eq!(spending.begin(&pools).map(|pool| pool.pool.as_str()), Some("a"));
        let working = Working { spending: Arc::clone(&spending), began: Instant::now() };
        assert_eq!(spending.begin(&pools), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        // It broke off without a result.
        drop(working);
        assert_eq!(spending.begin(&pools), None);
        tokio::time::advance(Duration::from_secs(8)).await;
        assert!(spending.begin(&pools).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn pools_that_are_gone_are_forgotten() {
        let spending = Arc::default();
        assert!(next(&spending, &[pool("a", 100)], 100.0).is_some());
        assert!(spending.of("a").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(next(&spending, &[pool("b", 100)], 100.0).is_some());
        assert!(spending.of("a").is_none());
    }
}
