//! Reads a body by tables: one pass over it, for all dialects that it may be of.
//!
//! **Invariant:** each signal comes from one metric, the first of its row that is in the body; series
//! of it that differ in any label are different things, and are added.
//!
//! **Invariant:** `_created` series are times and never counters; no series is chosen by the name of
//! its model: two models in one engine, and adapters, are all in it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use preheat_api::dialect::{Dialect as Choice, DialectName, MetricNames, MetricQueries};
use preheat_core::Utilization;

use super::known;
use super::series::{Cell, CellSpec, Form as CellForm, Part};
use super::table::{Dialect, Form, Row, Signal, Source};
use super::{EngineCounters, EngineScrape, Histogram, Text, Untold, untold};
use crate::exposition::{Exposition, Format};

/// Names that are looked at for one that may be new; ten times as many as any engine has.
const UNKNOWN_NAMES_MAX: usize = 2_000;

/// Dialects that a body may be of, and where in them each series belongs.
#[derive(Debug)]
pub struct Dialects {
    compiled: Vec<Compiled>,
    index: HashMap<Vec<u8>, Vec<Place>>,
}

/// A body with nothing of the dialects in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no metric of {expected} in {bytes} bytes ({malformed} lines could not be read){}",
    unknown_names(unknown)
)]
pub struct Unrecognised {
    /// Whose were looked for.
    pub expected: String,
    /// Length of the body.
    pub bytes: usize,
    /// Lines with a wanted name that could not be read.
    pub malformed: u32,
    /// Some of the names there that begin as theirs do: what they may be called now.
    pub unknown: Vec<String>,
}

fn unknown_names(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) }
}

/// Where a series is read.
#[derive(Clone, Copy, Debug)]
struct Place {
    dialect: usize,
    cell: usize,
    part: Part,
}

/// A dialect whose metrics have places.
#[derive(Debug)]
struct Compiled {
    dialect: Dialect,
    cells: Vec<CellSpec>,
    rows: Vec<(Signal, Vec<SourceCells>)>,
}

/// The cells of a source.
#[derive(Clone, Debug)]
struct SourceCells {
    form: Form,
    main: usize,
    plus: Vec<usize>,
    /// Of a gauge that is taken off, or of seconds.
    other: Option<usize>,
}

static KNOWN: LazyLock<Arc<Dialects>> =
    LazyLock::new(|| Arc::new(Dialects::new(DialectName::ALL.map(known::dialect).into())));

impl Dialects {
    /// What a configuration chose.
    pub fn of(choice: &Choice) -> Arc<Self> {
        match choice {
            Choice::Auto => Self::known(),
            Choice::Known(name) => Arc::new(Self::new(vec![known::dialect(*name)])),
            Choice::Custom(names) => Self::custom("engine.metrics", names),
            Choice::Queries(queries) => Self::queried(queries),
        }
    }

    /// Answers to queries, called as the signals are.
    pub fn queried(queries: &MetricQueries) -> Arc<Self> {
        Self::custom("engine.queries", &queries.names())
    }

    fn custom(key: &'static str, names: &MetricNames) -> Arc<Self> {
        Arc::new(Self::new(vec![Dialect::custom(key, names)]))
    }

    /// All that are known.
    pub fn known() -> Arc<Self> {
        Arc::clone(&KNOWN)
    }

    fn new(dialects: Vec<Dialect>) -> Self {
        let compiled: Vec<Compiled> = dialects.into_iter().map(Compiled::new).collect();
        let mut index: HashMap<Vec<u8>, Vec<Place>> = HashMap::new();
        for (dialect, of) in compiled.iter().enumerate() {
            for (cell, spec) in of.cells.iter().enumerate() {
                for (name, part) in spec.series() {
                    let place = Place { dialect, cell, part };
                    index.entry(name.into_bytes()).or_default().push(place);
                }
            }
        }
        Self { compiled, index }
    }

