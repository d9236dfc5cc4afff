//! The emulated tokenizer: how many tokens a text has.
//!
//! One token per whitespace-separated word, plus one for each further [`WORD_BYTES`] bytes of a
//! long word: `the cat` is 2, a word of 33 bytes is 3. A chat adds what a template adds:
//! [`MESSAGE_TOKENS`] per message and [`GENERATION_PROMPT_TOKENS`] to open the answer.
//!
//! **Invariant:** counts never depend on a model, so that a load generator can hit them exactly.

/// A word of up to this many bytes is one token.
const WORD_BYTES: usize = 16;

/// Tokens of a chat template around each message (`<|im_start|>role\n … <|im_end|>\n`).
pub(crate) const MESSAGE_TOKENS: u32 = 4;

/// Tokens of a chat template that open the assistant's answer.
pub(crate) const GENERATION_PROMPT_TOKENS: u32 = 3;

/// The number of tokens in `text`.
pub(crate) fn tokens(text: &str) -> u32 {
    let count: usize = text.split_whitespace().map(|word| word.len().div_ceil(WORD_BYTES)).sum();
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::tokens;

    #[track_caller]
    fn check(text: &str, expected: u32) {
        assert_eq!(tokens(text), expected, "{text:?}");
    }

    #[test]
    fn words_are_tokens_and_long_words_are_several() {
        check("", 0);
        check("  \n ", 0);
        check("the cat", 2);
        check(&"x".repeat(16), 1);
        check(&"x".repeat(17), 2);
        check(&"x".repeat(33), 3);
        check("a\tb\nc  d", 4);
    }
}
