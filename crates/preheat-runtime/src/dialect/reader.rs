//! Reads a body by tables: one pass over it, for all dialects that it may be of.
//!
//! **Invariant:** each signal comes from one metric, the first of its row that is in the body; series
//! of it that differ in any label are different things, and are added.
//!
//! **Invariant:** `_created` series are times and never counters; no series is chosen by the name of
//! its model: two models in one engine, and adapters, are all in it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use preheat_api::dialect::{Dialect as Choice, DialectName, MetricNames, MetricQueries};
use preheat_core::Utilization;

use super::known;
use super::series::{Cell, CellSpec, Form as CellForm, Part};
use super::table::{Dialect, Form, Signal, Source};
use super::{EngineCounters, EngineScrape, Histogram, MissingSignal};
use crate::exposition::{Exposition, Format};

/// Names that are told of at most where a body has none that is known.
const UNKNOWN_NAMES_MAX: usize = 5;

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
                unknown: self.unknown(body, format, None),
            });
        };
        let mut scrape = compiled.scrape(cells);
        let missing = |signal: &Signal| compiled.missing(*signal, cells);
        scrape.missing = Signal::ESSENTIAL.iter().filter_map(missing).collect();
        if !scrape.missing.is_empty() {
            scrape.unknown = self.unknown(body, format, Some(&compiled.dialect));
        }
        Ok(scrape)
    }

    fn titles(&self) -> String {
        let titles: Vec<&str> = self.compiled.iter().map(|of| of.dialect.title).collect();
        titles.join(", ")
    }

    /// Gauges whose names begin as the dialect's do and that no table has.
    fn unknown(&self, body: &[u8], format: Format, of: Option<&Dialect>) -> Vec<String> {
        let dialects = self.compiled.iter().map(|compiled| &compiled.dialect);
        let prefixes: Vec<&[u8]> = dialects
            .filter(|dialect| of.is_none_or(|of| of == *dialect))
            .flat_map(|dialect| dialect.prefixes)
            .map(|prefix| prefix.as_bytes())
            .collect();
        let mut names: Vec<String> = Vec::new();
        let mut exposition = Exposition::new(body, format);
        let looks_like = |name: &[u8]| {
            prefixes.iter().any(|prefix| name.starts_with(prefix))
                && !self.index.contains_key(name)
                && [&b"_bucket"[..], b"_sum", b"_count", b"_total", b"_created", b"_info"]
                    .iter()
                    .all(|suffix| !name.ends_with(suffix))
        };
        while let Some(sample) = exposition.next_sample_where(looks_like) {
            if names.len() < UNKNOWN_NAMES_MAX && !names.contains(&sample.name.to_string()) {
                names.push(sample.name.into_owned());
            }
        }
        names
    }
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
        sources.iter().find(|source| {
            let there = |at: usize| cells.get(at).is_some_and(|cell| !cell.is_empty());
            there(source.main) && source.other.is_none_or(there)
        })
    }

    /// What tells a signal and is not there.
    fn missing(&self, signal: Signal, cells: &[Cell]) -> Option<MissingSignal> {
        let sources = self.dialect.sources(signal);
        if self.source(signal, cells).is_some() || sources.is_empty() {
            return None;
        }
        let names = sources.iter().map(|source| source.name.to_string()).collect();
        Some(MissingSignal { signal: signal.name(), names })
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
            missing: Vec::new(),
            unknown: Vec::new(),
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
