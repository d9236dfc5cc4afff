//! Manifests as trees, read key by key: what was asked for is known, so what was left over is too.
//!
//! **Invariant:** every value has its place in the file, whatever wrote it there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Deserializer, de};
use serde_saphyr::{Location, Spanned};

use super::{ImportError, Note};
use crate::yaml::{self, Place};

/// A value of any shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Spanned<String>, Node)>),
}

pub(super) type Node = Spanned<Value>;

impl Value {
    const fn shape(&self) -> &'static str {
        match self {
            Self::Null => "empty",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }

    /// On one line, for a message; long ones are cut.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Null | Self::List(_) | Self::Map(_) => self.shape().to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(value) => one_line(value),
        }
    }
}

/// Longest value that a note or a message repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// A text that can stand in a comment or a message: one line, no control characters, not long.
pub(super) fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().filter(|c| !c.is_control()).collect();
    match line.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> de::Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        // What this loses lies beyond every bound that is checked later.
        Ok(Value::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = access.next_element()? {
            list.push(node);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = access.next_entry()? {
            map.push(entry);
        }
        Ok(Value::Map(map))
    }
}

/// The text that is read, for errors to quote from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error(&self, at: Option<Location>, problem: impl Into<String>) -> ImportError {
        let place = at.and_then(|at| Place::of(self.text, at));
        ImportError { file: self.file.to_owned(), place, problem: problem.into(), hint: None }
    }

    /// Every document, those of a `List` one by one.
    pub(super) fn documents(&self) -> Result<Vec<Node>, ImportError> {
        let parsed: Vec<Node> = serde_saphyr::from_multiple(self.text)
            .map_err(|error| self.error(error.location(), yaml::message(&error)))?;
        let mut documents = Vec::new();
        for node in parsed {
            match list_items(&node) {
                Some(items) => documents.extend(items.iter().cloned()),
                None => documents.push(node),
            }
        }
        Ok(documents)
    }
}

/// The items of what `kubectl get` prints for several objects.
fn list_items(node: &Node) -> Option<&[Node]> {
    let Value::Map(entries) = &node.value else { return None };
    let get = |key: &str| entries.iter().find(|(name, _)| name.value == key).map(|(_, node)| node);
    let is_list = matches!(&get("kind")?.value, Value::Text(kind) if kind.ends_with("List"));
    match &get("items")?.value {
        Value::List(items) if is_list => Some(items),
        Value::List(_)
        | Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::Text(_)
        | Value::Map(_) => None,
    }
}

/// A value with its name, as its writer would say it: `spec.metrics[0].type`.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    /// The path's last part, as it is written; empty for a document and in a list.
    pub(super) key: &'a str,
    source: Source<'a>,
    pub(super) node: &'a Node,
}

impl<'a> Field<'a> {
    pub(super) fn document(source: Source<'a>, node: &'a Node) -> Self {
        Self { path: String::new(), key: "", source, node }
    }

    pub(super) fn line(&self) -> u64 {
        self.node.referenced.line()
    }

    pub(super) fn shown(&self) -> String {
        self.node.value.shown()
    }

    /// An error about this value.
    pub(super) fn must_be(&self, allowed: &str) -> ImportError {
        let what = match self.path.as_str() {
            "" => "a document".to_owned(),
            path => format!("`{path}`"),
        };
        let problem = format!("{what} is {}; it must be {allowed}", self.shown());
        self.error(problem)
    }

    pub(super) fn error(&self, problem: String) -> ImportError {
        self.source.error(Some(self.node.referenced), problem)
    }

    /// A note about this value.
    pub(super) fn note(&self, text: impl Into<String>) -> Note {
        Note { path: self.path.clone(), line: self.line(), text: text.into() }
    }

