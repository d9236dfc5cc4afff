//! `preheat up` on engines of other people's making, with tiny models: llama.cpp's own server, and
//! vLLM on a CPU.
//!
//! `e2e/engines/*/install` puts them there. `make test` runs the first where it can be had, `make
//! test-vllm` the second. Where one is not there, or was not asked for, its tests say so and pass;
//! in CI llama.cpp's fail then.
//!
//! Nothing that is held of `preheat up` depends on how fast an engine is: load is kept up until what it
//! must bring about is there. `emulated` measures how fast one is, and emulates it.

#[cfg(test)]
#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(test)]
mod steps;

#[cfg(test)]
#[path = "../../../preheat-emulator/tests/emulator/skeleton.rs"]
mod skeleton;

#[cfg(test)]
mod emulated;
#[cfg(test)]
mod llama_cpp;
#[cfg(test)]
mod vllm;
