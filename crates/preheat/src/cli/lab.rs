//! Arguments of `preheat lab`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// Address to listen on; port 0 takes any that is free
    #[arg(long, default_value = "127.0.0.1:8083")]
    pub(crate) listen: SocketAddr,
    /// File with the token that clients must send; needed where other machines can connect
    #[arg(long)]
    pub(crate) token_file: Option<PathBuf>,
    /// A journal, or a state directory, of whose pools the step "On your cluster" takes figures
    #[arg(long)]
    pub(crate) journal: Option<PathBuf>,
    /// Write the lesson with its figures to this file as one page of HTML instead; `-` is stdout
    #[arg(long, conflicts_with_all = ["listen", "token_file", "journal"])]
    pub(crate) print: Option<PathBuf>,
}
