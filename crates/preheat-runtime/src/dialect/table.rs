//! What a dialect is: for each signal, the series that tell it, newest name first.
//!
//! **Invariant:** data. How a series is read depends on its [`Form`] alone, and on no engine's name.

use std::borrow::Cow;

use preheat_api::dialect::MetricNames;

/// What an engine can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Requests holding a batch slot.
    Running,
    /// Requests waiting for one.
    Waiting,
    /// Share of the KV cache in use.
    KvUtilization,
    /// Tokens that fit it.
    KvCapacity,
    /// Awake or asleep.
    Sleep,
    /// Requests that ended well.
    Completions,
    /// Prompt tokens.
    PromptTokens,
    /// Generated tokens.
    GenerationTokens,
    /// Requests thrown out of the batch.
    Preemptions,
    /// Time to first token.
    Ttft,
    /// Inter-token latency.
    Itl,
}

impl Signal {
    /// All, in the order in which they are told of.
    pub const ALL: [Self; 11] = [
        Self::Running,
        Self::Waiting,
        Self::KvUtilization,
        Self::KvCapacity,
        Self::Sleep,
        Self::Completions,
        Self::PromptTokens,
        Self::GenerationTokens,
        Self::Preemptions,
        Self::Ttft,
        Self::Itl,
    ];

    /// Without these two nobody knows what is inside a replica, and it is held.
    pub const ESSENTIAL: [Self; 2] = [Self::Running, Self::Waiting];

    /// As it is called in documents.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "requests running",
            Self::Waiting => "requests waiting",
            Self::KvUtilization => "KV utilization",
            Self::KvCapacity => "KV capacity",
            Self::Sleep => "sleep",
            Self::Completions => "completions",
            Self::PromptTokens => "prompt tokens",
            Self::GenerationTokens => "generation tokens",
            Self::Preemptions => "preemptions",
            Self::Ttft => "TTFT",
            Self::Itl => "inter-token latency",
        }
    }
}

/// Text that is a table's or a user's.
pub type Text = Cow<'static, str>;

/// One dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// As a configuration calls it, or the key under which a user has given their own.
    pub title: &'static str,
    /// What its metrics' names begin with: a body with such a name is of this dialect, whatever has
    /// been renamed. Empty for a user's own.
    pub prefixes: &'static [&'static str],
    /// Labels by which the same thing is told several times: by each rank of a tensor-parallel
    /// group. Series that differ in nothing else are one.
    pub repeats: &'static [&'static str],
    /// At most one row for each signal; what has none is not told.
    pub rows: Vec<Row>,
}

/// How one signal is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which.
    pub signal: Signal,
    /// The first of these that is in a body is believed: the newest name first.
    pub sources: Vec<Source>,
}

/// A metric, or a few that make one signal together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, a histogram's without `_bucket`.
    pub name: Text,
    /// What is read of it.
    pub form: Form,
    /// Which of its series, and of those that are added and taken off.
    pub only: Only,
    /// Gauges that are added where they are there.
    pub plus: &'static [&'static str],
    /// A gauge that is in it and told apart; without it, this source tells nothing.
    pub less: Option<&'static str>,
}

/// What is read of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The sum of its series: how many there are now.
    Gauge,
    /// The sum of its series: how many there have been.
    Counter,
    /// The mean of its series, each from 0 to 1.
    Share,
    /// A histogram of seconds.
    Histogram,
    /// A counter of tokens and one of the seconds they took: sum and count of a latency, and no
    /// distribution.
    SecondsPerToken {
        /// The seconds'.
        seconds: &'static str,
    },
    /// 1 at the series whose label says how deep it sleeps.
    SleepState {
        /// The label.
        label: &'static str,
    },
    /// Labels that say how many tokens fit, or blocks and tokens of a block.
    CacheInfo {
        /// Tokens.
        tokens: &'static str,
        /// Blocks.
        blocks: &'static str,
        /// Tokens of a block.
        block_tokens: &'static str,
    },
}

/// Which series of a metric count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Only {
    /// All.
    All,
    /// Those with this label.
    With(&'static str, &'static str),
    /// Those without any of these.
    Without(&'static str, &'static [&'static str]),
    /// Those on which this label is empty or is not there: of a total and its parts, the total.
    Unlabelled(&'static str),
}

impl Dialect {
    /// A user's own, given under the key `title`: gauges, counters, and histograms of seconds.
    pub fn custom(title: &'static str, names: &MetricNames) -> Self {
        let given = [
            (Signal::Running, Form::Gauge, &names.running),
            (Signal::Waiting, Form::Gauge, &names.waiting),
            (Signal::KvUtilization, Form::Share, &names.kv_utilization),
            (Signal::Completions, Form::Counter, &names.completions),
            (Signal::PromptTokens, Form::Counter, &names.prompt_tokens),
            (Signal::GenerationTokens, Form::Counter, &names.generation_tokens),
            (Signal::Preemptions, Form::Counter, &names.preemptions),
            (Signal::Ttft, Form::Histogram, &names.ttft),
            (Signal::Itl, Form::Histogram, &names.itl),
        ];
        let row = |(signal, form, name): (Signal, Form, &Option<String>)| {
            Some(Row { signal, sources: vec![Source::new(form, name.clone()?)] })
        };
        let rows = given.into_iter().filter_map(row).collect();
        Self { title, prefixes: &[], repeats: &[], rows }
    }

    /// How it tells a signal; empty when it doesn't.
    pub fn sources(&self, signal: Signal) -> &[Source] {
        let row = self.rows.iter().find(|row| row.signal == signal);
        row.map_or(&[], |row| &row.sources)
    }
}

impl Source {
    pub(super) fn new(form: Form, name: impl Into<Text>) -> Self {
        Self { name: name.into(), form, only: Only::All, plus: &[], less: None }
    }

    pub(super) const fn plus(mut self, names: &'static [&'static str]) -> Self {
        self.plus = names;
        self
    }

    pub(super) const fn less(mut self, name: &'static str) -> Self {
        self.less = Some(name);
        self
    }

    pub(super) const fn only(mut self, only: Only) -> Self {
        self.only = only;
        self
    }
}
