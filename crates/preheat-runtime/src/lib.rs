//! The async shell that every live world shares: the clock, scraping and its dialects, the routing
//! table and the traffic meter between gateway and control loop, the journal, and telemetry.
//!
//! **Invariant:** nothing here decides how many replicas there should be.

pub mod clock;
pub mod control_board;
pub mod controller;
pub mod dialect;
pub mod exposition;
pub mod journal;
pub mod probe;
pub mod prometheus;
pub mod quota_board;
pub mod routing;
pub mod scrape;
pub mod start_log;
pub mod telemetry;
pub mod traffic_meter;
