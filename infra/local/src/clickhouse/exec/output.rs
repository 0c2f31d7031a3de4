//! Statements with output.

use std::borrow::Cow;
use std::io::{self, Read as _};

use super::{BLOCK, Failure, Query, splice};
use crate::clickhouse::engine::{Engine, MARK, Stats, quote_name};
use crate::clickhouse::error::{Code, Exception};
use crate::clickhouse::native_block;
use crate::clickhouse::request::QueryRequest;
use crate::clickhouse::response::{Gone, PATIENCE, Sink};
use crate::clickhouse::statement::Output;

impl Query<'_> {
    /// A statement of little or no output.
    pub(super) fn plain(&mut self, text: &[u8], output: &Output, sink: &mut Sink) -> Result<Stats, Failure> {
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
    pub(super) fn select(&mut self, text: &[u8], output: &Output, sink: &mut Sink) -> Result<Stats, Failure> {
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
    let gone = |reader| {
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
