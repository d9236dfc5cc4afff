//! Keys of the resource beyond one pool's own load: demand that is announced, and GPUs that several
//! resources share.
//!
//! **Invariant:** as in `spec`, every string and list is bounded.

#![expect(unreachable_pub, reason = "the derive macro repeats the structs where nobody can reach")]

use kube::KubeSchema;
use preheat_api::schedule::ScheduleSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::spec::InferenceAutoscaler;

/// Replicas that are known to be needed, by weekday or date.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.days) != has(self.dates)")
    .message("a schedule has either days or dates"))]
#[x_kube(validation = Rule::new("self.from != self.until")
    .message("until must differ from from; a whole day is from 00:00 until 24:00")
    .field_path(".until"))]
pub struct ScheduleItem {
    /// What it is called; no two of a resource are called alike.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: String,
    /// `mon` to `sun`, `weekdays`, `weekend` or `daily`; this or `dates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7), inner(length(min = 3, max = 8)))]
    pub days: Option<Vec<String>>,
    /// Dates like `2026-12-01`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 366),
        inner(length(min = 10, max = 10), regex(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))
    )]
    pub dates: Option<Vec<String>>,
    /// Time of day like `08:50`.
    #[schemars(length(min = 5, max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Time of day up to `24:00`. One that is earlier than `from` is on the next day.
    #[schemars(
        length(min = 5, max = 5),
        regex(pattern = "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")
    )]
    pub until: String,
    /// Name in the tz database, like `Europe/Berlin`.
    #[schemars(length(min = 1, max = 64))]
    pub timezone: String,
    /// Replicas that should be ready all that time.
    #[schemars(range(min = 1, max = 10_000))]
    pub replicas: u32,
}

/// GPUs that several resources of a namespace share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QuotaSpec {
    /// Resources of the namespace that name the same share the same GPUs.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]*$"))]
    pub name: String,
    /// How many they are; all who share them say the same.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub gpu_slots: u32,
}

impl From<&ScheduleItem> for ScheduleSpec {
    fn from(item: &ScheduleItem) -> Self {
        Self {
            name: item.name.clone(),
            days: item.days.clone(),
            dates: item.dates.clone(),
            from: item.from.clone(),
            until: item.until.clone(),
            timezone: item.timezone.clone(),
            replicas: item.replicas,
        }
    }
}

/// The oldest resource that shares this one's quota and says another number of GPUs: its name and the
/// number.
pub fn contradicted<'a>(
    resource: &InferenceAutoscaler,
    others: impl IntoIterator<Item = &'a InferenceAutoscaler>,
) -> Option<(&'a str, u32)> {
    let age = |resource: &InferenceAutoscaler| {
        let metadata = &resource.metadata;
        (metadata.creation_timestamp.as_ref().map(|at| at.0), metadata.name.clone())
    };
    let quota = resource.spec.quota.as_ref()?;
    let sharing = others.into_iter().filter(|other| {
        let same = other.spec.quota.as_ref().is_some_and(|theirs| theirs.name == quota.name);
        same && other.metadata.namespace == resource.metadata.namespace
    });
    let oldest =
        sharing.min_by_key(|other| age(other)).filter(|other| age(other) < age(resource))?;
    let gpus = oldest.spec.quota.as_ref()?.gpu_slots;
    (gpus != quota.gpu_slots).then(|| (oldest.metadata.name.as_deref().unwrap_or_default(), gpus))
}
