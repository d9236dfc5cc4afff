//! One engine process and its group: started, watched, ended.
//!
//! The engine is a group of its own, so that its helpers can be ended with it and a terminal's
//! Ctrl-C doesn't reach it. It writes to a file, not to a pipe, so that it outlives a killed preheat.
//!
//! **Invariant:** nothing is signalled here that this process did not start or verify by pid and
//! start time.

use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::command::CommandLine;
use crate::procfs;

/// How often an adopted process, which is not our child, is looked at.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// A killed process that is still there after this hangs in the kernel; no one can help it.
const KILL_WAIT_MAX: Duration = Duration::from_secs(10);
/// How often a killed group is looked at.
const GROUP_INTERVAL: Duration = Duration::from_millis(20);

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Every port of the pool's range is taken.
    #[error("no free port in {0}")]
    NoPort(preheat_api::config::PortRange),
    /// Other replicas hold the GPUs.
    #[error("no {0} free GPU slots")]
    NoGpuSlots(u32),
    /// There is no such program.
    #[error("command not found: `{0}`")]
    CommandNotFound(String),
    /// There is, but it may not be run.
    #[error("not allowed to run `{0}`")]
    NotExecutable(String),
    /// Anything else that the system has against it.
    #[error("could not start `{program}`")]
    System {
        /// The first word of the command.
        program: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// How an engine ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exit(Option<ExitStatus>);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // "exit status: 1" or "signal: 9 (SIGKILL)"; unknown for a process adopted from before.
        match self.0 {
            Some(status) => write!(f, "engine ended ({status})"),
            None => f.write_str("engine ended"),
        }
    }
}

/// A living engine process.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    /// Absent for an adopted one.
    child: Option<Child>,
}

impl Process {
    /// Starts an engine whose output is appended to `log`, or goes nowhere without one.
    pub(crate) fn spawn(line: &CommandLine, log: Option<&File>) -> Result<Self, SpawnError> {
        let failed = |source: io::Error| {
            let program = line.program.clone();
            if source.kind() == io::ErrorKind::NotFound {
                SpawnError::CommandNotFound(program)
            } else if source.kind() == io::ErrorKind::PermissionDenied {
                SpawnError::NotExecutable(program)
            } else {
                SpawnError::System { program, source }
            }
        };
        let output = || match log {
            Some(log) => log.try_clone().map_or_else(|_| Stdio::null(), Stdio::from),
            None => Stdio::null(),
        };
        let child = Command::new(&line.program)
            .args(&line.arguments)
            .envs(line.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(output())
            .stderr(output())
            .process_group(0)
            .kill_on_drop(false)
            .spawn()
            .map_err(failed)?;
        let pid = child.id().unwrap_or(0);
        // It can't have been reaped yet, so it still has its entry, if only as a zombie.
        let start_ticks = procfs::stat(pid).map_or(0, |stat| stat.start_ticks);
        Ok(Self { pid, start_ticks, child: Some(child) })
    }

    /// Takes over a process that an earlier preheat started, if it still lives.
    pub(crate) fn adopt(pid: u32, start_ticks: u64) -> Option<Self> {
        procfs::is_alive(pid, start_ticks).then_some(Self { pid, start_ticks, child: None })
    }

    /// Waits until it has ended, and reaps it. May be dropped and called again.
    pub(crate) async fn exited(&mut self) -> Exit {
        if let Some(child) = &mut self.child {
            return Exit(child.wait().await.ok());
        }
        while procfs::is_alive(self.pid, self.start_ticks) {
            tokio::time::sleep(WATCH_INTERVAL).await;
        }
        Exit(None)
    }

    /// Asks the group to end, and kills what of it is still there after `patience`. Returns once
    /// nothing of it lives, so that its port and GPUs are free again.
    pub(crate) async fn terminate(&mut self, patience: Duration) {
        signal_group(self.pid, Signal::SIGTERM);
        if tokio::time::timeout(patience, self.exited()).await.is_err() {
            tracing::warn!(pid = self.pid, ?patience, "engine ignored SIGTERM and is killed");
        }
        self.kill_remains().await;
    }

    /// Kills what is left of the group, after its leader has ended or must.
    pub(crate) async fn kill_remains(&mut self) {
        // The number can't name another group yet: the kernel doesn't hand out a pid that is a
        // living group's number, and an empty group's was free for an instant only.
        signal_group(self.pid, Signal::SIGKILL);
        let gone = async {
            self.exited().await;
            while procfs::group_is_alive(self.pid) {
                tokio::time::sleep(GROUP_INTERVAL).await;
            }
        };
        if tokio::time::timeout(KILL_WAIT_MAX, gone).await.is_err() {
            tracing::error!(pid = self.pid, "engine is killed but does not end");
        }
    }
}

fn signal_group(leader: u32, signal: Signal) {
    // 0 would be our own group, and 1 is no engine.
    let Some(group) = i32::try_from(leader).ok().filter(|&pid| pid > 1) else { return };
    match killpg(Pid::from_raw(group), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => tracing::warn!(leader, %signal, %errno, "could not signal an engine"),
    }
}
