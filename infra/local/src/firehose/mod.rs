//! `weir firehose`: the Firehose API, a spool on disk, and HTTP endpoint delivery.

mod clock;
mod files;
mod spool;

use std::process::ExitCode;

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
