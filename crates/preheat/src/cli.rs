//! The command line: every flag, its unit and its default. The reference page is made from this.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod backtest;
mod coldstart;
mod compare;
mod controller;
mod import;
mod kubectl;
mod lab;
mod part;
mod past;
mod pool;
mod prometheus;
mod scenario;
mod shadow;
mod size;

pub(crate) use backtest::BacktestArgs;
pub(crate) use coldstart::ColdstartArgs;
pub(crate) use compare::CompareArgs;
pub(crate) use controller::ControllerArgs;
pub(crate) use import::{ImportArgs, ImportTo};
pub(crate) use kubectl::{ClusterArgs, KubectlArgs, KubectlQuestion, PLUGIN};
pub(crate) use lab::LabArgs;
pub(crate) use part::PartArgs;
pub(crate) use past::PastArgs;
pub(crate) use pool::PoolArgs;
pub(crate) use prometheus::PrometheusArgs;
pub(crate) use scenario::ScenarioArgs;
pub(crate) use shadow::{RecordedArgs, ShadowArgs, ShadowQuestion, ShadowReportArgs};
pub(crate) use size::{PlanFile, SizeArgs};

/// Autoscaler for LLM inference replicas, which start slowly
#[derive(Debug, Parser)]
#[command(name = "preheat", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Watch an autoscaler keep emulated engines ahead of real traffic
    Demo(DemoArgs),
    /// Run the pools of a configuration file on this machine
    Up(UpArgs),
    /// Scale a cluster's InferenceAutoscalers, from inside it or from outside
    Controller(ControllerArgs),
    /// Print the definition of the resource InferenceAutoscaler, for `kubectl apply -f -`
    Crd,
    /// Read other autoscalers' manifests and write the nearest configuration of preheat
    Import(ImportArgs),
    /// Ask a cluster's InferenceAutoscalers what is done and why; as `kubectl preheat` where this
    /// program is linked as `kubectl-preheat`
    Kubectl(KubectlArgs),
    /// Replay a trace against any OpenAI-compatible endpoint, open loop
    Load(LoadArgs),
    /// Run a trace against modelled replicas under any autoscaler, faster than real
    Simulate(SimulateArgs),
    /// Run traces under many autoscalers, tune them, and set their costs at equal attainment beside
    /// the offline optimum
    Compare(CompareArgs),
    /// Replay a pool's own past, from Prometheus, a journal or a trace, under preheat and under other
    /// autoscalers, and recommend a configuration
    Backtest(BacktestArgs),
    /// Compare what preheat would have done with what another autoscaler did meanwhile
    Shadow(ShadowArgs),
    /// Run scenario files under an autoscaler; exit 1 when something that they expect did not hold
    Scenario(ScenarioArgs),
    /// Say how many replicas a steady load needs, and what limits each of them
    Size(SizeArgs),
    /// Say where the time of a journal's starts went, and what would save some of it
    Coldstart(ColdstartArgs),
    /// Show what the pools of a running preheat are doing
    Status(StatusArgs),
    /// Serve the dashboard of a journal after the fact
    Dashboard(DashboardArgs),
    /// Learn how LLM replicas are scaled, one guess at a time; serves the lesson until Ctrl-C
    Lab(LabArgs),
    /// Tell in words and numbers why a pool was scaled, or was not
    Why(WhyArgs),
    /// Decide every tick of a journal again; exit 1 at the first difference
    Replay(ReplayArgs),
    /// Run one emulated engine, with vLLM's endpoints and metrics
    Engine(EngineArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a reference page in Markdown
    #[command(hide = true)]
    Reference {
        /// Which page
        page: ReferencePage,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum ReferencePage {
    Cli,
    Openapi,
    Metrics,
    Config,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How long to send traffic, in wall time
    #[arg(long, default_value = "110s", value_parser = duration)]
    pub(crate) duration: Duration,
    /// How many times faster than real time everything runs
    #[arg(long, default_value_t = 20.0)]
    pub(crate) time_scale: f64,
    /// Traffic: `azure-mix` (both services of Azure's 2023 traces), `azure-conversation`,
    /// `azure-code`, or a trace file
    #[arg(long, default_value = "azure-mix")]
    pub(crate) trace: String,
    /// Multiplies the arrival rate, keeping the shape of bursts [default: fits the trace]
    #[arg(long)]
    pub(crate) rate_scale: Option<f64>,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Where state is kept [default: a new folder under the system's temporary one]
    #[arg(long)]
    pub(crate) state_dir: Option<PathBuf>,
    /// Print one JSON object last, and nothing else on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The configuration file
    pub(crate) config: PathBuf,
    /// Check the configuration and exit
    #[arg(long)]
    pub(crate) check: bool,
    /// Stop, with a drain, when standard input ends: for a parent that may be killed
    #[arg(long, hide = true)]
    pub(crate) stop_with_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Trace file (`arrival_s,input_tokens,output_tokens`, Azure's, BurstGPT's, Mooncake's, a
    /// `start_s,requests` rate series; plain or gzip), or `azure-conversation`, `azure-code`
    #[arg(long)]
    pub(crate) trace: String,
    /// Base URL of the endpoint
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) url: String,
    /// Model name to ask for
    #[arg(long)]
    pub(crate) model: String,
    /// Format of the trace [default: told from its first line]
    #[arg(long)]
    pub(crate) format: Option<String>,
    /// How many times faster than real time the trace runs; durations are reported in model time
    #[arg(long, default_value_t = 1.0)]
    pub(crate) time_scale: f64,
    #[command(flatten)]
    pub(crate) part: PartArgs,
    /// Ask for chat completions rather than completions
    #[arg(long)]
    pub(crate) chat: bool,
    /// Ask for whole answers rather than streams
    #[arg(long)]
    pub(crate) no_stream: bool,
    /// SLO on TTFT: longer is a miss
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) slo_ttft: Duration,
    /// SLO on TPOT: longer is a miss
    #[arg(long, value_parser = duration)]
    pub(crate) slo_tpot: Option<Duration>,
    /// Share of requests that must be inside the SLO for exit code 0
    #[arg(long, default_value_t = 0.0)]
    pub(crate) slo_attainment: f64,
    /// Give a request up after this long
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub(crate) timeout: Duration,
    /// How often to send a request again of which nothing was answered
    #[arg(long, default_value_t = 2)]
    pub(crate) retries: u32,
    /// Seed of everything that is drawn
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Trace file as for `load`, or `azure-conversation`, `azure-code`, `azure-mix`
    #[arg(long)]
    pub(crate) trace: String,
    /// Who scales: `preheat`, `oracle` (the offline optimum's plan), another autoscaler as
    /// docs/policies/peers.md lists them, or a policy file that sets one's knobs
    #[arg(long, default_value = "preheat")]
    pub(crate) policy: String,
    /// Format of the trace [default: told from its first line]
    #[arg(long)]
    pub(crate) format: Option<String>,
    #[command(flatten)]
    pub(crate) part: PartArgs,
    #[command(flatten)]
    pub(crate) pool: PoolArgs,
    /// Write preheat's every decision to this new journal, for `why` and `replay`; with another
    /// `--policy`, what it would have decided meanwhile, for `shadow report`
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// Time between two of preheat's decisions; signals are believed and arrivals averaged for at least
    /// as long. A week of minutes makes a journal that is read in a moment
    #[arg(long, default_value = "2s", value_parser = duration)]
    pub(crate) tick_interval: Duration,
    /// Report attainment without the minute after each multiple of this, too: for traces that were
    /// redrawn window by window, and jump where those meet
    #[arg(long, value_parser = duration)]
    pub(crate) edges: Option<Duration>,
    /// Report minute by minute too, in JSON
    #[arg(long, requires = "json")]
    pub(crate) series: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a running preheat is found.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Address of its admin API
    #[arg(long, default_value = "127.0.0.1:8081")]
    pub(crate) admin: SocketAddr,
    /// File with the token that it wants
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// Draw it again every second until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DashboardArgs {
    /// The journal, or the state directory that it is in
    pub(crate) journal: PathBuf,
    /// Address to listen on; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8082")]
    pub(crate) listen: SocketAddr,
    /// File with the token that clients must send; needed where other machines can connect
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The journal, or the state directory that it is in
    #[arg(long, default_value = ".preheat")]
    pub(crate) journal: PathBuf,
    /// Which pool [default: all]
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// A moment: `2026-11-24T09:07:00Z`, `09:07`, or an age like `5m` [default: the last tick]
    #[arg(long)]
    pub(crate) at: Option<String>,
    /// The last N ticks at which something was done, rather than one moment
    #[arg(long, conflicts_with = "at")]
    pub(crate) changes: Option<u32>,
    /// Print the records as JSON lines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The journal, or the state directory that it is in
    pub(crate) journal: PathBuf,
    /// Which pool [default: all]
    #[arg(long)]
    pub(crate) pool: Option<String>,
    /// Print the journal as JSON lines instead of replaying it
    #[arg(long)]
    pub(crate) export: bool,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EngineArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) host: std::net::IpAddr,
    /// Port to listen on
    #[arg(long, default_value_t = 8000)]
    pub(crate) port: u16,
    /// Name that the model is served by; may be repeated, metrics carry the first
    #[arg(long, required = true)]
    pub(crate) model: Vec<String>,
    /// Engine profile: model, precision and GPU
    #[arg(long, default_value = crate::commands::PROFILE_DEFAULT)]
    pub(crate) profile: String,
    /// Most requests in the batch [default: the profile's]
    #[arg(long)]
    pub(crate) max_num_seqs: Option<u32>,
    /// Most tokens in one step [default: the profile's]
    #[arg(long)]
    pub(crate) max_num_batched_tokens: Option<u32>,
    /// Tokens that fit the KV cache [default: the profile's]
    #[arg(long)]
    pub(crate) kv_capacity_tokens: Option<u64>,
    /// Longest request, prompt and answer together [default: the profile's]
    #[arg(long)]
    pub(crate) max_model_len: Option<u32>,
    /// Time of a step, whatever is in it, of an engine that was measured [default: the profile's
    /// step times]
    #[arg(long, value_parser = duration, requires_all = ["step_per_seq", "step_per_prompt_token"])]
    pub(crate) step_base: Option<Duration>,
    /// What each sequence that decodes adds to it
    #[arg(long, value_parser = duration, requires = "step_base")]
    pub(crate) step_per_seq: Option<Duration>,
    /// What each token of a prompt adds to it; no longer than what a sequence adds
    #[arg(long, value_parser = duration, requires = "step_base")]
    pub(crate) step_per_prompt_token: Option<Duration>,
    /// Plan a step when the one before it has ended, rather than while it runs
    #[arg(long)]
    pub(crate) no_async_scheduling: bool,
    /// Median time to ready [default: from the profile's weights]
    #[arg(long, value_parser = duration)]
    pub(crate) cold_start_p50: Option<Duration>,
    /// 90th percentile of it [default: the median]
    #[arg(long, value_parser = duration, requires = "cold_start_p50")]
    pub(crate) cold_start_p90: Option<Duration>,
    /// Seed of the start-up that is drawn
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// How many times faster than real time it runs
    #[arg(long, default_value_t = 1.0)]
    pub(crate) time_scale: f64,
    /// Share the model time of another process: the JSON of its clock anchor; before --time-scale
    #[arg(long, hide = true, env = "PREHEAT_CLOCK_ANCHOR", hide_env = true)]
    pub(crate) clock_anchor: Option<String>,
    /// How long requests may go on after SIGTERM; 0s ends them at once, as vLLM's default does
    #[arg(long, default_value = "0s", value_parser = duration)]
    pub(crate) shutdown_timeout: Duration,
    /// Serve /sleep, /wake_up and /is_sleeping
    #[arg(long)]
    pub(crate) dev_mode: bool,
    /// Refuse more than this many queued requests [default: no limit]
    #[arg(long)]
    pub(crate) max_num_queued_reqs: Option<u32>,
    /// Misbehave: never-ready, start-fails, crash-after=N, metrics-hang, metrics-garbage,
    /// metrics-huge, metrics-renamed=N
    #[arg(long)]
    pub(crate) fault: Option<String>,
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    preheat_api::config::parse_duration(text)
}

/// `-7d` or `7d`.
fn ago(text: &str) -> Result<Duration, String> {
    duration(text.strip_prefix('-').unwrap_or(text))
}
