//! A query on the blocking side: session, settings, tables, statement, output.

mod insert;
mod output;
mod settings;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use super::body::BodyReader;
use super::compression::http::decoder;
use super::compression::native::NativeReader;
use super::engine::{Connection, Engine, Format, MARK, QueryClass, Stats};
use super::error::{Code, Exception};
use super::query_log::{Client, QueryLog, Record};
use super::request::{QueryRequest, SessionRequest};
use super::response::{Gone, Sink};
use super::session::{Sessions, Ticket};
use super::statement::{self, Insert, Statement};

/// How much of a body is read before the statement in it is looked for; `max_query_size` of a server.
const HEAD: usize = 256 * 1024;
/// The longest query text that is held in memory.
const MAX_TEXT: usize = 256 << 20;
/// Data handed to the engine at once.
const BLOCK: usize = 1 << 20;

/// All that a query needs.
pub(crate) struct Job {
    /// The engine.
    pub(crate) engine: Arc<Engine>,
    /// Named sessions.
    pub(crate) sessions: Arc<Sessions>,
    /// Where queries are recorded.
    pub(crate) log: Arc<QueryLog>,
    /// The other end.
    pub(crate) client: Client,
    /// Who asks.
    pub(crate) user: String,
    /// What.
    pub(crate) request: QueryRequest,
    /// The request body.
    pub(crate) body: BodyReader,
    /// Where output goes.
    pub(crate) sink: Sink,
    /// The place among the running queries.
    pub(crate) ticket: Ticket,
    /// The place among those that may run at once.
    pub(crate) permit: tokio::sync::OwnedSemaphorePermit,
}

/// Why a query ended without success.
#[derive(Debug)]
enum Failure {
    /// The client is told.
    Exception(Exception),
    /// Nobody is there to be told.
    Gone,
}

impl From<Exception> for Failure {
    fn from(exception: Exception) -> Self {
        Self::Exception(exception)
    }
}

impl From<Gone> for Failure {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// A failure to read the request body.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Exception>()) {
            Some(exception) => Self::Exception(exception.clone()),
            None if error.kind() == io::ErrorKind::ConnectionAborted => Self::Gone,
            None => Self::Exception(Exception::new(Code::CannotReadAllData, error)),
        }
    }
}

/// Runs a query to its end; blocks.
pub(crate) fn run(job: Job) {
    let Job {
        engine,
        sessions,
        log,
        client,
        user,
        request,
        body,
        mut sink,
        ticket,
        permit,
    } = job;
    let began = jiff::Timestamp::now();
    let mut session = None;
    let mut text = String::new();
    let mut connection = None;
    let leased = lease(&engine, &sessions, &user, request.session.as_ref(), &mut session);
    let outcome = leased.and_then(|(leased, fresh)| {
        let connection = connection.insert(leased);
        let mut query = Query {
            engine: &engine,
            log: &log,
            request: &request,
            ticket: &ticket,
            connection,
            fresh,
            text: &mut text,
        };
        query.run(body, &mut sink)
    });
    if let Some(held) = session.take() {
        held.give_back(connection.take());
    }
    if request
        .settings
        .iter()
        .all(|(name, value)| name != "log_queries" || value != "0")
    {
        log.push(Record {
            began,
            ended: jiff::Timestamp::now(),
            stats: *outcome.as_ref().unwrap_or(&Stats::default()),
            exception: match &outcome {
                Ok(_) => None,
                Err(Failure::Exception(exception)) => Some(exception.clone()),
                Err(Failure::Gone) => Some(Exception::new(Code::Aborted, "The client has gone")),
            },
            text,
            query_id: request.response.query_id.clone(),
            user: user.clone(),
            database: request.database.clone().unwrap_or_else(|| "default".to_owned()),
            settings: request.settings.clone(),
            client,
        });
    }
    // Before the response ends: a client that has read it all may use its session and query id again at once.
    drop(ticket);
    drop(permit);
    let sent = match outcome {
        Ok(stats) => sink.finish(&stats),
        Err(Failure::Exception(exception)) => {
            tracing::debug!(code = exception.code, "a query failed");
            sink.fail(&exception)
        }
        Err(Failure::Gone) => Err(Gone),
    };
    if sent.is_err() {
        tracing::debug!("a client went away");
    }
    // After it: closing takes the engine a moment.
    drop(connection);
}

