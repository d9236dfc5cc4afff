//! The gateway's limits, each with where its number comes from. Knows nothing of what enforces it.

use std::time::Duration;

/// Limits of a gateway. Durations are wall time unless their comment says model time.
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayConfig {
    /// Most requests held at once, over all pools. 512 is two replicas' worth of slots (vLLM's
    /// `max_num_seqs` is 256): more could not be admitted at once when the first two replicas come.
    pub hold_requests_max: usize,
    /// Most bytes of held request bodies. 64 MiB is 512 requests of 128 KiB, a prompt of about
    /// 32k tokens each.
    pub hold_bytes_max: usize,
    /// Longest time from a request's arrival until it is given up while held; model time. Ten
    /// minutes covers a cold start of a 70B model from a registry, and is the OpenAI clients' own
    /// default timeout: beyond it nobody listens.
    pub hold_timeout: Duration,
    /// What `Retry-After` says when a request is turned away; model time. About the granularity at
    /// which replicas come (a wake takes seconds, a cold start tens of seconds).
    pub retry_after: Duration,
    /// Longest request body. 8 MiB holds a prompt of two million tokens of text, or a few images.
    pub body_bytes_max: usize,
    /// Most bytes of request bodies in memory at once: those being read, held, or kept until an
    /// engine begins to answer. 512 MiB is 64 bodies of the longest kind, or 128k of 4 KiB.
    pub body_bytes_total_max: usize,
    /// Longest header section. Twice the 32 KiB that HAProxy and nginx accept in all.
    pub header_bytes_max: usize,
    /// Longest time to read a request's head, and longest time a connection may idle between two
    /// requests. As nginx's `client_header_timeout`.
    pub header_read_timeout: Duration,
    /// Longest time to read a request's whole body. 8 MiB in a minute is 140 kB/s.
    pub body_read_timeout: Duration,
    /// Most client connections; further ones wait in the kernel's backlog. Each may need two file
    /// descriptors, so the process must be allowed 8,192 and some.
    pub connections_max: usize,
    /// Most further attempts of a request after its first, each on another backend if there is
    /// one. Two covers a node that takes two replicas with it.
    pub retries_max: u32,
    /// Longest time to connect to a backend: the kernel repeats a lost SYN after 1 s, so 2 s allows
    /// for one loss.
    pub upstream_connect_timeout: Duration,
    /// How long a backend that could not be reached gets nothing; model time. About one observation
    /// of the control loop, which will have taken it out of the table by then.
    pub aside: Duration,
    /// How long an unused connection to a backend is kept. Below the 5 s after which uvicorn
    /// (vLLM, SGLang) closes it, so that a request rarely meets one that is just being closed.
    pub upstream_idle_timeout: Duration,
    /// Most unused connections kept per backend: as many as a replica has slots.
    pub upstream_idle_max: usize,
    /// Longest time that a shutdown waits for running requests. Kubernetes kills after 30 s unless
    /// told otherwise; this leaves it 5 s.
    pub shutdown_timeout: Duration,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            hold_requests_max: 512,
            hold_bytes_max: 64 << 20,
            hold_timeout: Duration::from_secs(600),
            retry_after: Duration::from_secs(5),
            body_bytes_max: 8 << 20,
            body_bytes_total_max: 512 << 20,
            header_bytes_max: 64 << 10,
            header_read_timeout: Duration::from_secs(60),
            body_read_timeout: Duration::from_secs(60),
            connections_max: 4096,
            retries_max: 2,
            upstream_connect_timeout: Duration::from_secs(2),
            aside: Duration::from_secs(1),
            upstream_idle_timeout: Duration::from_secs(4),
            upstream_idle_max: 256,
            shutdown_timeout: Duration::from_secs(25),
        }
    }
}
