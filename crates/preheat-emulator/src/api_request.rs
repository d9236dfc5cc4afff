//! Request bodies of the OpenAI API, and their meaning: how many tokens go in and come out.
//!
//! What is not emulated (sampling parameters, tools, stop strings, …) is accepted and ignored,
//! except where ignoring it would change the shape of the answer: then it is a 400.
//!
//! **Invariant:** nothing here knows of an engine's state.

use serde::Deserialize;

use crate::api_error::ApiError;
use crate::options::OutputLength;
use crate::prompt::{self, GENERATION_PROMPT_TOKENS, MESSAGE_TOKENS};

/// Which of the two generating routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v1/completions`.
    Completions,
    /// `/v1/chat/completions`.
    Chat,
}

/// How the client wants its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One JSON body at the end.
    Whole,
    /// Server-sent events, without a usage event.
    Stream,
    /// Server-sent events and a usage event.
    StreamWithUsage,
}

/// A request that makes sense for this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) route: Route,
    pub(crate) delivery: Delivery,
    /// The served name that was asked for.
    pub(crate) model: String,
    pub(crate) prompt_tokens: u32,
    /// What will be generated.
    pub(crate) output_tokens: u32,
    /// What was allowed.
    pub(crate) max_tokens: u32,
}

/// What a server accepts.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    pub(crate) model_names: Vec<String>,
    pub(crate) max_model_len: u32,
    pub(crate) output_length: OutputLength,
}

/// vLLM's default of `max_tokens` for completions.
const COMPLETION_TOKENS_DEFAULT: u32 = 16;

/// Where the emulated model stops by itself when neither client nor rule set a length: a chat
/// without `max_tokens` may use the whole context, and no model talks that long.
const OUTPUT_TOKENS_UNBOUNDED: u32 = 256;

