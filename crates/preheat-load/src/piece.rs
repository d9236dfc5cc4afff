//! What one piece of an answer's JSON says: a streamed event, or the whole answer.
//!
//! Only presence is kept, never text: nothing is allocated for an event without escapes.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};

/// What a piece says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Piece {
    /// It reports an error.
    pub(crate) is_error: bool,
    /// It has a choice, perhaps an empty one.
    pub(crate) has_choice: bool,
    /// A choice has text, reasoning or a tool call: tokens.
    pub(crate) has_tokens: bool,
    /// A choice says why it ended.
    pub(crate) has_finish_reason: bool,
    /// The server's own count of tokens.
    pub(crate) usage: Option<Usage>,
}

/// The server's own count of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: Option<u64>,
    pub(crate) completion_tokens: Option<u64>,
}

impl Piece {
    pub(crate) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let wire: WirePiece = serde_json::from_slice(json)?;
        let choices = wire.choices.unwrap_or_default();
        Ok(Self {
            is_error: wire.error.is_some() || wire.object.is_some_and(|object| object.is_error),
            has_choice: choices.any,
            has_tokens: choices.tokens,
            has_finish_reason: choices.finish_reason,
            usage: wire.usage,
        })
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WirePiece {
    object: Option<Text>,
    error: Option<IgnoredAny>,
    choices: Option<Choices>,
    usage: Option<Usage>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireChoice {
    text: Option<Text>,
    delta: Option<WireMessage>,
    message: Option<WireMessage>,
    finish_reason: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct WireMessage {
    content: Option<Text>,
    reasoning: Option<Text>,
    reasoning_content: Option<Text>,
    tool_calls: Option<Choices>,
}

impl WireMessage {
    fn has_tokens(&self) -> bool {
        let texts = [&self.content, &self.reasoning, &self.reasoning_content];
        let any_text = texts.into_iter().flatten().any(|text| !text.is_empty);
        any_text || self.tool_calls.as_ref().is_some_and(|calls| calls.any)
    }
}

/// A list's items put together.
#[derive(Default)]
struct Choices {
    any: bool,
    tokens: bool,
    finish_reason: bool,
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ChoicesVisitor;
        impl<'de> Visitor<'de> for ChoicesVisitor {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
                let mut choices = Choices::default();
                while let Some(choice) = list.next_element::<WireChoice>()? {
                    let messages = [&choice.delta, &choice.message];
                    let in_message = messages.into_iter().flatten().any(WireMessage::has_tokens);
                    choices.any = true;
                    choices.tokens |= in_message || choice.text.is_some_and(|text| !text.is_empty);
                    choices.finish_reason |= choice.finish_reason.is_some();
                }
                Ok(choices)
            }
        }
        deserializer.deserialize_seq(ChoicesVisitor)
    }
}

/// What is asked of a text.
struct Text {
    is_empty: bool,
    is_error: bool,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text { is_empty: text.is_empty(), is_error: text == "error" })
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Piece) {
        assert_eq!(Piece::parse(json.as_bytes()).unwrap(), expected, "{json}");
    }

    #[test]
    fn pieces() {
        let nothing = Piece::default();
        let choice = Piece { has_choice: true, ..nothing };
        let tokens = Piece { has_tokens: true, ..choice };
        check("{}", nothing);
        check(r#"{"choices":[{"text":" a","finish_reason":null}],"usage":null}"#, tokens);
        check(r#"{"choices":[{"text":"\n\u00e9"}]}"#, tokens);
        check(r#"{"choices":[{"text":""}]}"#, choice);
        check(r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, choice);
        check(r#"{"choices":[{"delta":{"content":null,"reasoning":"hm"}}]}"#, tokens);
        check(r#"{"choices":[{"delta":{"tool_calls":[{"id":"a"}]}}]}"#, tokens);
        check(r#"{"choices":[{"delta":{"content":"a","tool_calls":null}}]}"#, tokens);
        let ended = Piece { has_finish_reason: true, ..tokens };
        check(r#"{"choices":[{"text":"a","finish_reason":"length"}]}"#, ended);
        let usage = Usage { prompt_tokens: Some(9), completion_tokens: Some(4) };
        check(
            r#"{"choices":[],"usage":{"prompt_tokens":9,"total_tokens":13,"completion_tokens":4}}"#,
            Piece { usage: Some(usage), ..nothing },
        );
        check(
            r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{}}"#,
            Piece { usage: Some(Usage::default()), ..ended },
        );
    }

    #[test]
    fn errors() {
        let error = Piece { is_error: true, ..Piece::default() };
        check(r#"{"error":{"message":"m","code":500}}"#, error);
        check(r#"{"error":"m"}"#, error);
        check(r#"{"object":"error","message":"m"}"#, error);
        check(r#"{"error":null,"object":"text_completion"}"#, Piece::default());
        for wrong in ["", "[DONE]", "{", r#"{"choices":[{"text":5}]}"#, r#"{"choices":5}"#] {
            assert!(Piece::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
