//! Real preheat processes in a folder of their own, with a guard that leaves none behind.
//!
//! **Invariant:** every process that a test starts, and every one that those start, carries a mark in
//! its environment; only marked processes are counted or killed.

pub(crate) mod http;

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use preheat_api::status::PoolTotals;
use preheat_api::v1::{Fleet, Pool, PoolSummary};

/// Far beyond what anything here takes; reached only by a test that fails.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Ports of one test: one that reserves the others, gateway, admin, and a few for engines.
const PORTS_EACH: u16 = 20;
/// Name of the mark.
const MARK: &str = "PREHEAT_TEST_FOLDER";
/// Bytes of a log shown for a test that failed.
const LOG_SHOWN: usize = 6_000;

/// The model that pools serve here.
pub(crate) const MODEL: &str = "m";
/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_preheat");

/// Everything that the processes of one test share.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
    first_port: u16,
    _reservation: TcpListener,
    patience: Duration,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (reservation, first_port) = reserve_ports();
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, first_port, _reservation: reservation, patience: PATIENCE }
    }

    /// The same, for what takes longer than anything else here.
    pub(crate) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file in this test's folder, with this text.
    pub(crate) fn file(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("the folder can be written");
        path.display().to_string()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    pub(crate) fn gateway(&self) -> SocketAddr {
        self.port(0)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        self.port(1)
    }

    /// An address for an engine that a test starts itself.
    pub(crate) fn engine(&self) -> SocketAddr {
        self.port(2)
    }

    /// An address for an engine beside those of the pools, which take the first.
    pub(crate) fn engine_beside(&self) -> SocketAddr {
        self.port(PORTS_EACH - 2)
    }

    fn port(&self, index: u16) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.first_port + index))
    }

    /// A configuration of one pool named `chat`: `pool` and `engine` are further keys of each, as
    /// they stand in braces.
    pub(crate) fn config(&self, time_scale: f64, pool: &str, engine: &str) -> String {
        self.config_of(time_scale, "", &[("chat", MODEL, pool, engine)])
    }

    /// A configuration of several pools, each with a name, a model, and further keys of pool and
    /// engine; `top` are further lines of the whole.
    pub(crate) fn config_of(
        &self,
        time_scale: f64,
        top: &str,
        pools: &[(&str, &str, &str, &str)],
    ) -> String {
        let (state, gateway, admin) = (self.state(), self.gateway(), self.admin());
        let state = state.display();
        let mut text = format!(
            "stateDir: '{state}'\ntimeScale: {time_scale}\ngateway: {{listen: '{gateway}'}}\n\
             admin: {{listen: '{admin}'}}\n{top}pools:\n"
        );
        // One port is the reservation's, two are preheat's own.
        let ports_each = (PORTS_EACH - 3) / u16::try_from(pools.len()).expect("few pools");
        let mut first = self.first_port + 2;
        for (name, model, pool, engine) in pools {
            let last = first + ports_each - 1;
            text.push_str(&format!(
                "- {{name: {name}, modelName: {model}, {pool},\n   \
                 engine: {{ports: {first}-{last}, {engine}}}}}\n"
            ));
            first += ports_each;
        }
        text
    }

    /// preheat with these arguments, marked, in this test's folder.
    pub(crate) fn command<S: AsRef<str>>(&self, arguments: &[S]) -> Command {
        let mut command = self.other(Path::new(PROGRAM));
        command.args(arguments.iter().map(AsRef::as_ref));
        command
    }

    /// Another program, marked, in this test's folder.
    pub(crate) fn other(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env(MARK, self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Runs preheat to its end.
    pub(crate) fn run<S: AsRef<str>>(&self, arguments: &[S]) -> Ran {
        Ran::of(self.command(arguments).output().expect("preheat runs"))
    }

    /// Starts preheat; what it writes goes to files.
    pub(crate) fn start<S: AsRef<str>>(&self, name: &str, arguments: &[S]) -> Running {
        self.start_command(name, self.command(arguments))
    }

    /// Starts one of this test's commands; what it writes goes to files.
    pub(crate) fn start_command(&self, name: &str, mut command: Command) -> Running {
        let log = || -> File {
            let path = self.path(&format!("{name}.log"));
            OpenOptions::new().create(true).append(true).open(path).expect("a log")
        };
        let out = self.path(&format!("{name}.out"));
        let stdout = File::create(&out).expect("a file for stdout");
        let child = command.stdout(stdout).stderr(log()).spawn().expect("it starts");
        Running { child, out, patience: self.patience }
    }

    /// Starts `preheat up` with this configuration.
    pub(crate) fn up(&self, config: &str) -> Running {
        let file = self.file("preheat.yaml", config);
        self.start("up", &["up", &file])
    }

    /// Processes of this test that live, with their command lines.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}\0", self.folder.path().display());
        let entries = fs::read_dir("/proc").expect("Linux");
        let pids = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let marked = pids.filter(|pid| {
            // Absent for one that is gone, empty for a zombie.
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|window| window == mark.as_bytes())
        });
        marked.map(|pid| (pid, command_line(pid))).collect()
    }

    /// Pids of the engines that live.
    pub(crate) fn engines(&self) -> Vec<i32> {
        let all = self.processes().into_iter();
        let mut pids: Vec<i32> =
            all.filter(|(_, line)| line.contains(" engine ")).map(|(pid, _)| pid).collect();
        pids.sort_unstable();
        pids
    }

    /// What a running preheat says of all pools, once it says anything.
    pub(crate) async fn fleet(&self) -> Fleet {
        eventually_within(self.patience, "an answer", async || self.fleet_now().await).await
    }

    pub(crate) async fn fleet_now(&self) -> Option<Fleet> {
        let answer = http::get(self.admin(), "/api/v1/fleet").await.ok()?;
        serde_json::from_str(&answer.body).ok()
    }

    /// Waits until the pool named `chat` shows something.
    pub(crate) async fn pool<T>(&self, what: &str, look: impl Fn(&Pool) -> Option<T>) -> T {
        let seen = async || {
            let answer = http::get(self.admin(), "/api/v1/pools/chat").await.ok()?;
            look(&serde_json::from_str(&answer.body).ok()?)
        };
        eventually_within(self.patience, what, seen).await
    }

    /// Waits until the pools show something at one moment.
    pub(crate) async fn pools<T>(
        &self,
        what: &str,
        look: impl Fn(&[PoolSummary]) -> Option<T>,
    ) -> T {
        let seen = async || self.fleet_now().await.and_then(|fleet| look(&fleet.pools));
        eventually_within(self.patience, what, seen).await
    }

    /// Waits until this many are ready, and gives their ids and pids.
    pub(crate) async fn ready(&self, count: usize) -> Vec<(u64, i32)> {
        let look = |pool: &Pool| {
            let ready = pool.replicas.iter().filter(|replica| replica.phase == "ready");
            let pids = ready.map(|r| Some((r.id.0, i32::try_from(r.pid?).ok()?)));
            let pids: Vec<(u64, i32)> = pids.collect::<Option<_>>()?;
            (pids.len() == count).then_some(pids)
        };
        self.pool(&format!("{count} ready"), look).await
    }

    /// Fails unless deciding all of the journal again gives the same; how many ticks there were.
    pub(crate) fn replay_agrees(&self) -> u64 {
        replay_agrees(self, &self.state())
    }
}

