//! The C interface of the engine (`libchdb`), and the only unsafe code of the program.
//!
//! Signatures follow `chdb.h` of chdb-core 26.7. The library is loaded at run time and never unloaded: it starts threads
//! that outlive any handle. What leaves this module is safe: results own their buffers, a connection runs one call at a
//! time (`&mut`), and an insert stream borrows its connection.

#![allow(unsafe_code, reason = "the engine is a C library; each block states why it is sound")]

use std::ffi::{CStr, CString, c_char, c_double, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

/// `chdb_connection`: the engine's own pointer to a session.
type RawConnection = *mut c_void;
/// `chdb_result *`.
type RawResult = *mut c_void;
/// `chdb_insert_stream`.
type RawInsert = *mut c_void;
/// A list of strings: pointers, then their lengths.
type Strings = *const *const c_char;

/// `chdb_query_analysis_v1`.
#[repr(C)]
struct Analysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

/// Functions of the library, resolved once.
struct Api {
    set_signal_handlers_enabled: unsafe extern "C" fn(c_int),
    connect: unsafe extern "C" fn(c_int, *mut *mut c_char) -> *mut RawConnection,
    close_conn: unsafe extern "C" fn(*mut RawConnection),
    query: unsafe extern "C" fn(
        RawConnection,
        *const c_char,
        usize,
        *const c_char,
        usize,
        Strings,
        *const usize,
        Strings,
        *const usize,
        usize,
    ) -> RawResult,
    stream_query: unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize) -> RawResult,
    stream_parameterised: unsafe extern "C" fn(
        RawConnection,
        *const c_char,
        usize,
        *const c_char,
        usize,
        Strings,
        *const usize,
        Strings,
        *const usize,
        usize,
    ) -> RawResult,
    stream_fetch: unsafe extern "C" fn(RawConnection, RawResult) -> RawResult,
    stream_cancel: unsafe extern "C" fn(RawConnection, RawResult),
    classify: unsafe extern "C" fn(RawConnection, *const c_char, usize, *const c_char, usize, *mut Analysis) -> c_int,
    insert: unsafe extern "C" fn(
        RawConnection,
        *const c_char,
        usize,
        *const c_char,
        usize,
        Strings,
        *const usize,
        Strings,
        *const usize,
        usize,
    ) -> RawInsert,
    insert_append: unsafe extern "C" fn(RawInsert, *const c_void, usize) -> c_int,
    insert_done: unsafe extern "C" fn(RawInsert) -> RawResult,
    insert_cancel: unsafe extern "C" fn(RawInsert),
    insert_error: unsafe extern "C" fn(RawInsert) -> *const c_char,
    insert_destroy: unsafe extern "C" fn(RawInsert),
    result_destroy: unsafe extern "C" fn(RawResult),
    result_buffer: unsafe extern "C" fn(RawResult) -> *mut c_char,
    result_length: unsafe extern "C" fn(RawResult) -> usize,
    result_error: unsafe extern "C" fn(RawResult) -> *const c_char,
    result_elapsed: unsafe extern "C" fn(RawResult) -> c_double,
    result_rows: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes: unsafe extern "C" fn(RawResult) -> u64,
    result_rows_read: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes_read: unsafe extern "C" fn(RawResult) -> u64,
    result_rows_written: unsafe extern "C" fn(RawResult) -> u64,
    result_bytes_written: unsafe extern "C" fn(RawResult) -> u64,
}

