//! A server that answers as a Prometheus' query API does, as far as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// What was asked, by the name of each field.
type Form = BTreeMap<String, String>;

/// Serves until the test ends. Each connection has a thread of its own: a client may keep one open and
/// idle while it asks by another.
pub(crate) fn serve(answer: impl Fn(&Form) -> String + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = Arc::clone(&answer);
            thread::spawn(move || converse(stream, &*answer));
        }
    });
    url
}

fn converse(mut stream: TcpStream, answer: &impl Fn(&Form) -> String) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    loop {
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        let mut body = vec![0; length];
        if length == 0 || reader.read_exact(&mut body).is_err() {
            break;
        }
        let body = answer(&form_urlencoded::parse(&body).into_owned().collect());
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        if stream.write_all((head + &body).as_bytes()).is_err() {
            break;
        }
    }
}