    pub(super) fn section(&self) -> Result<Section<'a>, ImportError> {
        let entries: &'a [(Spanned<String>, Node)] = match &self.node.value {
            Value::Map(entries) => entries,
            // `behavior:` with nothing under it says nothing.
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                return Err(self.must_be("a mapping of keys to values"));
            }
        };
        let left = entries.iter().map(|(key, node)| (key.value.as_str(), node)).collect();
        Ok(Section { path: self.path.clone(), source: self.source, at: self.node.referenced, left })
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, ImportError> {
        let items: &'a [Node] = match &self.node.value {
            Value::List(items) => items,
            Value::Null => &[],
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                return Err(self.must_be("a list"));
            }
        };
        let item = |(index, node)| {
            let path = format!("{}[{index}]", self.path);
            Self { path, key: "", source: self.source, node }
        };
        Ok(items.iter().enumerate().map(item).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ImportError> {
        match &self.node.value {
            Value::Text(text) if !text.trim().is_empty() => Ok(text),
            Value::Text(_)
            | Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::List(_)
            | Value::Map(_) => Err(self.must_be("a text")),
        }
    }

    /// `true`, or the text of it, as annotations have it.
    pub(super) fn is_true(&self) -> bool {
        match &self.node.value {
            Value::Bool(value) => *value,
            Value::Text(text) => text == "true",
            Value::Null | Value::Number(_) | Value::List(_) | Value::Map(_) => false,
        }
    }

    /// A number, or the text of one.
    pub(super) fn number(&self) -> Result<f64, ImportError> {
        let number = match &self.node.value {
            Value::Number(number) => Some(*number),
            Value::Text(text) => text.trim().parse::<f64>().ok(),
            Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
        };
        number.filter(|number| number.is_finite()).ok_or_else(|| self.must_be("a number"))
    }

    /// A whole number from 0 to 1,000,000,000, or the text of one.
    pub(super) fn count(&self) -> Result<u32, ImportError> {
        let number = self.number()?;
        if number.fract() == 0.0 && (0.0..=1e9).contains(&number) {
            // Whole and in range, as was just asked.
            return Ok(number as u32);
        }
        Err(self.must_be("a whole number from 0 to 1000000000"))
    }
}

/// A mapping that is being read: what nobody has asked for yet is left.
#[derive(Clone, Debug)]
pub(super) struct Section<'a> {
    path: String,
    source: Source<'a>,
    at: Location,
    left: BTreeMap<&'a str, &'a Node>,
}

impl<'a> Section<'a> {
    pub(super) fn take(&mut self, key: &str) -> Option<Field<'a>> {
        let (key, node) = self.left.remove_entry(key)?;
        Some(self.field(key, node))
    }

    pub(super) fn need(&mut self, key: &str) -> Result<Field<'a>, ImportError> {
        let path = self.path_of(key);
        let missing = || self.source.error(Some(self.at), format!("`{path}` is missing"));
        self.left.remove_entry(key).map(|(key, node)| self.field(key, node)).ok_or_else(missing)
    }

    /// The mapping below a key; an absent one is empty.
    pub(super) fn section(&mut self, key: &str) -> Result<Self, ImportError> {
        match self.take(key) {
            Some(field) => field.section(),
            None => {
                let path = self.path_of(key);
                Ok(Self { path, source: self.source, at: self.at, left: BTreeMap::new() })
            }
        }
    }

    /// The entries that nobody has asked for whose keys begin with this.
    pub(super) fn take_prefixed(&mut self, prefix: &str) -> Vec<Field<'a>> {
        let keys: Vec<&str> =
            self.left.keys().copied().filter(|key| key.starts_with(prefix)).collect();
        keys.iter().filter_map(|key| self.take(key)).collect()
    }

    /// Everything that nobody has asked for.
    pub(super) fn rest(self) -> Vec<Field<'a>> {
        self.left.iter().map(|(key, node)| self.field(key, node)).collect()
    }

    fn field(&self, key: &'a str, node: &'a Node) -> Field<'a> {
        Field { path: self.path_of(key), key, source: self.source, node }
    }

    fn path_of(&self, key: &str) -> String {
        // Annotations are called by their own names, which have dots and slashes in them.
        let is_plain = key.bytes().all(|b| b.is_ascii_alphanumeric());
        match (self.path.as_str(), is_plain) {
            ("", _) => one_line(key),
            (path, true) => format!("{path}.{key}"),
            (path, false) => format!("{path}[\"{}\"]", one_line(key)),
        }
    }
}
