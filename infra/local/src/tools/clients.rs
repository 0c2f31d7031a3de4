//! Third parties' own clients, which the tests put against the local stack.

use std::path::{Path, PathBuf};

use tokio::process::Command;

use super::python::{self, Dependencies};
use super::{cache, chromium, command, pins};
use crate::report::Step;

/// Where the clients are.
#[derive(Debug, Clone)]
pub(crate) struct Clients {
    /// The folder of a Python environment with boto3, clickhouse-connect and openapi-spec-validator.
    pub(crate) python: PathBuf,
    /// A folder whose `node_modules` holds `@clickhouse/client` and `puppeteer-core`.
    pub(crate) node: PathBuf,
    /// A Chromium.
    pub(crate) chromium: PathBuf,
    /// The folder of a Python environment with schemathesis.
    pub(crate) schemathesis: PathBuf,
    /// The folder of a Python environment with the SAM CLI, cargo-lambda, zig and cfn-lint.
    pub(crate) sam: PathBuf,
    /// The folder of a Python environment with clickhouse-connect, numpy, scipy, statsmodels and sqlfluff.
    pub(crate) marts: PathBuf,
}

/// The clients, fetched when they are missing.
pub(super) async fn clients(tools: &Path) -> anyhow::Result<Clients> {
    let python = python::environment(tools, "clients", pins::PYTHON_CLIENTS, Dependencies::Installed).await?;
    let versions: Vec<_> = pins::JS_CLIENTS
        .iter()
        .filter_map(|package| package.rsplit_once('@'))
        .map(|(_, version)| version)
        .collect();
    let name = format!("clients-node-{}", versions.join("-"));
    let pinned = pins::JS_CLIENTS.join(" ");
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
        .args(pins::JS_CLIENTS);
        command::output(&mut npm, "install Node.js (it brings npm)").await?;
        step.done();
        Ok(())
    })
    .await?;
    let chromium = chromium::program().await?;
    let schemathesis = python::environment(tools, "schemathesis", pins::SCHEMATHESIS, Dependencies::Installed).await?;
    let sam = python::environment(tools, "sam", pins::SAM, Dependencies::Installed).await?;
    let marts = python::environment(tools, "marts", pins::MARTS, Dependencies::Installed).await?;
    Ok(Clients {
        python,
        node,
        chromium,
        schemathesis,
        sam,
        marts,
    })
}
