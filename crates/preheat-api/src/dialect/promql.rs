//! Expressions of PromQL, as far as preheat must understand them: brackets, strings, which series are
//! read, and what is called. What they mean is Prometheus' to say, and so is whether they are right.
//!
//! **Invariant:** an [`Expression`] says what is so now: none looks at another time.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longer is no expression that somebody wrote.
const BYTES_MAX: usize = 4096;
/// Each costs a query at each tick.
const SELECTORS_MAX: usize = 8;
/// Words before a list of labels.
const GROUPINGS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
/// Words that name no series.
const WORDS: [&str; 7] = ["and", "or", "unless", "atan2", "bool", "inf", "nan"];
/// What may stand before a grouping, with or without its arguments before it.
const AGGREGATIONS: [&str; 14] = [
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
    "limitk",
    "limit_ratio",
];

/// One expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    text: String,
    selectors: Vec<String>,
    calls: Vec<String>,
}

/// Why a text is no expression that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// There is none.
    #[error("it is empty")]
    Empty,
    /// It is longer than any that is meant.
    #[error("it has {0} bytes, of which {BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A bracket that is not closed, or not open.
    #[error("`{0}` has no partner")]
    Bracket(char),
    /// A string without an end.
    #[error("a string in it does not end")]
    String,
    /// It looks at another time.
    #[error("`{0}` makes it tell of another time, and what is so now must be told")]
    NotNow(&'static str),
    /// It names no series, and tells nothing of an engine.
    #[error("it reads no series")]
    NoSeries,
    /// It reads too many.
    #[error("it reads {0} series selectors, of which {SELECTORS_MAX} are allowed")]
    TooManySelectors(usize),
}

impl Expression {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, as far as can be told without a Prometheus.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ExpressionError::Empty);
        }
        if text.len() > BYTES_MAX {
            return Err(ExpressionError::TooLong(text.len()));
        }
        let mut reading = Reading { rest: text, selectors: Vec::new(), calls: Vec::new() };
        reading.all()?;
        let Reading { mut selectors, calls, .. } = reading;
        selectors.sort_unstable();
        selectors.dedup();
        match selectors.len() {
            0 => Err(ExpressionError::NoSeries),
            many if many > SELECTORS_MAX => Err(ExpressionError::TooManySelectors(many)),
            _ => Ok(Self { text: text.to_owned(), selectors, calls }),
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The series that it reads, each as a selector of its own.
    pub fn selectors(&self) -> impl Iterator<Item = &str> {
        self.selectors.iter().map(String::as_str)
    }

    /// Whether a function or an aggregation of that name is in it.
    pub fn calls(&self, name: &str) -> bool {
        self.calls.iter().any(|call| call == name)
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}

impl TryFrom<String> for Expression {
    type Error = ExpressionError;

    fn try_from(text: String) -> Result<Self, ExpressionError> {
        Self::parse(&text)
    }
}

/// A text being read from its begin.
struct Reading<'a> {
    rest: &'a str,
    selectors: Vec<String>,
    calls: Vec<String>,
}

impl<'a> Reading<'a> {
    fn all(&mut self) -> Result<(), ExpressionError> {
        let mut open = Vec::new();
        while let Some(first) = self.rest.chars().next() {
            match first {
                '(' => {
                    open.push(first);
                    self.skip(1);
                }
                ')' => {
                    open.pop().ok_or(ExpressionError::Bracket(first))?;
                    self.skip(1);
                }
                // A range, or a subquery's range and step.
                '[' => drop(self.bracketed('[', ']')?),
                '{' => {
                    let selector = self.bracketed('{', '}')?;
                    self.selectors.push(selector.to_owned());
                }
                ']' | '}' => return Err(ExpressionError::Bracket(first)),
                '"' | '\'' | '`' => self.string(first)?,
                '#' => {
                    let line = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.skip(line);
                }
                '@' => return Err(ExpressionError::NotNow("@")),
                digit if digit.is_ascii_digit() || digit == '.' => drop(self.run(is_in_number)),
                letter if is_in_word(letter) => self.word()?,
                other => self.skip(other.len_utf8()),
            }
        }
        open.pop().map_or(Ok(()), |left| Err(ExpressionError::Bracket(left)))
    }