/// A named session while a request has it. Dropped without being given back, the session ends.
struct Held<'a> {
    sessions: &'a Sessions,
    user: &'a str,
    session: &'a SessionRequest,
    returned: bool,
}

impl Held<'_> {
    fn give_back(mut self, connection: Option<Connection>) {
        self.returned = true;
        let expires = Instant::now() + self.session.timeout;
        let connection = connection.filter(|_| !self.session.close);
        self.sessions.put(self.user, &self.session.id, connection, expires);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.sessions.put(self.user, &self.session.id, None, Instant::now());
        }
    }
}

/// A connection: the session's, or a fresh one (true).
fn lease<'a>(
    engine: &Engine,
    sessions: &'a Sessions,
    user: &'a str,
    session: Option<&'a SessionRequest>,
    held: &mut Option<Held<'a>>,
) -> Result<(Connection, bool), Failure> {
    let mut known = None;
    if let Some(session) = session {
        known = sessions.take(user, session, Instant::now())?;
        *held = Some(Held {
            sessions,
            user,
            session,
            returned: false,
        });
    }
    let fresh = known.is_none();
    let connection = known.or_else(|| engine.connect());
    connection
        .map(|connection| (connection, fresh))
        .ok_or_else(|| Exception::new(Code::Aborted, "The engine does not accept connections").into())
}

struct Query<'a> {
    engine: &'a Engine,
    log: &'a QueryLog,
    request: &'a QueryRequest,
    ticket: &'a Ticket,
    connection: &'a mut Connection,
    /// Nothing ran on the connection yet.
    fresh: bool,
    /// The statement, for the log.
    text: &'a mut String,
}

