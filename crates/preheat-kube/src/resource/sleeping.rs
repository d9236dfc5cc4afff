//! Keys of the resource for replicas that sleep.
//!
//! **Invariant:** as in `spec`, every string is bounded.

#![expect(unreachable_pub, reason = "the derive macro repeats the structs where nobody can reach")]

use kube::KubeSchema;
use preheat_api::config::SleepConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::duration;

/// Replicas that sleep: as many as pay at a price, or a number.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.price) || has(self.replicas)")
    .message("standby needs a price or replicas"))]
pub struct StandbySpec {
    /// What a sleeping replica costs, as a share of one that is awake: as many sleep as pay. 1 where
    /// it keeps its GPU for itself, as every pod does that no other may share one with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub price: Option<f64>,
    /// Time to wake, assumed until some wakes were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration")]
    pub wake: Option<String>,
    /// So many sleep beside those that are awake, whatever comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: Option<u32>,
}

/// Paths of an engine's sleep, at its metrics' port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SleepSpec {
    /// `POST` puts it to sleep.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[!-~]*$"))]
    pub sleep_path: Option<String>,
    /// `POST` wakes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[!-~]*$"))]
    pub wake_path: Option<String>,
    /// `GET` says `{"is_sleeping": …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), regex(pattern = "^/[!-~]*$"))]
    pub state_path: Option<String>,
}

/// Beside the level, `mode=wait`: without it vLLM ends a request that came at the last moment.
const SLEEP_PATH: &str = "/sleep?level=1&mode=wait";
const WAKE_PATH: &str = "/wake_up";
const STATE_PATH: &str = "/is_sleeping";

impl SleepSpec {
    /// The paths, vLLM's where none is given.
    pub(super) fn paths(&self) -> SleepConfig {
        let path = |given: &Option<String>, default: &str| {
            given.clone().unwrap_or_else(|| default.to_owned())
        };
        SleepConfig {
            sleep_path: path(&self.sleep_path, SLEEP_PATH),
            wake_path: path(&self.wake_path, WAKE_PATH),
            state_path: path(&self.state_path, STATE_PATH),
        }
    }
}
