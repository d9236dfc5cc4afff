//! What is read from captured bodies and from bodies as engines' documents have them.

use super::{Dialects, EngineScrape, Unrecognised};
use crate::exposition::Format;

mod others;
mod vllm;

const LLAMA: &str = include_str!("../../../fixtures/llama.cpp-loaded.prom");

fn read(body: &str) -> Result<EngineScrape, Unrecognised> {
    Dialects::known().read(body.as_bytes(), Format::Text)
}
