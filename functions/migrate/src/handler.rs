//! The Lambda function: a deploy invokes it, it applies what is pending and answers with a summary. The event's content
//! does not matter.

use lambda_runtime::LambdaEvent;
use serde::Serialize;
use serde::de::IgnoredAny;

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

/// The answer: `{"applied": [{"name", "statements", "duration_ms"}], "newest": "0001_create_events.sql"}`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Summary {
    /// What this invocation applied, oldest first; empty when the database was up to date.
    pub applied: Vec<Report>,
    /// The newest migration that the database now has.
    pub newest: Option<String>,
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
