//! A label selector as a scale's status writes it: `app=chat,tier in (a,b),!old`.
//!
//! **Invariant:** a selector that can't be read, or that takes every pod, is an error: it would make
//! somebody else's pods replicas.

use kube::core::{Expression, Selector};

/// A selector that names no pods.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It would take every pod.
    #[error("the target's scale names no selector, so its pods can't be told from others")]
    Empty,
    /// It is written in a way that preheat does not read.
    #[error("the selector `{0}` of the target's scale can't be read")]
    Malformed(String),
}

/// Reads a selector.
///
/// # Errors
/// When it is empty or malformed.
pub fn parse(text: &str) -> Result<Selector, SelectorError> {
    if text.trim().is_empty() {
        return Err(SelectorError::Empty);
    }
    let malformed = || SelectorError::Malformed(text.chars().take(256).collect());
    let parts = split(text).ok_or_else(malformed)?;
    let expressions: Option<Vec<Expression>> = parts.into_iter().map(expression).collect();
    let mut selector = Selector::default();
    selector.extend(expressions.ok_or_else(malformed)?);
    Ok(selector)
}

/// At the commas that are in no parentheses; `None` when those don't match.
fn split(text: &str) -> Option<Vec<&str>> {
    let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_u32);
    for (index, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                parts.push(text.get(begin..index)?.trim());
                begin = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(begin..)?.trim());
    (depth == 0).then_some(parts)
}

fn expression(part: &str) -> Option<Expression> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Expression::DoesNotExist(word(key)?));
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Expression::NotEqual(word(key)?, value_of(value)?));
    }
    if let Some((key, value)) = part.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Expression::Equal(word(key)?, value_of(value)?));
    }
    let Some((key, rest)) = part.split_once(' ') else {
        return Some(Expression::Exists(word(part)?));
    };
    let (operator, values) = rest.trim().split_once('(')?;
    let values = values.strip_suffix(')')?.split(',').map(value_of).collect::<Option<_>>()?;
    match operator.trim() {
        "in" => Some(Expression::In(word(key)?, values)),
        "notin" => Some(Expression::NotIn(word(key)?, values)),
        _ => None,
    }
}

fn word(text: &str) -> Option<String> {
    Some(value_of(text)?).filter(|key| !key.is_empty())
}

/// A label's value may be empty.
fn value_of(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./".contains(&b);
    text.bytes().all(plain).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {

    use std::collections::BTreeMap;

    use kube::core::SelectorExt;

    use super::*;

    #[test]
    fn what_the_apiserver_writes_selects_what_it_means() {
        let labels: BTreeMap<String, String> = [("app", "chat"), ("tier", "a"), ("x.io/y", "")]
            .map(|(k, v)| (k.into(), v.into()))
            .into();
        for (text, expected) in [
            ("app=chat", true),
            ("app==chat", true),
            ("app=chat,tier in (a,b)", true),
            ("tier notin (a, b)", false),
            ("tier!=b,app", true),
            ("!old,x.io/y=", true),
            ("!app", false),
            ("app=other", false),
            ("leaderworkerset.sigs.k8s.io/worker-index=0", false),
        ] {
            assert_eq!(parse(text).unwrap().matches(&labels), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_selects_nothing() {
        assert_eq!(parse(" ").unwrap_err(), SelectorError::Empty);
        for text in
            ["a in (b", "a in b)", "a in b", "a>1", "=b", ",", "a=b,", "a near (b)", "a=b c"]
        {
            assert_eq!(
                parse(text).unwrap_err(),
                SelectorError::Malformed(text.to_owned()),
                "{text}"
            );
        }
    }
}
