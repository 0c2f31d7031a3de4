//! Third parties' own clients, which the tests put against the local stack.

use std::path::{Path, PathBuf};

use super::python::{self, Dependencies};
use super::{Monitoring, chromium, monitoring, node, pins};

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
    /// Prometheus, and Docker's Compose.
    pub(crate) monitoring: Monitoring,
    /// A folder whose `node_modules` holds `@grafana/schema` and `typescript`.
    pub(crate) grafana: PathBuf,
}

/// The clients, fetched when they are missing.
pub(super) async fn clients(tools: &Path) -> anyhow::Result<Clients> {
    let python = python::environment(tools, "clients", pins::PYTHON_CLIENTS, Dependencies::Installed).await?;
    let node = node::packages(tools, "clients", pins::JS_CLIENTS).await?;
    let chromium = chromium::program().await?;
    let schemathesis = python::environment(tools, "schemathesis", pins::SCHEMATHESIS, Dependencies::Installed).await?;
    let sam = python::environment(tools, "sam", pins::SAM, Dependencies::Installed).await?;
    let marts = python::environment(tools, "marts", pins::MARTS, Dependencies::Installed).await?;
    let monitoring = monitoring::programs(tools).await?;
    let grafana = node::packages(tools, "grafana", pins::GRAFANA).await?;
    Ok(Clients {
        python,
        node,
        chromium,
        schemathesis,
        sam,
        marts,
        monitoring,
        grafana,
    })
}
