//! The Lambda function: a deploy invokes it, it applies what is pending and answers with a summary. The event's content
//! does not matter.

use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::embedded::embedded;
use crate::error::MigrateError;
use crate::migrator::{Migrator, Report};
use crate::set::MigrationSet;

/// What every invocation shares.
pub struct Context {
    /// Where to apply.
    pub migrator: Migrator,
    /// What to apply.
    pub migrations: MigrationSet,
}

/// Why the function cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An environment variable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The built-in files, the database name or the cluster name.
    #[error(transparent)]
    Migrations(#[from] MigrateError),
}

impl Context {
    /// Reads `CLICKHOUSE_URL`, `CLICKHOUSE_USER`, `CLICKHOUSE_PASSWORD`, `CLICKHOUSE_DATABASE` and `WEIR_CLUSTER`.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, StartError> {
        let mut reader = Reader::new(lookup);
        let clickhouse = ClickHouseConfig::read(&mut reader);
        let cluster = reader.optional("WEIR_CLUSTER");
        let clickhouse = reader.finish(clickhouse)?;
        let migrator = Migrator::new(
            clickhouse.client(),
            &clickhouse.url,
            &clickhouse.database,
            cluster.as_deref(),
        )?;
        let migrations = embedded().map_err(MigrateError::from)?;
        Ok(Self { migrator, migrations })
    }
}

/// The answer: `{"applied": [{"name", "statements", "duration_ms"}], "newest": "0001_create_events.sql"}`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Summary {
    /// What this invocation applied, oldest first; empty when the database was up to date.
    pub applied: Vec<Report>,
    /// The newest migration that the database now has.
    pub newest: Option<String>,
}

/// What the invoker sees when it failed: the message, not a `Debug` print.
impl From<MigrateError> for Diagnostic {
    fn from(error: MigrateError) -> Self {
        Self {
            error_type: "MigrateError".to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Applies what is pending. An error fails the invocation, and so the deploy.
pub async fn handle(context: &Context, _event: LambdaEvent<IgnoredAny>) -> Result<Summary, MigrateError> {
    let applied = context
        .migrator
        .apply(&context.migrations, |report| {
            tracing::info!(
                name = report.name,
                statements = report.statements,
                duration_ms = report.duration_ms,
                "applied"
            );
        })
        .await?;
    let newest = context
        .migrations
        .iter()
        .last()
        .map(|migration| migration.name().to_owned());
    Ok(Summary { applied, newest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_the_environment_is_said() {
        for (key, value, expected) in [
            (
                "CLICKHOUSE_URL",
                "localhost:8123",
                "CLICKHOUSE_URL is not an http:// or https:// address",
            ),
            (
                "CLICKHOUSE_DATABASE",
                "a b",
                "the database name \"a b\" is not made of letters, digits and _",
            ),
            (
                "WEIR_CLUSTER",
                "it's",
                "the cluster name \"it's\" is empty or holds a quote, a backslash or a control character",
            ),
        ] {
            let lookup = |asked: &str| match asked {
                _ if asked == key => Some(value.to_owned()),
                "CLICKHOUSE_URL" => Some("http://localhost:8123".to_owned()),
                _ => None,
            };
            assert_eq!(Context::from_lookup(&lookup).err().unwrap().to_string(), expected);
        }
        let missing = Context::from_lookup(&|_| None).err().unwrap().to_string();
        assert_eq!(missing, "CLICKHOUSE_URL is not set: the HTTP address of ClickHouse");
    }
}