/// Why the library cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// Not a library, or not this platform's.
    #[error("the engine library cannot be loaded")]
    Open(#[source] libloading::Error),
    /// Another version, most likely.
    #[error("the engine library lacks a function")]
    Symbol(#[source] libloading::Error),
}

/// The loaded library.
pub(crate) struct Library {
    api: &'static Api,
    /// One more for each open connection.
    open: Arc<()>,
}

impl Library {
    /// Loads the library and keeps it for the life of the process.
    ///
    /// Sets `TZ` to UTC first: the engine takes its server time zone from it, and a warehouse's must not depend on the
    /// machine's.
    pub(crate) fn load(path: &Path) -> Result<Self, LoadError> {
        // SAFETY: called once, while the command starts and before the engine's threads exist; no other thread of this
        // program reads or writes the environment.
        unsafe { std::env::set_var("TZ", "UTC") };
        // SAFETY: the library's initialisers are those of the engine's own release, which expect to be loaded so.
        let library = unsafe { libloading::Library::new(path) }.map_err(LoadError::Open)?;
        let library: &'static libloading::Library = Box::leak(Box::new(library));
        macro_rules! symbol {
            ($name:literal) => {
                // SAFETY: each name has the signature that its field in `Api` declares, from chdb.h of the same version.
                *unsafe { library.get($name) }.map_err(LoadError::Symbol)?
            };
        }
        let api = Api {
            set_signal_handlers_enabled: symbol!(b"chdb_set_signal_handlers_enabled\0"),
            connect: symbol!(b"chdb_connect\0"),
            close_conn: symbol!(b"chdb_close_conn\0"),
            query: symbol!(b"chdb_query_with_params_n\0"),
            stream_query: symbol!(b"chdb_stream_query_n\0"),
            stream_parameterised: symbol!(b"chdb_stream_query_with_params_n\0"),
            stream_fetch: symbol!(b"chdb_stream_fetch_result\0"),
            stream_cancel: symbol!(b"chdb_stream_cancel_query\0"),
            classify: symbol!(b"chdb_classify_query_n\0"),
            insert: symbol!(b"chdb_stream_insert_with_params_n\0"),
            insert_append: symbol!(b"chdb_stream_append\0"),
            insert_done: symbol!(b"chdb_stream_done\0"),
            insert_cancel: symbol!(b"chdb_stream_cancel_insert\0"),
            insert_error: symbol!(b"chdb_stream_insert_error\0"),
            insert_destroy: symbol!(b"chdb_destroy_insert_stream\0"),
            result_destroy: symbol!(b"chdb_destroy_query_result\0"),
            result_buffer: symbol!(b"chdb_result_buffer\0"),
            result_length: symbol!(b"chdb_result_length\0"),
            result_error: symbol!(b"chdb_result_error\0"),
            result_elapsed: symbol!(b"chdb_result_elapsed\0"),
            result_rows: symbol!(b"chdb_result_rows_read\0"),
            result_bytes: symbol!(b"chdb_result_bytes_read\0"),
            result_rows_read: symbol!(b"chdb_result_storage_rows_read\0"),
            result_bytes_read: symbol!(b"chdb_result_storage_bytes_read\0"),
            result_rows_written: symbol!(b"chdb_result_rows_written\0"),
            result_bytes_written: symbol!(b"chdb_result_bytes_written\0"),
        };
        // SAFETY: takes a flag; signals stay this program's.
        unsafe { (api.set_signal_handlers_enabled)(0) };
        Ok(Self {
            api: Box::leak(Box::new(api)),
            open: Arc::default(),
        })
    }

    /// Opens a connection; the first one of the process starts the engine. `None` when the engine refuses, which it does
    /// without saying why (a locked or unreadable path, a bad setting).
    pub(crate) fn connect(&self, arguments: &[&str]) -> Option<Connection> {
        let arguments: Vec<CString> = std::iter::once("clickhouse")
            .chain(arguments.iter().copied())
            .map(CString::new)
            .collect::<Result<_, _>>()
            .ok()?;
        let mut pointers: Vec<*mut c_char> = arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).ok()?;
        // SAFETY: `count` valid C strings that live over the call; the engine copies what it keeps and writes to none.
        let handle = unsafe { (self.api.connect)(count, pointers.as_mut_ptr()) };
        if handle.is_null() {
            return None;
        }
        let connection = Connection {
            api: self.api,
            handle,
            _open: Arc::clone(&self.open),
        };
        // SAFETY: a non-null handle points to the engine's connection pointer until it is closed.
        if unsafe { *handle }.is_null() {
            None
        } else {
            Some(connection)
        }
    }

    /// Connections that are open.
    pub(crate) fn connections(&self) -> usize {
        Arc::strong_count(&self.open) - 1
    }
}

/// One session in the engine: its own settings, current database and temporary tables.
pub(crate) struct Connection {
    api: &'static Api,
    handle: *mut RawConnection,
    _open: Arc<()>,
}

// SAFETY: the engine ties a connection to no thread; one call at a time is ensured by `&mut self`.
unsafe impl Send for Connection {}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the handle came from connect and is closed once.
        unsafe { (self.api.close_conn)(self.handle) };
    }
}

/// Values of `{name:Type}` placeholders, in ClickHouse's escaped text form.
pub(crate) type Parameters = [(String, Vec<u8>)];

/// The parallel arrays that the C interface takes for parameters.
struct RawParameters {
    names: Vec<*const c_char>,
    name_lengths: Vec<usize>,
    values: Vec<*const c_char>,
    value_lengths: Vec<usize>,
}

impl RawParameters {
    fn new(parameters: &Parameters) -> Self {
        Self {
            names: parameters.iter().map(|(name, _)| name.as_ptr().cast()).collect(),
            name_lengths: parameters.iter().map(|(name, _)| name.len()).collect(),
            values: parameters.iter().map(|(_, value)| value.as_ptr().cast()).collect(),
            value_lengths: parameters.iter().map(|(_, value)| value.len()).collect(),
        }
    }
}

