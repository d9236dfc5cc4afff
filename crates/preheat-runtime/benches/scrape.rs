//! How fast a body is read, and how long a tick over 1,000 replicas takes.
//!
//! The stub server runs in this process and on the same cores, so that a tick's wall time includes
//! the work of 1,000 servers. `round/parse_and_deltas` is our share without any network.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use preheat_api::dialect::{Dialect, DialectName};
use preheat_core::{Instant, ReplicaId, Sample};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::dialect::Dialects;
use preheat_runtime::exposition::{Exposition, Format, Line};
use preheat_runtime::scrape::{ScrapeConfig, ScrapeTarget, Scraper, Selection, SignalStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LOADED: &[u8] = include_bytes!("../fixtures/vllm-0.32.0/loaded.prom");
const AFTER: &[u8] = include_bytes!("../fixtures/vllm-0.32.0/after.prom");

const REPLICAS: u64 = 1000;

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Bytes(LOADED.len() as u64));
    group.bench_function("every_line", |b| b.iter(|| sum(black_box(LOADED), |_| 0)));
    group.bench_function("every_line_and_label", |b| {
        b.iter(|| {
            sum(black_box(LOADED), |sample| {
                sample.labels.map(|label| label.name.len() + label.value.len()).sum()
            })
        });
    });
    group.bench_function("vllm", |b| {
        let dialects = Dialects::known();
        b.iter(|| dialects.read(black_box(LOADED), Format::Text));
    });
    group.finish();
}

fn sum(
    body: &[u8],
    of_labels: impl Fn(preheat_runtime::exposition::SeriesSample<'_>) -> usize,
) -> (f64, usize) {
    let (mut values, mut lengths) = (0.0, 0);
    for line in Exposition::new(body, Format::Text) {
        if let Line::Sample(sample) = line {
            values += sample.value;
            lengths += sample.name.len() + of_labels(sample);
        }
    }
    (values, lengths)
}

/// Everything of a tick but the network, a full window of history behind it.
fn round(c: &mut Criterion) {
    let mut group = c.benchmark_group("round");
    group.sample_size(20);
    let mut store = SignalStore::default();
    let mut now = Instant::ORIGIN;
    let dialects = Dialects::known();
    let mut tick = |store: &mut SignalStore| {
        now = now.saturating_add(Duration::from_secs(2));
        let body = if now.as_nanos().is_multiple_of(4_000_000_000) { LOADED } else { AFTER };
        for id in 0..REPLICAS {
            if let Ok(scrape) = dialects.read(black_box(body), Format::Text) {
                store.record(ReplicaId(id), Ok(Sample::new(scrape, now)));
            }
        }
        read_signals(store)
    };
    for _ in 0..40 {
        tick(&mut store);
    }
    group.bench_function("parse_and_deltas", |b| b.iter(|| tick(&mut store)));
    group.finish();
}

/// What a tick takes out of the store; the count keeps it from being optimised away.
fn read_signals(store: &SignalStore) -> usize {
    let signals = (0..REPLICAS).filter_map(|id| store.get(ReplicaId(id)));
    signals
        .filter(|signals| {
            black_box((signals.last(), signals.counters(), signals.ttft(), signals.itl()));
            signals.failures_in_a_row() == 0
        })
        .count()
}

fn tick(c: &mut Criterion) {
    let Ok(runtime) = tokio::runtime::Runtime::new() else { return };
    let mut group = c.benchmark_group("tick");
    group.sample_size(20);
    for (name, selection) in
        [("1000_everything", Selection::Everything), ("1000_wanted", Selection::Wanted)]
    {
        let Ok(targets) = runtime.block_on(serve()) else { return };
        let config =
            ScrapeConfig { selection, timeout: Duration::from_secs(10), ..ScrapeConfig::default() };
        let scraper = Scraper::new(config);
        let clock = Clock::start(TimeScale::REAL);
        let mut store = SignalStore::default();
        group.bench_function(name, |b| {
            b.iter(|| {
                let results = runtime.block_on(scraper.scrape(&clock, &targets));
                store.record_all(results);
                assert_eq!(read_signals(&store), targets.len());
            });
        });
    }
    group.finish();
}

/// One listener that all of 127.0.0.0/8 leads to: 1,000 addresses, and so 1,000 connections.
async fn serve() -> std::io::Result<Vec<ScrapeTarget>> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    let port = listener.local_addr()?.port();
    let dialects = Dialects::of(&Dialect::Known(DialectName::Vllm));
    let everything = answer(LOADED);
    let wanted = answer(&only_wanted(LOADED));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (everything, wanted) = (everything.clone(), wanted.clone());
            tokio::spawn(async move { answer_all(stream, &everything, &wanted).await.ok() });
        }
    });
    let targets = (0..REPLICAS).map(|id| {
        let [high, low] = [(id / 250) as u8, (id % 250) as u8 + 1];
        let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 1, high, low)), port);
        let (path, dialects) = ("/metrics".into(), Arc::clone(&dialects));
        ScrapeTarget { id: ReplicaId(id), address, path, dialects }
    });
    Ok(targets.collect())
}

async fn answer_all(
    mut stream: TcpStream,
    everything: &[u8],
    wanted: &[u8],
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    loop {
        request.clear();
        while !request.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(());
            }
        }
        let answer = if request.contains(&b'?') { wanted } else { everything };
        stream.write_all(answer).await?;
    }
}

fn answer(body: &[u8]) -> Bytes {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat().into()
}

/// What Python's `prometheus_client` leaves of a body when it is asked for these names.
fn only_wanted(body: &[u8]) -> Vec<u8> {
    let vllm = Dialects::of(&Dialect::Known(DialectName::Vllm));
    let wanted = |line: &&[u8]| {
        let name = line.split(|&byte| byte == b'{' || byte == b' ').next().unwrap_or_default();
        vllm.series_names().any(|wanted| wanted.as_bytes() == name)
    };
    body.split_inclusive(|&byte| byte == b'\n').filter(wanted).flatten().copied().collect()
}

criterion_group!(benches, parse, round, tick);
criterion_main!(benches);
