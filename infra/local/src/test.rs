//! `weir test`: installs what the tests need and runs all of them.

use std::process::ExitCode;

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
