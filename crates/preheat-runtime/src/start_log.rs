//! What the lines of an engine's log tell of its start.
//!
//! The words are those of vLLM 0.32.0 and its main branch in November 2026, of SGLang since 0.4 and
//! its main branch at that time, and of llama.cpp's server.
//!
//! **Invariant:** pure. A line is a hint: unknown wording tells nothing, and no line makes a replica
//! ready.

use preheat_core::ReplicaPhase;

/// What a line shows the engine to be doing, by words that outlived several wordings. The first line
/// of Warming is written when the weights are there.
pub fn phase_of(line: &str) -> Option<ReplicaPhase> {
    const PULLING: [&str; 2] = ["pulling image", "downloading image"];
    const LOADING: [&str; 4] =
        ["starting to load model", "loading model", "loading weights", "load weight begin"];
    const WARMING: [&str; 8] = [
        "loading weights took",
        "model loading took",
        "load weight end",
        "model loaded",
        "graph captur",
        "capture cuda graph",
        "init engine",
        "application startup complete",
    ];
    let line = line.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    if has(&WARMING) {
        Some(ReplicaPhase::Warming)
    } else if has(&LOADING) {
        Some(ReplicaPhase::Loading)
    } else if has(&PULLING) {
        Some(ReplicaPhase::Pulling)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use ReplicaPhase::{Loading, Pulling, Warming};

    use super::*;

    #[test]
    fn lines_of_several_engines_tell_the_phase() {
        for (line, expected) in [
            ("INFO 11-24 Pulling image registry/vllm:0.33", Some(Pulling)),
            ("Starting to load model /models/q...", Some(Loading)),
            ("Loading weights took 12.4 secs", Some(Warming)),
            (
                "(Worker_TP1 pid=9) INFO [default_loader.py:384] Loading weights took 18.35 seconds",
                Some(Warming),
            ),
            ("Model loading took 15.0 GiB memory and 14.1 s", Some(Warming)),
            ("Graph capturing finished in 21 secs, took 0.65 GiB", Some(Warming)),
            ("init engine (profile, create kv cache) took 40 s", Some(Warming)),
            (
                "init engine (profile, create kv cache, warmup model) took 87.24 s (compilation: 34.75 s)",
                Some(Warming),
            ),
            ("INFO:     Application startup complete.", Some(Warming)),
            (
                "Initializing a V1 LLM engine (v0.32.0) with config: {'cudagraph_capture_sizes': [1]}",
                None,
            ),
            ("[2026-02-26 05:20:21 TP4] Load weight begin. avail mem=79 GB", Some(Loading)),
            (
                "[2026-02-26 05:24:09 TP4] Load weight end. elapsed=228.09 s, type=Glm, avail mem=19 GB",
                Some(Warming),
            ),
            ("Capture cuda graph end. Time elapsed: 8.38 s.", Some(Warming)),
            ("srv load_model: loading model", Some(Loading)),
            ("srv init: model loaded", Some(Warming)),
            ("hello", None),
        ] {
            assert_eq!(phase_of(line), expected, "{line}");
        }
    }
}
