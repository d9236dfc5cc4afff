//! The demo's `preheat up`: a process of its own, started again when it is killed.
//!
//! **Invariant:** it ends with this one: when its standard input, which this process holds, ends,
//! it drains and stops its engines.

use std::fs::{File, OpenOptions};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use super::stage::Stage;
use crate::failure::hinted;

/// Longest wait for its end, in wall time: its own limits are shorter.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);
/// Killed more often than this, something is wrong with it.
const RESTARTS_MAX: u32 = 20;

/// A running `preheat up`.
pub(super) struct PreheatProcess {
    child: Child,
    restarts: u32,
    log: String,
}

impl PreheatProcess {
    pub(super) fn start(stage: &Stage) -> anyhow::Result<Self> {
        let child = spawn(stage)?;
        Ok(Self { child, restarts: 0, log: stage.log_file.display().to_string() })
    }

    /// Fails when it has ended, as it does at once on a configuration that it can't use.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Starts it again if it was killed; one that ended by itself is an error.
    pub(super) fn restart_if_gone(&mut self, stage: &Stage) -> anyhow::Result<bool> {
        let Some(status) = self.child.try_wait()? else { return Ok(false) };
        if status.code().is_some() || self.restarts >= RESTARTS_MAX {
            return Err(self.ended(status));
        }
        self.restarts += 1;
        self.child = spawn(stage)?;
        Ok(true)
    }

    /// Ends it by ending its standard input, and waits until its engines are gone.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => {
                let status = status?;
                if status.success() { Ok(()) } else { Err(self.ended(status)) }
            }
            Err(_) => bail!("it was still running after {STOP_TIMEOUT:?}; its log is {}", self.log),
        }
    }

    fn ended(&self, status: std::process::ExitStatus) -> anyhow::Error {
        let message = format!("preheat up ended by itself ({status})");
        hinted(message, format!("its log says why: {}", self.log))
    }
}

fn spawn(stage: &Stage) -> anyhow::Result<Child> {
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let log = log(stage)?;
    Command::new(program)
        .arg("up")
        .arg(&stage.config_file)
        .arg("--stop-with-stdin")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // A Ctrl-C is for this process, which then ends that one in order.
        .process_group(0)
        .spawn()
        .context("can't start preheat up")
}

fn log(stage: &Stage) -> anyhow::Result<File> {
    let file = OpenOptions::new().create(true).append(true).open(&stage.log_file);
    file.with_context(|| format!("can't write {}", stage.log_file.display()))
}