/// The fields of both routes that matter here. Integers are wide so that a wrong number gets
/// vLLM's message rather than a parse error.
#[derive(Debug, Deserialize)]
struct Body {
    model: Option<String>,
    prompt: Option<Prompt>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
    min_tokens: Option<i64>,
    #[serde(default)]
    ignore_eos: bool,
    n: Option<i64>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Prompt {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

#[derive(Debug, Deserialize)]
struct Message {
    #[serde(rename = "role")]
    _role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
}

/// Reads a request body.
///
/// # Errors
/// Says what the client did wrong, in vLLM's words where they are known.
pub(crate) fn parse(route: Route, body: &[u8], limits: &Limits) -> Result<Generation, ApiError> {
    let body: Body =
        serde_json::from_slice(body).map_err(|error| ApiError::invalid(error.to_string()))?;
    let delivery = body.delivery()?;
    let model = body.known_model(&limits.model_names)?;
    if let Some(n) = body.n {
        match n {
            1 => {}
            ..1 => return Err(ApiError::invalid_param("n", n, "n must be at least 1.")),
            _ => return Err(ApiError::invalid_param("n", n, "only n=1 is emulated.")),
        }
    }
    let prompt_tokens = match route {
        Route::Completions => completion_prompt(body.prompt.as_ref())?,
        Route::Chat => chat_prompt(body.messages.as_deref())?,
    };
    let (output_tokens, max_tokens) = body.lengths(route, prompt_tokens, limits)?;
    Ok(Generation { route, delivery, model, prompt_tokens, output_tokens, max_tokens })
}

impl Body {
    fn delivery(&self) -> Result<Delivery, ApiError> {
        let streams = self.stream.unwrap_or(false);
        let with_usage =
            self.stream_options.as_ref().is_some_and(|options| options.include_usage == Some(true));
        match (streams, &self.stream_options) {
            (false, Some(_)) => {
                let message = "Stream options can only be defined when `stream=True`.";
                Err(ApiError::Invalid { message: message.into(), param: Some("stream_options") })
            }
            (false, None) => Ok(Delivery::Whole),
            (true, _) if with_usage => Ok(Delivery::StreamWithUsage),
            (true, _) => Ok(Delivery::Stream),
        }
    }

    fn known_model(&self, served: &[String]) -> Result<String, ApiError> {
        match &self.model {
            None => Ok(served.first().cloned().unwrap_or_default()),
            Some(model) if served.contains(model) => Ok(model.clone()),
            Some(model) => Err(ApiError::UnknownModel(model.clone())),
        }
    }

    /// Output tokens that will come and that may come.
    fn lengths(
        &self,
        route: Route,
        prompt_tokens: u32,
        limits: &Limits,
    ) -> Result<(u32, u32), ApiError> {
        let asked = match self.max_completion_tokens.or(self.max_tokens) {
            None if route == Route::Completions => Some(COMPLETION_TOKENS_DEFAULT),
            None => None,
            Some(asked) => Some(token_count("max_tokens", asked, 1)?),
        };
        let room = fit(prompt_tokens, asked, limits.max_model_len)?;
        let max_tokens = asked.unwrap_or(room);
        let min_tokens = match self.min_tokens {
            None => 0,
            Some(least) => token_count("min_tokens", least, 0)?,
        };
        if min_tokens > max_tokens {
            let message = format!(
                "min_tokens must be less than or equal to max_tokens={max_tokens}, got \
                 {min_tokens}."
            );
            return Err(ApiError::invalid_param("min_tokens", i64::from(min_tokens), &message));
        }
        let natural = match limits.output_length {
            OutputLength::MaxTokens if asked.is_none() => OUTPUT_TOKENS_UNBOUNDED,
            OutputLength::MaxTokens => max_tokens,
            OutputLength::UpTo(tokens) => tokens.max(1),
        };
        let output = if self.ignore_eos { max_tokens } else { natural.max(min_tokens) };
        Ok((output.min(max_tokens), max_tokens))
    }
}

/// Room for output behind the prompt, after the check that `asked` fits into it.
fn fit(prompt_tokens: u32, asked: Option<u32>, max_model_len: u32) -> Result<u32, ApiError> {
    let output = asked.unwrap_or(0);
    if output > max_model_len {
        let message = format!(
            "max_tokens={output} cannot be greater than max_model_len={max_model_len}. Please \
             request fewer output tokens."
        );
        return Err(ApiError::invalid_param("max_tokens", i64::from(output), &message));
    }
    // vLLM stops counting one token past what would fit, hence its "at least".
    let input_max = max_model_len - output;
    let room = max_model_len.saturating_sub(prompt_tokens);
    if prompt_tokens > input_max || room == 0 {
        let input = prompt_tokens.min(input_max.saturating_add(1));
        return Err(ApiError::ContextTooLong { max_model_len, output, input });
    }
    Ok(room)
}

fn token_count(param: &'static str, value: i64, least: i64) -> Result<u32, ApiError> {
    if value < least {
        let message = format!("{param} must be at least {least}, got {value}.");
        return Err(ApiError::invalid_param(param, value, &message));
    }
    Ok(u32::try_from(value).unwrap_or(u32::MAX))
}

fn completion_prompt(prompt: Option<&Prompt>) -> Result<u32, ApiError> {
    const ONE_PROMPT: &str = "only one prompt per request is emulated.";
    let length = |ids: &Vec<u32>| u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let tokens = match prompt {
        None => return Err(ApiError::invalid("Either prompt or prompt_embeds must be provided.")),
        Some(Prompt::Text(text)) => prompt::tokens(text),
        Some(Prompt::Tokens(ids)) => length(ids),
        Some(Prompt::Texts(texts)) => match texts.as_slice() {
            [text] => prompt::tokens(text),
            _ => return Err(ApiError::invalid(ONE_PROMPT)),
        },
        Some(Prompt::TokenLists(lists)) => match lists.as_slice() {
            [ids] => length(ids),
            _ => return Err(ApiError::invalid(ONE_PROMPT)),
        },
    };
    if tokens == 0 {
        return Err(ApiError::invalid("The decoder prompt cannot be empty"));
    }
    Ok(tokens)
}

fn chat_prompt(messages: Option<&[Message]>) -> Result<u32, ApiError> {
    let Some(messages) = messages else {
        return Err(ApiError::invalid("Field required: messages"));
    };
    let content_tokens = |message: &Message| match &message.content {
        None => 0,
        Some(Content::Text(text)) => prompt::tokens(text),
        Some(Content::Parts(parts)) => {
            let texts = parts.iter().filter_map(|part| part.text.as_deref());
            texts.map(prompt::tokens).fold(0, u32::saturating_add)
        }
    };
    let messages = messages.iter().map(|m| content_tokens(m).saturating_add(MESSAGE_TOKENS));
    Ok(messages.fold(GENERATION_PROMPT_TOKENS, u32::saturating_add))
}

#[cfg(test)]
mod tests {
    use super::{Delivery, Generation, Limits, Route, parse};
    use crate::api_error::ApiError;
    use crate::options::OutputLength;

    fn limits(output_length: OutputLength) -> Limits {
        let model_names = vec!["tiny".to_owned(), "tiny-b".to_owned()];
        Limits { model_names, max_model_len: 100, output_length }
    }

    fn lengths(generation: &Generation) -> (u32, u32, u32) {
        (generation.prompt_tokens, generation.output_tokens, generation.max_tokens)
    }

    #[track_caller]
    fn check(route: Route, rule: OutputLength, body: &str, expected: (u32, u32, u32)) {
        let generation = parse(route, body.as_bytes(), &limits(rule)).unwrap();
        assert_eq!(lengths(&generation), expected, "{body}");
    }

    #[track_caller]
    fn check_error(route: Route, body: &str, expected: &str) {
        let error = parse(route, body.as_bytes(), &limits(OutputLength::MaxTokens)).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn completion_lengths() {
        let (c, max) = (Route::Completions, OutputLength::MaxTokens);
        check(c, max, r#"{"model":"tiny","prompt":"a b c"}"#, (3, 16, 16));
        check(c, max, r#"{"prompt":[1,2,3,4],"max_tokens":5}"#, (4, 5, 5));
        check(c, max, r#"{"prompt":["a b"],"max_tokens":5}"#, (2, 5, 5));
        check(c, max, r#"{"prompt":[[7,8,9]],"max_tokens":97}"#, (3, 97, 97));
        let up_to = OutputLength::UpTo(4);
        check(c, up_to, r#"{"prompt":"a","max_tokens":9}"#, (1, 4, 9));
        check(c, up_to, r#"{"prompt":"a","max_tokens":9,"min_tokens":6}"#, (1, 6, 9));
        check(c, up_to, r#"{"prompt":"a","max_tokens":9,"ignore_eos":true}"#, (1, 9, 9));
        check(c, up_to, r#"{"prompt":"a","max_tokens":2}"#, (1, 2, 2));
    }

    #[test]
    fn chat_lengths() {
        let (c, max) = (Route::Chat, OutputLength::MaxTokens);
        let one = r#"{"messages":[{"role":"user","content":"a b"}],"max_completion_tokens":7}"#;
        check(c, max, one, (9, 7, 7));
        let parts = r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a b"}]},
            {"role":"assistant","content":null}]}"#;
        check(c, max, parts, (13, 87, 87));
    }

    #[test]
    fn delivery_follows_the_stream_fields() {
        let with = |fields: &str| {
            let body = format!(r#"{{"prompt":"a",{fields}}}"#);
            let limits = limits(OutputLength::MaxTokens);
            parse(Route::Completions, body.as_bytes(), &limits).map(|g| g.delivery)
        };
        assert_eq!(with(r#""stream":false"#), Ok(Delivery::Whole));
        assert_eq!(with(r#""stream":true"#), Ok(Delivery::Stream));
        let usage = r#""stream":true,"stream_options":{"include_usage":true}"#;
        assert_eq!(with(usage), Ok(Delivery::StreamWithUsage));
        assert!(with(r#""stream_options":{"include_usage":true}"#).is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let c = Route::Completions;
        check_error(c, "{", "EOF");
        check_error(c, r#"{"prompt":"a","model":"no"}"#, "The model `no` does not exist.");
        check_error(c, r#"{"prompt":"a","max_tokens":0}"#, "max_tokens must be at least 1, got 0.");
        check_error(c, r#"{"prompt":"a","max_tokens":-3}"#, "got -3.");
        check_error(c, r#"{"prompt":"a","min_tokens":17}"#, "less than or equal to max_tokens=16");
        check_error(c, r#"{"prompt":"a","n":0}"#, "n must be at least 1");
        check_error(c, r#"{"prompt":"a","n":2}"#, "only n=1");
        check_error(c, r#"{"prompt":""}"#, "cannot be empty");
        check_error(c, r#"{"prompt":["a","b"]}"#, "only one prompt");
        check_error(c, r#"{"prompt":"a","max_tokens":101}"#, "cannot be greater than");
        check_error(Route::Chat, r#"{"model":"tiny"}"#, "messages");
    }

    #[test]
    fn too_long_has_vllms_numbers() {
        let body = r#"{"prompt":[1,1,1,1,1],"max_tokens":96}"#;
        let limits = limits(OutputLength::MaxTokens);
        let error = parse(Route::Completions, body.as_bytes(), &limits).unwrap_err();
        let expected = ApiError::ContextTooLong { max_model_len: 100, output: 96, input: 5 };
        assert_eq!(error, expected);
        assert!(error.to_string().contains("for a total of at least 101 tokens"), "{error}");
    }
}