impl Query<'_> {
    fn run(&mut self, body: BodyReader, sink: &mut Sink) -> Result<Stats, Failure> {
        let mut restore = Vec::new();
        let outcome = match self.set_up(&mut restore) {
            Ok(()) => self.run_statement(body, sink),
            Err(exception) => Err(exception.into()),
        };
        let restored = restore.iter().try_for_each(|sql| self.statement(sql).map(drop));
        let stats = outcome?;
        restored?;
        Ok(stats)
    }

    /// Runs a statement of our own; its output as text.
    fn statement(&mut self, sql: &str) -> Result<String, Exception> {
        let result = self.connection.query(sql.as_bytes(), "TSVRaw", &[]);
        match result.error() {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(String::from_utf8_lossy(result.data()).into_owned()),
        }
    }

    fn run_statement(&mut self, body: BodyReader, sink: &mut Sink) -> Result<Stats, Failure> {
        let request = self.request;
        let mut reader = decoder(&request.content_encoding, body)?;
        if request.decompress {
            reader = Box::new(NativeReader::new(reader, request.verify));
        }
        let mut text = request.text.clone();
        if !text.is_empty() {
            text.push(b'\n');
        }
        let mut parsed = statement::parse(&text);
        if !matches!(parsed, Statement::Insert(_)) {
            let whole = read_more(&mut reader, &mut text, HEAD)?;
            parsed = statement::parse(&text);
            if !whole && !matches!(parsed, Statement::Insert(_)) {
                if !read_more(&mut reader, &mut text, MAX_TEXT)? {
                    let why = format!("The query text is longer than {MAX_TEXT} bytes");
                    return Err(Exception::new(Code::QueryIsTooLarge, why).into());
                }
                parsed = statement::parse(&text);
            }
        }
        if !matches!(parsed, Statement::Insert(_)) {
            // The client's line end between URL and body is no part of the text.
            text.truncate(text.trim_ascii_end().len());
        }
        let logged = match &parsed {
            Statement::Insert(insert) => text.get(..insert.data_at).unwrap_or_default(),
            _ => text.as_slice(),
        };
        *self.text = String::from_utf8_lossy(logged).into_owned();
        if self.ticket.cancelled() {
            return Err(Failure::Gone);
        }
        self.refuse_writes(&text, &parsed)?;
        match parsed {
            Statement::Empty => Err(Exception::new(Code::SyntaxError, "Empty query").into()),
            Statement::Infile => Err(Exception::new(
                Code::UnknownTypeOfQuery,
                "Query has infile and was send directly to server",
            )
            .into()),
            Statement::Insert(insert) => self.insert(&text, &insert, &mut reader),
            Statement::InsertUnfinished => {
                let insert = Insert {
                    head: 0..text.len(),
                    settings: None,
                    format: "Values".to_owned(),
                    data_at: text.len(),
                    input: None,
                    semicolon: false,
                };
                self.insert(&text, &insert, &mut reader)
            }
            Statement::Select(output) => self.select(&text, &output, sink),
            Statement::Kill(output) => {
                let mark = format!("Settings['{MARK}']");
                let names = statement::query_id_names(&text);
                let rewritten = splice(&text, names.into_iter().map(|range| (range, mark.clone())).collect());
                self.plain(&rewritten, &output, sink)
            }
            Statement::Other(output) => {
                if statement::first_words(&text)
                    .iter()
                    .take(3)
                    .eq(["SYSTEM", "FLUSH", "LOGS"])
                {
                    self.log.flush(self.engine);
                    // The engine would say that it knows no such log.
                    return Ok(Stats::default());
                }
                self.plain(&text, &output, sink)
            }
        }
    }

    /// In a named session read-only mode is ours to keep.
    fn refuse_writes(&mut self, text: &[u8], parsed: &Statement) -> Result<(), Exception> {
        let request = self.request;
        let named = request
            .settings
            .iter()
            .any(|(name, value)| name == "readonly" && value != "0");
        if request.session.is_none() || !(request.readonly || named) {
            return Ok(());
        }
        let writes = match parsed {
            Statement::Insert(_) | Statement::InsertUnfinished => true,
            _ => {
                let temporary = String::from_utf8_lossy(text).to_ascii_uppercase().contains("TEMPORARY");
                self.connection.classify(text).1 == QueryClass::Mutating && !temporary
            }
        };
        if writes { Err(readonly()) } else { Ok(()) }
    }

    /// An exception of the engine, in a server's words.
    fn exception(&self, text: &str) -> Exception {
        let exception = Exception::from_engine(text);
        let by_method = self.request.readonly && !self.request.settings.iter().any(|(name, _)| name == "readonly");
        if exception.code == 164 && by_method {
            readonly()
        } else {
            exception
        }
    }

    fn format(&self, named: Option<&str>) -> (String, Option<Format>) {
        let name = named
            .or(self.request.default_format.as_deref())
            .unwrap_or("TabSeparated");
        let known = self.engine.format(name).cloned();
        (
            known
                .as_ref()
                .map_or_else(|| name.to_owned(), |format| format.name.clone()),
            known,
        )
    }
}

fn readonly() -> Exception {
    Exception::new(
        Code::Readonly,
        "default: Cannot execute query in readonly mode. For queries over HTTP, method GET implies readonly. You should use method POST for modifying queries",
    )
}

/// Reads until the text has that many bytes. True at the end of the body.
fn read_more(reader: &mut dyn Read, text: &mut Vec<u8>, limit: usize) -> io::Result<bool> {
    let wanted = limit.saturating_sub(text.len()) as u64;
    let read = Read::take(&mut *reader, wanted).read_to_end(text)?;
    Ok((read as u64) < wanted)
}

/// Replaces ranges of a text.
fn splice(text: &[u8], mut edits: Vec<(std::ops::Range<usize>, String)>) -> Vec<u8> {
    edits.sort_by_key(|(range, _)| range.start);
    let mut spliced = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for (range, replacement) in edits {
        spliced.extend(text.get(at..range.start).unwrap_or_default());
        spliced.extend(replacement.as_bytes());
        at = range.end;
    }
    spliced.extend(text.get(at..).unwrap_or_default());
    spliced
}
