//! What the demo runs on: a state directory, free ports, and the configuration for `preheat up`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use super::DemoArgs;
use crate::commands::PROFILE_DEFAULT;
use crate::commands::why::JOURNAL_FILE;

/// The model's name.
pub(super) const MODEL: &str = "qwen-27b";
/// Replicas that are there before traffic comes.
pub(super) const REPLICAS_MIN: u32 = 3;
/// Where in the trace the demo begins: the first burst of code comes three minutes later.
pub(super) const TRACE_FROM: Duration = Duration::from_secs(6 * 60);
/// Makes Azure's two services need two to seven replicas, so that the fleet grows and shrinks.
pub(super) const RATE_SCALE: f64 = 0.6;

/// Ports tried per range before giving up.
const PORT_TRIES: u16 = 200;
/// More than `maxReplicas`: a port of a replica that has just ended may not be free at once.
const ENGINE_PORTS: u16 = 64;

/// Everything that is decided before anything runs.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) state_dir: PathBuf,
    pub(super) config_file: PathBuf,
    pub(super) log_file: PathBuf,
    pub(super) gateway: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Stage {
    /// Makes the folder and writes the configuration.
    pub(super) fn prepare(args: &DemoArgs) -> anyhow::Result<Self> {
        let state_dir = match &args.state_dir {
            Some(folder) => folder.clone(),
            None => std::env::temp_dir().join(format!("preheat-demo-{}", std::process::id())),
        };
        let shown = state_dir.display().to_string();
        fs::create_dir_all(&state_dir).with_context(|| format!("can't make the folder {shown}"))?;
        let state_dir = state_dir.canonicalize().with_context(|| format!("can't find {shown}"))?;
        let (gateway, admin) = (free_address()?, free_address()?);
        let config_file = state_dir.join("demo.yaml");
        let config = config(args, &state_dir, gateway, admin, free_range()?);
        fs::write(&config_file, config).with_context(|| format!("can't write into {shown}"))?;
        let log_file = state_dir.join("preheat.log");
        Ok(Self { state_dir, config_file, log_file, gateway, admin })
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.state_dir.join(JOURNAL_FILE)
    }

    pub(super) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway)
    }

    /// What a newcomer should know before it begins.
    pub(super) fn introduction(&self, args: &DemoArgs, requests: usize) -> String {
        format!(
            "preheat demo: {requests} requests of real traffic over {} of model time, {} times faster than \
             real.\nEngines: {PROFILE_DEFAULT} (emulated), max-num-seqs 64, a cold start of about 140 s. \
             Aim: TTFT P99 ≤ 2 s.\nState, logs and journal: {}\nLook at it: http://{}/  or: preheat \
             status --admin {} --watch\n",
            super::model_minutes(args),
            args.time_scale,
            self.state_dir.display(),
            self.admin,
            self.admin
        )
    }
}

fn config(
    args: &DemoArgs,
    state_dir: &std::path::Path,
    gateway: SocketAddr,
    admin: SocketAddr,
    first_port: u16,
) -> String {
    let last_port = first_port + ENGINE_PORTS - 1;
    format!(
        "# Written by `preheat demo`; `preheat up` reads it.
stateDir: {}
timeScale: {}
gpuSlots: 8
gateway:
  listen: {gateway}
admin:
  listen: {admin}
pools:
  - name: chat
    modelName: {MODEL}
    minReplicas: {REPLICAS_MIN}
    maxReplicas: 8
    slo:
      ttft: 2s
      quantile: 0.99
    coldStart:
      p50: 140s
      p90: 170s
    drainTimeout: 5m
    engine:
      ports: {first_port}-{last_port}
      emulated:
        profile: {PROFILE_DEFAULT}
        maxNumSeqs: 64
        seed: {}
",
        serde_json::Value::from(state_dir.display().to_string()),
        args.time_scale,
        args.seed,
    )
}

fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?)
}

/// The first of [`ENGINE_PORTS`] ports in a row of which the first few are free: the supervisor
/// itself passes over any that is not.
fn free_range() -> anyhow::Result<u16> {
    let start = 20_000 + (std::process::id() % 300) as u16 * ENGINE_PORTS;
    let free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (0..PORT_TRIES)
        .map(|step| 20_000 + (start - 20_000 + step * ENGINE_PORTS) % 20_000)
        .find(|&first| (first..first + 8).all(free))
        .context("no free range of ports for the engines between 20000 and 40000")
}
