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

/// Bodies of engines themselves, under load.
const CAPTURES: [(DialectName, &str); 2] = [
    (DialectName::Vllm, include_str!("../fixtures/vllm-0.32.0/loaded.prom")),
    (DialectName::LlamaCpp, include_str!("../fixtures/llama.cpp-loaded.prom")),
];

fn capture(name: DialectName) -> Option<&'static str> {
    CAPTURES.iter().find(|(of, _)| *of == name).map(|(_, body)| *body)
}

/// Whether a capture of the engine has it.
fn is_captured(name: DialectName, source: &Source) -> bool {
    let Some(body) = capture(name) else { return false };
    let suffix = if source.form == Form::Histogram { "_bucket" } else { "" };
    let wanted = format!("{}{suffix}", source.name);
    Exposition::new(body.as_bytes(), Format::Text)
        .next_sample_where(|name| name == wanted.as_bytes())
        .is_some()
}

fn spelled(source: &Source) -> String {
    let mut text = format!("`{}`", source.name);
    match source.only {
        Only::All => {}
        Only::With(label, value) => text = format!("`{}{{{label}=\"{value}\"}}`", source.name),
        Only::Without(label, values) => {
            let _infallible = write!(text, " but `{label}` {}", values.join(", "));
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
    for signal in Signal::ALL {
        let _infallible = write!(out, "| {} |", signal.name());
        for name in DialectName::ALL {
            let dialect = dialect(name);
            let sources = dialect.sources(signal);
            let cell = match sources.iter().any(|source| is_captured(name, source)) {
                true => "captured",
                false if sources.is_empty() => "—",
                false => "documented",
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
fn every_signal_of_a_captured_engine_is_captured_or_of_another_version() {
    let of_another_version = [(DialectName::LlamaCpp, Signal::KvUtilization)];
    for (name, body) in CAPTURES {
        let scrape = Dialects::known().read(body.as_bytes(), Format::Text).unwrap();
        assert_eq!(scrape.dialect, Some(name.name()));
        assert_eq!(scrape.trouble(), None);
        for row in dialect(name).rows {
            let captured = row.sources.iter().any(|source| is_captured(name, source));
            assert_ne!(captured, of_another_version.contains(&(name, row.signal)), "{row:?}");
        }
    }
}