impl Connection {
    fn raw(&self) -> RawConnection {
        // SAFETY: the handle is open for as long as `self` lives.
        unsafe { *self.handle }
    }

    /// Runs a statement to its end; output goes into the result unless the text says INTO OUTFILE.
    pub(crate) fn query(&mut self, sql: &[u8], format: &str, parameters: &Parameters) -> QueryResult {
        let raw = RawParameters::new(parameters);
        // SAFETY: every pointer has its length beside it and lives over the call, which copies them.
        let result = unsafe {
            (self.api.query)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                raw.names.as_ptr(),
                raw.name_lengths.as_ptr(),
                raw.values.as_ptr(),
                raw.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        QueryResult { api: self.api, result }
    }

    /// What the parser of a single statement says against the text, which is not run. `None` when it takes it.
    pub(crate) fn syntax_error(&mut self, sql: &[u8]) -> Option<String> {
        // SAFETY: pointers with lengths that live over the call.
        let result =
            unsafe { (self.api.stream_query)(self.raw(), sql.as_ptr().cast(), sql.len(), b"Null".as_ptr().cast(), 4) };
        let result = QueryResult { api: self.api, result };
        let error = result.error();
        if error.is_none() && !result.result.is_null() {
            // SAFETY: an open stream of this connection; it is destroyed after, by `QueryResult`.
            unsafe { (self.api.stream_cancel)(self.raw(), result.result) };
        }
        error
    }

    /// Starts a SELECT whose output is fetched block by block, each formatted as if it were the only one.
    pub(crate) fn blocks(&mut self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Blocks<'_>, String> {
        let raw = RawParameters::new(parameters);
        // SAFETY: as in `query`.
        let result = unsafe {
            (self.api.stream_parameterised)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                raw.names.as_ptr(),
                raw.name_lengths.as_ptr(),
                raw.values.as_ptr(),
                raw.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let stream = QueryResult { api: self.api, result };
        match stream.error() {
            Some(error) => Err(error),
            None => Ok(Blocks {
                connection: self,
                stream,
                done: false,
            }),
        }
    }

    /// How many statements the text holds, and what the gravest of them does. A text that does not parse has none.
    pub(crate) fn classify(&mut self, sql: &[u8]) -> (u32, QueryClass) {
        let mut analysis = Analysis {
            struct_size: 16,
            statement_count: 0,
            flags: 0,
            query_class: 4,
        };
        // SAFETY: text with its length, no target database, and a struct whose size it states itself.
        let state = unsafe {
            (self.api.classify)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        if state != 0 {
            return (0, QueryClass::Unknown);
        }
        let class = match analysis.query_class {
            0 => QueryClass::ReadOnly,
            1 | 2 => QueryClass::Mutating,
            3 => QueryClass::Control,
            _ => QueryClass::Unknown,
        };
        (analysis.statement_count, class)
    }

    /// Opens an insert stream: `sql` is the statement without FORMAT and data.
    pub(crate) fn insert(&mut self, sql: &[u8], format: &str, parameters: &Parameters) -> Result<Insert<'_>, String> {
        let raw = RawParameters::new(parameters);
        // SAFETY: as in `query`.
        let handle = unsafe {
            (self.api.insert)(
                self.raw(),
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                raw.names.as_ptr(),
                raw.name_lengths.as_ptr(),
                raw.values.as_ptr(),
                raw.value_lengths.as_ptr(),
                parameters.len(),
            )
        };
        let insert = Insert {
            api: self.api,
            handle,
            done: false,
            _connection: self,
        };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }
}

/// What a statement does to state that outlives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum QueryClass {
    /// SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK.
    ReadOnly,
    /// Writes data or definitions.
    Mutating,
    /// USE, SET, SYSTEM, KILL, ATTACH, BACKUP …
    Control,
    /// Did not parse.
    Unknown,
}

/// What the engine counted.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Stats {
    /// Seconds.
    pub(crate) elapsed: f64,
    /// Rows in the result.
    pub(crate) result_rows: u64,
    /// Their size in memory.
    pub(crate) result_bytes: u64,
    /// Rows read from tables.
    pub(crate) read_rows: u64,
    /// Bytes read from tables.
    pub(crate) read_bytes: u64,
    /// Rows written, by materialized views too.
    pub(crate) written_rows: u64,
    /// Bytes written.
    pub(crate) written_bytes: u64,
}

/// A finished statement.
pub(crate) struct QueryResult {
    api: &'static Api,
    result: RawResult,
}

