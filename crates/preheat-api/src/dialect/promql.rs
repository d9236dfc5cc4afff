//! Expressions of PromQL: which series each reads, and what it calls. What they mean is Prometheus' to
//! say.
//!
//! **Invariant:** an [`Expression`] says what is so now: none looks at another time.

use std::fmt;

use promql_parser::parser::{self, Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde::{Deserialize, Serialize};

/// Longer is no expression that somebody wrote; what is nested in it is walked by recursion.
const BYTES_MAX: usize = 4096;
/// Each costs a query at each tick.
const SELECTORS_MAX: usize = 8;

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
    /// It is no PromQL.
    #[error("it is no PromQL: {0}")]
    Syntax(String),
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
        let parsed = parser::parse(text).map_err(ExpressionError::Syntax)?;
        let mut read = Read::default();
        walk_expr(&mut read, &parsed)?;
        let Read { mut selectors, calls } = read;
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

/// What was found on the way through an expression.
#[derive(Default)]
struct Read {
    selectors: Vec<String>,
    calls: Vec<String>,
}

impl Read {
    fn take(&mut self, selector: &VectorSelector) -> Result<(), ExpressionError> {
        now(selector.offset.is_some(), selector.at.is_some())?;
        self.selectors.push(selector.to_string());
        Ok(())
    }
}

impl ExprVisitor for Read {
    type Error = ExpressionError;

    fn pre_visit(&mut self, expression: &Expr) -> Result<bool, ExpressionError> {
        match expression {
            Expr::VectorSelector(selector) => self.take(selector)?,
            Expr::MatrixSelector(matrix) => self.take(&matrix.vs)?,
            Expr::Subquery(subquery) => now(subquery.offset.is_some(), subquery.at.is_some())?,
            Expr::Call(call) => self.calls.push(call.func.name.to_owned()),
            Expr::Aggregate(aggregate) => {
                self.calls.push(aggregate.op.to_string());
                // The walk leaves out how many `topk` is to keep.
                if let Some(parameter) = &aggregate.param {
                    walk_expr(self, parameter)?;
                }
            }
            Expr::Unary(_)
            | Expr::Binary(_)
            | Expr::Paren(_)
            | Expr::NumberLiteral(_)
            | Expr::StringLiteral(_)
            | Expr::Extension(_) => {}
        }
        Ok(true)
    }
}

fn now(has_offset: bool, has_at: bool) -> Result<(), ExpressionError> {
    match (has_offset, has_at) {
        (true, _) => Err(ExpressionError::NotNow("offset")),
        (_, true) => Err(ExpressionError::NotNow("@")),
        (false, false) => Ok(()),
    }
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
        check("sum(x{a='b'}) by (pod) / 2e3 + 0x1F", &["x{a=\"b\"}"]);
        check("x{pod=~\"a\\\\.b\"}", &["x{pod=~\"a\\\\.b\"}"]);
        check(
            "x * on (node) group_left (pod) kube_pod_info {job=\"k\"} # or y",
            &["kube_pod_info{job=\"k\"}", "x"],
        );
        check("max_over_time(x[5m:30s]) and x > bool 1", &["x"]);
        check("topk(scalar(n), z)", &["n", "z"]);
        check("{__name__=\"a.b\",c=\"d\"} or y", &["y", "{__name__=\"a.b\",c=\"d\"}"]);
        check(" topk without (a) (3, z) ", &["z"]);
        let expression = Expression::parse("sum by (pod) (increase (x[1m]))").unwrap();
        assert!(expression.calls("sum") && expression.calls("increase"));
        assert!(!expression.calls("rate") && !expression.calls("by"));
    }

    #[test]
    fn what_is_none() {
        use ExpressionError::{Empty, NoSeries, NotNow, TooLong, TooManySelectors};
        let series: Vec<String> = (0..9).map(|n| format!("x{n}")).collect();
        let many = series.join(" + ");
        let long = "x".repeat(BYTES_MAX + 1);
        for (text, error) in [
            (" \n", Empty),
            (long.as_str(), TooLong(BYTES_MAX + 1)),
            ("x offset 5m", NotNow("offset")),
            ("x @ end()", NotNow("@")),
            ("max_over_time(x[5m:30s] offset 5m)", NotNow("offset")),
            ("topk(scalar(n offset 1h), z)", NotNow("offset")),
            ("vector(1)", NoSeries),
            ("1 + 2", NoSeries),
            (many.as_str(), TooManySelectors(9)),
        ] {
            assert_eq!(Expression::parse(text), Err(error), "{text}");
        }
        for text in
            ["sum(x", "sum x)", "x[5m", "x{a=\"}\"", "x}", "x{a=\"b}", "sum(x[5m])", "su(x)"]
        {
            let found = Expression::parse(text);
            assert!(matches!(found, Err(ExpressionError::Syntax(_))), "{text}: {found:?}");
        }
    }

    /// As deep as a text can nest.
    #[test]
    fn depth_is_no_danger() {
        let deep = BYTES_MAX / 2 - 1;
        check(&format!("{}x{}", "(".repeat(deep), ")".repeat(deep)), &["x"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-a-z0-9(){}\\[\\]\"'`\\\\@#é ,=~]{0,60}") {
            if let Ok(expression) = Expression::parse(&text) {
                prop_assert!(expression.selectors().count() > 0);
                for selector in expression.selectors() {
                    prop_assert!(Expression::parse(selector).is_ok(), "{}", selector);
                }
            }
        }
    }
}
