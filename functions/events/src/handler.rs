//! From a request to an acknowledgement.

use edge::{Body, Request, Response, deadline, respond, route};
use event_model::{Event, Record};
use http::header::{CONTENT_TYPE, HeaderMap};
use http::{Method, StatusCode};

use crate::context::Context;
use crate::error::Error;
use crate::pack;

/// Answers one request: `POST /events` with one JSON event.
pub async fn handle(context: &Context, request: Request) -> Result<Response<Body>, Error> {
    if route::path(&request).as_deref() != Some("/events") {
        return Err(Error::NotFound);
    }
    if request.method() != Method::POST {
        return Err(Error::MethodNotAllowed);
    }
    if !is_json(request.headers()) {
        return Err(Error::UnsupportedMediaType);
    }
    let now = (context.now)();
    let budget = deadline::remaining(&request, now);
    let event = Event::from_json(request.body())?;
    let event_id = event.event_id().unwrap_or_else(context.new_id);
    let mut line = Vec::with_capacity(512);
    Record {
        event_id,
        received_at: now,
        event,
    }
    .write_line(&mut line);
    let records = pack::pack([line.as_slice()])?;
    context.firehose.put(records, budget).await?;
    Ok(respond::json(StatusCode::OK, "{\"accepted\":1}".to_owned()))
}

/// Whether the body is to be read as JSON: by its type, or for want of one. `text/plain` is what a beacon sends.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let Ok(content_type) = content_type.to_str() else {
        return false;
    };
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    match essence.as_str() {
        "" | "application/json" | "text/plain" => true,
        other => other.starts_with("application/") && other.ends_with("+json"),
    }
}

#[cfg(test)]
mod tests;
