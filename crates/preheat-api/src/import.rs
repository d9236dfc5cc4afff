//! Other autoscalers' manifests, and the preheat configuration that is nearest to each.
//!
//! [`read`] takes YAML (or JSON) of any number of documents; [`kubernetes`] and [`local`] write what
//! came of it. A manifest means what its own controller makes of it: defaults that change how
//! preheat would scale are carried over like values that were given.
//!
//! **Invariant:** each key of an autoscaler's `spec` is carried over or named in a note, and so is
//! each annotation that its controller reads. Of an object that also says what runs, as Knative's
//! and KServe's, that is true of what says how it scales.
//!
//! **Invariant:** what [`local`] writes is read by [`LocalConfig::parse`](crate::config::LocalConfig),
//! and what a manifest says is within the bounds of both outputs, or an error.

mod aibrix;
mod behavior;
mod hpa;
mod keda;
mod knative;
mod kserve;
mod manifest;
mod write;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::pool_keys::PoolKeys;
use crate::schedule::ScheduleSpec;
use crate::yaml::{self, Place};
use manifest::{Field, Section, Source, one_line};

pub use write::{kubernetes, local};

/// An autoscaler that was read, as preheat would have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// What it was, like `HorizontalPodAutoscaler`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Where it lives, if it says so.
    pub namespace: Option<String>,
    /// Line of the file that it begins in.
    pub line: u64,
    /// What could not be carried over, and what was assumed.
    pub notes: Vec<Note>,
    target: Target,
    keys: PoolKeys,
    engine: EngineKeys,
    pause: Option<&'static str>,
    fallback: Option<Fallback>,
    schedules: Vec<ScheduleSpec>,
}

/// Something that a person should know about one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The key, as its writer would say it.
    pub path: String,
    /// Line of the file; 0 for a key that is not there.
    pub line: u64,
    /// Why it is not carried over, or what became of it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.text),
            line => write!(f, "{} (line {line}): {}", self.path, self.text),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    api_version: String,
    kind: String,
    name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct EngineKeys {
    metrics_port: Option<u32>,
    metrics_path: Option<String>,
    gpus_per_replica: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fallback {
    after: Duration,
    replicas: u32,
}

/// Why nothing could be read.
#[derive(Debug)]
pub struct ImportError {
    file: PathBuf,
    place: Option<Place>,
    problem: String,
    hint: Option<&'static str>,
}

impl ImportError {
    /// What to do about it, where there is more to say than the message does.
    pub fn hint(&self) -> Option<String> {
        self.hint.map(str::to_owned)
    }
}

impl std::error::Error for ImportError {}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        yaml::show(f, &self.file, self.place.as_ref(), &self.problem)
    }
}

/// A larger file is no manifest: the apiserver takes 3 MiB for one object.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads every autoscaler in `text`; documents of other kinds are passed over. `file` is only what
/// errors call it.
///
/// # Errors
/// The first mistake, with its place; or that there is no autoscaler in it.
pub fn read(text: &str, file: &Path) -> Result<Vec<Imported>, ImportError> {
    let source = Source { file, text };
    if text.len() > BYTES_MAX {
        return Err(source.error(None, "is larger than 16 MiB, which no manifest is"));
    }
    let (mut all, mut others) = (Vec::new(), Vec::new());
    for node in source.documents()? {
        let document = Field::document(source, &node);
        match one(&document)? {
            Read::Autoscaler(imported) => {
                checked(&imported, &document)?;
                all.push(*imported);
            }
            Read::Other(kind) if others.contains(&kind) => {}
            Read::Other(kind) => others.push(kind),
        }
    }
    if all.is_empty() {
        let problem = match others.as_slice() {
            [] => "has no document in it".to_owned(),
            kinds => format!("has no autoscaler in it, but {}", kinds.join(", ")),
        };
        let hint = "HorizontalPodAutoscaler, ScaledObject, PodAutoscaler, InferenceService and \
                    Knative's Service can be read, as `kubectl get KIND NAME -o yaml` prints them";
        return Err(ImportError { hint: Some(hint), ..source.error(None, problem) });
    }
    Ok(all)
}

enum Read {
    Autoscaler(Box<Imported>),
    /// Something else, by its kind.
    Other(String),
}

fn one(document: &Field<'_>) -> Result<Read, ImportError> {
    let mut top = document.section()?;
    let version = top.need("apiVersion")?.text()?.to_owned();
    let kind = top.need("kind")?.text()?.to_owned();
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let imported = match (group, kind.as_str()) {
        ("autoscaling", "HorizontalPodAutoscaler") => hpa::read(document, top)?,
        ("keda.sh", "ScaledObject") => keda::read(document, top)?,
        ("serving.knative.dev", "Service") => knative::read(document, top)?,
        ("serving.kserve.io", "InferenceService") => kserve::read(document, top)?,
        ("autoscaling.aibrix.ai", "PodAutoscaler") => aibrix::read(document, top)?,
        _ => return Ok(Read::Other(one_line(&kind))),
    };
    Ok(Read::Autoscaler(Box::new(imported)))
}

