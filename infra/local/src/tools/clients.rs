//! Third parties' own clients, which the tests put against the local stack.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::python::{self, Dependencies};
use super::{cache, command, pins};
use crate::report::Step;

/// Where the clients are.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// The folder of a Python environment with boto3 and clickhouse-connect.
    pub(crate) python: PathBuf,
    /// A folder whose `node_modules` holds `@clickhouse/client`.
    pub(crate) node: PathBuf,
}

/// The clients, fetched when they are missing.
pub(super) async fn clients(tools: &Path) -> anyhow::Result<Clients> {
    let python = python::environment(tools, "clients", pins::PYTHON_CLIENTS, Dependencies::Installed).await?;
    let name = format!("clients-node-{}", pins::JS_CLIENT_VERSION);
    let pinned = format!("@clickhouse/client@{}", pins::JS_CLIENT_VERSION);
    let node = cache::folder(tools, &name, &pinned, async |folder| {
        let step = Step::begin(format!("clients: install {pinned}"));
        let mut npm = Command::new("npm");
        npm.args([
            "install",
            "--silent",
            "--no-save",
            "--no-audit",
            "--no-fund",
            "--prefix",
        ])
        .arg(folder)
        .arg(&pinned);
        command::output(&mut npm, "install Node.js (it brings npm)").await?;
        step.done();
        Ok(())
    })
    .await?;
    Ok(Clients { python, node })
}
