//! The GPUs that resources of a namespace share: one board for each quota, and who takes part.
//!
//! **Invariant:** who is gone takes part no more, however it went.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use preheat_core::{Claim, Observation, ReplicaCount};
use preheat_runtime::controller::{Controller, Ticked};
use preheat_runtime::quota_board::QuotaBoard;
use preheat_runtime::routing::PoolId;

use crate::resource::Settings;

/// Namespace and name.
type Key = (String, String);

/// Every quota that some resource has named.
#[derive(Debug, Default)]
pub(crate) struct Quotas(Mutex<BTreeMap<Key, Arc<QuotaBoard>>>);

/// One pool's part in a quota; it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    key: Key,
    pool: PoolId,
    board: Arc<QuotaBoard>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.board.leave(&self.pool);
    }
}

impl Quotas {
    /// Takes part as the settings say, going on from `before`; `held` is what the pool has, as far as
    /// its first tick must tell.
    pub(crate) fn take_part(
        &self,
        before: Option<Membership>,
        pool: &PoolId,
        namespace: &str,
        settings: &Settings,
        held: u32,
    ) -> Option<Membership> {
        let quota = settings.quota.as_ref()?;
        let key = (namespace.to_owned(), quota.name.clone());
        let (spec, gpus) = (settings.policy.spec(), settings.engine.gpus_per_replica);
        let mut claim = Claim::new(spec, gpus, quota.terms.priority, quota.terms.worth);
        claim.held = ReplicaCount(held);
        claim.wanted = ReplicaCount(held.max(spec.replicas_min.0));
        let same = before.filter(|before| before.key == key);
        let membership = same.unwrap_or_else(|| {
            let mut boards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let board =
                boards.entry(key.clone()).or_insert_with(|| Arc::new(QuotaBoard::open(quota.gpus)));
            Membership { key, pool: pool.clone(), board: Arc::clone(board) }
        });
        membership.board.set_gpus(quota.gpus);
        membership.board.join(pool, claim);
        Some(membership)
    }
}

impl Membership {
    /// Decides within what the pool may hold; where it changes nothing, within what it might.
    pub(crate) fn tick(
        &self,
        controller: &mut Controller,
        observation: Observation,
        acts: bool,
    ) -> Ticked {
        if acts {
            self.board.tick(controller, observation)
        } else {
            self.board.tick_observing(controller, observation)
        }
    }
}
