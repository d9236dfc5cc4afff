//! Two real services' traffic as figures small enough to ship: counts per bin of time, and
//! token-length quantiles.
//!
//! The requests that come out are redrawn, not the recorded ones: the count of every bin is the
//! measured one, the place inside the bin is uniform, and lengths are drawn on their own, so
//! that any link between the moment and the length is lost.
//!
//! Derived by `examples/derive_figures.rs` from the Azure LLM inference traces of 2023
//! ([`EmbeddedTrace::attribution`]).

mod code;
mod conversation;

use std::time::Duration;

use crate::lengths::{LengthDistribution, Stratum};
use crate::rates::{Placement, RateSeries};
use crate::shape;
use crate::trace::Trace;

/// A trace whose figures are part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmbeddedTrace {
    /// Chat: steady, 5.5 requests per second over an hour, answers of 211 tokens on average. Its
    /// bins are 10 s wide: inside them arrivals are nearly Poisson (variance ÷ mean of the
    /// counts per second is 1.4).
    AzureConversation,
    /// Code completion: on and off, 2.6 requests per second on average and 33 in the busiest
    /// 10 s, answers of 28 tokens. Its bins are 1 s wide, because it is bursty inside 10 s too
    /// (variance ÷ mean of the counts per second is 13).
    AzureCode,
}

impl EmbeddedTrace {
    /// Every embedded trace.
    pub const ALL: [Self; 2] = [Self::AzureConversation, Self::AzureCode];

    /// The name to select it by.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AzureConversation => "azure-conversation",
            Self::AzureCode => "azure-code",
        }
    }

    /// The embedded trace with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|embedded| embedded.name() == name)
    }

    /// Whom the figures are owed to, for whatever shows them.
    #[must_use]
    pub fn attribution(self) -> &'static str {
        "Derived from the Azure LLM inference traces 2023 (github.com/Azure/AzurePublicDataset \
         at b469a11), CC BY 4.0; Patel et al., \"Splitwise\", ISCA 2024."
    }

    /// The measured counts.
    #[must_use]
    pub fn rates(self) -> RateSeries {
        let (bin_s, counts) = match self {
            Self::AzureConversation => (conversation::BIN_S, conversation::COUNTS),
            Self::AzureCode => (code::BIN_S, code::COUNTS),
        };
        RateSeries {
            bin: Duration::from_secs(bin_s),
            counts: counts.iter().map(|count| f64::from(*count)).collect(),
        }
    }

    pub(crate) fn strata(self) -> &'static [Stratum] {
        match self {
            Self::AzureConversation => conversation::STRATA,
            Self::AzureCode => code::STRATA,
        }
    }
}

/// About an hour of requests redrawn from an embedded trace's figures.
#[must_use]
pub fn embedded(of: EmbeddedTrace, seed: u64) -> Trace {
    let lengths = LengthDistribution::embedded(of);
    // 19,366 and 8,819 requests are far below the limit, the only error that drawing has.
    shape::draw(&of.rates(), Placement::Uniform, &lengths, seed).unwrap_or_default()
}
