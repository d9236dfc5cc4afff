//! Completions, and the reference pages that are made from the code.

use std::fmt::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, ReferencePage};
use crate::failure::Answer;

pub(crate) fn completions(shell: Shell) -> anyhow::Result<Answer> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "preheat", &mut script);
    super::print(&String::from_utf8_lossy(&script))?;
    Ok(Answer::Yes)
}

pub(crate) fn print(page: ReferencePage) -> anyhow::Result<Answer> {
    let text = match page {
        ReferencePage::Cli => cli(),
        ReferencePage::Metrics => metrics(),
        ReferencePage::Config => config(),
        ReferencePage::Openapi => openapi()?,
    };
    super::print(&text)?;
    Ok(Answer::Yes)
}

fn openapi() -> anyhow::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(&preheat_web::openapi_document())?))
}

const MADE: &str = "Made from the code by `make reference`.\n";

fn cli() -> String {
    let mut text = format!("# Command line\n\n{MADE}");
    let command = Cli::command();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
        // Writing to a string can't fail.
        let _ = write!(text, "\n## preheat {}\n\n{about}.\n", sub.get_name());
        let shown: Vec<&clap::Arg> = sub.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
        if shown.is_empty() {
            continue;
        }
        text.push_str("\n| argument | meaning |\n|---|---|\n");
        for arg in shown {
            let _ = writeln!(text, "| `{}` | {} |", flag(arg), meaning(arg));
        }
    }
    text.push_str("\nExit codes: 0 yes; 1 ran, but the answer is no; 2 could not run.\n");
    text
}

fn flag(arg: &clap::Arg) -> String {
    let id = arg.get_id().as_str().to_uppercase();
    let value = if arg.get_action().takes_values() { format!(" {id}") } else { String::new() };
    arg.get_long().map_or(id, |long| format!("--{long}{value}"))
}

fn meaning(arg: &clap::Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|v| v.to_string_lossy().into_owned()).collect();
    let is_flag = !arg.get_action().takes_values();
    if defaults.is_empty() || is_flag {
        help
    } else {
        format!("{help} (default: `{}`)", defaults.join(" "))
    }
    .replace('|', "\\|")
}

fn metrics() -> String {
    let mut text =
        format!("# Metrics\n\n{MADE}\n| name | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in preheat_runtime::telemetry::METRICS {
        let labels = metric.labels.join(", ");
        let kind = metric.kind.name();
        let _ = writeln!(text, "| `{}` | {kind} | {labels} | {} |", metric.name, metric.help);
    }
    text
}

fn config() -> String {
    format!(
        "# Configuration\n\n{MADE}\nEvery section, with comments; only `pools` is needed.\n\n```yaml\n{}```\n",
        preheat_api::config::EXAMPLE
    )
}
