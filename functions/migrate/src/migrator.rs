//! Compares the files with a server and applies what is missing.

use std::fmt;
use std::time::{Duration, Instant};

use clickhouse::Client;
use clickhouse::error::Error as ClickHouseError;
use edge::clickhouse::Said;
use serde::Serialize;

use crate::error::{MigrateError, SqlError};
use crate::history::{self, Applied};
use crate::set::{Migration, MigrationSet};
use crate::sql::{self, Target};

/// How long the first question may take: a host that swallows packets must not look like a slow migration.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// Applies migrations to one server or cluster.
#[derive(Clone)]
pub struct Migrator {
    client: Client,
    target: Target,
    address: String,
}

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is missing before any file can be applied: the database, `schema_migrations`. Statements, ready to send.
    pub bootstrap: Vec<String>,
    /// The files to apply, oldest first.
    pub pending: Vec<Planned>,
}

/// A file to apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// The number in front of the name.
    pub version: u32,
    /// The file's name.
    pub name: String,
    /// SHA-256 of the file, 64 hexadecimal digits.
    pub checksum: String,
    /// Its statements, placeholders filled.
    pub statements: Vec<String>,
}

/// A file that this run has applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file's name.
    pub name: String,
    /// How many statements it had.
    pub statements: u32,
    /// How long they took, milliseconds.
    pub duration_ms: u64,
}

/// A statement that this run has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// The file's name.
    pub file: String,
    /// Which of its statements, counted from 1.
    pub statement: usize,
    /// How many it has.
    pub statements: usize,
    /// The statement's first line.
    pub first_line: String,
}

impl fmt::Display for Begun {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Begun {
            file,
            statement,
            statements,
            first_line,
        } = self;
        write!(out, "{file}, statement {statement} of {statements} ({first_line})")
    }
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// A statement is sent.
    Begun(Begun),
    /// A file is applied, and recorded.
    Applied(Report),
}

impl Migrator {
    /// `client` has the URL, the user and the password; its database is not used. `address` is the URL again, for
    /// messages. `database` is made when it is missing.
    pub fn new(client: Client, address: &str, database: &str, cluster: Option<&str>) -> Result<Self, MigrateError> {
        let target = Target::new(database, cluster).map_err(MigrateError::Target)?;
        Ok(Self {
            client,
            target,
            address: without_secrets(address),
        })
    }

    /// The rows of `schema_migrations`, oldest first; none when there is no such table. Changes nothing.
    pub async fn applied(&self) -> Result<Vec<Applied>, MigrateError> {
        let (_, table) = self.existing().await?;
        if !table {
            return Ok(Vec::new());
        }
        let read = self.own(history::READ)?;
        let query = self.client.clone().with_database(self.target.database()).query(&read);
        query
            .fetch_all()
            .await
            .map_err(|error| self.failed("reading schema_migrations", &error))
    }

    /// What [`Migrator::apply`] would do. Changes nothing.
    pub async fn plan(&self, set: &MigrationSet) -> Result<Plan, MigrateError> {
        let (database, table) = self.existing().await?;
        let mut bootstrap = Vec::new();
        if !database {
            bootstrap.push(self.own("CREATE DATABASE IF NOT EXISTS {database} {on_cluster}")?);
        }
        if !table {
            bootstrap.push(self.own(history::CREATE)?);
        }
        let applied = if table { self.applied().await? } else { Vec::new() };
        let pending = history::pending(set, &applied)?
            .into_iter()
            .map(|file| self.planned(file))
            .collect::<Result<_, _>>()?;
        Ok(Plan { bootstrap, pending })
    }

    /// Applies every pending file, oldest first, and records each when its last statement has passed. `progress` hears
    /// of each, and of each statement before it is sent. Returns what was applied; stops at the first statement that fails.
    pub async fn apply(
        &self,
        set: &MigrationSet,
        mut progress: impl FnMut(Progress),
    ) -> Result<Vec<Report>, MigrateError> {
        let plan = self.plan(set).await?;
        // The database may not be there yet, and a client that names a missing one is refused.
        let outside = self.client.clone().with_database("system");
        for statement in &plan.bootstrap {
            execute(&outside, statement)
                .await
                .map_err(|error| self.failed("creating the database and its schema_migrations", &error))?;
        }
        let inside = self.client.clone().with_database(self.target.database());
        let mut reports = Vec::new();
        for file in &plan.pending {
            let report = self.apply_one(&inside, file, &mut progress).await?;
            progress(Progress::Applied(report.clone()));
            reports.push(report);
        }
        Ok(reports)
    }

