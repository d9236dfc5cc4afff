//! A Prometheus that tells of demand, as far as a scenario says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use preheat_runtime::prometheus::{Prometheus, PrometheusConfig};

/// Requests that wait for a replica.
pub(crate) const HELD: &str = "gateway_requests_held";
/// Requests that came, in all.
pub(crate) const ARRIVALS: &str = "gateway_requests_total";

/// What it knows.
#[derive(Clone, Copy, Default)]
struct Known {
    is_up: bool,
    held: f64,
    arrivals: f64,
}

/// The server, and what it tells.
pub(crate) struct DemandSource {
    known: Arc<Mutex<Known>>,
    url: String,
}

impl DemandSource {
    /// Starts one that is not up yet.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let known = Arc::new(Mutex::new(Known::default()));
        let shared = Arc::clone(&known);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let known = Arc::clone(&shared);
                thread::spawn(move || converse(stream, &known));
            }
        });
        Self { known, url }
    }

    /// To ask it.
    pub(crate) fn prometheus(&self) -> Prometheus {
        Prometheus::new(PrometheusConfig::new(&self.url)).unwrap()
    }

    pub(crate) fn is_up(&self, is_up: bool) {
        self.known.lock().unwrap().is_up = is_up;
    }

    pub(crate) fn hold(&self, requests: f64) {
        self.known.lock().unwrap().held = requests;
    }

    pub(crate) fn turn_one_away(&self) {
        self.known.lock().unwrap().arrivals += 1.0;
    }
}

/// Answers queries until the client goes.
fn converse(mut stream: TcpStream, known: &Mutex<Known>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            break;
        }
        let answer = answer(&String::from_utf8(body).unwrap(), *known.lock().unwrap());
        if stream.write_all(answer.as_bytes()).is_err() {
            break;
        }
    }
}

/// A query arrives as a form, in which names and functions stand as they are.
fn answer(form: &str, known: Known) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let value = match (form.contains("timestamp"), form.contains(HELD)) {
        (true, _) => now,
        (false, true) => known.held,
        (false, false) => known.arrivals,
    };
    let (status, body) = if known.is_up {
        let sample = format!(r#"{{"metric":{{}},"value":[{now},"{value}"]}}"#);
        let data = format!(r#"{{"resultType":"vector","result":[{sample}]}}"#);
        ("200 OK", format!(r#"{{"status":"success","data":{data}}}"#))
    } else {
        ("503 Service Unavailable", "starting".to_owned())
    };
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}
