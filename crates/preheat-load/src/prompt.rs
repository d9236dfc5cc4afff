//! Request bodies: prompts cut from one buffer of one-token words.
//!
//! Every prompt starts at another place of the buffer, so that a server's prefix cache does not
//! answer for the work: two prompts share their start only after [`STARTS`] others.

use std::sync::OnceLock;

use bytes::Bytes;
use preheat_traffic::TraceRequest;

use crate::config::{AnswerMode, Endpoint, LoadConfig, LoadError};

/// The longest prompt in words; more input tokens are cut to this and counted in the report. The
/// longest prompt of the public traces has 191,378.
pub const PROMPT_WORDS_MAX: usize = 196_608;

/// From how many places of the buffer a prompt may start.
const STARTS: usize = 65_536;

/// A space and three letters each, common enough to be one token in every large vocabulary.
const WORDS: [&[u8; 4]; 64] = [
    b" the", b" and", b" for", b" are", b" but", b" not", b" you", b" all", b" any", b" can",
    b" had", b" her", b" was", b" one", b" our", b" out", b" day", b" get", b" has", b" him",
    b" his", b" how", b" man", b" new", b" now", b" old", b" see", b" two", b" way", b" who",
    b" boy", b" did", b" its", b" let", b" put", b" say", b" she", b" too", b" use", b" dad",
    b" mom", b" act", b" add", b" age", b" ago", b" air", b" art", b" ask", b" bad", b" bag",
    b" bar", b" bed", b" big", b" bit", b" box", b" bus", b" buy", b" car", b" cat", b" cup",
    b" cut", b" dog", b" eat", b" end",
];
const WORD_BYTES: usize = WORDS[0].len();

/// One mebibyte of words in an order without rhyme, made once.
fn buffer() -> &'static [u8] {
    static BUFFER: OnceLock<Vec<u8>> = OnceLock::new();
    BUFFER.get_or_init(|| {
        let word = |index: usize| mix(index as u64) as usize % WORDS.len();
        let words = (0..PROMPT_WORDS_MAX + STARTS).filter_map(|index| WORDS.get(word(index)));
        words.flat_map(|word| word.iter().copied()).collect()
    })
}

/// SplitMix64's output function: neighbouring numbers become unrelated ones.
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// What all bodies of a run have in common.
#[derive(Debug)]
pub(crate) struct BodyTemplate {
    /// Up to the prompt's first word.
    head: Vec<u8>,
    /// From the prompt's last word to the number of tokens.
    middle: &'static str,
    /// From the number of tokens to the end.
    tail: &'static str,
    seed: u64,
}

impl BodyTemplate {
    pub(crate) fn new(config: &LoadConfig) -> Result<Self, LoadError> {
        let model = serde_json::to_string(&config.model).map_err(LoadError::Model)?;
        let (prompt, middle) = match config.endpoint {
            Endpoint::Completions => (r#""prompt":""#, r#"","max_tokens":"#),
            Endpoint::Chat => (r#""messages":[{"role":"user","content":""#, r#""}],"max_tokens":"#),
        };
        let tail = match config.answer_mode {
            AnswerMode::Streamed => {
                r#","ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}"#
            }
            AnswerMode::Whole => r#","ignore_eos":true,"stream":false}"#,
        };
        let head = format!(r#"{{"model":{model},{prompt}"#).into_bytes();
        Ok(Self { head, middle, tail, seed: config.seed })
    }

    /// The body of the run's request number `index`.
    pub(crate) fn body(&self, index: u64, request: &TraceRequest) -> Bytes {
        let words = prompt_words(request);
        let start = (self.seed.wrapping_add(index) % STARTS as u64) as usize * WORD_BYTES;
        let prompt = buffer().get(start..start + words * WORD_BYTES).unwrap_or_default();
        let max_tokens = request.output_tokens.to_string();
        let parts = [
            self.head.as_slice(),
            prompt,
            self.middle.as_bytes(),
            max_tokens.as_bytes(),
            self.tail.as_bytes(),
        ];
        Bytes::from(parts.concat())
    }
}

fn prompt_words(request: &TraceRequest) -> usize {
    (request.input_tokens as usize).clamp(1, PROMPT_WORDS_MAX)
}

/// Whether the prompt has fewer words than the request has input tokens.
pub(crate) fn is_clipped(request: &TraceRequest) -> bool {
    request.input_tokens as usize > PROMPT_WORDS_MAX
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::config::Target;

    fn config() -> LoadConfig {
        LoadConfig::new(Target::parse("http://a").unwrap(), "a \"model\"")
    }

    fn body(config: &LoadConfig, index: u64, input_tokens: u32) -> Value {
        let request = TraceRequest { arrival: Duration::ZERO, input_tokens, output_tokens: 21 };
        let body = BodyTemplate::new(config).unwrap().body(index, &request);
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn completions_are_asked_for_in_full() {
        let body = body(&config(), 3, 12);
        assert_eq!(body["model"], "a \"model\"");
        assert_eq!(body["max_tokens"], 21);
        assert_eq!(body["ignore_eos"], true);
        assert_eq!(body["stream"], true);
        assert_eq!(body["stream_options"]["include_usage"], true);
        assert_eq!(body["prompt"].as_str().unwrap().split_ascii_whitespace().count(), 12);
    }

    #[test]
    fn chat_and_whole_answers() {
        let chat = LoadConfig { endpoint: Endpoint::Chat, ..config() };
        let chat = LoadConfig { answer_mode: AnswerMode::Whole, ..chat };
        let body = body(&chat, 3, 5);
        assert_eq!(body["stream"], false);
        assert_eq!(body["max_tokens"], 21);
        let message = &body["messages"][0];
        assert_eq!(message["role"], "user");
        assert_eq!(message["content"].as_str().unwrap().split_ascii_whitespace().count(), 5);
    }

    #[test]
    fn prompts_start_differently_and_are_bounded() {
        let config = config();
        let start = |index| body(&config, index, 8)["prompt"].as_str().unwrap().to_owned();
        let starts: BTreeSet<String> = (0..500).map(start).collect();
        assert_eq!(starts.len(), 500);
        let longest = body(&config, STARTS as u64 - 1, u32::MAX);
        let longest = longest["prompt"].as_str().unwrap().len();
        assert_eq!(longest, PROMPT_WORDS_MAX * WORD_BYTES);
    }
}
