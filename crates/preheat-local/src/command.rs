//! From a pool's configuration to the words and the environment of one engine process.

use std::fmt::Write as _;

use preheat_api::config::{EmulatedEngine, EngineConfig, Launch, Placeholders, PoolConfig};
use preheat_core::{Concurrency, ReplicaId};
use preheat_runtime::clock::ClockAnchor;

/// One engine process, ready to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
}

/// What one replica's command is made from.
pub(crate) struct CommandContext<'a> {
    pub(crate) pool: &'a PoolConfig,
    pub(crate) replica: ReplicaId,
    pub(crate) port: u16,
    pub(crate) gpus: &'a [u32],
    /// How this binary runs its emulated engine: a program and its first arguments.
    pub(crate) emulated_program: &'a [String],
    pub(crate) clock_anchor: ClockAnchor,
}

pub(crate) fn command_line(context: &CommandContext<'_>) -> CommandLine {
    let pool = context.pool;
    let replica = context.replica.to_string();
    let model = pool.model_names.first().map_or("", String::as_str);
    let placeholders = Placeholders { port: context.port, model, replica: &replica };
    let mut words: Vec<String> = match &pool.engine.launch {
        Launch::Command(words) => words.iter().map(|word| word.render(&placeholders)).collect(),
        Launch::Emulated(engine) => {
            let mut words = context.emulated_program.to_vec();
            words.extend(emulated_arguments(engine, &pool.engine, &pool.model_names));
            words.extend(["--port".to_owned(), context.port.to_string()]);
            let seed = engine.seed.wrapping_add(context.replica.0);
            words.extend(["--seed".to_owned(), seed.to_string()]);
            words
        }
    };
    let program = if words.is_empty() { String::new() } else { words.remove(0) };
    let rendered = pool.engine.env.iter().map(|(k, v)| (k.clone(), v.render(&placeholders)));
    // Python holds back what it prints into a file, and with it what tells how far a start is.
    let mut env = vec![("PYTHONUNBUFFERED".to_owned(), "1".to_owned())];
    env.extend(rendered);
    env.push(("PREHEAT_POOL".to_owned(), pool.name.clone()));
    env.push(("PREHEAT_REPLICA".to_owned(), replica.clone()));
    // Lets an emulated engine share this process's model time.
    if let Ok(anchor) = serde_json::to_string(&context.clock_anchor) {
        env.push(("PREHEAT_CLOCK_ANCHOR".to_owned(), anchor));
    }
    if !context.gpus.is_empty() {
        let list: Vec<String> = context.gpus.iter().map(u32::to_string).collect();
        env.push(("CUDA_VISIBLE_DEVICES".to_owned(), list.join(",")));
    }
    CommandLine { program, arguments: words, env }
}

/// The emulated engine's flags, but for port and seed, which differ between replicas.
fn emulated_arguments(
    emulated: &EmulatedEngine,
    engine: &EngineConfig,
    model_names: &[String],
) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    for model in model_names {
        flag("model", model.clone());
    }
    flag("profile", emulated.profile.clone());
    let limits = [
        ("max-num-seqs", emulated.max_num_seqs.map(u64::from)),
        ("max-num-batched-tokens", emulated.max_num_batched_tokens.map(u64::from)),
        ("kv-capacity-tokens", emulated.kv_capacity_tokens),
        ("max-model-len", emulated.max_model_len.map(u64::from)),
    ];
    for (name, limit) in limits {
        if let Some(limit) = limit {
            flag(name, limit.to_string());
        }
    }
    flag("cold-start-p50", format!("{}ms", emulated.cold_start.p50.as_millis()));
    flag("cold-start-p90", format!("{}ms", emulated.cold_start.p90.as_millis()));
    flag("shutdown-timeout", format!("{}ms", engine.shutdown_timeout.as_millis()));
    if engine.sleep.is_some() {
        arguments.push("--dev-mode".to_owned());
    }
    arguments
}

/// Stays the same as long as an engine started before is what would be started today. The path of
/// preheat itself is left out, so that an upgrade does not restart emulated engines.
pub(crate) fn digest(pool: &PoolConfig) -> String {
    let engine = &pool.engine;
    let mut hash = Fnv::new();
    match &engine.launch {
        Launch::Command(words) => words.iter().for_each(|word| hash.word(word.as_str())),
        Launch::Emulated(emulated) => {
            hash.word("emulated");
            hash.word(&emulated.seed.to_string());
            let arguments = emulated_arguments(emulated, engine, &pool.model_names);
            arguments.iter().for_each(|word| hash.word(word));
        }
    }
    for (name, value) in &engine.env {
        hash.word(name);
        hash.word(value.as_str());
    }
    hash.word(pool.model_names.first().map_or("", String::as_str));
    hash.word(&engine.gpus_per_replica.to_string());
    let mut text = String::with_capacity(16);
    // Writing to a string can't fail.
    let _ = write!(text, "{:016x}", hash.0);
    text
}

