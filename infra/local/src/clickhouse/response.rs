//! The response of a query: its head, sent when the outcome or a megabyte of output is known, and its packed body.
//!
//! Until the head is gone a failure has its own status. After, the exception is written into the body between
//! `__exception__` marks with the tag from the head, and the body is broken off, as `WriteBufferFromHTTPServerResponse` of
//! ClickHouse 26 does.

use std::io::{Read as _, Seek as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::sync::oneshot;

use super::body::BodySender;
use super::compression::http::Encoder;
use super::compression::native;
use super::engine::{Format, Stats};
use super::error::Exception;
use super::request::ResponseOptions;

/// The largest exception block, marks included (`MAX_EXCEPTION_SIZE`).
const MAX_EXCEPTION: usize = 16 * 1024;
/// Letters of an exception tag.
const TAG_LENGTH: usize = 16;
/// How long output is held back while no more comes. A server sends each block at once, with what it has counted so far;
/// this little wait gives quick queries a head with the final figures.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_millis(20);
/// The most data of one native frame.
const FRAME: usize = 1 << 20;
/// What browsers may read of a cross-origin answer.
const EXPOSED: &str = "X-ClickHouse-Query-Id,X-ClickHouse-Summary,X-ClickHouse-Server-Display-Name,X-ClickHouse-Format,X-ClickHouse-Timezone,X-ClickHouse-Exception-Code,X-ClickHouse-Exception-Tag";

/// Status and headers.
#[derive(Debug)]
pub(crate) struct Head {
    /// Of the response.
    pub(crate) status: StatusCode,
    /// All but the server's own (Date, Transfer-Encoding …).
    pub(crate) headers: HeaderMap,
}

/// The client has gone: nobody reads on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Headers that every answer carries.
pub(crate) fn common_headers(display_name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    set(&mut headers, "content-type", "text/plain; charset=UTF-8");
    set(&mut headers, "x-clickhouse-server-display-name", display_name);
    set(&mut headers, "connection", "Keep-Alive");
    set(&mut headers, "keep-alive", "timeout=10, max=9999");
    set(&mut headers, "access-control-expose-headers", EXPOSED);
    headers
}

/// Sets a header; a value that HTTP cannot carry is left out.
pub(crate) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value).or_else(|_| HeaderValue::from_bytes(value.as_bytes())) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// X-ClickHouse-Summary.
pub(crate) fn summary(stats: &Stats) -> String {
    let elapsed_ns = (stats.elapsed * 1e9) as u64;
    format!(
        "{{\"read_rows\":\"{}\",\"read_bytes\":\"{}\",\"written_rows\":\"{}\",\"written_bytes\":\"{}\",\"total_rows_to_read\":\"{}\",\"result_rows\":\"{}\",\"result_bytes\":\"{}\",\"elapsed_ns\":\"{elapsed_ns}\",\"memory_usage\":\"0\"}}",
        stats.read_rows,
        stats.read_bytes,
        stats.written_rows,
        stats.written_bytes,
        stats.read_rows,
        stats.result_rows,
        stats.result_bytes,
    )
}

/// The blocking side of a response.
pub(crate) struct Sink {
    options: ResponseOptions,
    display_name: String,
    version: String,
    head: Option<oneshot::Sender<Head>>,
    body: BodySender,
    /// Set when the body must be broken off at its end.
    broken: Arc<AtomicBool>,
    format: Option<Format>,
    tag: String,
    held: Vec<Vec<u8>>,
    held_bytes: usize,
    held_since: Option<std::time::Instant>,
    spilled: Option<std::fs::File>,
    encoder: Option<Encoder>,
}

impl Sink {
    /// A response that has not begun.
    pub(crate) fn new(
        options: ResponseOptions,
        display_name: &str,
        version: &str,
        head: oneshot::Sender<Head>,
        body: BodySender,
        broken: Arc<AtomicBool>,
    ) -> Self {
        let tag = uuid::Uuid::new_v4().simple().to_string();
        let tag = tag.bytes().take(TAG_LENGTH).map(|byte| {
            if byte.is_ascii_digit() {
                byte - b'0' + b'q'
            } else {
                byte
            }
        });
        Self {
            tag: tag.map(char::from).collect(),
            display_name: display_name.to_owned(),
            version: version.to_owned(),
            options,
            head: Some(head),
            body,
            broken,
            format: None,
            held: Vec::new(),
            held_bytes: 0,
            held_since: None,
            spilled: None,
            encoder: None,
        }
    }

