//! The Lambda function: it applies what is pending and answers with a summary. A deploy invokes it as a custom resource of
//! CloudFormation, which waits for a document at an address that the event names. Any other event is a plain invocation,
//! whatever it holds.

use std::time::Duration;

use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Record, deadline};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::deploy::{BadRequest, Data, Kind, Request, Status};
use crate::embedded::embedded;
use crate::error::MigrateError;
use crate::migrator::{Migrator, Progress, Report};
use crate::set::MigrationSet;
use crate::tell::{NotTold, TELLING, tell};

/// What every invocation shares.
pub struct Context {
    /// Where to apply.
    pub migrator: Migrator,
    /// What to apply.
    pub migrations: MigrationSet,
    /// The current instant.
    pub now: fn() -> Timestamp,
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
        Ok(Self {
            migrator,
            migrations,
            now: edge::clock::now,
        })
    }
}

/// What a plain invocation answers: `{"applied": [{"name", "statements", "duration_ms"}], "newest": "0001_create_events.sql"}`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Summary {
    /// What this invocation applied, oldest first; empty when the database was up to date.
    pub applied: Vec<Report>,
    /// The newest migration that the database now has.
    pub newest: Option<String>,
}

/// The answer.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Answer {
    /// To whoever invoked it.
    Summary(Summary),
    /// To nobody in particular: CloudFormation has been told that.
    Told {
        /// What it was told.
        told: Status,
    },
}

/// Why an invocation fails. Lambda invokes again for CloudFormation then, twice: nothing of it is done twice.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// Of a plain invocation.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// Nobody can be told.
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    /// CloudFormation could not be told, and waits.
    #[error("CloudFormation could not be told {status:?}: {reason}. What it was to hear: {outcome}")]
    NotTold {
        /// How it went.
        status: Status,
        /// Why it could not be told.
        reason: NotTold,
        /// What the document would have said.
        outcome: String,
    },
}

/// What the invoker sees when it failed: the message, not a `Debug` print.
impl From<InvocationError> for Diagnostic {
    fn from(error: InvocationError) -> Self {
        let kind = match &error {
            InvocationError::Migrate(_) => "MigrateError",
            InvocationError::BadRequest(_) => "BadRequest",
            InvocationError::NotTold { .. } => "NotTold",
        };
        Self {
            error_type: kind.to_owned(),
            error_message: error.to_string(),
        }
    }
}

/// Applies what is pending, as far as the time goes that Lambda gives. An error fails the invocation; a deploy fails by what
/// CloudFormation is told.
pub async fn handle(context: &Context, event: LambdaEvent<Value>, _: &mut Record) -> Result<Answer, InvocationError> {
    let left = deadline::remaining_of_invocation(event.context.deadline, (context.now)());
    match Request::read(&event.payload) {
        None => Ok(Answer::Summary(apply(context, left).await?)),
        Some(request) => deploy(context, &request?, left).await,
    }
}

/// Does what CloudFormation asks, and tells it how that went: also when it went wrong, and when there is no time for more. It would
/// wait for an hour.
async fn deploy(context: &Context, request: &Request, left: Duration) -> Result<Answer, InvocationError> {
    let until = Instant::now() + left;
    let (status, reason, summary) = match request.kind {
        Kind::Create | Kind::Update => {
            let applied = apply(context, left.saturating_sub(TELLING.min(left / 2))).await;
            outcome(request.kind, applied)
        }
        // Tables with events are not dropped because a stack is.
        Kind::Delete => (Status::Success, "Nothing is dropped".to_owned(), None),
        Kind::Unknown => {
            let reason = "RequestType is none of Create, Update and Delete".to_owned();
            (Status::Failed, reason, None)
        }
    };
    let data = summary.as_ref().map(|summary| Data {
        newest: summary.newest.as_deref().unwrap_or_default(),
        applied: summary.applied.len().to_string(),
    });
    let document = request.document(status, &reason, data);
    match tell(request.url(), document, until).await {
        Ok(()) => {
            match status {
                Status::Success => tracing::info!(request = ?request.kind, reason, "CloudFormation was told SUCCESS"),
                Status::Failed => tracing::error!(request = ?request.kind, reason, "CloudFormation was told FAILED"),
            }
            // Not an error, also when the migrations failed: Lambda would invoke again, in the middle of the rollback.
            Ok(Answer::Told { told: status })
        }
        Err(failure) => Err(InvocationError::NotTold {
            status,
            reason: failure,
            outcome: reason,
        }),
    }
}

/// What CloudFormation is told. Everybody who may look at the stack reads the reason, in its events, and so do the logs and chats
/// that those go to: it is what our own log holds, the file, the statement and the number of ClickHouse's exception, and not
/// ClickHouse's words, which may quote data. At a terminal `weir migrate` shows those.
fn outcome(kind: Kind, applied: Result<Summary, MigrateError>) -> (Status, String, Option<Summary>) {
    match applied {
        Ok(summary) => {
            let newest = summary.newest.as_deref().unwrap_or("none");
            let reason = format!("Applied: {}. The newest is {newest}", summary.applied.len());
            (Status::Success, reason, Some(summary))
        }
        // The database is newer than this build, and this build is deployed over another: a deploy is rolled back after its migrations,
        // or an older version is deployed on purpose. Migrations go forward only, and the older version works with what is
        // there. FAILED would stop the rollback half-way.
        Err(error @ MigrateError::Missing { .. }) if kind == Kind::Update => {
            (Status::Success, format!("Nothing is applied or undone: {error}"), None)
        }
        Err(error) => {
            let more = match error.in_full() == error.to_string() {
                true => "",
                false => ". At a terminal, cargo weir migrate shows what ClickHouse said",
            };
            (Status::Failed, format!("{error}{more}"), None)
        }
    }
}

/// Applies what is pending within that time.
async fn apply(context: &Context, limit: Duration) -> Result<Summary, MigrateError> {
    let mut under_way = None;
    let note = |progress| match progress {
        Progress::Begun(begun) => under_way = Some(begun),
        Progress::Applied(report) => {
            tracing::info!(
                name = report.name,
                statements = report.statements,
                duration_ms = report.duration_ms,
                "applied"
            );
        }
    };
    let applied = match limit {
        // What cannot be ended is not begun.
        Duration::ZERO => None,
        _ => tokio::time::timeout(limit, context.migrator.apply(&context.migrations, note))
            .await
            .ok(),
    };
    let applied = applied.unwrap_or(Err(MigrateError::NoTime { under_way }))?;
    let newest = context
        .migrations
        .iter()
        .last()
        .map(|migration| migration.name().to_owned());
    Ok(Summary { applied, newest })
}

#[cfg(test)]
mod tests;