impl Drop for QueryResult {
    fn drop(&mut self) {
        if !self.result.is_null() {
            // SAFETY: owned, and destroyed once.
            unsafe { (self.api.result_destroy)(self.result) };
        }
    }
}

impl QueryResult {
    /// The exception's text.
    pub(crate) fn error(&self) -> Option<String> {
        if self.result.is_null() {
            return Some("the engine returned no result".to_owned());
        }
        // SAFETY: a live result; the text is its own and is copied here.
        text(unsafe { (self.api.result_error)(self.result) })
    }

    /// The output.
    pub(crate) fn data(&self) -> &[u8] {
        if self.result.is_null() {
            return &[];
        }
        // SAFETY: a live result.
        let (buffer, length) = unsafe {
            (
                (self.api.result_buffer)(self.result),
                (self.api.result_length)(self.result),
            )
        };
        if buffer.is_null() || length == 0 {
            return &[];
        }
        // SAFETY: the engine states the length of its own buffer, which lives as long as the result.
        unsafe { std::slice::from_raw_parts(buffer.cast(), length) }
    }

    /// The counters.
    pub(crate) fn stats(&self) -> Stats {
        if self.result.is_null() {
            return Stats::default();
        }
        // SAFETY: a live result; these read its fields.
        unsafe {
            Stats {
                elapsed: (self.api.result_elapsed)(self.result),
                result_rows: (self.api.result_rows)(self.result),
                result_bytes: (self.api.result_bytes)(self.result),
                read_rows: (self.api.result_rows_read)(self.result),
                read_bytes: (self.api.result_bytes_read)(self.result),
                written_rows: (self.api.result_rows_written)(self.result),
                written_bytes: (self.api.result_bytes_written)(self.result),
            }
        }
    }
}

/// A SELECT under way. Dropped unfinished, it is cancelled.
pub(crate) struct Blocks<'connection> {
    connection: &'connection mut Connection,
    stream: QueryResult,
    done: bool,
}

impl Blocks<'_> {
    /// The next block, or none at the end. Its counters are those of the block.
    pub(crate) fn next(&mut self) -> Result<Option<QueryResult>, String> {
        if self.done {
            return Ok(None);
        }
        // SAFETY: an open stream of this connection, fetched by one thread.
        let result = unsafe { (self.connection.api.stream_fetch)(self.connection.raw(), self.stream.result) };
        let block = QueryResult {
            api: self.connection.api,
            result,
        };
        if let Some(error) = block.error() {
            self.done = true;
            return Err(error);
        }
        self.done = block.data().is_empty();
        Ok(if self.done { None } else { Some(block) })
    }
}

impl Drop for Blocks<'_> {
    fn drop(&mut self) {
        if !self.done {
            // SAFETY: an open stream of this connection; it is destroyed after, by `QueryResult`.
            unsafe { (self.connection.api.stream_cancel)(self.connection.raw(), self.stream.result) };
        }
    }
}

/// An open INSERT. Dropped unfinished, it is cancelled.
pub(crate) struct Insert<'connection> {
    api: &'static Api,
    handle: RawInsert,
    done: bool,
    _connection: &'connection mut Connection,
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        if !self.done {
            // SAFETY: a live handle, which is not freed by this.
            unsafe { (self.api.insert_cancel)(self.handle) };
        }
        // SAFETY: required for every handle, once.
        unsafe { (self.api.insert_destroy)(self.handle) };
    }
}

impl Insert<'_> {
    fn error(&self) -> Option<String> {
        // SAFETY: a live handle; the text is its own and is copied here.
        text(unsafe { (self.api.insert_error)(self.handle) })
    }

    /// Passes on data, cut anywhere. Blocks while the engine is behind. False when the insert has failed: `finish` says
    /// why.
    pub(crate) fn append(&mut self, data: &[u8]) -> bool {
        // SAFETY: a live handle; the data is copied.
        unsafe { (self.api.insert_append)(self.handle, data.as_ptr().cast(), data.len()) == 0 }
    }

    /// Ends the data and waits until it is stored.
    pub(crate) fn finish(mut self) -> Result<Stats, String> {
        self.done = true;
        // SAFETY: a live handle, finished once.
        let result = QueryResult {
            api: self.api,
            result: unsafe { (self.api.insert_done)(self.handle) },
        };
        match result.error() {
            Some(error) => Err(error),
            None => Ok(result.stats()),
        }
    }
}

/// Copies an engine string; null and empty are none.
fn text(pointer: *const c_char) -> Option<String> {
    if pointer.is_null() {
        return None;
    }
    // SAFETY: the engine's strings end in NUL and live as long as their owner, which the caller holds.
    let text = unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned();
    if text.is_empty() { None } else { Some(text) }
}