    async fn apply_one(
        &self,
        client: &Client,
        file: &Planned,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Report, MigrateError> {
        let started = Instant::now();
        for (index, statement) in file.statements.iter().enumerate() {
            let begun = Begun {
                file: file.name.clone(),
                statement: index + 1,
                statements: file.statements.len(),
                first_line: statement.lines().next().unwrap_or_default().to_owned(),
            };
            progress(Progress::Begun(begun.clone()));
            execute(client, statement).await.map_err(|error| {
                self.unreachable(&error).unwrap_or_else(|| MigrateError::Statement {
                    begun,
                    message: Said::from(&error),
                })
            })?;
        }
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let statements = u32::try_from(file.statements.len()).unwrap_or(u32::MAX);
        let insert = self.own(
            "INSERT INTO {database}.schema_migrations (version, name, checksum, statements, duration_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )?;
        let row = client
            .query(&insert)
            .bind(file.version)
            .bind(&file.name)
            .bind(&file.checksum);
        let row = row.bind(statements).bind(duration_ms);
        // Of two migrators at once the second's row is dropped.
        let token = format!("{}-{}", file.version, file.checksum);
        row.with_setting("insert_deduplication_token", token)
            .execute()
            .await
            .map_err(|error| self.failed("recording a migration that was applied", &error))?;
        Ok(Report {
            name: file.name.clone(),
            statements,
            duration_ms,
        })
    }

    /// Whether the database and `schema_migrations` exist.
    async fn existing(&self) -> Result<(bool, bool), MigrateError> {
        let client = self.client.clone().with_database("system");
        let query = client
            .query(
                "SELECT ifNull((SELECT count() FROM system.databases WHERE name = ?), 0), \
                 ifNull((SELECT count() FROM system.tables WHERE database = ? AND name = 'schema_migrations'), 0)",
            )
            .bind(self.target.database())
            .bind(self.target.database());
        let counts: (u64, u64) = match tokio::time::timeout(FIRST_ANSWER, query.fetch_one()).await {
            Ok(answer) => answer.map_err(|error| self.failed("looking for schema_migrations", &error))?,
            Err(_elapsed) => {
                let message = format!("no answer within {} s", FIRST_ANSWER.as_secs());
                return Err(MigrateError::Unreachable {
                    url: self.address.clone(),
                    message,
                });
            }
        };
        Ok((counts.0 > 0, counts.1 > 0))
    }

    fn planned(&self, file: &Migration) -> Result<Planned, MigrateError> {
        let statements = sql::statements(file.sql(), &self.target).map_err(|reason| MigrateError::Sql {
            file: file.name().to_owned(),
            reason,
        })?;
        Ok(Planned {
            version: file.version(),
            name: file.name().to_owned(),
            checksum: file.checksum().to_owned(),
            statements,
        })
    }

    /// Renders a statement of the migrator itself.
    fn own(&self, statement: &str) -> Result<String, MigrateError> {
        sql::render(statement, &self.target).map_err(|reason: SqlError| MigrateError::Sql {
            file: "schema_migrations".to_owned(),
            reason,
        })
    }

    fn failed(&self, doing: &'static str, error: &ClickHouseError) -> MigrateError {
        self.unreachable(error).unwrap_or_else(|| MigrateError::Bookkeeping {
            doing,
            message: Said::from(error),
        })
    }

    fn unreachable(&self, error: &ClickHouseError) -> Option<MigrateError> {
        matches!(error, ClickHouseError::Network(_) | ClickHouseError::TimedOut).then(|| MigrateError::Unreachable {
            url: self.address.clone(),
            // What the network says quotes nothing.
            message: edge::chain(error),
        })
    }
}

/// Sends one statement and waits for its end.
async fn execute(client: &Client, statement: &str) -> Result<(), ClickHouseError> {
    // The client takes `?` for a parameter; `??` is how it is written.
    client.query(&statement.replace('?', "??")).execute().await
}

/// A URL without user, password and query, which is where people put passwords.
fn without_secrets(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest
        .split_once('/')
        .map_or((rest, ""), |(authority, path)| (authority, path));
    let host = authority.rsplit('@').next().unwrap_or_default();
    if path.is_empty() {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_password() {
        for (url, shown) in [
            ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
            ("https://me:p@ss@ch.example:8443/", "https://ch.example:8443"),
            ("http://h/proxy?password=x", "http://h/proxy"),
            ("nonsense?password=x", "nonsense"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
