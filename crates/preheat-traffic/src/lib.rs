//! Request traffic as data: recorded traces and rate series, read from files or redrawn from
//! embedded figures, cut to a window and scaled; and traffic made from formulae.
//!
//! ```text
//! file ──read──► Recording ──into_trace(Shaping)──► Trace ──► simulator, load generator
//! figures ─────────────embedded(…, seed)──────────►
//! formulae ────────SyntheticPart::trace(seed)─────►
//! ```
//!
//! **Invariant:** a [`Trace`] is sorted by arrival, is not empty and has at most
//! [`REQUESTS_MAX`] requests, each with at least one input and one output token.
//! **Invariant:** the same bytes, shaping and seed give the same trace. No clock, no async, no
//! network; the only I/O is reading the one file that [`read_file`] is given.

mod embedded;
mod error;
mod formats;
mod lengths;
mod rates;
mod read;
mod scale;
mod shape;
mod summary;
mod synthetic;
mod timestamp;
mod trace;

pub use embedded::{EmbeddedTrace, embedded};
pub use error::{Position, TrafficError};
pub use formats::Format;
pub use lengths::{INPUT_LEVELS, LengthDistribution, OUTPUT_LEVELS, STRATA, Stratum};
pub use rates::{Placement, RateSeries};
pub use read::{LINE_BYTES_MAX, Note, Recording, Traffic, read, read_file};
pub use scale::RATE_SCALE_MAX;
pub use shape::Shaping;
pub use summary::{BINS_MAX, Summary, TokenQuantiles};
pub use synthetic::{
    GAP_CV_MAX, LengthLaw, LengthMix, LogNormalTokens, MixChange, RateShape, SyntheticPart,
    TokenLaw, superpose,
};
pub use trace::{ARRIVAL_MAX, REQUESTS_MAX, Trace, TraceRequest};
