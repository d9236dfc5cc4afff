//! What operators have ordered of each pool for a while: a pause, a pinned count, announced demand.
//! Kept in a file, so that a restart forgets none of it.
//!
//! It must not know who may order: the admin server does.
//!
//! **Invariant:** an order that has ended counts no more, whether or not anybody takes it back.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use preheat_api::v1::{Announced, Controls as Orders, Pinned};
use preheat_core::{Controls, Instant, ReplicaCount, ScheduledDemand};

/// The farthest end of an order: what should hold for longer belongs into the configuration.
const LASTS_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// Announcements of a pool at most.
const ANNOUNCED_MAX: usize = 16;

/// Orders of all pools.
#[derive(Debug)]
pub struct ControlBoard {
    file: PathBuf,
    pools: BTreeMap<String, PoolBounds>,
    orders: Mutex<BTreeMap<String, Orders>>,
}

/// Fewest and most replicas of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolBounds {
    /// Fewest.
    pub replicas_min: ReplicaCount,
    /// Most.
    pub replicas_max: ReplicaCount,
}

/// Why orders are not taken.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no such pool.
    #[error("there is no pool {0:?}")]
    Pool(String),
    /// Something that can't be ordered.
    #[error("{what} is {is}; it must be {must}")]
    Order {
        /// Which part.
        what: &'static str,
        /// As ordered.
        is: String,
        /// What would do.
        must: String,
    },
    /// They would be forgotten at the next start.
    #[error("the orders can't be kept in {file}: {error}")]
    File {
        /// Where they are kept.
        file: PathBuf,
        /// What happened.
        error: io::Error,
    },
}

