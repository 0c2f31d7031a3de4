//! `system.query_log`, which the embedded engine does not keep: a table in memory, filled once a second and on
//! `SYSTEM FLUSH LOGS`.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use super::engine::{Engine, Stats};
use super::error::Exception;

/// Queries that may wait for the next flush; more are not recorded.
const MAX_WAITING: usize = 50_000;
/// Bytes of a query's text that are kept (`log_queries_cut_to_length`).
const MAX_TEXT: usize = 100_000;

/// The columns of a server's table that can be known here.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS system.query_log (
    hostname LowCardinality(String) DEFAULT hostName(),
    type Enum8('QueryStart' = 1, 'QueryFinish' = 2, 'ExceptionBeforeStart' = 3, 'ExceptionWhileProcessing' = 4),
    event_date Date DEFAULT toDate(event_time),
    event_time DateTime,
    event_time_microseconds DateTime64(6),
    query_start_time DateTime,
    query_start_time_microseconds DateTime64(6),
    query_duration_ms UInt64,
    read_rows UInt64,
    read_bytes UInt64,
    written_rows UInt64,
    written_bytes UInt64,
    result_rows UInt64,
    result_bytes UInt64,
    memory_usage UInt64,
    current_database LowCardinality(String),
    query String,
    formatted_query String,
    normalized_query_hash UInt64 DEFAULT normalizedQueryHash(query),
    query_kind LowCardinality(String),
    databases Array(LowCardinality(String)),
    tables Array(LowCardinality(String)),
    columns Array(LowCardinality(String)),
    exception_code Int32,
    exception String,
    stack_trace String,
    is_initial_query UInt8 DEFAULT 1,
    user LowCardinality(String),
    query_id String,
    address IPv6,
    port UInt16,
    initial_user LowCardinality(String) DEFAULT user,
    initial_query_id String DEFAULT query_id,
    initial_address IPv6 DEFAULT address,
    initial_port UInt16 DEFAULT port,
    initial_query_start_time DateTime DEFAULT query_start_time,
    initial_query_start_time_microseconds DateTime64(6) DEFAULT query_start_time_microseconds,
    interface UInt8 DEFAULT 2,
    http_method UInt8,
    http_user_agent LowCardinality(String),
    http_referer String,
    forwarded_for String,
    quota_key String,
    log_comment String,
    thread_ids Array(UInt64),
    ProfileEvents Map(LowCardinality(String), UInt64),
    Settings Map(LowCardinality(String), LowCardinality(String))
) ENGINE = Memory SETTINGS min_rows_to_keep = 1000, max_rows_to_keep = 50000, min_bytes_to_keep = 1000000, max_bytes_to_keep = 100000000";

/// Who asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The other end of the connection.
    pub(crate) address: SocketAddr,
    /// User-Agent.
    pub(crate) user_agent: String,
    /// Referer.
    pub(crate) referer: String,
    /// X-Forwarded-For.
    pub(crate) forwarded_for: String,
    /// Whether the method is POST.
    pub(crate) post: bool,
}

/// One query that has ended.
pub(crate) struct Record {
    /// When it began.
    pub(crate) began: jiff::Timestamp,
    /// When it ended.
    pub(crate) ended: jiff::Timestamp,
    /// What it counted.
    pub(crate) stats: Stats,
    /// How it failed.
    pub(crate) exception: Option<Exception>,
    /// Its text, without an INSERT's data.
    pub(crate) text: String,
    /// The id that the client knows.
    pub(crate) query_id: String,
    /// The user.
    pub(crate) user: String,
    /// The database that the URL names.
    pub(crate) database: String,
    /// Settings of the URL.
    pub(crate) settings: Vec<(String, String)>,
    /// The connection.
    pub(crate) client: Client,
}

/// The log.
#[derive(Default)]
pub(crate) struct QueryLog {
    waiting: Mutex<Vec<Record>>,
    /// Held while rows are written: who flushes waits for a flush under way.
    flushing: Mutex<()>,
}

impl QueryLog {
    /// Makes the table.
    pub(crate) fn create(engine: &Engine) -> Option<String> {
        let mut connection = engine.connect()?;
        connection.query(CREATE.as_bytes(), "Null", &[]).error()
    }

    /// Records a query.
    pub(crate) fn push(&self, record: Record) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.push(record);
        }
    }

    /// Whether there is something to write.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Writes what waits; blocks.
    pub(crate) fn flush(&self, engine: &Engine) {
        let _flushing = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let records = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if records.is_empty() {
            return;
        }
        let mut lines = Vec::new();
        for record in &records {
            for row in rows(record) {
                lines.extend(row.to_string().into_bytes());
                lines.push(b'\n');
            }
        }
        let Some(mut connection) = engine.connect() else { return };
        let written = connection
            .insert(b"INSERT INTO system.query_log", "JSONEachRow", &[])
            .and_then(|mut insert| {
                insert.append(&lines);
                insert.finish()
            });
        if let Err(error) = written {
            // Its words may quote the row, and so a query.
            let code = super::error::Exception::from_engine(&error).code;
            tracing::warn!(code, "system.query_log could not be written");
        }
    }
}

