//! From a request to the days.

use clickhouse::Row;
use edge::{Body, Request, Response, clickhouse::within, deadline, respond, route};
use http::header::ACCEPT;
use http::{HeaderMap, Method, StatusCode};
use jiff::ToSpan;
use serde::Deserialize;

use crate::answer::{Activity, Day};
use crate::context::Context;
use crate::failure::Error;
use crate::range::Range;

/// The mart's rows; `{from: Date}` and `{to: Date}` are parameters, not text.
const QUERY: &str = "SELECT toUInt16(date) AS day, dau, wau, mau FROM users_activity \
                     WHERE date BETWEEN {from: Date} AND {to: Date} ORDER BY date";

/// What the query gives.
#[derive(Debug, Row, Deserialize)]
struct MartRow {
    /// Days since 1970.
    day: u16,
    dau: u64,
    wau: u64,
    mau: u64,
}

/// Answers one request: `GET /activity`.
pub async fn handle(context: &Context, request: Request) -> Result<Response<Body>, Error> {
    if route::path(&request).as_deref() != Some("/activity") {
        return Err(Error::NotFound);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Error::MethodNotAllowed);
    }
    let now = (context.now)();
    let today = jiff::tz::Offset::UTC.to_datetime(now).date();
    let (from, to) = (route::query(&request, "from"), route::query(&request, "to"));
    let range = Range::parse(from.as_deref(), to.as_deref(), today).map_err(Error::Invalid)?;
    let days = days(context, range, deadline::remaining(&request, now)).await?;
    if wants_csv(request.headers()) {
        csv(&days)
    } else {
        json(&days)
    }
}

async fn days(context: &Context, range: Range, limit: std::time::Duration) -> Result<Vec<Day>, Error> {
    let query = context
        .clickhouse
        .query(QUERY)
        .param("from", range.from.to_string())
        .param("to", range.to.to_string());
    let rows = within(limit, query.fetch_all::<MartRow>()).await?;
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = rows.into_iter().map(|row| Day {
        date: epoch.saturating_add(i32::from(row.day).days()),
        dau: row.dau,
        wau: row.wau,
        mau: row.mau,
    });
    Ok(days.collect())
}

/// Whether the first of the two media types that is named in `Accept` is CSV.
fn wants_csv(headers: &HeaderMap) -> bool {
    let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accept
        .flat_map(|value| value.split(','))
        .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
        .find(|range| matches!(range.as_str(), "text/csv" | "application/json"))
        .is_some_and(|range| range == "text/csv")
}

fn json(days: &[Day]) -> Result<Response<Body>, Error> {
    let body = serde_json::to_string(&Activity { days }).map_err(Error::Json)?;
    Ok(respond::json(StatusCode::OK, body))
}

fn csv(days: &[Day]) -> Result<Response<Body>, Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(["date", "dau", "wau", "mau"]).map_err(Error::Csv)?;
    for day in days {
        writer.serialize(day).map_err(Error::Csv)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Error::Csv(error.into_error().into()))?;
    Ok(respond::text(
        StatusCode::OK,
        "text/csv; charset=utf-8",
        String::from_utf8_lossy(&bytes).into_owned(),
    ))
}

#[cfg(test)]
mod tests;