/// What a pool of a running preheat came to.
pub(crate) fn totals(pool: &Pool) -> &PoolTotals {
    pool.totals.as_ref().expect("it runs")
}

/// Fails unless deciding all of this journal again gives the same; how many ticks there were.
pub(crate) fn replay_agrees(stage: &Stage, journal: &Path) -> u64 {
    let ran = stage.run(&["replay", &journal.display().to_string(), "--json"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one object");
    assert_eq!((&report["differed"], &report["skipped"]), (&0.into(), &0.into()), "{report}");
    report["agreed"].as_u64().expect("a count")
}

/// Nothing that a test started outlives it, whichever way it ends.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_logs();
        }
        // Again and again, because what is killed may just have started something.
        for _ in 0..100 {
            let left = self.processes();
            if left.is_empty() {
                return;
            }
            for (pid, _) in left {
                kill(pid, Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Stage {
    fn show_logs(&self) {
        let files = fs::read_dir(self.folder.path()).into_iter().flatten();
        for path in files.filter_map(|file| Some(file.ok()?.path())) {
            if path.extension().is_some_and(|extension| extension == "log") {
                let text = fs::read(&path).unwrap_or_default();
                let end = text.get(text.len().saturating_sub(LOG_SHOWN)..).unwrap_or_default();
                eprintln!("--- {}:\n{}", path.display(), String::from_utf8_lossy(end));
            }
        }
    }
}

/// A process that was started.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    patience: Duration,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("pids are small")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal);
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child of ours").is_none()
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = async || self.child.try_wait().expect("a child of ours");
        eventually_within(self.patience, "the end of preheat", ended).await
    }

    /// Ends it as `systemd` would.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.ended().await
    }

    /// What it wrote to stdout.
    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(&self.out).expect("stdout is UTF-8")
    }
}

/// What came of a preheat that ran to its end.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Absent when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("output is UTF-8");
        let Output { status, stdout, stderr } = output;
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

/// One that is gone already needs no signal.
pub(crate) fn kill(pid: i32, with: Signal) {
    let _gone = signal::kill(Pid::from_raw(pid), with);
}

pub(crate) fn command_line(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ")
}

/// Waits until `look` sees something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, what, look).await
}

async fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(patience, seen).await.unwrap_or_else(|_| panic!("never: {what}"))
}

/// The first of a run of ports that nobody else in these tests uses: the listener holds them.
fn reserve_ports() -> (TcpListener, u16) {
    for base in (10_000..20_000).step_by(usize::from(PORTS_EACH)) {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, base)) {
            return (listener, base + 1);
        }
    }
    panic!("no ports left");
}
