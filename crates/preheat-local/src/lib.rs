//! World 2: engine processes on one machine.
//!
//! A [`LocalWorld`] starts, probes, routes to, drains, sleeps, wakes and stops engine processes as
//! it is told, restarts what crashes, and adopts what still runs after its own restart.
//!
//! One task supervises each replica: it owns the process. What it finds goes into one table, from
//! which observations, routes and the status are made.
//!
//! **Invariant:** nothing here decides how many replicas there should be.
//!
//! **Invariant:** a replica is taken out of the routing table before it is signalled.
//!
//! **Invariant:** the table's lock is never held over an await.

mod world;

mod adopt;
mod supervise;

mod placement;
mod table;

mod backoff;
mod command;
mod logs;
mod process;
mod procfs;
mod record;
mod state_dir;
mod status;

pub use process::SpawnError;
pub use state_dir::{StateDir, StateDirError};
pub use status::{ReplicaProcess, RetiringProcess, WorldStatus};
pub use table::{ActionRefused, PoolObservation};
pub use world::{LocalWorld, ShutdownMode, ShutdownReport, UnknownPool, WorldOptions};
