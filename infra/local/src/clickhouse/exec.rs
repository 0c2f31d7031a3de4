//! A query on the blocking side: session, settings, tables, statement, output.

use std::borrow::Cow;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use super::body::BodyReader;
use super::compression::http::decoder;
use super::compression::native::NativeReader;
use super::engine::{Connection, Engine, Format, MARK, QueryClass, Stats, quote, quote_name};
use super::error::{Code, Exception};
use super::external;
use super::native_block;
use super::query_log::{Client, QueryLog, Record};
use super::request::{QueryRequest, SessionRequest};
use super::response::{Gone, PATIENCE, Sink};
use super::session::{Sessions, Ticket};
use super::statement::{self, Insert, Output, Statement};

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
    let outcome = leased.and_then(|leased| {
        let connection = connection.insert(leased);
        let mut query = Query {
            engine: &engine,
            log: &log,
            request: &request,
            ticket: &ticket,
            connection,
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

/// A connection: the session's, or a fresh one.
fn lease<'a>(
    engine: &Engine,
    sessions: &'a Sessions,
    user: &'a str,
    session: Option<&'a SessionRequest>,
    held: &mut Option<Held<'a>>,
) -> Result<Connection, Failure> {
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
    let connection = known.or_else(|| engine.connect());
    connection.ok_or_else(|| Exception::new(Code::Aborted, "The engine does not accept connections").into())
}

struct Query<'a> {
    engine: &'a Engine,
    log: &'a QueryLog,
    request: &'a QueryRequest,
    ticket: &'a Ticket,
    connection: &'a mut Connection,
    /// The statement, for the log.
    text: &'a mut String,
}

impl Query<'_> {
    fn run(&mut self, body: BodyReader, sink: &mut Sink) -> Result<Stats, Failure> {
        let restore = self.set_up()?;
        let outcome = self.run_statement(body, sink);
        for sql in restore {
            self.statement(&sql)?;
        }
        outcome
    }

    /// Runs a statement of our own; its output as text.
    fn statement(&mut self, sql: &str) -> Result<String, Exception> {
        let result = self.connection.query(sql.as_bytes(), "TSVRaw", &[]);
        match result.error() {
            Some(error) => Err(Exception::from_engine(&error)),
            None => Ok(String::from_utf8_lossy(result.data()).into_owned()),
        }
    }

    /// Applies what the URL says. In a named session it must not outlive the request: the statements that take it back
    /// are returned.
    fn set_up(&mut self) -> Result<Vec<String>, Exception> {
        let mut restore = Vec::new();
        let request = self.request;
        let in_session = request.session.is_some();
        let mut settings = request.settings.clone();
        if in_session {
            // A session cannot leave read-only mode again: `refuse_writes` looks after that there.
            settings.retain(|(name, _)| name != "readonly");
        }
        for (name, _) in &settings {
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(Exception::from_engine(&format!(
                    "Code: 115. DB::Exception: Unknown setting '{name}'. (UNKNOWN_SETTING)"
                )));
            }
        }
        if in_session && !settings.is_empty() {
            restore.extend(self.current_settings(&settings)?);
        }
        if let Some(database) = &request.database {
            if in_session {
                let current = self.statement("SELECT currentDatabase()")?;
                restore.push(format!("USE {}", quote_name(current.trim_end_matches('\n'))));
            }
            self.statement(&format!("USE {}", quote_name(database)))?;
        }
        for role in &request.roles {
            self.statement(&format!("SET ROLE {}", quote_name(role)))?;
        }
        settings.push((MARK.to_owned(), request.response.query_id.clone()));
        let (last, first): (Vec<_>, Vec<_>) = settings.into_iter().partition(|(name, _)| name == "readonly");
        self.set(&first)?;
        for table in &request.tables {
            external::create(self.connection, table)?;
            restore.push(format!("DROP TEMPORARY TABLE IF EXISTS {}", quote_name(&table.name)));
        }
        if !in_session {
            restore.clear();
            let named = last.iter().any(|(_, value)| value != "0");
            let last = if request.readonly && !named {
                vec![("readonly".to_owned(), "2".to_owned())]
            } else {
                last
            };
            self.set(&last)?;
        }
        Ok(restore)
    }

    fn set(&mut self, settings: &[(String, String)]) -> Result<(), Exception> {
        if settings.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("{name} = {}", quote(value)))
            .collect();
        self.statement(&format!("SET {}", list.join(", "))).map(drop)
    }

    /// The statement that gives settings the values they have now.
    fn current_settings(&mut self, settings: &[(String, String)]) -> Result<Option<String>, Exception> {
        let names: Vec<String> = settings.iter().map(|(name, _)| quote(name)).collect();
        let text = self.statement(&format!(
            "SELECT name, value, changed FROM system.settings WHERE name IN ({}) FORMAT JSONCompactEachRow",
            names.join(", ")
        ))?;
        let list: Vec<String> = text
            .lines()
            .filter_map(|line| serde_json::from_str::<(String, String, u8)>(line).ok())
            .map(|(name, value, changed)| match changed {
                0 => format!("{name} = DEFAULT"),
                _ => format!("{name} = {}", quote(&value)),
            })
            .collect();
        Ok(if list.is_empty() {
            None
        } else {
            Some(format!("SET {}", list.join(", ")))
        })
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

    /// A statement of little or no output.
    fn plain(&mut self, text: &[u8], output: &Output, sink: &mut Sink) -> Result<Stats, Failure> {
        self.refuse_several(text, output)?;
        let (name, format) = self.format(output.format.as_deref());
        let result = self.connection.query(text, &name, &self.request.parameters);
        if let Some(error) = result.error() {
            return Err(self.exception(&error).into());
        }
        let data = result.data();
        let data = &*self.for_protocol(data, &name, &[])?;
        if output.answers || !data.is_empty() {
            sink.set_format(format);
            sink.write(data.to_vec())?;
        }
        Ok(result.stats())
    }

    fn refuse_several(&mut self, text: &[u8], output: &Output) -> Result<(), Exception> {
        if output.into_outfile {
            return Err(Exception::new(
                Code::IntoOutfileNotAllowed,
                "INTO OUTFILE is not allowed",
            ));
        }
        if !output.several {
            return Ok(());
        }
        match self.connection.syntax_error(text) {
            Some(error) if error.starts_with("Code: 62.") => Err(self.exception(&error)),
            _ => Err(Exception::new(
                Code::SyntaxError,
                "Syntax error (Multi-statements are not allowed)",
            )),
        }
    }

    /// A query whose output is streamed: the engine writes it into a pipe as a client would into a file, in the format's
    /// own layout (the library's chunked interface would repeat headers in each chunk).
    fn select(&mut self, text: &[u8], output: &Output, sink: &mut Sink) -> Result<Stats, Failure> {
        self.refuse_several(text, output)?;
        let (name, format) = self.format(output.format.as_deref());
        sink.set_format(format);
        self.ticket.set_cancellable();
        if self.request.protocol > 0 && name == "Native" {
            return self.select_blocks(text, output, sink);
        }
        let (reader, writer) = io::pipe()?;
        widen(&writer);
        let descriptor = std::os::fd::AsRawFd::as_raw_fd(&writer);
        let mut edits: Vec<_> = output
            .processes
            .iter()
            .map(|range| (range.clone(), processes()))
            .collect();
        let outfile = format!(" INTO OUTFILE '/dev/fd/{descriptor}' APPEND ");
        edits.push((output.outfile_at..output.outfile_at, outfile));
        let sql = splice(text, edits);

        let (result, copied) = std::thread::scope(|scope| {
            let (engine, query_id) = (self.engine, self.request.response.query_id.as_str());
            let copier = scope.spawn(|| copy(reader, sink, engine, query_id));
            let result = self.connection.query(&sql, &name, &self.request.parameters);
            drop(writer);
            (result, copier.join().unwrap_or(Err(Gone)))
        });
        let copied = copied?;
        let Some(error) = result.error() else {
            return Ok(result.stats());
        };
        let exception = self.exception(&error);
        if exception.code != 62 || copied > 0 {
            return Err(exception.into());
        }
        // Either the text is wrong, and the error must speak of it as the client wrote it, or the clause has no place in
        // it (SETTINGS after a bracketed union).
        drop(result);
        let result = self.connection.query(text, &name, &self.request.parameters);
        if let Some(error) = result.error() {
            return Err(self.exception(&error).into());
        }
        sink.write(result.data().to_vec())?;
        Ok(result.stats())
    }

    /// A query in the Native format for a client of a protocol version: block by block, each rewritten.
    fn select_blocks(&mut self, text: &[u8], output: &Output, sink: &mut Sink) -> Result<Stats, Failure> {
        let sql = splice(
            text,
            output
                .processes
                .iter()
                .map(|range| (range.clone(), processes()))
                .collect(),
        );
        let mut types = None;
        let mut stats = Stats::default();
        let version = self.request.protocol;
        let parameters = &self.request.parameters;
        // On a connection of its own: while blocks come, this one is taken.
        let mut describe = text.get(..output.outfile_at).unwrap_or_default().to_vec();
        describe.splice(..0, b"DESCRIBE TABLE (".iter().copied());
        describe.extend(b"\n) FORMAT JSONCompactEachRow");
        let mut blocks = self
            .connection
            .blocks(&sql, "Native", parameters)
            .map_err(|error| Exception::from_engine(&error))?;
        loop {
            let block = match blocks.next() {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(error) => {
                    drop(blocks);
                    return Err(self.exception(&error).into());
                }
            };
            let part = block.stats();
            stats.elapsed += part.elapsed;
            stats.result_rows += part.result_rows;
            stats.result_bytes += part.result_bytes;
            stats.read_rows += part.read_rows;
            stats.read_bytes += part.read_bytes;
            if types.is_none() && native_block::needs_zones(block.data(), version) {
                types = Some(column_types(self.engine, self.request, &describe));
            }
            let known = types.as_deref().unwrap_or_default();
            let data = native_block::rewrite(block.data(), version, known)
                .map_err(|error| Exception::new(Code::NotImplemented, error))?;
            sink.write(data)?;
            sink.release_in_time()?;
        }
        Ok(stats)
    }

    /// Output of a statement that is not streamed, for the client's protocol version.
    fn for_protocol<'d>(&self, data: &'d [u8], format: &str, types: &[String]) -> Result<Cow<'d, [u8]>, Exception> {
        if self.request.protocol == 0 || format != "Native" || data.is_empty() {
            return Ok(Cow::Borrowed(data));
        }
        let rewritten = native_block::rewrite(data, self.request.protocol, types);
        rewritten
            .map(Cow::Owned)
            .map_err(|error| Exception::new(Code::NotImplemented, error))
    }

    fn insert(&mut self, text: &[u8], insert: &Insert, rest: &mut dyn Read) -> Result<Stats, Failure> {
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
        call: std::ops::Range<usize>,
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

/// The true types of a query's columns; none when they cannot be found out (a temporary table of another session).
fn column_types(engine: &Engine, request: &QueryRequest, describe: &[u8]) -> Vec<String> {
    let Some(mut connection) = engine.connect() else {
        return Vec::new();
    };
    if let Some(database) = &request.database {
        connection.query(format!("USE {}", quote_name(database)).as_bytes(), "Null", &[]);
    }
    let result = connection.query(describe, "JSONCompactEachRow", &request.parameters);
    let text = String::from_utf8_lossy(result.data()).into_owned();
    let rows = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Vec<serde_json::Value>>(line).ok());
    rows.filter_map(|row| row.get(1).and_then(|kind| kind.as_str().map(str::to_owned)))
        .collect()
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

/// `system.processes` as clients know it: their own query ids, and the texts that they sent.
fn processes() -> String {
    format!(
        "(SELECT * REPLACE (Settings['{MARK}'] AS query_id, Settings['{MARK}'] AS initial_query_id, replaceRegexpOne(query, ' INTO OUTFILE ''/dev/fd/[0-9]+'' APPEND ', '') AS query, mapFilter((k, v) -> k NOT IN ('{MARK}', 'implicit_select', 'allow_introspection_functions', 'storage_file_read_method', 'serialize_query_plan', 'output_format_arrow_use_native_writer'), Settings) AS Settings) FROM system.processes) AS processes"
    )
}

/// A pipe of a megabyte instead of 64 KiB: fewer switches between engine and server. Best effort.
fn widen(writer: &io::PipeWriter) {
    #[cfg(target_os = "linux")]
    let _ = rustix::pipe::fcntl_setpipe_size(writer, BLOCK);
    #[cfg(not(target_os = "linux"))]
    let _ = writer;
}

/// Moves the engine's output to the client; how many bytes there were. When the client goes away the query is cancelled:
/// the engine would otherwise compute it to the end.
fn copy(mut reader: io::PipeReader, sink: &mut Sink, engine: &Engine, query_id: &str) -> Result<u64, Gone> {
    let mut copied = 0;
    let mut gone = |reader| {
        engine.kill(query_id);
        drop::<io::PipeReader>(reader);
        Err(Gone)
    };
    loop {
        if copied > 0 && sink.is_held() && !readable(&reader) && sink.release_held().is_err() {
            return gone(reader);
        }
        let mut data = vec![0; 128 * 1024];
        match reader.read(&mut data) {
            Ok(0) => return Ok(copied),
            Ok(length) => {
                data.truncate(length);
                copied += length as u64;
                if sink.write(data).is_err() {
                    return gone(reader);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Ok(copied),
        }
    }
}

/// Waits a moment for more output, or its end.
fn readable(reader: &io::PipeReader) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let patience = Timespec {
        tv_sec: 0,
        tv_nsec: PATIENCE.subsec_nanos().into(),
    };
    let mut descriptors = [PollFd::new(reader, PollFlags::IN)];
    poll(&mut descriptors, Some(&patience)).is_ok_and(|ready| ready > 0)
}
