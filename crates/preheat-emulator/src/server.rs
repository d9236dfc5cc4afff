//! One engine process from start-up to shutdown: when the port opens, who may connect, and what a
//! signal does.
//!
//! **Invariant:** the port answers nothing before the engine can serve; the HTTP side ends last.

use std::convert::Infallible;
use std::future::Future;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use preheat_engine::Engine;
use preheat_runtime::clock::Clock;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::api_request::Limits;
use crate::cache_config::ServerIdentity;
use crate::engine_metrics::EngineMetrics;
use crate::engine_task::{Admission, Command, EngineTask};
use crate::http_metrics::HttpMetrics;
use crate::log::Log;
use crate::options::{EmulatorOptions, OptionsError, whole_blocks};
use crate::routes::Service;
use crate::startup::{self, Started};

/// Why an emulated engine ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// Its settings contradict each other.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// Its port can't be had.
    #[error("can't listen on {address}")]
    Listen {
        /// As asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its start failed, as [`crate::Fault::StartFails`] asked for.
    #[error("engine core initialization failed")]
    StartFailed,
    /// It died, as [`crate::Fault::CrashAfter`] asked for.
    #[error("engine core died")]
    Crashed,
}

/// Connections at one time; more are closed at once. Well above `max_num_seqs` of any profile
/// plus a long queue, and below the usual limit on file descriptors.
const CONNECTIONS_MAX: usize = 16_384;

/// Connections the system may keep until they are accepted.
const BACKLOG: u32 = 1024;

/// Wall time that a client has to take the last bytes at shutdown.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Wall time between two tries when the system gives no connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Runs one emulated engine until `shutdown` is ready and its requests are dealt with.
///
/// All times of the engine are `clock`'s model time. Log lines go to `log`; they are the only
/// place that tells the port when `options.listen` has port 0.
///
/// # Errors
/// When it can't listen, or when a [`crate::Fault`] makes it fail or crash.
pub async fn run<W, S>(
    options: EmulatorOptions,
    clock: Clock,
    log: W,
    shutdown: S,
) -> Result<(), EmulatorError>
where
    W: Write + Send + 'static,
    S: Future<Output = ()>,
{
    options.check()?;
    let log = Log::new(clock.clone(), Box::new(log));
    let mut shutdown = pin!(shutdown);
    // Bound early, so that a taken port shows before a long start; it refuses connections until
    // `listen`, as vLLM's does.
    let listen_error = |source| EmulatorError::Listen { address: options.listen, source };
    let socket = bind(options.listen).map_err(listen_error)?;
    let address = socket.local_addr().map_err(listen_error)?;
    log.line(&format!("Bound {address}; connections are refused until the engine is ready"));
    let started = tokio::select! {
        () = &mut shutdown => return Ok(()),
        started = startup::start(&options, &clock, &log) => started,
    };
    if started == Started::Failed {
        log.error("EngineCore failed to start.");
        return Err(EmulatorError::StartFailed);
    }
    let mut server = Server::spawn(&options, &clock, address.port());
    let listener = socket.listen(BACKLOG).map_err(listen_error)?;
    log.line(&format!("Starting vLLM API server 0 on http://{address}"));
    log.line("Waiting for application startup.");
    log.line("Application startup complete.");
    server.accept_until(&listener, shutdown).await?;
    server.shut_down(listener, options.shutdown_timeout, &log).await
}

/// The serving part of the process. Dropping it ends all tasks.
struct Server {
    service: Arc<Service>,
    connections: JoinSet<()>,
    closing: watch::Sender<bool>,
    /// Holds the engine's task.
    _engine: JoinSet<()>,
}

impl Server {
    fn spawn(options: &EmulatorOptions, clock: &Clock, port: u16) -> Self {
        let now = clock.now();
        let created = now.as_secs_f64();
        let identity = ServerIdentity {
            model_name: options.model_names.first().cloned().unwrap_or_default(),
            kv_capacity_tokens: whole_blocks(&options.engine),
            block_size: options.engine.block_size,
            max_model_len: options.engine.max_model_len,
        };
        let metrics = EngineMetrics::new(identity, created);
        let admission = Admission { max_num_queued_reqs: options.max_num_queued_reqs };
        let task = EngineTask::new(clock.clone(), Engine::new(options.engine), metrics, admission);
        let (commands, receiver) = mpsc::unbounded_channel();
        let mut engine = JoinSet::new();
        engine.spawn(task.run(receiver));
        let service = Service {
            clock: clock.clone(),
            limits: Limits {
                model_names: options.model_names.clone(),
                max_model_len: options.engine.max_model_len,
                output_length: options.output_length,
            },
            dev_mode: options.dev_mode,
            fault: options.fault,
            commands,
            http: Arc::new(Mutex::new(HttpMetrics::new(created))),
            load: Arc::new(AtomicU32::new(0)),
            taken: AtomicU32::new(0),
            told: AtomicU32::new(0),
            crash: Notify::new(),
            created: now.as_nanos() / 1_000_000_000,
            id_salt: now.as_nanos() ^ (u64::from(port) << 48),
        };
        let closing = watch::Sender::new(false);
        let (service, connections) = (Arc::new(service), JoinSet::new());
        Self { service, connections, closing, _engine: engine }
    }

    /// Serves until `until` is ready or the engine crashes.
    async fn accept_until(
        &mut self,
        listener: &TcpListener,
        until: impl Future<Output = ()>,
    ) -> Result<(), EmulatorError> {
        let mut until = pin!(until);
        let service = Arc::clone(&self.service);
        loop {
            tokio::select! {
                () = &mut until => return Ok(()),
                () = service.crash.notified() => return Err(EmulatorError::Crashed),
                Some(_) = self.connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) if self.connections.len() < CONNECTIONS_MAX => {
                        let closing = self.closing.subscribe();
                        self.connections.spawn(connection(stream, Arc::clone(&service), closing));
                    }
                    Ok(_) => {}
                    Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
                },
            }
        }
    }

    /// With no time left requests are aborted and the port closes first; with a timeout they
    /// finish, and the port stays open so that new requests hear of the shutdown.
    async fn shut_down(
        mut self,
        listener: TcpListener,
        timeout: Duration,
        log: &Log,
    ) -> Result<(), EmulatorError> {
        let (done, drained) = oneshot::channel();
        let _ = self.service.commands.send(Command::ShutDown { timeout, done });
        let drained = async {
            let _ = drained.await;
        };
        let mode = if timeout.is_zero() { "abort" } else { "drain" };
        let secs = timeout.as_secs_f64();
        log.line(&format!("Shutting down: mode={mode} timeout={secs}s"));
        if timeout.is_zero() {
            drop(listener);
            drained.await;
        } else {
            self.accept_until(&listener, drained).await?;
        }
        log.line("Shutting down: request processing complete");
        self.closing.send_replace(true);
        let closed = async { while self.connections.join_next().await.is_some() {} };
        // A client that does not read must not keep the process alive.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        Ok(())
    }
}

/// Serves one connection until either side closes it.
async fn connection(stream: TcpStream, service: Arc<Service>, mut closing: watch::Receiver<bool>) {
    // Events are small and must not wait for more.
    let _ = stream.set_nodelay(true);
    let respond = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.respond(request).await) }
    });
    let mut connection =
        pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), respond));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
