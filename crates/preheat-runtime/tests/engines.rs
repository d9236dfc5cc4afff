//! `docs/engines.md` says what the tables say, and the captures bear out what it claims of them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use preheat_api::dialect::DialectName;
use preheat_runtime::dialect::known::dialect;
use preheat_runtime::dialect::table::{Form, Only, Source};
use preheat_runtime::dialect::{Dialects, Signal};
use preheat_runtime::exposition::{Exposition, Format};

const BEGIN: &str = "<!-- tables: begin -->\n";
const END: &str = "<!-- tables: end -->\n";

/// Bodies of engines under load, or of their own metrics code, and their versions.
const CAPTURES: [(DialectName, &str, &str); 11] = [
    (DialectName::Vllm, "0.32.0", include_str!("../fixtures/vllm-0.32.0/loaded.prom")),
    (DialectName::Vllm, "0.9.2", include_str!("../fixtures/vllm-0.9.2.prom")),
    (DialectName::Vllm, "0.6.0", include_str!("../fixtures/vllm-0.6.0.prom")),
    (DialectName::Sglang, "0.5.23", include_str!("../fixtures/sglang-0.5.23.prom")),
    (DialectName::Sglang, "0.5.5", include_str!("../fixtures/sglang-0.5.5.prom")),
    (DialectName::Sglang, "0.4.3", include_str!("../fixtures/sglang-0.4.3.prom")),
    (DialectName::LlamaCpp, "2026.10.11549", include_str!("../fixtures/llama.cpp-loaded.prom")),
    (DialectName::Dynamo, "1.6.1", include_str!("../fixtures/dynamo-1.6.1.prom")),
    (
        DialectName::EndpointPicker,
        "llm-d 0.9.0",
        include_str!("../fixtures/endpoint-picker-llm-d-0.9.0.prom"),
    ),
    (DialectName::EndpointPicker, "1.5.0", include_str!("../fixtures/endpoint-picker-1.5.0.prom")),
    (DialectName::EndpointPicker, "0.5.1", include_str!("../fixtures/endpoint-picker-0.5.1.prom")),
];

/// Commits of engines' source, or a change in it, that was read for names that no capture has.
const SOURCES: [(DialectName, &str); 4] = [
    (DialectName::TensorRtLlm, "050f80d"),
    (DialectName::Triton, "TensorRT-LLM 89fd9b7"),
    (DialectName::Tgi, "db931fc"),
    (DialectName::LlamaCpp, "until #13660"),
];

fn source_read(name: DialectName) -> Option<&'static str> {
    SOURCES.iter().find(|(of, _)| *of == name).map(|(_, version)| *version)
}

fn captures(name: DialectName) -> impl Iterator<Item = (&'static str, &'static str)> {
    CAPTURES
        .into_iter()
        .filter(move |(of, ..)| *of == name)
        .map(|(_, version, body)| (version, body))
}

/// Whether a capture of the engine has the series.
fn has(name: DialectName, series: &str) -> bool {
    captures(name).any(|(_, body)| {
        Exposition::new(body.as_bytes(), Format::Text)
            .next_sample_where(|name| name == series.as_bytes())
            .is_some()
    })
}

/// The names of a source's series, one for each metric.
fn series(source: &Source) -> Vec<String> {
    let suffix = if source.form == Form::Histogram { "_bucket" } else { "" };
    let mut names = vec![format!("{}{suffix}", source.name)];
    if let Form::SecondsPerToken { seconds } = source.form {
        names.push(seconds.to_owned());
    }
    names.extend(source.plus.iter().chain(&source.less).map(|&name| name.to_owned()));
    names
}

fn is_captured(name: DialectName, source: &Source) -> bool {
    has(name, &series(source)[0])
}

fn spelled(source: &Source) -> String {
    let mut text = format!("`{}`", source.name);
    match source.only {
        Only::All => {}
        Only::With(label, value) => text = format!("`{}{{{label}=\"{value}\"}}`", source.name),
        Only::Without(label, values) => {
            let _infallible = write!(text, " but `{label}` {}", values.join(", "));
        }
        Only::Unlabelled(label) => {
            let _infallible = write!(text, " without `{label}`");
        }
    }
    match source.form {
        Form::SecondsPerToken { seconds } => text = format!("`{seconds}` ÷ {text}"),
        Form::SleepState { label } => text = format!("label `{label}` of {text}"),
        Form::CacheInfo { tokens, blocks, block_tokens } => {
            text = format!("labels `{tokens}` or `{blocks}` × `{block_tokens}` of {text}");
        }
        Form::Gauge | Form::Counter | Form::Share | Form::Histogram => {}
    }
    for more in source.plus {
        let _infallible = write!(text, " + `{more}`");
    }
    if let Some(less) = source.less {
        let _infallible = write!(text, " − `{less}`");
    }
    text
}

fn tables() -> String {
    let mut out = String::from("| signal |");
    for name in DialectName::ALL {
        let _infallible = write!(out, " {} |", name.name());
    }
    out.push_str(&format!("\n|---|{}\n", "---|".repeat(DialectName::ALL.len())));
    out.push_str("| version |");
    for name in DialectName::ALL {
        let captured = captures(name).map(|(version, _)| version.to_owned());
        let read = source_read(name).map(|version| format!("source: {version}"));
        let versions: Vec<String> = captured.chain(read).collect();
        let _infallible = write!(out, " {} |", versions.join(", "));
    }
    out.push('\n');
    for signal in Signal::ALL {
        let _infallible = write!(out, "| {} |", signal.name());
        for name in DialectName::ALL {
            let dialect = dialect(name);
            let sources = dialect.sources(signal);
            let cell = match sources.iter().any(|source| is_captured(name, source)) {
                true => "captured",
                false if sources.is_empty() => "—",
                false => "source",
            };
            let _infallible = write!(out, " {cell} |");
        }
        out.push('\n');
    }
    for name in DialectName::ALL {
        let _infallible = write!(out, "\n### {}\n\n| signal | told by |\n|---|---|\n", name.name());
        for signal in Signal::ALL {
            let sources: Vec<String> = dialect(name).sources(signal).iter().map(spelled).collect();
            if !sources.is_empty() {
                let told = sources.join(", else ");
                let _infallible = writeln!(out, "| {} | {told} |", signal.name());
            }
        }
    }
    out
}

#[test]
fn the_page_has_the_tables() {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/engines.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (kept, after) = rest.split_once(END).unwrap();
    let made = tables();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{made}{END}{after}")).unwrap();
    } else {
        assert_eq!(kept, made, "docs/engines.md is old: run `make reference`");
    }
}

#[test]
fn every_name_is_in_a_capture_or_was_read_in_the_engines_source() {
    for name in DialectName::ALL {
        let mut names = dialect(name).rows.into_iter().flat_map(|row| row.sources);
        assert!(source_read(name).is_some() || names.all(|source| is_captured(name, &source)));
    }
    let removed = "llamacpp:kv_cache_usage_ratio";
    for (name, version, body) in CAPTURES {
        let scrape = Dialects::known().read(body.as_bytes(), Format::Text).unwrap();
        assert_eq!(scrape.dialect, Some(name.name()), "{version}");
        // The first generation of endpoint pickers had no queue.
        assert_eq!(scrape.trouble().is_some(), version == "0.5.1", "{version}");
        for series in dialect(name).rows.iter().flat_map(|row| &row.sources).flat_map(series) {
            assert_ne!(has(name, &series), series == removed, "{series}");
        }
    }
}
