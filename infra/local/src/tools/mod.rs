//! The tools that the stack needs (engine, cargo-lambda, dbt), fetched into a project-local cache.
//!
//! Each goes into a folder of its name and version under `.weir/tools`, shared by every stack of the checkout. The
//! versions are in `pins`. npm, pip and uv are run as the user has them configured; no registry is named here.

mod cache;
mod chromium;
mod clients;
mod command;
mod debian;
mod engine;
mod monitoring;
mod node;
mod pins;
mod python;
mod valgrind;

use std::path::PathBuf;

pub(crate) use self::clients::Clients;
pub(crate) use self::command::output;
pub(crate) use self::monitoring::Monitoring;
use self::python::Dependencies;
pub(crate) use self::valgrind::Valgrind;
use crate::project::Project;

/// The path of `libchdb.so`, fetched when it is missing.
pub(crate) async fn engine_library(project: &Project) -> anyhow::Result<PathBuf> {
    engine::library(&project.tools()).await
}

/// The folder of a Python virtual environment with dbt-core and dbt-clickhouse, made when it is missing.
pub(crate) async fn dbt_environment(project: &Project) -> anyhow::Result<PathBuf> {
    python::environment(&project.tools(), "dbt", pins::DBT, Dependencies::Installed).await
}

/// The folder of a Python virtual environment with cargo-lambda (`bin/cargo-lambda`), made when it is missing.
pub(crate) async fn cargo_lambda_environment(project: &Project) -> anyhow::Result<PathBuf> {
    python::environment(
        &project.tools(),
        "cargo-lambda",
        pins::CARGO_LAMBDA,
        Dependencies::LeftOut,
    )
    .await
}

/// The folder of a Python virtual environment with FastAPI and what else the service in `tests/clients` needs, made when it is
/// missing.
pub(crate) async fn fastapi_environment(project: &Project) -> anyhow::Result<PathBuf> {
    python::environment(&project.tools(), "fastapi", pins::FASTAPI, Dependencies::Installed).await
}

/// The folder of a Python virtual environment with what builds the functions for AWS (`bin/sam`, `bin/cargo-lambda`, zig), made
/// when it is missing.
pub(crate) async fn sam_environment(project: &Project) -> anyhow::Result<PathBuf> {
    python::environment(&project.tools(), "sam", pins::SAM, Dependencies::Installed).await
}

/// The third-party clients that the tests use, fetched when they are missing.
pub(crate) async fn clients(project: &Project) -> anyhow::Result<Clients> {
    clients::clients(&project.tools()).await
}

/// Valgrind, fetched when it is missing.
pub(crate) async fn valgrind(project: &Project) -> anyhow::Result<Valgrind> {
    valgrind::valgrind(&project.tools()).await
}
