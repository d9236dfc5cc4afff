//! Counters that a gateway writes on its hot path and a tick loop reads once per tick.
//!
//! **Invariant:** writing takes no lock, but for held requests, which wait anyway.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use preheat_core::{FirstTokens, GatewayObservation, Instant, LatencyWindow, ReplicaId, Sample};

/// Requests that the gateway gave to one replica and that have not ended, and since when it is ready.
#[derive(Debug, Default)]
pub struct ReplicaMeter {
    outstanding: AtomicU32,
    /// Nanoseconds since the world's origin; 0 while nobody has said.
    ready_since: AtomicU64,
}

impl ReplicaMeter {
    /// How many there are now.
    pub fn outstanding(&self) -> u32 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// It came from a start or a wake, and has been ready since then.
    pub fn set_ready_since(&self, at: Instant) {
        self.ready_since.store(at.as_nanos(), Ordering::Relaxed);
    }

    fn has_just_started(&self, now: Instant) -> bool {
        let ready_since = Instant::from_nanos(self.ready_since.load(Ordering::Relaxed));
        now.since(ready_since) < FirstTokens::AFTER_START
    }

    /// One more, until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> Outstanding {
        self.outstanding.fetch_add(1, Ordering::Relaxed);
        Outstanding(Arc::clone(self))
    }
}

/// Counts one request as outstanding for as long as it lives.
#[derive(Debug)]
pub struct Outstanding(Arc<ReplicaMeter>);

impl Outstanding {
    /// Where.
    pub fn replica(&self) -> Arc<ReplicaMeter> {
        Arc::clone(&self.0)
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        self.0.outstanding.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the gateway counts for one pool.
#[derive(Debug, Default)]
pub struct PoolMeter {
    /// A first token is late beyond it; `None` while nobody has said.
    ttft_slo: Option<Duration>,
    arrivals: AtomicU64,
    completions: AtomicU64,
    failures: AtomicU64,
    rejections: AtomicU64,
    first_tokens: AtomicU64,
    late: AtomicU64,
    late_after_start: AtomicU64,
    ttft: LatencyHistogram,
    itl: LatencyHistogram,
    engine_time: LatencyHistogram,
    slow: Mutex<Slow>,
}

/// The rarely touched part.
#[derive(Debug, Default)]
struct Slow {
    replicas: BTreeMap<ReplicaId, Arc<ReplicaMeter>>,
    held: BTreeMap<u64, Instant>,
    held_next: u64,
    taken: Taken,
}

/// Counter values at the last [`PoolMeter::take`].
#[derive(Debug, Default, Clone, Copy)]
struct Taken {
    at: Option<Instant>,
    arrivals: u64,
    completions: u64,
    failures: u64,
    rejections: u64,
}

/// Totals since the gateway started, for export.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolTotals {
    /// Requests that arrived, held and rejected ones included.
    pub arrivals: u64,
    /// Requests answered completely.
    pub completions: u64,
    /// Requests that failed after an engine had begun.
    pub failures: u64,
    /// Requests turned away.
    pub rejections: u64,
    /// Requests held now.
    pub held: u32,
}

impl PoolMeter {
    /// A meter that tells which first tokens are later than this.
    pub fn new(ttft_slo: Duration) -> Self {
        Self { ttft_slo: Some(ttft_slo), ..Self::default() }
    }

