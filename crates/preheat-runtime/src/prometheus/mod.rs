//! Prometheus as a source, where engines can't be asked themselves, and of history.
//!
//! **Invariant:** a value has the time at which it was scraped, which is not the time of the query:
//! Prometheus answers with what it saw last, for up to five minutes.
//!
//! **Invariant:** what is not in an answer is absent. An empty answer is no zero, and NaN is nothing.

mod answer;
mod client;
mod queried;
mod recorded;
mod rules;
mod scraped;
mod source;
mod there;
mod total;

pub use answer::{AnswerError, Point, Series};
pub use client::{Prometheus, PrometheusConfig, PrometheusError};
pub use queried::named;
pub use recorded::{Recorded, Round};
pub use rules::{REPLICA_LABELS, RecordingRule, engine_rules, recorded_names};
pub use scraped::{Hours, Scraped};
pub use source::{PodScrape, PodSource, pod_query, pod_scrapes};