    /// Names of every series that is read, for a server that can be asked for only these.
    pub fn series_names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().filter_map(|name| std::str::from_utf8(name).ok())
    }

    /// Whether a series of that name is read.
    pub fn knows(&self, name: &str) -> bool {
        self.index.contains_key(name.as_bytes())
    }

    /// What names begin with that may be new ones: as the dialects' do, or as a user's own, to the end
    /// of its first word.
    pub fn prefixes(&self) -> BTreeSet<&str> {
        let mut prefixes = BTreeSet::new();
        for of in &self.compiled {
            prefixes.extend(of.dialect.prefixes);
            if of.dialect.prefixes.is_empty() {
                let first_word =
                    |name: &'_ str| name.find(['_', ':']).map_or(name.len(), |at| at + 1);
                let names = of.cells.iter().map(|cell| cell.name());
                prefixes.extend(names.filter_map(|name| name.get(..first_word(name))));
            }
        }
        prefixes
    }

    /// Whether there is a choice.
    pub fn are_several(&self) -> bool {
        self.compiled.len() > 1
    }

    /// Reads a body as the dialect that tells most by it. Lines that can't be read are skipped.
    ///
    /// # Errors
    /// [`Unrecognised`] when not one of the series that are read is in it.
    pub fn read(&self, body: &[u8], format: Format) -> Result<EngineScrape, Unrecognised> {
        let mut exposition = Exposition::new(body, format);
        let mut cells: Vec<Vec<Cell>> = self.compiled.iter().map(Compiled::empty).collect();
        let mut seen = vec![false; self.compiled.len()];
        // Lines of one metric stand together: most names are the one before.
        let (mut name_before, mut places) = (Vec::new(), &[][..]);
        let mut key = String::new();
        while let Some(sample) = exposition.next_sample_where(|name| {
            if name != name_before.as_slice() {
                name_before.clear();
                name_before.extend_from_slice(name);
                places = self.index.get(name).map_or(&[], Vec::as_slice);
            }
            !places.is_empty()
        }) {
            for place in places {
                let Some(of) = self.compiled.get(place.dialect) else { continue };
                let cell = cells.get_mut(place.dialect).and_then(|c| c.get_mut(place.cell));
                if let (Some(cell), Some(spec)) = (cell, of.cells.get(place.cell)) {
                    cell.add(spec, of.dialect.repeats, place.part, &sample, &mut key);
                    if let Some(seen) = seen.get_mut(place.dialect) {
                        *seen = true;
                    }
                }
            }
        }
        let candidates = self.compiled.iter().zip(&cells).zip(&seen).filter(|(_, seen)| **seen);
        // The last of equals is returned by `max_by_key`: the first is to be believed.
        let best = candidates
            .map(|((compiled, cells), _)| (compiled, cells, compiled.told(cells)))
            .rev()
            .max_by_key(|(_, _, told)| *told);
        let Some((compiled, cells, _)) = best else {
            return Err(Unrecognised {
                expected: self.titles(),
                bytes: body.len(),
                malformed: exposition.malformed(),
                unknown: self.unknown(body, format),
            });
        };
        let mut scrape = compiled.scrape(cells);
        let rows = &compiled.dialect.rows;
        let untold = |signal: &Signal| compiled.source(*signal, cells).is_none();
        let untold: Vec<Signal> = rows.iter().map(|row| row.signal).filter(untold).collect();
        if !untold.is_empty() {
            let prefixes = compiled.dialect.prefixes;
            let unknown = self.names(body, format, |name| begins(name, prefixes));
            let of = |signal| compiled.untold(signal, &unknown);
            scrape.untold = untold.into_iter().map(of).collect();
        }
        Ok(scrape)
    }

    fn titles(&self) -> String {
        let titles: Vec<&str> = self.compiled.iter().map(|of| of.dialect.title).collect();
        titles.join(", ")
    }

    /// Names in a body of which nothing is known that may be new ones of what must be told: those
    /// that begin as a dialect's do, or else those that look like its names but for the prefix.
    fn unknown(&self, body: &[u8], format: Format) -> Vec<String> {
        let dialects = || self.compiled.iter().map(|compiled| &compiled.dialect);
        let prefixes: Vec<&str> =
            dialects().flat_map(|dialect| dialect.prefixes).copied().collect();
        let is_value = |name: &str| !VALUES_NOT.iter().any(|end| name.ends_with(end));
        let begins = |name: &[u8]| !prefixes.is_empty() && begins(name, &prefixes);
        let mut names = self.names(body, format, begins);
        names.retain(|name| is_value(name));
        if names.is_empty() {
            let sources: Vec<&Source> = dialects()
                .flat_map(|dialect| Signal::ESSENTIAL.map(|signal| dialect.sources(signal)))
                .flatten()
                .collect();
            names = self.names(body, format, |_| true);
            names.retain(|name| is_value(name) && untold::is_like_essential(name, &sources));
        }
        names.into_iter().take(untold::NAMES_MAX).collect()
    }

    /// Names of series that are not read and that `are` holds for.
    fn names(&self, body: &[u8], format: Format, are: impl Fn(&[u8]) -> bool) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        let mut before: Vec<u8> = Vec::new();
        let mut exposition = Exposition::new(body, format);
        // Lines of one metric stand together.
        while let Some(sample) = exposition.next_sample_where(|name| {
            let is_new = name != before.as_slice() && are(name) && !self.index.contains_key(name);
            if is_new {
                before.clear();
                before.extend_from_slice(name);
            }
            is_new
        }) {
            if names.len() >= UNKNOWN_NAMES_MAX {
                break;
            }
            names.insert(sample.name.into_owned());
        }
        names
    }
}

