//! `GET /ledger/<stream>?since=<hour>`: the lines that the stream has taken. What `weir status --reconcile` reads.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use http::{Response, StatusCode, header};
use serde::Deserialize;

use super::App;
use crate::firehose::ledger;

/// The query.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    /// Hours since 1970; everything that is kept when it is not given.
    since: Option<i64>,
}

/// Answers with entries as [`ledger::send`] writes them.
pub(super) async fn ledger(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<Since>,
) -> Response<Body> {
    let Some(stream) = app.registry.get(&name) else {
        return status(StatusCode::NOT_FOUND);
    };
    match stream.taken(query.since.unwrap_or(i64::MIN)).await {
        Ok(entries) => {
            let mut response = Response::new(Body::from(ledger::send(&entries)));
            let octets = http::HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, octets);
            response
        }
        Err(error) => {
            tracing::error!(stream = name, %error, "the ledger cannot be read");
            status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