    /// A word: a function, a keyword, or the name of a metric, with its matchers.
    fn word(&mut self) -> Result<(), ExpressionError> {
        let word = self.run(is_in_word);
        let lower = word.to_ascii_lowercase();
        let next = self.rest.trim_start();
        if lower == "offset" {
            return Err(ExpressionError::NotNow("offset"));
        }
        if GROUPINGS.contains(&lower.as_str()) && next.starts_with('(') {
            self.rest = next;
            self.bracketed('(', ')')?;
            return Ok(());
        }
        let grouped = next.split(|c| !is_in_word(c)).next().unwrap_or_default();
        let is_aggregation = AGGREGATIONS.contains(&lower.as_str())
            && GROUPINGS.contains(&grouped.to_ascii_lowercase().as_str());
        if next.starts_with('(') || is_aggregation {
            self.calls.push(lower);
        } else if next.starts_with('{') {
            self.rest = next;
            let matchers = self.bracketed('{', '}')?;
            self.selectors.push(format!("{word}{matchers}"));
        } else if !WORDS.contains(&lower.as_str()) && !GROUPINGS.contains(&lower.as_str()) {
            self.selectors.push(word.to_owned());
        }
        Ok(())
    }

    /// From an opening bracket to the one that closes it, both included.
    fn bracketed(&mut self, opening: char, closing: char) -> Result<&'a str, ExpressionError> {
        let begin = self.rest;
        self.skip(opening.len_utf8());
        while let Some(next) = self.rest.chars().next() {
            match next {
                '"' | '\'' | '`' => self.string(next)?,
                next if next == closing => {
                    self.skip(closing.len_utf8());
                    let length = begin.len() - self.rest.len();
                    return Ok(begin.get(..length).unwrap_or(begin));
                }
                next => self.skip(next.len_utf8()),
            }
        }
        Err(ExpressionError::Bracket(opening))
    }

    /// A string, which a backslash can't end but in backticks.
    fn string(&mut self, quote: char) -> Result<(), ExpressionError> {
        self.skip(1);
        let mut escaped = false;
        for (place, next) in self.rest.char_indices() {
            if next == quote && !escaped {
                self.skip(place + 1);
                return Ok(());
            }
            escaped = next == '\\' && !escaped && quote != '`';
        }
        Err(ExpressionError::String)
    }

    fn run(&mut self, is_in: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !is_in(c)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }
}

fn is_in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn is_in_number(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, selectors: &[&str]) {
        let expression = Expression::parse(text).unwrap();
        assert_eq!(expression.selectors().collect::<Vec<_>>(), selectors, "{text}");
        assert_eq!(expression.as_str(), text.trim());
    }

    #[test]
    fn what_it_reads() {
        check("my_running", &["my_running"]);
        check("sum by (pod) (my:running{a=\"}\"})", &["my:running{a=\"}\"}"]);
        check("sum(x{a='b'}) by (pod) / 2e3 + 0x1F", &["x{a='b'}"]);
        check(
            "x * on (node) group_left (pod) kube_pod_info {job=\"k\"} # or y",
            &["kube_pod_info{job=\"k\"}", "x"],
        );
        check("max_over_time(x[5m:30s]) and x > bool 1", &["x"]);
        check(
            "{__name__=\"a.b\",c=\"d\"} or label_replace(y, \"pod\", \"$1\", \"p\", `(.*)\\`)",
            &["y", "{__name__=\"a.b\",c=\"d\"}"],
        );
        check(" topk without (a) (3, z) ", &["z"]);
        let expression = Expression::parse("Sum by (pod) (increase (x[1m]))").unwrap();
        assert!(expression.calls("sum") && expression.calls("increase"));
        assert!(!expression.calls("rate") && !expression.calls("by"));
    }

    #[test]
    fn what_is_none() {
        use ExpressionError::{
            Bracket, Empty, NoSeries, NotNow, String, TooLong, TooManySelectors,
        };
        let series: Vec<std::string::String> = (0..9).map(|n| format!("x{n}")).collect();
        let many = series.join(" + ");
        let long = "x".repeat(BYTES_MAX + 1);
        for (text, error) in [
            (" \n", Empty),
            (long.as_str(), TooLong(BYTES_MAX + 1)),
            ("sum(x", Bracket('(')),
            ("sum x)", Bracket(')')),
            ("x[5m", Bracket('[')),
            ("x{a=\"}\"", Bracket('{')),
            ("x}", Bracket('}')),
            ("x{a=\"b}", String),
            ("x offset 5m", NotNow("offset")),
            ("x @ end()", NotNow("@")),
            ("vector(1)", NoSeries),
            ("1 + 2", NoSeries),
            (many.as_str(), TooManySelectors(9)),
        ] {
            assert_eq!(Expression::parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z0-9(){}\\[\\]\"'`\\\\@#é ,=~]{0,60}") {
            if let Ok(expression) = Expression::parse(&text) {
                for selector in expression.selectors() {
                    let name = selector.split('{').next().unwrap_or_default();
                    prop_assert!(text.contains(name), "{}", name);
                }
            }
        }
    }
}