/// A policy must come of it, as for a file that somebody wrote.
fn checked(imported: &Imported, document: &Field<'_>) -> Result<(), ImportError> {
    imported
        .keys
        .policy()
        .map(drop)
        .map_err(|error| document.error(format!("preheat can't do what this asks for: {error}")))
}

/// What every kind has, taken from the document's top.
struct Head<'a> {
    of: Named,
    annotations: Section<'a>,
    spec: Section<'a>,
}

struct Named {
    name: String,
    namespace: Option<String>,
    line: u64,
}

impl<'a> Head<'a> {
    fn take(document: &Field<'a>, mut top: Section<'a>) -> Result<Self, ImportError> {
        let mut metadata = top.need("metadata")?.section()?;
        let name = object_name(&metadata.need("name")?)?;
        let namespace = metadata.take("namespace").map(|field| object_name(&field)).transpose()?;
        Ok(Self {
            of: Named { name, namespace, line: document.line() },
            annotations: metadata.section("annotations")?,
            spec: top.need("spec")?.section()?,
        })
    }
}

fn object_name(field: &Field<'_>) -> Result<String, ImportError> {
    let text = field.text()?;
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
    if text.len() <= 253 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(field.must_be("at most 253 lower-case letters, digits, `-` and `.`"))
}

impl Named {
    /// What was read of it so far; the kinds fill the rest in.
    fn imported(self, kind: &'static str, target: Target) -> Imported {
        Imported {
            kind,
            name: self.name,
            namespace: self.namespace,
            line: self.line,
            notes: Vec::new(),
            target,
            keys: PoolKeys::default(),
            engine: EngineKeys::default(),
            pause: None,
            fallback: None,
            schedules: Vec::new(),
        }
    }
}

impl Imported {
    /// Its name in messages: with the namespace where it has one.
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Says of each of these that it is not carried over, for one reason.
    fn drop_all<'a>(&mut self, fields: impl IntoIterator<Item = Field<'a>>, reason: &str) {
        self.notes.extend(fields.into_iter().map(|field| field.note(reason)));
    }

    fn assume(&mut self, path: &str, text: impl Into<String>) {
        self.notes.push(Note { path: path.to_owned(), line: 0, text: text.into() });
    }

    /// Says of each key with a known reason why it is not carried over, and of the others that.
    fn drop_rest(&mut self, section: Section<'_>, reasons: &[(&str, &str)]) {
        for field in section.rest() {
            let known = reasons.iter().find(|(name, _)| *name == field.key);
            let reason = known.map_or("preheat has nothing like it", |(_, reason)| reason);
            self.notes.push(field.note(reason));
        }
    }
}

/// What a `scaleTargetRef` names; what is not said has the given defaults.
fn target(
    field: &Field<'_>,
    default: Option<(&str, &str)>,
) -> Result<(Target, Vec<Note>), ImportError> {
    let mut section = field.section()?;
    let name = object_name(&section.need("name")?)?;
    let kind = match (section.take("kind"), default) {
        (Some(kind), _) => word(&kind)?,
        (None, Some((_, kind))) => kind.to_owned(),
        (None, None) => word(&section.need("kind")?)?,
    };
    let api_version = match section.take("apiVersion") {
        Some(version) => word(&version)?,
        // An HPA may leave the version out; what it scales is in `apps` then, or nobody could tell.
        None => default.map_or("apps/v1", |(version, _)| version).to_owned(),
    };
    let left = section.rest();
    let notes = left.iter().map(|field| field.note("preheat has nothing like it")).collect();
    Ok((Target { api_version, kind, name }, notes))
}

/// A kind or a version: what stands in a `scaleTargetRef` beside the name.
fn word(field: &Field<'_>) -> Result<String, ImportError> {
    let text = field.text()?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-./".contains(&b);
    if text.len() <= 253 && text.bytes().all(fits) {
        return Ok(text.to_owned());
    }
    Err(field.must_be("the name of a kind or of its version"))
}

/// GPUs that one replica asks for, over all its containers.
fn gpus(containers: &[Field<'_>]) -> Result<Option<u32>, ImportError> {
    let mut total: Option<u32> = None;
    for container in containers {
        let mut resources = container.section()?.section("resources")?;
        for part in ["limits", "requests"] {
            let mut amounts = resources.section(part)?;
            let Some(gpus) = amounts.take("nvidia.com/gpu").or(amounts.take("amd.com/gpu")) else {
                continue;
            };
            let sum = total.unwrap_or(0).saturating_add(gpus.count()?);
            if sum > 1024 {
                return Err(gpus.must_be("at most 1024 for one replica"));
            }
            total = Some(sum);
            break;
        }
    }
    Ok(total)
}

const METRIC_REASON: &str = "preheat compares no metric with a target: it sizes from what arrives, \
                             how long it takes and what one replica can hold, for `slo`";
const SCALE_UP_REASON: &str = "preheat starts what is needed one start ahead, counting what is on \
                               its way; `maxStarts` is its only brake";
