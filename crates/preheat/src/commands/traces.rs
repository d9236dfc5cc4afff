//! Finding and preparing the traffic that `load` and `demo` send.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use preheat_traffic::{EmbeddedTrace, Format, Shaping, Trace, Traffic, embedded, read_file};

use crate::failure::hinted;

/// Name of both of Azure's services on one model: chats, and code completions that come in bursts.
pub(crate) const MIX: &str = "azure-mix";
/// In the mix, the chats come at this many times their recorded rate: code alone is idle most of the
/// time, and nobody would share a model with it.
const MIX_CONVERSATION_SCALE: f64 = 3.0;

/// What to make of a trace.
#[derive(Clone, Debug)]
pub(crate) struct TraceRequest<'a> {
    /// An embedded trace's name, or a file.
    pub(crate) name: &'a str,
    pub(crate) format: Option<&'a str>,
    pub(crate) from: Option<Duration>,
    pub(crate) until: Option<Duration>,
    pub(crate) rate_scale: f64,
    pub(crate) seed: u64,
}

/// Reads or redraws a trace, cuts out a part, and scales its rate. Notes go to `note`.
pub(crate) fn prepare(
    request: &TraceRequest<'_>,
    mut note: impl FnMut(String),
) -> anyhow::Result<Trace> {
    let shaping = Shaping {
        from: request.from.unwrap_or_default(),
        until: request.until,
        rate_scale: request.rate_scale,
        seed: request.seed,
        ..Shaping::default()
    };
    let format = request.format.map(format).transpose()?;
    if request.name == MIX {
        let conversation = azure(EmbeddedTrace::AzureConversation, request.seed, &mut note)?;
        let mut requests = conversation.scaled(MIX_CONVERSATION_SCALE, request.seed)?.requests;
        requests.extend(azure(EmbeddedTrace::AzureCode, request.seed, &mut note)?.requests);
        return Ok(Trace::new(requests).shaped(&shaping)?);
    }
    if let Some(of) = EmbeddedTrace::from_name(request.name) {
        return Ok(azure(of, request.seed, &mut note)?.shaped(&shaping)?);
    }
    let path = Path::new(request.name);
    if !path.exists() {
        let known: Vec<&str> = EmbeddedTrace::ALL.iter().map(|of| of.name()).collect();
        let message = format!("there is no trace {:?}", request.name);
        let hint = format!("give a file, or an embedded trace: {}, {MIX}", known.join(", "));
        return Err(hinted(message, hint));
    }
    let recording = read_file(path, format).context("the trace can't be used")?;
    for found in &recording.notes {
        note(format!("{}: {found}", request.name));
    }
    if matches!(recording.traffic, Traffic::Rates(_)) {
        note("token counts drawn from Azure's conversation trace".to_owned());
    }
    Ok(recording.into_trace(&shaping)?)
}

/// Folder of whole traces, where there is one: beside a checkout.
const WHOLE_TRACES: &str = "../shared/traces";

/// One of Azure's traces: whole where its file is at hand, else redrawn from embedded figures.
fn azure(of: EmbeddedTrace, seed: u64, note: &mut impl FnMut(String)) -> anyhow::Result<Trace> {
    let file = match of {
        EmbeddedTrace::AzureConversation => "azure_conv_2023.csv.gz",
        EmbeddedTrace::AzureCode => "azure_code_2023.csv",
    };
    let path = Path::new(WHOLE_TRACES).join(file);
    if path.exists() {
        note(format!("{}: {}", of.name(), path.display()));
        return Ok(read_file(&path, None)?.into_trace(&Shaping::default())?);
    }
    note(format!("{}: redrawn from figures. {}", of.name(), of.attribution()));
    Ok(embedded(of, seed))
}

fn format(name: &str) -> anyhow::Result<Format> {
    Format::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
        let hint = format!("use one of {}", known.join(", "));
        hinted(format!("there is no trace format {name:?}"), hint)
    })
}
