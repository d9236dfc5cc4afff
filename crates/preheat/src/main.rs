//! The `preheat` command: arguments in, exit code out.
//!
//! Exit codes: 0 yes; 1 ran, but the answer is no; 2 could not run.

mod cli;

mod commands;

mod admin_client;
mod moments;
mod terminal;
mod view;
mod wording;

mod failure;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::try_parse_from(arguments()) {
        Ok(cli) => failure::exit_code(commands::run(cli)),
        Err(error) => failure::usage(&error),
    }
}

/// The arguments; as kubectl's plugin, which is told by its name, with the command that it stands for.
fn arguments() -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name == cli::PLUGIN) {
        arguments.insert(1, "kubectl".into());
    }
    arguments
}
