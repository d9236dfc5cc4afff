//! `preheat up`: runs the pools of a configuration on this machine. Here, and only here, the world,
//! the gateway, the controllers, the journal and the admin server are wired to each other.

mod pool_loop;
mod status_source;

use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use preheat_api::config::{Launch, LocalConfig};
use preheat_core::{Claim, Memory, PolicySpec};
use preheat_gateway::{Gateway, GatewayConfig};
use preheat_local::{LocalWorld, ShutdownMode, StateDir, WorldOptions};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::control_board::{ControlBoard, PoolBounds};
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::{Journal, JournalOptions, JournalReader, restore};
use preheat_runtime::quota_board::QuotaBoard;
use preheat_runtime::routing::{PoolId, routing_channel};
use preheat_web::{Admin, Source};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::pool_loop::{PoolLoop, Shared};
use self::status_source::StatusParts;
use super::why::JOURNAL_FILE;
use crate::cli::UpArgs;
use crate::failure::{Answer, hinted};

/// What operators have ordered, in the state directory.
const CONTROLS_FILE: &str = "controls.json";

pub(crate) fn run(args: &UpArgs) -> anyhow::Result<Answer> {
    let config = super::read_config(&args.config)?;
    check_profiles(&config)?;
    if args.check {
        super::print(&format!("{} is fine\n", args.config.display()))?;
        return Ok(Answer::Yes);
    }
    super::log_to_stderr();
    let stop_with_stdin = args.stop_with_stdin;
    super::runtime()?.block_on(async {
        let signal = stop_signal()?;
        let stop = async move {
            if stop_with_stdin {
                tokio::select! {
                    () = signal => {}
                    () = stdin_ended() => {}
                }
            } else {
                signal.await;
            }
        };
        up(config, stop).await?;
        Ok(Answer::Yes)
    })
}

/// The configuration doesn't know which profiles there are; an engine that ends for want of one
/// would be started for ever.
fn check_profiles(config: &LocalConfig) -> anyhow::Result<()> {
    for pool in &config.pools {
        if let Launch::Emulated(emulated) = &pool.engine.launch {
            preheat_emulator::find_profile(&emulated.profile)
                .with_context(|| format!("pool {} can't be run", pool.name))?;
        }
    }
    Ok(())
}

/// Resolves at SIGTERM or SIGINT.
pub(crate) fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Resolves when standard input ends. A thread of its own, because a read can't be given up.
async fn stdin_ended() {
    let (ended, seen) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut ignored = [0; 64];
        while matches!(stdin.read(&mut ignored), Ok(1..)) {}
        let _nobody_waits = ended.send(());
    });
    // The thread sends before it ends.
    let _sent = seen.await;
}

async fn up(config: LocalConfig, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    let state = StateDir::open(&config.state_dir).map_err(|error| {
        let hint = error.hint();
        hinted(error, hint)
    })?;
    let gateway_listener = bind("gateway.listen", config.gateway.listen).await?;
    let token = super::read_token(config.admin_token_file.as_deref())?;
    let control_token = super::read_token(config.control_token_file.as_deref())?;
    let admin = Admin::bind(config.admin_listen, token)
        .await
        .map_err(|error| cannot_bind("admin.listen", config.admin_listen, &error))?
        .with_control_token(control_token);
    let clock = state.clock(TimeScale::try_from(config.time_scale)?);
    let journal_file = state.root().join(JOURNAL_FILE);
    let controllers = controllers(&config, &journal_file);
    let mut kept = JournalOptions::default();
    kept.retention = config.journal_retention;
    let journal = Journal::open(&journal_file, kept);
    let (routing, routes) = routing_channel();
    let program = std::env::current_exe().context("can't find this program's own file")?;
    let emulated_program = vec![program.display().to_string(), "engine".to_owned()];
    let options = WorldOptions { emulated_program };
    let world = LocalWorld::start(&config, state, clock.clone(), routing, options).await;
    let world = Arc::new(world);

    let quota = quota_board(&config).map(Arc::new);
    let controls = control_board(&config, journal_file.with_file_name(CONTROLS_FILE)).map(Arc::new);
    let (stopping, stopped) = watch::channel(false);
    let loops: Vec<PoolLoop> = controllers
        .into_iter()
        .zip(&config.pools)
        .filter_map(|(controller, pool)| {
            let schedules = pool.schedules.clone();
            let shared = Shared { quota: quota.clone(), controls: controls.clone() };
            PoolLoop::new(controller, schedules, &journal, &world, shared, &clock)
        })
        .collect();
    let gateway = Gateway::new(gateway_config(&config, &clock), clock.clone(), routes);
    let stats = gateway.stats();
    let status = StatusParts::new(&config, &clock, &journal, &world, &loops, stats).source();
    let source =
        Source { status, journal: Some(journal_file), controls, figures: None, live: true };
    let admin_task = tokio::spawn(admin.serve(source, until(stopped.clone())));
    let gateway_task =
        tokio::spawn(serve_gateway(gateway, gateway_listener, until(stopped.clone())));
    let loop_tasks: Vec<JoinHandle<()>> =
        loops.into_iter().map(|pool| tokio::spawn(pool.run(stopped.clone()))).collect();
    tracing::info!(
        gateway = %config.gateway.listen,
        dashboard = %format_args!("http://{}/", config.admin_listen),
        "serving"
    );

    stop.await;
    tracing::info!("stopping: requests under way may finish");
    stopping.send_replace(true);
    for task in loop_tasks {
        task.await.context("a pool's loop failed")?;
    }
    gateway_task.await.context("the gateway failed")?;
    admin_task.await.context("the admin server failed")?;
    let world = Arc::into_inner(world).context("something still holds the world")?;
    let drain_max = drain_max(&config);
    world.shutdown(drain_max, ShutdownMode::Drain).await;
    tokio::task::spawn_blocking(move || journal.close()).await?;
    Ok(())
}

