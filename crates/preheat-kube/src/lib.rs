//! World 3: replicas that are pods, scaled through the scale subresource of whatever makes them.
//!
//! `resource` is what users write; `pods`, `demand`, `picker`, `events`, `engine_logs`, `way`, `nodes`, `roster`, `standby`, `traffic`, `writes`,
//! `publication`, `ownership` and `report` are pure and turn a cluster's objects into what
//! `preheat-core` understands and its decisions into what is written; the rest talks to the apiserver.
//!
//! **Invariant:** nothing but a target's scale, this resource's status, and of the target's pods the
//! deletion cost and the label that keeps them out of traffic is ever written; in `Publish` not the
//! scale, in `Observe` nothing but the status.
//!
//! **Invariant:** nothing here decides how many replicas there should be.

pub mod resource;

pub mod demand;
pub mod engine_logs;
pub mod events;
pub mod nodes;
pub mod ownership;
pub mod picker;
pub mod pods;
pub mod publication;
pub mod report;
pub mod roster;
pub mod selector;
pub mod standby;
pub mod starts;
pub mod traffic;
pub mod way;
pub mod writes;

pub mod manifests;
pub mod plugin;

mod cluster;
mod connect;
mod controller;
mod counts;
mod ground;
mod lease;
mod pool;
mod quotas;
mod terrain;
mod view;

pub use kube::Client;

pub use connect::connect;
pub use controller::{ControllerOptions, KubeController, PoolStatuses, StartError};
pub use lease::{LEASE_DURATION, Leadership, LeaseOptions, RENEW_DEADLINE};