/// Ends of names that tell neither what runs nor what waits.
const VALUES_NOT: [&str; 6] = ["_bucket", "_sum", "_count", "_total", "_created", "_info"];

/// A user's own names begin as they like.
fn begins(name: &[u8], prefixes: &[&str]) -> bool {
    prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix.as_bytes()))
}

impl Compiled {
    fn new(dialect: Dialect) -> Self {
        let mut cells = Vec::new();
        let mut place = |spec: CellSpec| {
            cells.push(spec);
            cells.len() - 1
        };
        let mut rows = Vec::new();
        for row in &dialect.rows {
            let sources = row.sources.iter().map(|source| SourceCells::new(source, &mut place));
            rows.push((row.signal, sources.collect()));
        }
        Self { cells, rows, dialect }
    }

    fn empty(&self) -> Vec<Cell> {
        self.cells.iter().map(|_| Cell::default()).collect()
    }

    /// How many signals it tells.
    fn told(&self, cells: &[Cell]) -> usize {
        self.rows.iter().filter(|(signal, _)| self.source(*signal, cells).is_some()).count()
    }

    /// The first source of a signal that is in the body.
    fn source(&self, signal: Signal, cells: &[Cell]) -> Option<&SourceCells> {
        let (_, sources) = self.rows.iter().find(|(of, _)| *of == signal)?;
        sources.get(self.told_at(signal, cells)?)
    }

    /// Its place among the sources of the signal.
    fn told_at(&self, signal: Signal, cells: &[Cell]) -> Option<usize> {
        let (_, sources) = self.rows.iter().find(|(of, _)| *of == signal)?;
        sources.iter().position(|source| {
            let there = |at: usize| cells.get(at).is_some_and(|cell| !cell.is_empty());
            there(source.main) && source.other.is_none_or(there)
        })
    }

    /// What tells a signal and is not there.
    fn untold(&self, signal: Signal, unknown: &BTreeSet<String>) -> Untold {
        let sources = self.dialect.sources(signal);
        Untold {
            signal,
            names: sources.iter().map(|source| source.name.to_string()).collect(),
            like: untold::like(signal, sources, unknown, self.dialect.prefixes),
        }
    }