    /// What the output is in; none for statements without output.
    pub(crate) fn set_format(&mut self, format: Option<Format>) {
        self.format = format;
    }

    /// Takes a piece of output.
    pub(crate) fn write(&mut self, data: Vec<u8>) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        if self.head.is_none() {
            return self.emit(data);
        }
        if self.held_bytes + data.len() <= self.options.buffer {
            self.held_bytes += data.len();
            self.held.push(data);
            return Ok(());
        }
        if self.options.wait {
            return self.spill(data);
        }
        self.begin(None, &Stats::default(), true)?;
        self.release()?;
        self.emit(data)
    }

    /// Whether there is output that may be sent and has not been.
    pub(crate) fn is_held(&self) -> bool {
        self.head.is_some() && !self.options.wait && !self.options.buffered && !self.held.is_empty()
    }

    /// As [`Self::release_held`], once output has been held for a moment.
    pub(crate) fn release_in_time(&mut self) -> Result<(), Gone> {
        let since = *self.held_since.get_or_insert_with(std::time::Instant::now);
        if self.is_held() && since.elapsed() > PATIENCE {
            self.release_held()
        } else {
            Ok(())
        }
    }

    /// Sends head and output although the query still runs.
    pub(crate) fn release_held(&mut self) -> Result<(), Gone> {
        self.begin(None, &Stats::default(), true)?;
        self.release()
    }

    /// Holds data back on disk. Without room there, waiting is given up and the response begins.
    fn spill(&mut self, data: Vec<u8>) -> Result<(), Gone> {
        if self.spilled.is_none() {
            self.spilled = tempfile::tempfile().ok();
        }
        if let Some(file) = &mut self.spilled {
            let good = file.stream_position();
            if file.write_all(&data).is_ok() {
                return Ok(());
            }
            let _ = good.and_then(|length| file.set_len(length));
        }
        self.begin(None, &Stats::default(), true)?;
        self.release()?;
        self.emit(data)
    }

    /// Sends what was held back.
    fn release(&mut self) -> Result<(), Gone> {
        for data in std::mem::take(&mut self.held) {
            self.emit(data)?;
        }
        if let Some(mut file) = self.spilled.take()
            && file.rewind().is_ok()
        {
            loop {
                let mut data = Vec::with_capacity(FRAME);
                match std::io::Read::by_ref(&mut file)
                    .take(FRAME as u64)
                    .read_to_end(&mut data)
                {
                    Ok(0) | Err(_) => break,
                    Ok(_) => self.emit(data)?,
                }
            }
        }
        Ok(())
    }

    /// Sends the head.
    fn begin(&mut self, exception: Option<&Exception>, stats: &Stats, has_body: bool) -> Result<(), Gone> {
        let mut headers = common_headers(&self.display_name);
        set(&mut headers, "x-clickhouse-query-id", &self.options.query_id);
        set(&mut headers, "x-clickhouse-timezone", &self.options.timezone);
        set(&mut headers, "x-clickhouse-exception-tag", &self.tag);
        set(&mut headers, "x-clickhouse-summary", &summary(stats));
        if self.options.cors {
            set(&mut headers, "access-control-allow-origin", "*");
        }
        let mut status = StatusCode::OK;
        if let Some(exception) = exception {
            status = exception.status();
            set(&mut headers, "x-clickhouse-exception-code", &exception.code.to_string());
        } else if let Some(format) = &self.format {
            set(&mut headers, "x-clickhouse-format", &format.name);
            set(&mut headers, "content-type", &format.content_type);
        }
        if has_body && let Some(encoding) = self.options.encoding {
            self.encoder = Encoder::new(encoding, self.options.level).ok();
            if self.encoder.is_some() {
                set(&mut headers, "content-encoding", encoding.name());
            }
        }
        let Some(head) = self.head.take() else { return Ok(()) };
        head.send(Head { status, headers }).map_err(|_| Gone)
    }

    /// Packs and sends a piece.
    fn emit(&mut self, data: Vec<u8>) -> Result<(), Gone> {
        if self.options.compress {
            for block in data.chunks(FRAME) {
                self.encode(native::compress(block))?;
            }
            Ok(())
        } else {
            self.encode(data)
        }
    }

    fn encode(&mut self, data: Vec<u8>) -> Result<(), Gone> {
        let data = match &mut self.encoder {
            Some(encoder) => encoder.write(&data).map_err(|_| Gone)?,
            None => data,
        };
        self.send(data)
    }

    fn send(&mut self, data: Vec<u8>) -> Result<(), Gone> {
        if data.is_empty() {
            return Ok(());
        }
        self.body.blocking_send(Ok(Bytes::from(data))).map_err(|_| Gone)
    }

    /// Ends the response of a query that succeeded.
    pub(crate) fn finish(mut self, stats: &Stats) -> Result<(), Gone> {
        if self.head.is_some() {
            let has_body = !self.held.is_empty() || self.spilled.is_some();
            self.begin(None, stats, has_body)?;
            self.release()?;
        }
        self.end()
    }

    /// Ends the response of a query that failed.
    ///
    /// Output that was there before the failure is not taken back, unless the client asked for that (`wait_end_of_query`,
    /// `buffer_size`): a server would have sent it by then, and clients must not see what depends on timing.
    pub(crate) fn fail(mut self, exception: &Exception) -> Result<(), Gone> {
        let message = exception.message(&self.version);
        if self.is_held() {
            self.release_held()?;
        }
        if self.head.is_some() {
            self.held.clear();
            self.spilled = None;
            self.begin(Some(exception), &Stats::default(), true)?;
            self.emit(format!("{message}\n").into_bytes())?;
            return self.end();
        }
        self.broken.store(true, Ordering::SeqCst);
        let block = exception_block(&message, &self.tag);
        // A frame or chunk of its own: clients look for the marks at the end of one.
        if let Some(encoder) = &mut self.encoder {
            let data = encoder.flush().map_err(|_| Gone)?;
            self.send(data)?;
        }
        self.emit(block)?;
        self.end()
    }

    fn end(mut self) -> Result<(), Gone> {
        match self.encoder.take() {
            Some(encoder) => {
                let data = encoder.finish().map_err(|_| Gone)?;
                self.send(data)
            }
            None => Ok(()),
        }
    }
}

