//! The `preheat` command: arguments in, exit code out.
//!
//! Exit codes: 0 yes; 1 ran, but the answer is no; 2 could not run.

mod cli;

mod commands;

mod admin_client;
mod moments;
mod terminal;
mod view;

mod failure;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Cli::try_parse() {
        Ok(cli) => failure::exit_code(commands::run(cli)),
        Err(error) => failure::usage(&error),
    }
}
