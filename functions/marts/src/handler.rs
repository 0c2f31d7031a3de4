//! From a request to the rows.

use edge::{Body, Request, Response, deadline, route};
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue, VARY};
use http::{HeaderMap, Method};

use crate::context::{Context, Read};
use crate::failure::Error;
use crate::format::{self, Format};
use crate::parameters::Parameters;
use crate::rows::{Most, read};

/// Most bytes of rows in an answer, as Lambda carries them: there the body is a JSON string, and all of it may have 6 MB. CSV is always
/// shorter than JSON.
pub const MAX_ANSWER_BYTES: usize = 5 * 1024 * 1024;

/// What the next page is asked for with, also beside CSV.
const NEXT: HeaderName = HeaderName::from_static("x-next-after");

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
    let query = M::query(&context.clickhouse, &question);
    let most = Most {
        rows: M::page(&question),
        bytes: MAX_ANSWER_BYTES,
    };
    let page = read::<M::Row>(query, most, limit)
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

/// An answer may be kept for a minute: dbt is no faster. What took a key is kept by nobody but its reader.
pub fn cached(keys: bool, headers: &mut HeaderMap) {
    let (control, vary) = match keys {
        false => ("public, max-age=60", "Accept"),
        true => ("private, max-age=60", "Accept, Authorization, X-Read-Key"),
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(control));
    headers.insert(VARY, HeaderValue::from_static(vary));
}

#[cfg(test)]
mod tests;
