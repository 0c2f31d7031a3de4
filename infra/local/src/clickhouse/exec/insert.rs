//! INSERT with data.

use std::io::Read;
use std::ops::Range;

use super::{BLOCK, Failure, Query, splice};
use crate::clickhouse::engine::{Connection, Stats};
use crate::clickhouse::error::{Code, Exception};
use crate::clickhouse::statement::Insert;

impl Query<'_> {
    pub(super) fn insert(&mut self, text: &[u8], insert: &Insert, rest: &mut dyn Read) -> Result<Stats, Failure> {
        if insert.semicolon {
            return Err(Exception::new(
                Code::InvalidUsageOfInput,
                "You have ';' symbol right after FORMAT keyword. It is not supported",
            )
            .into());
        }
        let mut sql = text.get(insert.head.clone()).unwrap_or_default().to_vec();
        if let Some(settings) = insert.settings.clone() {
            sql.extend(text.get(settings).unwrap_or_default());
        }
        let first = text.get(insert.data_at..).unwrap_or_default();
        if let Some((call, structure)) = &insert.input {
            return self.insert_through(&sql, call.clone(), structure, &insert.format, first, rest);
        }
        let (connection, parameters) = (&mut *self.connection, &self.request.parameters);
        let stats = stream(connection, &sql, &insert.format, parameters, first, rest);
        stats.map_err(|failure| match failure {
            StreamFailure::Engine(error) => self.exception(&error).into(),
            StreamFailure::Other(failure) => failure,
        })
    }

    /// INSERT … SELECT … FROM input('…'): the data goes through a temporary table, for the engine's streams do not take a
    /// SELECT.
    fn insert_through(
        &mut self,
        sql: &[u8],
        call: Range<usize>,
        structure: &str,
        format: &str,
        first: &[u8],
        rest: &mut dyn Read,
    ) -> Result<Stats, Failure> {
        let table = "_input_of_this_insert";
        self.statement(&format!("CREATE TEMPORARY TABLE {table} ({structure}) ENGINE = Memory"))?;
        let fill = format!("INSERT INTO {table}");
        let filled = stream(self.connection, fill.as_bytes(), format, &[], first, rest);
        let outcome = match filled {
            Err(StreamFailure::Engine(error)) => Err(self.exception(&error).into()),
            Err(StreamFailure::Other(failure)) => Err(failure),
            Ok(_) => {
                let sql = splice(sql, vec![(call, table.to_owned())]);
                let result = self.connection.query(&sql, "TabSeparated", &self.request.parameters);
                match result.error() {
                    Some(error) => Err(self.exception(&error).into()),
                    None => Ok(result.stats()),
                }
            }
        };
        self.statement(&format!("DROP TEMPORARY TABLE IF EXISTS {table}"))?;
        outcome
    }
}

enum StreamFailure {
    Engine(String),
    Other(Failure),
}

/// Feeds an insert stream from what is at hand and what still arrives.
fn stream(
    connection: &mut Connection,
    sql: &[u8],
    format: &str,
    parameters: &[(String, Vec<u8>)],
    first: &[u8],
    rest: &mut dyn Read,
) -> Result<Stats, StreamFailure> {
    let mut insert = connection
        .insert(sql, format, parameters)
        .map_err(StreamFailure::Engine)?;
    let mut alive = first.is_empty() || insert.append(first);
    let mut block = Vec::with_capacity(BLOCK);
    while alive {
        block.clear();
        let read = Read::take(&mut *rest, BLOCK as u64)
            .read_to_end(&mut block)
            .map_err(|error| StreamFailure::Other(error.into()))?;
        if read == 0 {
            break;
        }
        alive = insert.append(&block);
    }
    let mut stats = insert.finish().map_err(StreamFailure::Engine)?;
    // A server counts what an INSERT takes in as read and as its result.
    stats.read_rows = stats.written_rows;
    stats.read_bytes = stats.written_bytes;
    stats.result_rows = stats.written_rows;
    stats.result_bytes = stats.written_bytes;
    Ok(stats)
}