/// The exception as it stands in a body that has begun.
fn exception_block(message: &str, tag: &str) -> Vec<u8> {
    let room = MAX_EXCEPTION - (2 + 13 + 2 + TAG_LENGTH + 2 + 8 + 1 + TAG_LENGTH + 2 + 13 + 2);
    let mut end = message.len().min(room);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    let message = message.get(..end).unwrap_or_default();
    format!(
        "\r\n__exception__\r\n{tag}\r\n{message}\n{} {tag}\r\n__exception__\r\n",
        message.len() + 1
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exception_blocks_read_like_the_servers() {
        let block = exception_block("Code: 159. DB::Exception: late. (TIMEOUT_EXCEEDED)", "rnywyenlaeqynhmu");
        assert_eq!(
            String::from_utf8(block).unwrap(),
            "\r\n__exception__\r\nrnywyenlaeqynhmu\r\nCode: 159. DB::Exception: late. (TIMEOUT_EXCEEDED)\n51 rnywyenlaeqynhmu\r\n__exception__\r\n"
        );
        assert!(exception_block(&"é".repeat(20_000), "rnywyenlaeqynhmu").len() <= MAX_EXCEPTION);
    }

    #[test]
    fn summaries_are_strings_of_numbers() {
        let stats = Stats {
            elapsed: 0.5,
            read_rows: 1,
            ..Stats::default()
        };
        let value: serde_json::Value = serde_json::from_str(&summary(&stats)).unwrap();
        assert_eq!(value["read_rows"], "1");
        assert_eq!(value["elapsed_ns"], "500000000");
    }
}