/// FNV-1a: the same in every version of Rust, which the standard library's hasher is not.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// One word and its end, so that `ab c` and `a bc` differ.
    fn word(&mut self, word: &str) {
        for byte in word.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

/// Flags that set the batch limit: vLLM's, SGLang's, llama.cpp's.
const BATCH_LIMIT_FLAGS: [&str; 4] =
    ["--max-num-seqs", "--max-running-requests", "--parallel", "-np"];

/// `max-num-seqs`, where the command tells.
pub(crate) fn max_num_seqs(launch: &Launch) -> Option<Concurrency> {
    let words = match launch {
        Launch::Emulated(emulated) => return emulated.max_num_seqs.and_then(Concurrency::new),
        Launch::Command(words) => words,
    };
    let value = words.iter().enumerate().find_map(|(index, word)| {
        let (name, inline) = match word.as_str().split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), None),
        };
        let next = || words.get(index + 1).map(|next| next.as_str());
        BATCH_LIMIT_FLAGS.contains(&name).then(|| inline.or_else(next)).flatten()
    });
    value?.parse().ok().and_then(Concurrency::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use preheat_api::config::LocalConfig;
    use preheat_core::Instant;
    use preheat_runtime::clock::TimeScale;
    use std::path::Path;

    fn pool(engine: &str) -> PoolConfig {
        let yaml = format!("pools: [{{name: p, modelName: m, engine: {{{engine}}}}}]");
        LocalConfig::parse(&yaml, Path::new("test.yaml")).unwrap().pools.remove(0)
    }

    fn rendered(pool: &PoolConfig) -> CommandLine {
        command_line(&CommandContext {
            pool,
            replica: ReplicaId(3),
            port: 18001,
            gpus: &[2, 3],
            emulated_program: &["preheat".to_owned(), "engine".to_owned()],
            clock_anchor: ClockAnchor {
                wall_unix_nanos: 0,
                model: Instant::ORIGIN,
                scale: TimeScale::REAL,
            },
        })
    }

    #[test]
    fn a_command_gets_its_port_its_names_and_its_gpus() {
        let pool =
            pool("command: [vllm, '--port={port}'], env: {X: '{replica}'}, ports: 18000-18099");
        let line = rendered(&pool);
        assert_eq!(
            (line.program.as_str(), &line.arguments[..]),
            ("vllm", &["--port=18001".into()][..])
        );
        let env =
            |name: &str| line.env.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        assert_eq!(env("X"), Some("r3"));
        assert_eq!(env("PREHEAT_POOL"), Some("p"));
        assert_eq!(env("PREHEAT_REPLICA"), Some("r3"));
        assert_eq!(env("CUDA_VISIBLE_DEVICES"), Some("2,3"));
    }

    #[test]
    fn an_emulated_engine_is_told_what_it_emulates() {
        let pool =
            pool("emulated: {maxNumSeqs: 8, seed: 10, coldStart: {p50: 2s}}, ports: 18000-18099");
        let line = rendered(&pool);
        let words = line.arguments.join(" ");
        assert_eq!(
            words,
            "engine --model m --profile qwen-27b-fp8-h100 --max-num-seqs 8 --cold-start-p50 2000ms \
             --cold-start-p90 2000ms --shutdown-timeout 30000ms --dev-mode --port 18001 --seed 13"
        );
        assert_eq!(max_num_seqs(&pool.engine.launch), Concurrency::new(8));
    }

    #[test]
    fn the_digest_changes_with_the_command_and_with_nothing_else() {
        let one = pool("command: [a, '{port}'], ports: 18000-18099");
        let same = pool("command: [a, '{port}'], ports: 18200-18299, metricsPath: /m");
        let other = pool("command: [a, '-x', '{port}'], ports: 18000-18099");
        assert_eq!(digest(&one), digest(&same));
        assert_ne!(digest(&one), digest(&other));
    }

    #[test]
    fn the_batch_limit_is_read_from_the_command() {
        for (words, expected) in [
            ("'--max-num-seqs', '16'", Some(16)),
            ("'--max-num-seqs=32'", Some(32)),
            ("'-np', '4'", Some(4)),
            ("'--max-num-seqs', 'many'", None),
            ("'--max-num-seqs'", None),
            ("x", None),
        ] {
            let pool = pool(&format!("command: [a, '{{port}}', {words}], ports: 18000-18099"));
            let expected = expected.and_then(Concurrency::new);
            assert_eq!(max_num_seqs(&pool.engine.launch), expected, "{words}");
        }
    }
}
