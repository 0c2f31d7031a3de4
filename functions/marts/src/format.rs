//! JSON or CSV.

use edge::{Body, Response, respond};
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use serde::Serialize;

use crate::mart::Mart;

/// What the rows are written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `application/json`.
    Json,
    /// `text/csv`, with a line of names; what is null is empty.
    Csv,
}

impl Format {
    /// The first of the two media types that is named in `Accept`; JSON where none is.
    pub fn of(headers: &HeaderMap) -> Self {
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        accept
            .flat_map(|value| value.split(','))
            .map(|range| range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
            .find_map(|range| match range.as_str() {
                "text/csv" => Some(Format::Csv),
                "application/json" => Some(Format::Json),
                _ => None,
            })
            .unwrap_or(Format::Json)
    }
}

/// The rows as JSON.
pub fn json<M: Mart>(rows: &[M::Row], next: Option<String>) -> Result<Response<Body>, serde_json::Error> {
    let body = serde_json::to_string(&M::answer(rows, next))?;
    Ok(respond::json(StatusCode::OK, body))
}

/// The rows as CSV.
pub fn csv<M: Mart>(rows: &[M::Row]) -> Result<Response<Body>, csv::Error> {
    let text = csv_text(M::COLUMNS, rows)?;
    Ok(respond::text(StatusCode::OK, "text/csv; charset=utf-8", text))
}

/// A line of names, and one a row.
pub fn csv_text<Row: Serialize>(columns: &[&str], rows: &[Row]) -> Result<String, csv::Error> {
    let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.serialize(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
