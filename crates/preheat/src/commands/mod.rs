//! One file for each command; each takes its arguments and says how it went.

mod backtest;
mod coldstart;
mod compare;
mod controller;
mod crd;
mod dashboard;
mod demo;
mod engine;
mod import;
mod kubectl;
mod lab;
mod load;
mod pool;
mod prometheus;
mod reference;
mod replay;
mod scenario;
mod shadow;
mod simulate;
mod size;
mod status;
mod up;
mod why;

mod traces;

use std::io::{self, IsTerminal, Write};
use std::path::Path;

use preheat_api::config::LocalConfig;
use preheat_web::Token;

use crate::cli::{Cli, Command};
use crate::failure::{Answer, hinted, hinted_if};

/// The engine that demo and emulator run unless told otherwise: the class this tool is made for.
pub(crate) use preheat_compare::PROFILE_DEFAULT;

/// Runs one command.
pub(crate) fn run(cli: Cli) -> anyhow::Result<Answer> {
    match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Controller(args) => controller::run(args),
        Command::Crd => crd::run(),
        Command::Import(args) => import::run(&args),
        Command::Kubectl(args) => kubectl::run(&args),
        Command::Load(args) => load::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Scenario(args) => scenario::run(&args),
        Command::Size(args) => size::run(&args),
        Command::Backtest(args) => backtest::run(&args),
        Command::Shadow(args) => shadow::run(&args),
        Command::Coldstart(args) => coldstart::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Dashboard(args) => dashboard::run(&args),
        Command::Lab(args) => lab::run(&args),
        Command::Why(args) => why::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Engine(args) => engine::run(args),
        Command::Completions { shell } => reference::completions(shell),
        Command::Reference { page } => reference::print(page),
    }
}

/// Reads a configuration file, as `preheat up` does.
pub(crate) fn read_config(path: &Path) -> anyhow::Result<LocalConfig> {
    LocalConfig::read(path).map_err(|error| {
        let hint = error.hint();
        hinted_if(error, hint)
    })
}

/// Reads the token of an admin server from its file, where one is named.
pub(crate) fn read_token(file: Option<&Path>) -> anyhow::Result<Option<Token>> {
    let Some(file) = file else { return Ok(None) };
    let shown = file.display();
    let hint =
        || format!("write 16 or more letters and digits into {shown}, and let nobody else read it");
    let text = std::fs::read_to_string(file)
        .map_err(|error| hinted(format!("can't read the token in {shown}: {error}"), hint()))?;
    let token = Token::parse(&text).map_err(|error| hinted(format!("{shown}: {error}"), hint()))?;
    Ok(Some(token))
}

/// Writes data to stdout; a reader that has gone away is an error that ends the command quietly.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// What goes on, for whoever watches; `PREHEAT_LOG` says how much.
pub(crate) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PREHEAT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
}

/// A runtime for commands that wait on sockets and processes.
pub(crate) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
