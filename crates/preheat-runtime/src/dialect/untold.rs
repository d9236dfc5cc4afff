//! Signals that a body does not tell: what told them before, and what looks like it now.
//!
//! An engine that gives a metric another name tells nothing by the old one, which looks like nothing
//! at all. So each name that ever told a signal is kept, and held against what is there.
//!
//! **Invariant:** pure, and words alone: what looks alike is named and never read.

use std::collections::{BTreeMap, BTreeSet};

use super::EngineScrape;
use super::table::{Form, Signal, Source, Text};

/// Names that are told of at most where a metric may have been renamed.
pub(super) const NAMES_MAX: usize = 5;

/// Of all words in two names, the share that both have, from which on they look alike.
const ALIKE_MIN: f64 = 0.5;

/// A signal that a dialect tells, and that a body does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    /// Which.
    pub signal: Signal,
    /// What it was looked for as.
    pub names: Vec<String>,
    /// Names in the body that are not known, begin as the dialect's do, and look like one of these, or,
    /// where the signal must be told, most like one of these.
    pub like: Vec<String>,
}

/// What told each signal last, in any replica of a pool, by dialect.
#[derive(Clone, Debug, Default)]
pub struct Told(BTreeMap<(&'static str, Signal), Text>);

impl Told {
    /// Takes in what a body told.
    pub fn remember(&mut self, scrape: &EngineScrape) {
        let Some(dialect) = scrape.dialect else { return };
        for (signal, name) in &scrape.told_by {
            match self.0.get_mut(&(dialect, *signal)) {
                Some(known) if known == name => {}
                Some(known) => known.clone_from(name),
                None => {
                    self.0.insert((dialect, *signal), name.clone());
                }
            }
        }
    }

    /// What a body lacks, as a sentence; `None` where nothing is amiss. `lost` are signals that the
    /// same engine told earlier in its life.
    ///
    /// A signal that others tell and this one never did is no trouble where nothing looks like it: of
    /// two versions one has what the other has not.
    pub fn trouble(&self, scrape: &EngineScrape, lost: &BTreeSet<Signal>) -> Option<String> {
        let dialect = scrape.dialect?;
        let before = |untold: &Untold| self.0.get(&(dialect, untold.signal));
        let amiss: Vec<&Untold> = scrape
            .untold
            .iter()
            .filter(|untold| {
                let is_essential = Signal::ESSENTIAL.contains(&untold.signal);
                let is_lost = lost.contains(&untold.signal);
                is_essential || before(untold).is_some() && (is_lost || !untold.like.is_empty())
            })
            .collect();
        let clauses: Vec<String> = amiss.iter().map(|it| clause(it, before(it))).collect();
        let last = amiss.first()?;
        let known = format!("its {dialect} metrics do not tell {}", clauses.join("; nor "));
        let until = consequence(last.signal);
        Some(if amiss.iter().all(|untold| untold.like.is_empty()) {
            format!("{known}; {until}")
        } else {
            format!(
                "{known}; if one of these is a new name, set `engine.metrics`; until then {until}"
            )
        })
    }

    /// `what` is said of a replica that tells nothing: with what told what is inside it before.
    pub fn unseen(&self, what: &str) -> String {
        let told = self.0.iter().filter(|((_, signal), _)| Signal::ESSENTIAL.contains(signal));
        let told: Vec<String> =
            told.map(|((_, signal), name)| format!("{} by `{name}`", signal.name())).collect();
        if told.is_empty() {
            return what.to_owned();
        }
        format!("{what}; told before were {}", told.join(" and "))
    }
}

fn clause(untold: &Untold, before: Option<&Text>) -> String {
    let mut text = match before {
        Some(name) => format!("{} any more, which `{name}` told before", untold.signal.name()),
        None => format!("{} (`{}`)", untold.signal.name(), untold.names.join("` or `")),
    };
    if !untold.like.is_empty() {
        text.push_str(&format!(", but have `{}`", untold.like.join("`, `")));
    }
    text
}

/// What becomes of a pool in which a replica does not tell it.
fn consequence(signal: Signal) -> &'static str {
    match signal {
        Signal::Running | Signal::Waiting => "what is inside is not known, and it is held",
        Signal::Completions | Signal::PromptTokens | Signal::GenerationTokens => {
            "what arrives is known only where preheat's own gateway counts it, and it is held elsewhere"
        }
        Signal::KvUtilization
        | Signal::KvCapacity
        | Signal::Sleep
        | Signal::Preemptions
        | Signal::Ttft
        | Signal::Itl => "it is absent",
    }
}

/// What a metric's name says of how it is read: a renamed counter is a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Value,
    Total,
    Bucket,
    Sum,
    Count,
    Info,
}

