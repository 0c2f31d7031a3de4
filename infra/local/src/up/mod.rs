//! `weir up`: the whole stack, supervised.

pub(crate) mod down;

use std::process::ExitCode;

/// Arguments of the command.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) async fn run(_args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not built yet")
}
