//! `GET /ledger/<stream>?since=<hour>`: the lines that the stream has taken. What `weir status --reconcile` reads.
//! `GET /ledger/<stream>/<key>`: where those of one event are. What `weir trace` reads.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::IntoResponse as _;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Deserialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use uuid::Uuid;

use super::App;
use crate::firehose::deliver::blocking;
use crate::firehose::ledger;

/// Pieces of an answer that wait for its reader.
const AHEAD: usize = 4;

/// How long a reader may take for a piece: no segment of the spool is deleted meanwhile.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// The query.
#[derive(Debug, Deserialize)]
pub(super) struct Since {
    /// Hours since 1970; everything that is kept when it is not given.
    since: Option<i64>,
}

/// Answers with entries as [`ledger::send`] writes them, and their end; piece by piece, for there may be very many. An answer
/// without its end broke off.
pub(super) async fn ledger(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<Since>,
) -> Response<Body> {
    let Some(stream) = app.registry.get(&name) else {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    let runtime = Handle::current();
    tokio::task::spawn_blocking(move || {
        let send = |piece| {
            let sent = runtime.block_on(tokio::time::timeout(READ_WITHIN, sender.send(piece)));
            matches!(sent, Ok(Ok(())))
        };
        let mut take = |entries: &[ledger::Entry]| {
            if send(Ok(ledger::send(entries).into())) {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        };
        let since = query.since.unwrap_or(i64::MIN);
        let read = stream.ledger.read(&stream.spool, &stream.status, since, &mut take);
        let end = read.map(|lost| ledger::send_end(lost).into());
        if let Err(error) = &end {
            tracing::error!(stream = name, %error, "the ledger cannot be read");
        }
        // A reader that is gone or too slow has no use for the end.
        let _ = send(end);
    });
    let pieces = futures::stream::unfold(receiver, async |mut receiver| {
        let piece = receiver.recv().await?;
        Some((piece, receiver))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let octets = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, octets);
    response
}

/// Answers with a [`ledger::Whereabouts`] as JSON.
pub(super) async fn find(
    State(app): State<Arc<App>>,
    Path((name, key)): Path<(String, Uuid)>,
) -> axum::response::Response {
    let Some(stream) = app.registry.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let found = blocking(move || stream.ledger.find(&stream.spool, &stream.status, key)).await;
    match found {
        Ok(found) => Json(found).into_response(),
        Err(error) => {
            tracing::error!(stream = name, %error, "the ledger cannot be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