impl ControlBoard {
    /// The orders that are kept in `file`, of pools with these bounds. A file that can't be read is
    /// as good as none, and is told of.
    pub fn open(file: PathBuf, pools: impl IntoIterator<Item = (String, PoolBounds)>) -> Self {
        let orders = read(&file).unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(%error, %file, "what operators had ordered is lost");
            BTreeMap::new()
        });
        Self { file, pools: pools.into_iter().collect(), orders: Mutex::new(orders) }
    }

    /// What is ordered of a pool and has not ended.
    ///
    /// # Errors
    /// When there is no such pool.
    pub fn get(&self, pool: &str, now: Instant) -> Result<Orders, ControlError> {
        self.bounds(pool)?;
        Ok(self.lock().get(pool).map(|orders| left(orders, now)).unwrap_or_default())
    }

    /// Orders this and nothing else of a pool.
    ///
    /// # Errors
    /// When there is no such pool, something can't be ordered, or it can't be kept; then what was
    /// ordered before stands.
    pub fn set(&self, pool: &str, orders: &Orders, now: Instant) -> Result<Orders, ControlError> {
        check(orders, self.bounds(pool)?, now)?;
        let mut all = self.lock();
        let mut changed = all.clone();
        changed.insert(pool.to_owned(), orders.clone());
        for orders in changed.values_mut() {
            *orders = left(orders, now);
        }
        changed.retain(|_, orders| *orders != Orders::default());
        write(&self.file, &changed)
            .map_err(|error| ControlError::File { file: self.file.clone(), error })?;
        *all = changed;
        tracing::warn!(pool, ?orders, "an operator's orders");
        Ok(left(orders, now))
    }

    /// What they come to now: for the observation of a tick.
    pub fn at(&self, pool: &str, now: Instant) -> (Controls, Vec<ScheduledDemand>) {
        let orders = self.get(pool, now).unwrap_or_default();
        let pinned = orders.pinned.map(|pinned| ReplicaCount(pinned.replicas));
        let announced = orders.announced.iter().map(|announced| ScheduledDemand {
            from: instant(announced.from_s),
            until: instant(announced.until_s),
            replicas: ReplicaCount(announced.replicas),
        });
        (Controls { paused: orders.paused, pinned }, announced.collect())
    }

    /// The pools that there are.
    pub fn pools(&self) -> Vec<String> {
        self.pools.keys().cloned().collect()
    }

    fn bounds(&self, pool: &str) -> Result<PoolBounds, ControlError> {
        self.pools.get(pool).copied().ok_or_else(|| ControlError::Pool(pool.to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Orders>> {
        // It is replaced whole.
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orders that have not ended.
fn left(orders: &Orders, now: Instant) -> Orders {
    let now_s = seconds(now);
    let mut orders = orders.clone();
    orders.pinned = orders.pinned.filter(|pinned| pinned.until_s > now_s);
    orders.announced.retain(|announced| announced.until_s > now_s);
    orders
}

fn check(orders: &Orders, bounds: PoolBounds, now: Instant) -> Result<(), ControlError> {
    let now_s = seconds(now);
    let latest_s = now_s + LASTS_MAX.as_secs_f64();
    let ends = |what, until_s: f64| {
        if until_s > now_s && until_s <= latest_s {
            return Ok(());
        }
        let must = format!("later than {now_s:.0} and within seven days");
        Err(ControlError::Order { what, is: until_s.to_string(), must })
    };
    let count = |what, replicas: u32| {
        let (min, max) = (bounds.replicas_min.0, bounds.replicas_max.0);
        if (min..=max).contains(&replicas) {
            return Ok(());
        }
        let must = format!("within the pool's bounds, {min} to {max}");
        Err(ControlError::Order { what, is: replicas.to_string(), must })
    };
    if let Some(Pinned { replicas, until_s }) = orders.pinned {
        count("pinned.replicas", replicas)?;
        ends("pinned.until_s", until_s)?;
    }
    if orders.announced.len() > ANNOUNCED_MAX {
        let (what, is) = ("the number of announcements", orders.announced.len().to_string());
        return Err(ControlError::Order { what, is, must: format!("at most {ANNOUNCED_MAX}") });
    }
    for Announced { replicas, from_s, until_s } in &orders.announced {
        count("announced.replicas", *replicas)?;
        ends("announced.until_s", *until_s)?;
        if !(*from_s >= 0.0 && from_s < until_s) {
            let must = format!("before its end, {until_s}");
            let (what, is) = ("announced.from_s", from_s.to_string());
            return Err(ControlError::Order { what, is, must });
        }
    }
    Ok(())
}

fn seconds(at: Instant) -> f64 {
    at.since(Instant::ORIGIN).as_secs_f64()
}

/// Moments are checked before: none is negative or without end.
fn instant(seconds: f64) -> Instant {
    Instant::ORIGIN.saturating_add(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

fn read(file: &Path) -> io::Result<BTreeMap<String, Orders>> {
    match fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Whole or not at all.
fn write(file: &Path, orders: &BTreeMap<String, Orders>) -> io::Result<()> {
    let written = file.with_extension("new");
    fs::write(&written, serde_json::to_vec(orders)?)?;
    fs::rename(&written, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: f64 = 3_600.0;

    fn at(secs: f64) -> Instant {
        instant(secs)
    }

    fn board(folder: &tempfile::TempDir) -> ControlBoard {
        let bounds = PoolBounds { replicas_min: ReplicaCount(1), replicas_max: ReplicaCount(8) };
        ControlBoard::open(folder.path().join("controls.json"), [("chat".to_owned(), bounds)])
    }

    fn pinned(replicas: u32, until_s: f64) -> Orders {
        Orders { pinned: Some(Pinned { replicas, until_s }), ..Orders::default() }
    }

    #[test]
    fn an_order_stands_until_its_end_and_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let announced = Announced { replicas: 6, from_s: 2.0 * HOUR, until_s: 3.0 * HOUR };
        let orders = Orders { announced: vec![announced], ..pinned(4, HOUR) };
        board(&folder).set("chat", &orders, at(0.0)).unwrap();
        let again = board(&folder);
        let (controls, scheduled) = again.at("chat", at(HOUR - 1.0));
        assert_eq!((controls.pinned, controls.paused), (Some(ReplicaCount(4)), false));
        assert_eq!(scheduled.first().map(|entry| entry.from), Some(at(2.0 * HOUR)));
        let (controls, scheduled) = again.at("chat", at(HOUR));
        assert!(controls.are_off() && scheduled.len() == 1);
        assert!(again.at("chat", at(3.0 * HOUR)).1.is_empty());
        again.set("chat", &Orders { paused: true, ..Orders::default() }, at(HOUR)).unwrap();
        assert!(board(&folder).at("chat", at(HOUR)).0.paused);
    }

    #[test]
    fn what_can_not_be_ordered_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let board = board(&folder);
        board.set("chat", &pinned(2, HOUR), at(0.0)).unwrap();
        let announce = |replicas, from_s, until_s| Orders {
            announced: vec![Announced { replicas, from_s, until_s }],
            ..Orders::default()
        };
        for (orders, expected) in [
            (pinned(9, HOUR), "pinned.replicas is 9; it must be within the pool's bounds, 1 to 8"),
            (pinned(0, HOUR), "pinned.replicas is 0"),
            (pinned(2, 60.0), "pinned.until_s is 60; it must be later than 120"),
            (pinned(2, 1e9), "pinned.until_s is 1000000000"),
            (pinned(2, f64::NAN), "pinned.until_s is NaN"),
            (announce(2, HOUR, HOUR), "announced.from_s is 3600; it must be before its end"),
            (announce(2, -1.0, HOUR), "announced.from_s is -1"),
            (announce(9, 0.0, HOUR), "announced.replicas is 9"),
            (
                Orders {
                    announced: announce(2, 0.0, HOUR).announced.repeat(17),
                    ..pinned(2, HOUR)
                },
                "the number of announcements is 17",
            ),
        ] {
            let error = board.set("chat", &orders, at(120.0)).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!(board.set("coder", &pinned(2, HOUR), at(0.0)).is_err());
        assert_eq!(board.get("chat", at(120.0)).unwrap(), pinned(2, HOUR));
    }

    #[test]
    fn a_file_that_can_not_be_read_orders_nothing() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("controls.json"), "{\"chat\": 3}").unwrap();
        assert!(board(&folder).at("chat", at(0.0)).0.are_off());
    }

    #[test]
    fn what_can_not_be_kept_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let board = board(&folder);
        fs::create_dir(folder.path().join("controls.new")).unwrap();
        let error = board.set("chat", &pinned(2, HOUR), at(0.0)).unwrap_err();
        assert!(matches!(error, ControlError::File { .. }), "{error}");
        assert_eq!(board.get("chat", at(0.0)).unwrap(), Orders::default());
    }
}