/// The rows of a query: its start and its end.
fn rows(record: &Record) -> Vec<serde_json::Value> {
    let address = match record.client.address.ip() {
        std::net::IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        std::net::IpAddr::V6(ip) => ip,
    };
    let settings: serde_json::Map<_, _> = record
        .settings
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let comment = record
        .settings
        .iter()
        .find(|(name, _)| name == "log_comment")
        .map_or("", |(_, value)| value);
    let began = record.began.as_microsecond();
    let text: String = record.text.chars().take(MAX_TEXT).collect();
    let row = |kind: &str, at: jiff::Timestamp, stats: &Stats, duration: i64, exception: Option<&Exception>| {
        json!({
            "type": kind,
            "event_time": at.as_second(),
            "event_time_microseconds": microseconds(at.as_microsecond()),
            "query_start_time": record.began.as_second(),
            "query_start_time_microseconds": microseconds(began),
            "query_duration_ms": duration.max(0),
            "read_rows": stats.read_rows,
            "read_bytes": stats.read_bytes,
            "written_rows": stats.written_rows,
            "written_bytes": stats.written_bytes,
            "result_rows": stats.result_rows,
            "result_bytes": stats.result_bytes,
            "current_database": record.database,
            "query": text,
            "query_kind": kind_of(&record.text),
            "exception_code": exception.map_or(0, |exception| exception.code),
            "exception": exception.map_or("", |exception| &exception.text),
            "user": record.user,
            "query_id": record.query_id,
            "address": address.to_string(),
            "port": record.client.address.port(),
            "http_method": if record.client.post { 2 } else { 1 },
            "http_user_agent": record.client.user_agent,
            "http_referer": record.client.referer,
            "forwarded_for": record.client.forwarded_for,
            "log_comment": comment,
            "Settings": settings,
        })
    };
    let duration = record.ended.as_millisecond() - record.began.as_millisecond();
    let nothing = Stats::default();
    match &record.exception {
        None => vec![
            row("QueryStart", record.began, &nothing, 0, None),
            row("QueryFinish", record.ended, &record.stats, duration, None),
        ],
        // Errors of parser and analyser come before the start.
        Some(exception)
            if matches!(
                exception.code,
                36 | 42 | 43 | 46 | 47 | 57 | 60 | 62 | 81 | 115 | 164 | 497
            ) =>
        {
            vec![row(
                "ExceptionBeforeStart",
                record.ended,
                &nothing,
                duration,
                Some(exception),
            )]
        }
        Some(exception) => vec![
            row("QueryStart", record.began, &nothing, 0, None),
            row(
                "ExceptionWhileProcessing",
                record.ended,
                &record.stats,
                duration,
                Some(exception),
            ),
        ],
    }
}

/// A DateTime64(6) as text.
fn microseconds(value: i64) -> String {
    format!("{}.{:06}", value.div_euclid(1_000_000), value.rem_euclid(1_000_000))
}

/// `query_kind`: the statement's verb.
fn kind_of(text: &str) -> String {
    let words = super::statement::first_words(text.as_bytes());
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("WITH", _) if words.iter().any(|word| word == "INSERT") => "Insert".to_owned(),
        ("WITH" | "FROM" | "", _) => "Select".to_owned(),
        ("DESC", _) => "Describe".to_owned(),
        ("KILL", "QUERY" | "MUTATION") => "KillQuery".to_owned(),
        (verb, _) => {
            let lower = verb.to_ascii_lowercase();
            let mut letters = lower.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_ascii_uppercase().to_string() + letters.as_str()
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_the_verbs() {
        let check = |text: &str, kind: &str| assert_eq!(kind_of(text), kind, "{text}");
        check("SELECT 1", "Select");
        check("-- x\n with 1 as a select a", "Select");
        check("INSERT INTO t", "Insert");
        check("DESCRIBE TABLE t", "Describe");
        check("desc t", "Describe");
        check("KILL QUERY WHERE 1", "KillQuery");
        check("(SELECT 1)", "Select");
    }

    #[test]
    fn a_query_has_a_start_and_an_end() {
        let record = Record {
            began: jiff::Timestamp::from_microsecond(1_500_000).unwrap(),
            ended: jiff::Timestamp::from_microsecond(1_750_000).unwrap(),
            stats: Stats {
                read_rows: 3,
                ..Stats::default()
            },
            exception: None,
            text: "SELECT 1".to_owned(),
            query_id: "q".to_owned(),
            user: "default".to_owned(),
            database: "d".to_owned(),
            settings: vec![("max_threads".to_owned(), "1".to_owned())],
            client: Client {
                address: "127.0.0.1:5".parse().unwrap(),
                user_agent: "ua".to_owned(),
                referer: String::new(),
                forwarded_for: String::new(),
                post: true,
            },
        };
        let rows = rows(&record);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["type"], "QueryFinish");
        assert_eq!(rows[1]["query_duration_ms"], 250);
        assert_eq!(rows[1]["event_time_microseconds"], "1.750000");
        assert_eq!(rows[1]["address"], "::ffff:127.0.0.1");
        assert_eq!(rows[1]["Settings"]["max_threads"], "1");
        let failed = Record {
            exception: Some(Exception::from_engine("Code: 60. DB::Exception: x. (UNKNOWN_TABLE)")),
            ..record
        };
        let rows = super::rows(&failed);
        assert_eq!(
            (rows.len(), rows[0]["type"].as_str()),
            (1, Some("ExceptionBeforeStart"))
        );
    }
}
