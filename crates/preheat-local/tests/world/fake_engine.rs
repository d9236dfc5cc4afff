//! An engine that does as it is told: serves enough of vLLM's HTTP to be supervised.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

/// Between two looks at a gate.
const GATE_INTERVAL: std::time::Duration = std::time::Duration::from_millis(5);

pub(crate) struct FakeEngine {
    port: u16,
    replica: String,
    /// Where gates and marks are.
    folder: PathBuf,
    traits: String,
    asleep: AtomicBool,
}

impl FakeEngine {
    pub(crate) fn from_env() -> Option<Self> {
        let var = |name| std::env::var(name).ok();
        Some(Self {
            port: var("FAKE_PORT")?.parse().ok()?,
            replica: var("PREHEAT_REPLICA")?,
            folder: var("FAKE_FOLDER")?.into(),
            traits: var("FAKE_TRAITS")?,
            asleep: AtomicBool::new(false),
        })
    }

    pub(crate) fn run(self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.serve()).unwrap();
    }

    fn is(&self, a_trait: &str) -> bool {
        self.traits.split(' ').any(|word| word == a_trait)
    }

    fn mark(&self, name: &str, text: &str) {
        // Renamed into place, so that nobody reads half of it.
        let path = self.folder.join(format!("{}.{name}", self.replica));
        let temporary = path.with_extension(format!("{name}.tmp"));
        std::fs::write(&temporary, text).unwrap();
        std::fs::rename(temporary, path).unwrap();
    }

    /// Waits for a file.
    async fn gate(&self, name: &str) {
        while !self.folder.join(name).exists() {
            tokio::time::sleep(GATE_INTERVAL).await;
        }
    }

    async fn serve(&self) -> io::Result<()> {
        if self.is("ignores-sigterm") {
            let mut signals = signal(SignalKind::terminate())?;
            tokio::spawn(async move { while signals.recv().await.is_some() {} });
        }
        if self.is("has-helper") {
            // Stays in this process's group, as vLLM's workers do.
            let helper = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
            self.mark("helper", &helper.id().to_string());
        }
        println!("\nfake engine of {} starts", self.replica);
        if self.is("ends-at-start") {
            println!("RuntimeError: no memory");
            std::process::exit(3);
        }
        if self.is("waits") {
            println!("Starting to load model fake");
            self.gate("loaded").await;
            println!("Graph capturing finished in 3 secs");
            self.gate("open").await;
        }
        self.mark("env", &std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default());
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            // One after the other: no answer takes long, and one that hangs is only set aside.
            let _ = self.answer(stream).await;
        }
    }

    async fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let head = read_request(&mut stream).await?;
        let (status, body) = match head.as_str() {
            "GET /v1/models" if self.is("never-ready") => (503, "{}".to_owned()),
            "GET /v1/models" if self.is("other-model") => (200, models("other")),
            "GET /v1/models" => (200, models("m")),
            "POST /v1/completions" if self.is("no-token") => (500, "{}".to_owned()),
            "POST /v1/completions" => (200, r#"{"choices":[{"text":"x"}]}"#.to_owned()),
            "GET /metrics" if self.is("metrics-hang") => {
                // Holds the connection open without an answer, for as long as the engine lives.
                std::mem::forget(stream);
                return Ok(());
            }
            "GET /metrics" if self.is("metrics-garbage") => (200, "<html>".to_owned()),
            "GET /metrics" if self.folder.join("no-metrics").exists() => (500, String::new()),
            "GET /metrics" => (200, METRICS.to_owned()),
            "POST /sleep?level=1" if self.is("insomniac") => (500, "{}".to_owned()),
            "POST /sleep?level=1" => {
                self.asleep.store(true, Ordering::Relaxed);
                self.mark("asleep", "");
                (200, String::new())
            }
            "POST /wake_up" if self.is("never-wakes") => (500, "{}".to_owned()),
            "POST /wake_up" => {
                self.asleep.store(false, Ordering::Relaxed);
                self.mark("awake", "");
                (200, String::new())
            }
            "GET /is_sleeping" => {
                (200, format!(r#"{{"is_sleeping":{}}}"#, self.asleep.load(Ordering::Relaxed)))
            }
            "POST /crash" => std::process::exit(4),
            _ => (404, "{}".to_owned()),
        };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        stream.write_all((head + &body).as_bytes()).await
    }
}

const METRICS: &str = "\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name=\"m\",engine=\"0\"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{model_name=\"m\",engine=\"0\"} 2.0
";

fn models(name: &str) -> String {
    format!(r#"{{"object":"list","data":[{{"id":"{name}"}}]}}"#)
}

/// Method and path; the body is read and dropped.
async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.trim().parse().unwrap());
    while bytes.len() < head_end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let line = String::from_utf8_lossy(&bytes[..head_end]).lines().next().unwrap().to_owned();
    Ok(line.rsplit_once(' ').unwrap().0.to_owned())
}
