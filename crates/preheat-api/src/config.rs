//! The configuration file of the local world: what it may say, and what it means.
//!
//! [`LocalConfig::parse`] is the only way in. The wire types are private to this module; what comes
//! out is checked, complete (every default is filled in), and free of contradictions.
//!
//! **Invariant:** a contradiction is an error that names key, value and allowed range, with its
//! line; it is never repaired silently.
//!
//! **Invariant:** nothing here opens a port, starts a process or knows how either is done.

mod error;
mod template;
mod values;
mod wire;

mod engine;
mod pool;
mod quota;
mod schedules;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use engine::{
    EmulatedColdStart, EmulatedEngine, EngineConfig, Launch, PortRange, ReadinessConfig,
    SleepConfig,
};
pub use error::{ConfigError, Problem};
pub use pool::PoolConfig;
pub use quota::QuotaConfig;
pub use template::{Placeholders, Template};

use error::Source;
use pool::HoldPlace;
use values::at;
pub(crate) use values::duration_text;
use wire::FileWire;

/// A documented configuration that shows every section.
pub const EXAMPLE: &str = include_str!("config/example.yaml");

/// As the clock has it: faster, and a tick would be shorter than a timer can keep.
const TIME_SCALE_RANGE: std::ops::RangeInclusive<f64> = 0.01..=1000.0;

/// A checked configuration of the local world.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalConfig {
    /// Where locks, logs, adoption records and the journal are kept.
    pub state_dir: PathBuf,
    /// Seconds of model time per second of wall time, from 0.01 to 1000.
    pub time_scale: f64,
    /// GPUs that replicas may be given; absent when preheat should not hand out any.
    pub gpu_slots: Option<u32>,
    /// The data plane.
    pub gateway: GatewayConfig,
    /// Where the dashboard and the admin API listen.
    pub admin_listen: SocketAddr,
    /// The file with the token that its clients must send. Without one it listens to this machine
    /// only.
    pub admin_token_file: Option<PathBuf>,
    /// The file with the token of those who may pause pools, pin counts and announce demand. Without
    /// one nobody may.
    pub control_token_file: Option<PathBuf>,
    /// How long journal records are kept.
    pub journal_retention: Duration,
    /// At least one, with different names and models and disjoint ports.
    pub pools: Vec<PoolConfig>,
}

/// The data plane's part of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What happens to requests that no replica can take yet.
    pub hold: HoldConfig,
    /// A larger request body is refused.
    pub body_bytes_max: u64,
}

/// Limits of the hold queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldConfig {
    /// Requests held at one time, over all pools.
    pub requests_max: u32,
    /// Bytes of their bodies.
    pub bytes_max: u64,
    /// A request held for longer is answered with 503.
    pub timeout: Duration,
}

/// Reads a duration as the configuration writes it: `500ms`, `90s`, `1m30s`, `2h`, `7d`.
///
/// # Errors
/// What is wrong with it and how to write it, as a whole sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    values::parse_duration(text).map_err(|error| error.to_string())
}

impl LocalConfig {
    /// Reads and checks `text`; `file` is only what errors call it.
    ///
    /// # Errors
    /// The first mistake, with its place.
    pub fn parse(text: &str, file: &Path) -> Result<Self, ConfigError> {
        let source = Source { text, file };
        let wire: FileWire =
            serde_saphyr::from_str(text).map_err(|error| source.malformed(&error))?;
        Self::resolve(wire, &source)
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it can't be read, or the first mistake in it.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(file).map_err(|source| ConfigError::read(file, &source))?;
        Self::parse(&text, file)
    }

    fn resolve(wire: FileWire, source: &Source<'_>) -> Result<Self, ConfigError> {
        let time_scale = wire.time_scale.as_ref().map_or(1.0, |scale| scale.value);
        source.require(TIME_SCALE_RANGE.contains(&time_scale), at(&wire.time_scale), || {
            Problem::out_of_range("timeScale", time_scale, "from 0.01 to 1000")
        })?;
        let gpu_slots = wire.gpu_slots.as_ref().map(|slots| slots.value);
        let gateway_wire = wire.gateway.unwrap_or_default();
        let hold = gateway_wire.hold.as_ref();
        let hold_at = HoldPlace {
            timeout: hold.and_then(|hold| at(&hold.timeout)),
            requests_max: hold.and_then(|hold| at(&hold.requests_max)),
        };
        let gateway_at = at(&gateway_wire.listen);
        let gateway = GatewayConfig::resolve(gateway_wire, source)?;
        let admin_at = at(&wire.admin.listen);
        let admin_listen = source.socket("admin.listen", wire.admin.listen, "127.0.0.1:8081")?;
        source.require(admin_listen != gateway.listen, admin_at.or(gateway_at), || {
            Problem::out_of_range("admin.listen", admin_listen, "different from gateway.listen")
        })?;
        let is_guarded = admin_listen.ip().is_loopback() || wire.admin.token_file.is_some();
        source.require(is_guarded, admin_at, || {
            let allowed = "of this machine, like 127.0.0.1:8081, or `admin.tokenFile` must be set";
            Problem::out_of_range("admin.listen", admin_listen, allowed)
        })?;
        let pools = pool::resolve_all(wire.pools, source)?;
        pool::check_together(&pools, gpu_slots, at(&wire.gpu_slots), source)?;
        pool::check_listener(&pools, "gateway.listen", gateway.listen, gateway_at, source)?;
        pool::check_listener(&pools, "admin.listen", admin_listen, admin_at, source)?;
        pool::check_hold(&pools, gateway.hold, &hold_at, source)?;
        let retention = wire.journal.and_then(|journal| journal.retention);
        Ok(Self {
            state_dir: wire.state_dir.unwrap_or_else(|| PathBuf::from(".preheat")),
            time_scale,
            gpu_slots,
            gateway,
            admin_listen,
            admin_token_file: wire.admin.token_file,
            control_token_file: wire.admin.control_token_file,
            journal_retention: retention.map_or(DAY * 7, |kept| kept.value.0),
            pools: pools.into_iter().map(|(pool, _)| pool).collect(),
        })
    }
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const MIB: u64 = 1024 * 1024;

impl GatewayConfig {
    fn resolve(wire: wire::GatewayWire, source: &Source<'_>) -> Result<Self, ConfigError> {
        let hold = wire.hold.unwrap_or_default();
        let body_bytes_max = wire.body_bytes_max.as_ref().map_or(8 * MIB, |b| b.value.0);
        source.require(body_bytes_max > 0, at(&wire.body_bytes_max), || {
            Problem::out_of_range("gateway.bodyBytesMax", "0", "above 0")
        })?;
        Ok(Self {
            listen: source.socket("gateway.listen", wire.listen, "127.0.0.1:8080")?,
            hold: HoldConfig {
                requests_max: hold.requests_max.map_or(1000, |n| n.value),
                bytes_max: hold.bytes_max.map_or(64 * MIB, |bytes| bytes.value.0),
                timeout: hold.timeout.map_or(Duration::from_secs(600), |t| t.value.0),
            },
            body_bytes_max,
        })
    }
}
