//! What is published, and why nothing is.
//!
//! **Invariant:** where no count is known there is a refusal, and never a number: whoever reads a
//! refusal holds what is there, and whoever reads a small number gives replicas up.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

/// The metric's name. KEDA puts `s0-` or the like before it in the HorizontalPodAutoscalers it makes.
pub const METRIC: &str = "preheat-desired-replicas";
/// The label that says whose count it is.
pub const NAME_LABEL: &str = "preheat.dev/name";

/// A count as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Replicas that the target's scale should ask for.
    pub replicas: u32,
    /// When that was last confirmed.
    pub at: Timestamp,
}

/// Why no count is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such resource.
    #[error("there is no InferenceAutoscaler `{name}` in the namespace `{namespace}`")]
    Unknown {
        /// The namespace that was asked for.
        namespace: String,
        /// The name that was asked for.
        name: String,
    },
    /// There is one, and it publishes nothing, or has not for too long.
    #[error("the InferenceAutoscaler `{name}` publishes no count: {why}")]
    Silent {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
}

/// A count, or why there is none.
pub type Answer = Result<Published, Refusal>;

/// Given a namespace and a name.
type Ask = dyn Fn(&str, &str) -> Answer + Send + Sync;

/// Where counts are had from, and when they may have changed.
#[derive(Clone)]
pub struct Counts {
    ask: Arc<Ask>,
    changes: watch::Receiver<u64>,
}

impl Counts {
    /// `ask` is given a namespace and a name, and never waits. `changes` moves whenever an answer may
    /// have become another.
    pub fn new(
        ask: impl Fn(&str, &str) -> Answer + Send + Sync + 'static,
        changes: watch::Receiver<u64>,
    ) -> Self {
        Self { ask: Arc::new(ask), changes }
    }

    /// The count of `name` in `namespace`.
    ///
    /// # Errors
    /// When none is known.
    pub fn get(&self, namespace: &str, name: &str) -> Answer {
        (self.ask)(namespace, name)
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }
}
