//! The Lambda function: a deploy invokes it, it applies what is pending and answers with a summary. The event's content
//! does not matter.

use std::time::Duration;

use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Record, deadline};
use jiff::Timestamp;
use lambda_runtime::{Diagnostic, LambdaEvent};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::embedded::embedded;
use crate::error::MigrateError;
use crate::migrator::{Migrator, Progress, Report};
use crate::set::MigrationSet;

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

/// Applies what is pending, as far as the time goes that Lambda gives. An error fails the invocation, and so the deploy.
pub async fn handle(
    context: &Context,
    event: LambdaEvent<IgnoredAny>,
    _: &mut Record,
) -> Result<Summary, MigrateError> {
    let limit = deadline::remaining_of_invocation(event.context.deadline, (context.now)());
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
mod tests {
    use clickhouse::{Client, Compression};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

    /// A server that answers each request with the next of these, and then never.
    async fn server(answers: Vec<&'static [u8]>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut answers = answers.into_iter();
            let mut open = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 65536]).await;
                if let Some(body) = answers.next() {
                    let head = format!(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
                }
                open.push(stream);
            }
        });
        url
    }

    #[tokio::test]
    async fn time_that_runs_out_is_said_with_what_was_under_way() {
        // Two zeros as RowBinaryWithNamesAndTypes: neither the database nor the table is there.
        let neither = b"\x02\x01a\x01b\x06UInt64\x06UInt64\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        for (left_ms, answers, under_way) in [
            (0, vec![], "no migration"),
            (200, vec![], "no migration"),
            (
                500,
                vec![&neither[..], b"", b""],
                "0001_create_events.sql, statement 1 of ",
            ),
            (
                500,
                vec![&neither[..], b"", b"", b""],
                "0001_create_events.sql, statement 2 of ",
            ),
        ] {
            let url = server(answers).await;
            // What the test's server sends is plain.
            let client = Client::default().with_url(&url).with_compression(Compression::None);
            let context = Context {
                migrator: Migrator::new(client, &url, "analytics", None).unwrap(),
                migrations: embedded().unwrap(),
                now: || Timestamp::from_millisecond(1_700_000_000_000).unwrap(),
            };
            let mut lambda = lambda_runtime::Context::default();
            lambda.deadline = 1_700_000_000_500 + left_ms;
            let error = handle(&context, LambdaEvent::new(IgnoredAny, lambda), &mut Record::default())
                .await
                .unwrap_err();
            let text = error.to_string();
            assert!(matches!(error, MigrateError::NoTime { .. }), "{left_ms}: {text}");
            assert!(text.contains(under_way) && text.contains("Run again"), "{text}");
        }
    }
}
