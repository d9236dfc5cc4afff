//! The pieces of `benches/gateway.sh`: stub engines, a gateway, and an open-loop load.
//!
//! ```text
//! gateway_bench stubs N                 N engines; prints one address per line
//! gateway_bench gateway ADDR...         a gateway in front of them; prints its address
//! gateway_bench load ADDR RATE SECS CONNECTIONS LABEL
//! ```
//! The first two run until they are killed.

#![expect(clippy::print_stdout, reason = "its results are what it prints")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderValue, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use preheat_core::ReplicaId;
use preheat_gateway::{Gateway, GatewayConfig};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::routing::{Backend, PoolId, PoolRoutes, RoutingTable, routing_channel};
use preheat_runtime::traffic_meter::PoolMeter;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const ANSWER: &str = r#"{"id":"cmpl-0123456789","object":"text_completion","created":1790000000,"model":"bench","choices":[{"index":0,"text":"Hello there.","finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}"#;
const ASK: &str = r#"{"model":"bench","prompt":"Say hello to the world.","max_tokens":16}"#;

#[tokio::main]
async fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["stubs", count] => stubs(count.parse()?).await,
        ["gateway", addresses @ ..] => {
            let addresses: Result<Vec<SocketAddr>, _> =
                addresses.iter().map(|address| address.parse()).collect();
            gateway(&addresses?).await
        }
        ["load", address, rate, secs, connections, label] => {
            let load = Load {
                address: address.parse()?,
                rate: rate.parse()?,
                secs: secs.parse()?,
                connections: connections.parse()?,
            };
            load.run(label).await
        }
        _ => Err("see the top of this file".into()),
    }
}

async fn listen() -> Outcome<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    Ok(listener)
}

async fn stubs(count: u32) -> Outcome<()> {
    for _ in 0..count {
        let listener = listen().await?;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let service = service_fn(answer);
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
    }
    std::future::pending().await
}

async fn answer(request: http::Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let _read = request.into_body().collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(ANSWER.as_bytes())));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    Ok(response)
}

async fn gateway(addresses: &[SocketAddr]) -> Outcome<()> {
    let meter = Arc::new(PoolMeter::default());
    let backends = addresses
        .iter()
        .map(|&address| {
            let replica = ReplicaId(u64::from(address.port()));
            Backend { replica, address, meter: meter.replica(replica) }
        })
        .collect();
    let pool = Arc::new(PoolRoutes { pool: PoolId("bench".to_owned()), backends, meter });
    let (sender, routes) = routing_channel();
    let pools_by_model = BTreeMap::from([("bench".to_owned(), pool)]);
    sender.send_replace(Arc::new(RoutingTable { pools_by_model }));
    let listener = listen().await?;
    let gateway = Gateway::new(GatewayConfig::default(), Clock::start(TimeScale::REAL), routes);
    tokio::spawn(gateway.serve(listener, std::future::pending())).await?;
    drop(sender);
    Ok(())
}

/// An open-loop load: request times are fixed beforehand.
struct Load {
    address: SocketAddr,
    rate: f64,
    secs: f64,
    connections: u32,
}

impl Load {
    async fn run(&self, label: &str) -> Outcome<()> {
        let started = Instant::now() + Duration::from_millis(100);
        let mut senders = tokio::task::JoinSet::new();
        for n in 0..self.connections {
            let gap = Duration::from_secs_f64(f64::from(self.connections) / self.rate);
            let first = started + gap.mul_f64(f64::from(n) / f64::from(self.connections));
            let requests = (self.secs * self.rate / f64::from(self.connections)) as u32;
            senders.spawn(send(self.address, first, gap, requests));
        }
        let mut all = Histogram::<u64>::new(3)?;
        while let Some(sent) = senders.join_next().await {
            all.add(sent??)?;
        }
        let rate = all.len() as f64 / started.elapsed().as_secs_f64();
        let millis = |q| all.value_at_quantile(q) as f64 / 1000.0;
        println!(
            "{label:>8}: {rate:>6.0} req/s  p50 {:.3} ms  p99 {:.3} ms  p99.9 {:.3} ms  max {:.1} ms",
            millis(0.5),
            millis(0.99),
            millis(0.999),
            all.max() as f64 / 1000.0
        );
        Ok(())
    }
}

/// Sends on one connection; returns latencies in microseconds.
///
/// A latency counts from when its request was due if the connection was then still busy, else from
/// when it was sent: the millisecond's grain of the timer is not the server's fault.
async fn send(
    address: SocketAddr,
    first: Instant,
    gap: Duration,
    requests: u32,
) -> Outcome<Histogram<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let ask = format!(
        "POST /v1/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{ASK}",
        ASK.len()
    );
    let mut latencies = Histogram::new(3)?;
    let mut answer = Vec::with_capacity(4096);
    for n in 0..requests {
        let due = first + gap * n;
        let busy = Instant::now() > due;
        tokio::time::sleep_until(due).await;
        let since = if busy { due } else { Instant::now() };
        stream.write_all(ask.as_bytes()).await?;
        answer.clear();
        while !answer.ends_with(ANSWER.as_bytes()) {
            if stream.read_buf(&mut answer).await? == 0 {
                return Err("the connection was closed".into());
            }
        }
        latencies.record(u64::try_from(since.elapsed().as_micros())?)?;
    }
    Ok(latencies)
}
