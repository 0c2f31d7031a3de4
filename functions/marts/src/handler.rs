//! From a request to the rows.

use std::io::{self, Write};
use std::time::Duration;

use edge::clickhouse::within;
use edge::{Body, Request, Response, deadline, route};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Method};
use serde::Serialize;

use crate::context::{Context, Read};
use crate::failure::Error;
use crate::format::{self, Format};
use crate::parameters::Parameters;

/// Most bytes of rows in an answer, as Lambda carries them: there the body is a JSON string, and all of it may have 6 MB. CSV is always
/// shorter than JSON.
pub const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;

/// What the next page is asked for with, also beside CSV.
const NEXT: HeaderName = HeaderName::from_static("x-next-after");

/// Some rows, and whether there are more.
struct Page<Row> {
    rows: Vec<Row>,
    more: bool,
}

/// Answers one request: `GET` of the mart's path.
pub(crate) async fn handle<M: Read>(context: &Context<M>, request: Request) -> Result<Response<Body>, Error> {
    if route::path(&request).as_deref() != Some(M::PATH) {
        return Err(Error::NotFound);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::MethodNotAllowed);
    }
    context.read_keys.check(&request)?;
    let now = (context.now)();
    let today = jiff::tz::Offset::UTC.to_datetime(now).date();
    let mut parameters = Parameters::new(&request, today);
    let question = M::question(&mut parameters);
    let question = parameters.finish(question).map_err(Error::Invalid)?;

    let limit = deadline::remaining(&request, now);
    let page = within(limit, read(context, &question, limit))
        .await
        .map_err(|error| Error::of(error, M::TABLE))?;
    let next = match page.rows.last().filter(|_| page.more) {
        Some(last) => Some(M::cursor(last).ok_or(Error::TooLarge)?),
        None => None,
    };
    let next_header = next.as_deref().map(HeaderValue::from_str);
    let mut response = match Format::of(request.headers()) {
        Format::Json => format::json::<M>(&page.rows, next)?,
        Format::Csv => format::csv::<M>(&page.rows)?,
    };
    let headers = response.headers_mut();
    if let Some(Ok(next)) = next_header {
        headers.insert(NEXT, next);
    }
    cached(context.read_keys.required(), headers);
    Ok(response)
}

/// Reads rows until a page is full, or the answer.
async fn read<M: Read>(
    context: &Context<M>,
    question: &M::Question,
    limit: Duration,
) -> clickhouse::error::Result<Page<M::Row>> {
    // ClickHouse does not notice that nobody waits any more. A second later, so that it is the reader's end that comes first.
    let seconds = (limit.as_secs() + 1).to_string();
    let mut cursor = M::query(&context.clickhouse, question)
        .with_setting("max_execution_time", seconds)
        .fetch::<M::Row>()?;
    let most = M::page(question);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = cursor.next().await? {
        bytes += size(&row);
        // One row is no reason to give none.
        let full = rows.len() >= most || bytes > MAX_ANSWER_BYTES;
        if full && !rows.is_empty() {
            return Ok(Page { rows, more: true });
        }
        rows.push(row);
    }
    Ok(Page { rows, more: false })
}

/// The bytes of a row as JSON in a JSON string, and of what stands between rows.
fn size(row: &impl Serialize) -> usize {
    let mut counter = Counter(1);
    // A row that cannot be written is seen when the answer is.
    let _ = serde_json::to_writer(&mut counter, row);
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let escaped = bytes.iter().filter(|byte| matches!(byte, b'"' | b'\\'));
        self.0 += bytes.len() + escaped.count();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer may be kept for a minute: dbt is no faster. What took a key is kept by nobody but its reader.
fn cached(keys: bool, headers: &mut HeaderMap) {
    let (control, vary) = match keys {
        false => ("public, max-age=60", "Accept"),
        true => ("private, max-age=60", "Accept, Authorization, X-Read-Key"),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    headers.insert(VARY, HeaderValue::from_static(vary));
}

#[cfg(test)]
mod tests;
