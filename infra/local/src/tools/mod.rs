//! The tools that the stack needs (engine, cargo-lambda, dbt), fetched into a project-local cache.

use std::path::PathBuf;

use crate::project::Project;

/// The path of `libchdb.so` (or `.dylib`), fetched when it is missing.
pub(crate) async fn engine_library(_project: &Project) -> anyhow::Result<PathBuf> {
    anyhow::bail!("not built yet")
}

/// The folder of a Python virtual environment with dbt-core and dbt-clickhouse, made when it is missing.
pub(crate) async fn dbt_environment(_project: &Project) -> anyhow::Result<PathBuf> {
    anyhow::bail!("not built yet")
}

/// The folder of a Python virtual environment with cargo-lambda and ziglang, made when it is missing.
pub(crate) async fn cargo_lambda_environment(_project: &Project) -> anyhow::Result<PathBuf> {
    anyhow::bail!("not built yet")
}