    /// A request arrived, whatever becomes of it.
    pub fn arrived(&self) {
        self.arrivals.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was answered completely; `engine_time` passed between sending it and its end.
    pub fn completed(&self, engine_time: Duration) {
        self.completions.fetch_add(1, Ordering::Relaxed);
        self.engine_time.record(engine_time);
    }

    /// A request failed after an engine had begun it.
    pub fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// A request was turned away.
    pub fn rejected(&self) {
        self.rejections.fetch_add(1, Ordering::Relaxed);
    }

    /// A first token of `replica` was passed on at `now`, `ttft` after its request arrived.
    pub fn first_token(&self, ttft: Duration, replica: &ReplicaMeter, now: Instant) {
        self.ttft.record(ttft);
        self.first_tokens.fetch_add(1, Ordering::Relaxed);
        if self.ttft_slo.is_some_and(|slo| ttft > slo) {
            self.late.fetch_add(1, Ordering::Relaxed);
            let after_start = u64::from(replica.has_just_started(now));
            self.late_after_start.fetch_add(after_start, Ordering::Relaxed);
        }
    }

    /// First tokens since this was last called.
    fn take_first_tokens(&self) -> Option<FirstTokens> {
        self.ttft_slo?;
        // Late ones first: one that is counted in between is then late at the next call, not before
        // it was there.
        let late_after_start = self.late_after_start.swap(0, Ordering::Relaxed);
        let late = self.late.swap(0, Ordering::Relaxed).max(late_after_start);
        let count = self.first_tokens.swap(0, Ordering::Relaxed).max(late);
        Some(FirstTokens { count, late, late_after_start })
    }

    /// A further streamed event was passed on, `gap` after the one before.
    pub fn next_token(&self, gap: Duration) {
        self.itl.record(gap);
    }

    /// A request that arrived at `arrived_at` is held until the guard is dropped.
    pub fn hold(self: &Arc<Self>, arrived_at: Instant) -> Held {
        let mut slow = self.slow();
        let key = slow.held_next;
        slow.held_next += 1;
        slow.held.insert(key, arrived_at);
        Held { meter: Arc::clone(self), key }
    }

    /// The meter of one replica, made on first use.
    pub fn replica(&self, replica: ReplicaId) -> Arc<ReplicaMeter> {
        Arc::clone(self.slow().replicas.entry(replica).or_default())
    }

    /// Forgets a replica that is gone.
    pub fn forget(&self, replica: ReplicaId) {
        self.slow().replicas.remove(&replica);
    }

    /// Requests outstanding in `replica`, as of `now`; absent for one that was never routed to.
    pub fn outstanding(&self, replica: ReplicaId, now: Instant) -> Option<Sample<u32>> {
        let slow = self.slow();
        slow.replicas.get(&replica).map(|meter| Sample::new(meter.outstanding(), now))
    }

    /// What happened since this was last called.
    pub fn take(&self, now: Instant) -> GatewayObservation {
        let totals = self.totals();
        let mut slow = self.slow();
        let before = slow.taken;
        slow.taken = Taken {
            at: Some(now),
            arrivals: totals.arrivals,
            completions: totals.completions,
            failures: totals.failures,
            rejections: totals.rejections,
        };
        let held_oldest = slow.held.values().min().map(|&since| now.since(since));
        drop(slow);
        GatewayObservation {
            observed_at: now,
            over: before.at.map_or(Duration::ZERO, |at| now.since(at)),
            arrivals: totals.arrivals - before.arrivals,
            completions: totals.completions - before.completions,
            failures: totals.failures - before.failures,
            rejections: totals.rejections - before.rejections,
            held: totals.held,
            held_oldest,
            ttft: self.ttft.take(),
            first_tokens: self.take_first_tokens(),
            itl: self.itl.take(),
            engine_time: self.engine_time.take(),
        }
    }

    /// Totals since the start.
    pub fn totals(&self) -> PoolTotals {
        let held = u32::try_from(self.slow().held.len()).unwrap_or(u32::MAX);
        PoolTotals {
            arrivals: self.arrivals.load(Ordering::Relaxed),
            completions: self.completions.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            rejections: self.rejections.load(Ordering::Relaxed),
            held,
        }
    }

    fn slow(&self) -> std::sync::MutexGuard<'_, Slow> {
        // A panic while holding the lock can't leave the maps half-changed: each change is one call.
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one request as held for as long as it lives.
#[derive(Debug)]
pub struct Held {
    meter: Arc<PoolMeter>,
    key: u64,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.meter.slow().held.remove(&self.key);
    }
}

/// Shortest latency told apart.
const LATENCY_MIN_SECS: f64 = 1e-4;
/// Each bucket is this much wider than the one before: quantiles are within 2.5 %.
const BUCKET_GROWTH: f64 = 1.05;
/// Reaches past one hour: 0.0001 s × 1.05³⁶⁰ ≈ 4,250 s.
const BUCKETS: usize = 360;

/// A histogram of latencies in geometric buckets, written without a lock.
#[derive(Debug)]
pub struct LatencyHistogram {
    buckets: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, sum_nanos: AtomicU64::new(0) }
    }
}