/// Resolves when `stopped` becomes true.
pub(super) async fn until(mut stopped: watch::Receiver<bool>) {
    // The sender lives until after it has sent.
    let _sent = stopped.wait_for(|stopped| *stopped).await;
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| cannot_bind(key, address, &error))
}

pub(super) fn cannot_bind(key: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let hint = if error.kind() == ErrorKind::AddrInUse {
        format!("something else listens there; stop it, or choose another port with `{key}`")
    } else {
        format!("choose an address of this machine with `{key}`")
    };
    hinted(format!("can't listen on {address}: {error}"), hint)
}

/// Longest drain over all pools, in model time.
fn drain_max(config: &LocalConfig) -> Duration {
    let drains = config.pools.iter().map(|pool| pool.policy.spec().drain_timeout);
    drains.max().unwrap_or_default()
}

fn gateway_config(config: &LocalConfig, clock: &Clock) -> GatewayConfig {
    let hold = config.gateway.hold;
    GatewayConfig {
        hold_requests_max: hold.requests_max as usize,
        hold_bytes_max: usize::try_from(hold.bytes_max).unwrap_or(usize::MAX),
        hold_timeout: hold.timeout,
        body_bytes_max: usize::try_from(config.gateway.body_bytes_max).unwrap_or(usize::MAX),
        shutdown_timeout: clock.to_wall(drain_max(config)),
        ..GatewayConfig::default()
    }
}

/// Serves until stopped, and then until the streams that run have ended or the drain's time is over.
async fn serve_gateway(gateway: Gateway, listener: TcpListener, stop: impl Future<Output = ()>) {
    let report = gateway.serve(listener, stop).await;
    tracing::info!(cut_off = report.connections_cut_off, "the gateway has stopped");
}

/// Where pools that share GPUs take turns.
fn quota_board(config: &LocalConfig) -> Option<QuotaBoard> {
    let claims = config.pools.iter().map(|pool| {
        let (spec, gpus) = (pool.policy.spec(), pool.engine.gpus_per_replica);
        let claim = Claim::new(spec, gpus, pool.quota.priority, pool.quota.worth);
        (PoolId(pool.name.clone()), claim)
    });
    QuotaBoard::new(config.gpu_slots?, claims)
}

/// What operators may order, where they may.
fn control_board(config: &LocalConfig, file: std::path::PathBuf) -> Option<ControlBoard> {
    config.control_token_file.as_ref()?;
    let pools = config.pools.iter().map(|pool| {
        let PolicySpec { replicas_min, replicas_max, .. } = *pool.policy.spec();
        (pool.name.clone(), PoolBounds { replicas_min, replicas_max })
    });
    Some(ControlBoard::open(file, pools))
}

/// A controller for each pool, in their order, with the memory that the last process ended with.
fn controllers(config: &LocalConfig, journal: &std::path::Path) -> Vec<Controller> {
    let reader = journal.exists().then(|| JournalReader::open_read_only(journal));
    let reader = reader.and_then(|opened| match opened {
        Ok(reader) => Some(reader),
        Err(error) => {
            tracing::warn!(%error, "the journal can't be read; starting without memory");
            None
        }
    });
    let of_pool = |pool: &preheat_api::config::PoolConfig| {
        let restored = reader.as_ref().map(|reader| restore(reader, &pool.name));
        let memory = match restored {
            Some(Ok(Some(restored))) => {
                tracing::info!(pool = pool.name, redecided = restored.redecided, "memory restored");
                restored.memory
            }
            Some(Err(error)) => {
                tracing::warn!(pool = pool.name, %error, "starting without memory");
                Memory::default()
            }
            Some(Ok(None)) | None => Memory::default(),
        };
        let gpus = pool.engine.gpus_per_replica;
        Controller::new(PoolId(pool.name.clone()), gpus, pool.policy.clone(), memory)
    };
    config.pools.iter().map(of_pool).collect()
}