/// The kind, and the name without what says it. `None` for times of creation, which tell nothing.
fn kind(name: &str) -> Option<(Kind, &str)> {
    let kinds = [
        ("_total", Kind::Total),
        ("_bucket", Kind::Bucket),
        ("_sum", Kind::Sum),
        ("_count", Kind::Count),
        ("_info", Kind::Info),
    ];
    if name.ends_with("_created") {
        return None;
    }
    let found = kinds.into_iter().find_map(|(end, kind)| Some((kind, name.strip_suffix(end)?)));
    Some(found.unwrap_or((Kind::Value, name)))
}

/// Its words, one and many being the same.
fn words(name: &str) -> BTreeSet<&str> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    words.map(|word| word.trim_end_matches('s')).filter(|word| !word.is_empty()).collect()
}

/// How much two names look alike, from 0 to 1.
pub(super) fn alike(a: &str, b: &str) -> f64 {
    let (a, b) = (words(a), words(b));
    let all = a.union(&b).count();
    if all == 0 { 0.0 } else { a.intersection(&b).count() as f64 / all as f64 }
}

/// Which of the names that are not known may be a new one of a signal. `prefixes` are in all of
/// them, and make none look like another.
pub(super) fn like(
    signal: Signal,
    sources: &[Source],
    unknown: &BTreeSet<String>,
    prefixes: &[&str],
) -> Vec<String> {
    let bare = |name: &str| -> String {
        let stripped = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
        stripped.unwrap_or(name).to_owned()
    };
    let wanted: Vec<(Kind, String)> = sources
        .iter()
        .filter_map(|source| {
            let (kind, name) = kind(&source.name)?;
            let kind = if source.form == Form::Histogram { Kind::Bucket } else { kind };
            Some((kind, bare(name)))
        })
        .collect();
    let mut found: Vec<(f64, String)> = unknown
        .iter()
        .filter_map(|name| {
            let (kind, base) = kind(name)?;
            let base = bare(base);
            let of_kind = wanted.iter().filter(|(wanted, _)| *wanted == kind);
            let most = of_kind.map(|(_, wanted)| alike(wanted, &base)).reduce(f64::max)?;
            let shown = if kind == Kind::Bucket { name.trim_end_matches("_bucket") } else { name };
            Some((most, shown.to_owned()))
        })
        .collect();
    // Of what must be told, whatever looks most like it is worth a look; else only what looks alike.
    let most = found.iter().map(|(most, _)| *most).fold(0.0, f64::max);
    let must_be_told = Signal::ESSENTIAL.contains(&signal) && !prefixes.is_empty();
    let least = if must_be_told { most.min(ALIKE_MIN) } else { ALIKE_MIN };
    found.retain(|(most, _)| *most >= least);
    // The most alike first; equals by name, as they come.
    found.sort_by(|a, b| b.0.total_cmp(&a.0));
    found.into_iter().map(|(_, name)| name).take(NAMES_MAX).collect()
}

/// Whether a name looks like one that tells a signal which must be told, its prefix included: where
/// nothing begins as it should, the prefix may have been renamed.
pub(super) fn is_like_essential(name: &str, sources: &[&Source]) -> bool {
    sources.iter().any(|source| alike(name, &source.name) > ALIKE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_look_alike_by_their_words() {
        for (a, b, expected) in [
            ("num_requests_running", "requests_running", 2.0 / 3.0),
            ("vllm:num_requests_running", "vllm_num_requests_running", 1.0),
            ("time_to_first_token_seconds", "ttft_seconds", 1.0 / 6.0),
            ("request_success", "requests_success", 1.0),
            ("", "a", 0.0),
            ("", "", 0.0),
        ] {
            assert_eq!(alike(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn a_renamed_counter_is_a_counter_and_a_histogram_one() {
        let unknown: BTreeSet<String> =
            ["x:success", "x:success_sum", "x:success_created", "x:all_success_total"]
                .map(str::to_owned)
                .into();
        let counter = [Source::new(Form::Counter, "x:success_total")];
        let like = |signal, sources: &[Source]| super::like(signal, sources, &unknown, &["x:"]);
        assert_eq!(like(Signal::Completions, &counter), ["x:all_success_total"]);
        let histogram = [Source::new(Form::Histogram, "x:success")];
        assert_eq!(like(Signal::Ttft, &histogram), [""; 0]);
        let gauge = [Source::new(Form::Gauge, "x:running")];
        assert_eq!(like(Signal::Running, &gauge), ["x:success"], "any, where none looks like it");
        assert_eq!(like(Signal::KvUtilization, &gauge), [""; 0]);
    }
}
