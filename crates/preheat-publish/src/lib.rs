//! The desired count, told to those who write the scale themselves: KEDA by its external scaler, and
//! HorizontalPodAutoscalers by the External Metrics API.
//!
//! `count` is what is told; `scaler` and `metrics` put it into the words of the two contracts, and
//! `serve` binds them to sockets, with certificates from `certificate`.
//!
//! **Invariant:** nothing here decides, or knows where counts come from.
//!
//! **Invariant:** where no count is known an error is told, never a number.

#[rustfmt::skip]
#[expect(missing_docs, clippy::allow_attributes, reason = "it is generated")]
pub mod contract;

mod certificate;
mod count;
mod listener;
mod metrics;
mod scaler;
mod serve;
mod tls;

pub use certificate::{Made, make};
pub use count::{Answer, Counts, METRIC, NAME_LABEL, Published, Refusal};
pub use serve::{
    API_SERVICE, Certificate, Publisher, PublisherOptions, SECRET, ScalerOptions, ServeError,
};