    /// Which name tells each signal that is told.
    fn told_by(&self, cells: &[Cell]) -> Vec<(Signal, Text)> {
        let told = |row: &Row| {
            let at = self.told_at(row.signal, cells)?;
            Some((row.signal, row.sources.get(at)?.name.clone()))
        };
        self.dialect.rows.iter().filter_map(told).collect()
    }

    fn scrape(&self, cells: &[Cell]) -> EngineScrape {
        let number = |signal| self.number(signal, cells);
        let latency = |signal| self.latency(signal, cells);
        let cell = |signal| cells.get(self.source(signal, cells)?.main);
        EngineScrape {
            dialect: Some(self.dialect.title),
            model_name: cells.iter().find_map(Cell::model_name),
            running: whole(number(Signal::Running)),
            waiting: whole(number(Signal::Waiting)),
            kv_utilization: cell(Signal::KvUtilization)
                .and_then(Cell::mean)
                .and_then(Utilization::new),
            kv_capacity_tokens: counted(number(Signal::KvCapacity)).filter(|tokens| *tokens > 0),
            sleep: cell(Signal::Sleep).and_then(Cell::sleep),
            counters: EngineCounters {
                completions: counted(number(Signal::Completions)),
                prompt_tokens: counted(number(Signal::PromptTokens)),
                generation_tokens: counted(number(Signal::GenerationTokens)),
                preemptions: counted(number(Signal::Preemptions)),
            },
            ttft: latency(Signal::Ttft),
            itl: latency(Signal::Itl),
            told_by: self.told_by(cells),
            untold: Vec::new(),
        }
    }

    /// A sum of series, with what is added to it and what is taken off.
    fn number(&self, signal: Signal, cells: &[Cell]) -> Option<f64> {
        let source = self.source(signal, cells)?;
        let sum = |at: &usize| cells.get(*at).and_then(Cell::sum);
        let plus: f64 = source.plus.iter().filter_map(sum).sum();
        let less = source.other.as_ref().map_or(Some(0.0), sum)?;
        let total = sum(&source.main)? + plus;
        // Two gauges of one scrape can be a moment apart.
        Some(if less > 0.0 { (total - less).max(0.0) } else { total })
    }

    fn latency(&self, signal: Signal, cells: &[Cell]) -> Option<Histogram> {
        let source = self.source(signal, cells)?;
        let main = cells.get(source.main)?;
        let Form::SecondsPerToken { .. } = source.form else { return main.histogram() };
        let seconds = cells.get(source.other?).and_then(Cell::sum)?;
        Histogram::new(Vec::new(), Some(counted(main.sum())?), Some(seconds))
    }
}

impl SourceCells {
    fn new(source: &Source, place: &mut impl FnMut(CellSpec) -> usize) -> Self {
        let value = |name: &str| CellSpec::new(name, CellForm::Value, source.only);
        let (form, seconds) = match source.form {
            Form::Gauge | Form::Counter | Form::Share => (CellForm::Value, None),
            Form::SecondsPerToken { seconds } => (CellForm::Value, Some(seconds)),
            Form::Histogram => (CellForm::Histogram, None),
            Form::SleepState { label } => (CellForm::SleepState { label }, None),
            Form::CacheInfo { tokens, blocks, block_tokens } => {
                (CellForm::CacheInfo { tokens, blocks, block_tokens }, None)
            }
        };
        Self {
            form: source.form,
            main: place(CellSpec::new(&source.name, form, source.only)),
            plus: source.plus.iter().map(|name| place(value(name))).collect(),
            other: source.less.or(seconds).map(|name| place(value(name))),
        }
    }
}

/// A count of things. `None` for NaN, infinities and negatives.
pub(super) fn counted(value: Option<f64>) -> Option<u64> {
    value.filter(|value| value.is_finite() && *value >= 0.0).map(|value| value.round() as u64)
}

fn whole(value: Option<f64>) -> Option<u32> {
    counted(value).map(|value| u32::try_from(value).unwrap_or(u32::MAX))
}