impl LatencyHistogram {
    /// Adds one measurement.
    pub fn record(&self, latency: Duration) {
        let ratio = latency.as_secs_f64() / LATENCY_MIN_SECS;
        let index = if ratio <= 1.0 { 0.0 } else { ratio.ln() / BUCKET_GROWTH.ln() };
        self.buckets[(index as usize).min(BUCKETS - 1)].fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Quantiles of what was added since the last call; `None` when nothing was.
    pub fn take(&self) -> Option<LatencyWindow> {
        let sum_nanos = self.sum_nanos.swap(0, Ordering::Relaxed);
        let counts: Vec<u64> =
            self.buckets.iter().map(|bucket| bucket.swap(0, Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let mean = Duration::from_nanos(sum_nanos.checked_div(count)?);
        let quantile = |q| quantile(&counts, count, q);
        Some(LatencyWindow {
            count,
            mean,
            p50: quantile(0.50),
            p90: quantile(0.90),
            p99: quantile(0.99),
        })
    }
}

/// Nearest-rank quantile, at the geometric middle of its bucket.
fn quantile(counts: &[u64], count: u64, q: f64) -> Duration {
    let rank = ((count as f64 * q).ceil() as u64).max(1);
    let mut seen = 0;
    let index = counts.iter().position(|&n| {
        seen += n;
        seen >= rank
    });
    let middle = index.unwrap_or(BUCKETS - 1) as f64 + 0.5;
    Duration::from_secs_f64(LATENCY_MIN_SECS * BUCKET_GROWTH.powf(middle))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(secs))
    }

    #[test]
    fn take_reports_what_happened_since_the_last_take() {
        let meter = PoolMeter::default();
        meter.arrived();
        meter.arrived();
        meter.completed(Duration::from_secs(3));
        let first = meter.take(at(10));
        assert_eq!((first.arrivals, first.completions, first.over), (2, 1, Duration::ZERO));
        meter.arrived();
        let second = meter.take(at(12));
        assert_eq!((second.arrivals, second.completions), (1, 0));
        assert_eq!(second.over, Duration::from_secs(2));
        assert_eq!(second.engine_time, None);
        assert_eq!(meter.totals().arrivals, 3);
    }

    #[test]
    fn held_and_outstanding_count_living_guards() {
        let meter = Arc::new(PoolMeter::default());
        let held = meter.hold(at(5));
        let later = meter.hold(at(7));
        let seen = meter.take(at(8));
        assert_eq!((seen.held, seen.held_oldest), (2, Some(Duration::from_secs(3))));
        drop((held, later));
        assert_eq!(meter.take(at(9)).held_oldest, None);

        assert_eq!(meter.outstanding(ReplicaId(1), at(9)), None);
        let replica = meter.replica(ReplicaId(1));
        let request = replica.begin();
        assert_eq!(meter.outstanding(ReplicaId(1), at(9)), Some(Sample::new(1, at(9))));
        drop(request);
        assert_eq!(replica.outstanding(), 0);
    }

    #[test]
    fn late_first_tokens_after_a_start_are_told_apart() {
        let meter = PoolMeter::new(Duration::from_secs(2));
        let (old, new) = (meter.replica(ReplicaId(1)), meter.replica(ReplicaId(2)));
        old.set_ready_since(at(10));
        new.set_ready_since(at(100));
        for (ttft, replica, now) in [
            (1, &old, 101),
            (2, &old, 110),
            (3, &old, 110),
            (1, &new, 110),
            (9, &new, 159),
            (9, &new, 160),
        ] {
            meter.first_token(Duration::from_secs(ttft), replica, at(now));
        }
        let tokens = FirstTokens { count: 6, late: 3, late_after_start: 1 };
        assert_eq!(meter.take(at(160)).first_tokens, Some(tokens));
        assert_eq!(meter.take(at(162)).first_tokens, Some(FirstTokens::default()));
        assert_eq!(PoolMeter::default().take(at(1)).first_tokens, None, "nobody said what is late");
    }

    #[test]
    fn quantiles_are_within_a_bucket() {
        let histogram = LatencyHistogram::default();
        for millis in 1..=1000 {
            histogram.record(Duration::from_millis(millis));
        }
        let window = histogram.take().unwrap();
        assert_eq!(window.count, 1000);
        assert_eq!(window.mean, Duration::from_micros(500_500));
        for (got, expected) in [(window.p50, 0.5), (window.p90, 0.9), (window.p99, 0.99)] {
            assert!((got.as_secs_f64() / expected - 1.0).abs() < 0.03, "{got:?} for {expected}");
        }
        assert_eq!(histogram.take(), None);
    }
}
