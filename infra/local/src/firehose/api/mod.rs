//! The Firehose API on the wire: json 1.1, one path, the operation in a header.
//!
//! A version 4 signature must be present and is not checked: this server is for the own machine.

pub(crate) mod error;
mod health;
mod ledger;
pub(crate) mod model;
mod put;
pub(crate) mod streams;
#[cfg(test)]
mod tests;
pub(crate) mod validate;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody as _, to_bytes};
use axum::extract::{Request, State};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::faults::Faults;
use super::stream::Registry;
use error::ApiError;

/// Of every answer.
pub(crate) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The header that names an answer.
pub(crate) const REQUEST_ID: &str = "x-amzn-requestid";

const TARGET: &str = "Firehose_20150804.";

/// 4 MiB of data in base64, and JSON around 500 records, with room for whoever sends too much to be told so.
const MAX_BODY: usize = 12 * 1024 * 1024;

/// How long a body may take to come: it keeps room from others meanwhile.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of bodies that may be held at once, by default: 64 calls of the largest size that a batch has. Whoever comes then is told
/// to slow down, as by AWS beyond a stream's quota.
pub(crate) const ROOM: usize = 256 * 1024 * 1024;

/// What the handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) registry: Registry,
    pub(crate) faults: Faults,
    /// Twelve digits: a part of ARNs and messages.
    pub(crate) account: String,
    /// In ARNs, when a request's signature names no region.
    pub(crate) region: String,
    /// The bytes of bodies that may still be taken into memory.
    pub(crate) room: Arc<Semaphore>,
}

/// The routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/metrics", get(health::metrics))
        .route("/ledger/{stream}", get(ledger::ledger))
        .route("/ledger/{stream}/{key}", get(ledger::find))
        .fallback(serve)
        .with_state(app)
}

async fn serve(State(app): State<Arc<App>>, request: Request) -> Response<Body> {
    let request_id = Uuid::new_v4();
    match answer(&app, request).await {
        Ok(json) => {
            let mut response = Response::new(Body::from(json));
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
            if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
                headers.insert(REQUEST_ID, value);
            }
            response
        }
        Err(error) => {
            if error.status() == StatusCode::INTERNAL_SERVER_ERROR {
                tracing::error!(%request_id, "a call failed");
            } else {
                tracing::debug!(%request_id, code = error.code(), "a call is refused");
            }
            error.into_response(request_id)
        }
    }
}

async fn answer(app: &Arc<App>, request: Request) -> Result<Vec<u8>, ApiError> {
    let (parts, body) = request.into_parts();
    let operation = operation(&parts.method, &parts.headers)?;
    let region = signed_region(&parts.headers)?;
    let held = room(app, &body)?;
    let body = tokio::time::timeout(BODY_WITHIN, to_bytes(body, MAX_BODY))
        .await
        .map_err(|_| ApiError::TooSlow)?
        .map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    if matches!(operation, "PutRecord" | "PutRecordBatch") {
        let (app, is_batch) = (Arc::clone(app), operation == "PutRecordBatch");
        // On its own: a caller that hangs up ends nothing, and the records keep their room until they are stored.
        let put = tokio::spawn(async move {
            let _held = held;
            if is_batch {
                put::batch(&app, &body).await
            } else {
                put::record(&app, &body).await
            }
        });
        return put.await.unwrap_or(Err(ApiError::Internal));
    }
    let input = parse(&body)?;
    let output = match operation {
        "CreateDeliveryStream" => streams::create(app, &input, region.as_deref().unwrap_or(&app.region)).await,
        "DeleteDeliveryStream" => streams::delete(app, &input).await,
        "DescribeDeliveryStream" => streams::describe(app, &input),
        "ListDeliveryStreams" => streams::list(app, &input),
        "ListTagsForDeliveryStream" => streams::list_tags(app, &input),
        "StartDeliveryStreamEncryption" => streams::start_encryption(app, &input).await,
        "StopDeliveryStreamEncryption" => streams::stop_encryption(app, &input).await,
        "TagDeliveryStream" => streams::tag(app, &input).await,
        "UntagDeliveryStream" => streams::untag(app, &input).await,
        "UpdateDestination" => streams::update(app, &input).await,
        other => Err(ApiError::UnknownOperation(format!("Unknown operation {other}"))),
    }?;
    serde_json::to_vec(&output).map_err(|_| ApiError::Internal)
}

/// Keeps room for a body until its call is done. One that does not say how long it is may be as long as any.
fn room(app: &App, body: &Body) -> Result<OwnedSemaphorePermit, ApiError> {
    let bytes = body.size_hint().upper().unwrap_or(u64::MAX).min(MAX_BODY as u64);
    Arc::clone(&app.room)
        .try_acquire_many_owned(u32::try_from(bytes).unwrap_or(u32::MAX))
        .map_err(|_| ApiError::Unavailable(put::SLOW_DOWN.to_owned()))
}

fn operation<'h>(method: &Method, headers: &'h HeaderMap) -> Result<&'h str, ApiError> {
    let unknown = |why: &str| ApiError::UnknownOperation(why.to_owned());
    if method != Method::POST {
        return Err(unknown("The Firehose API takes POST"));
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let json = text("content-type").is_some_and(|value| value.starts_with("application/x-amz-json-1."));
    if !json {
        return Err(unknown("The Firehose API takes application/x-amz-json-1.1"));
    }
    text("x-amz-target")
        .and_then(|target| target.strip_prefix(TARGET))
        .ok_or_else(|| unknown("x-amz-target names no Firehose operation"))
}

/// The region in the signature's scope. The signature itself is not checked.
fn signed_region(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(authorization) = headers.get(header::AUTHORIZATION) else {
        return Err(ApiError::MissingToken);
    };
    let text = authorization.to_str().unwrap_or_default();
    let Some(rest) = text.strip_prefix("AWS4-HMAC-SHA256") else {
        return Err(ApiError::IncompleteSignature(
            "Authorization header requires 'AWS4-HMAC-SHA256'.".to_owned(),
        ));
    };
    let Some((_, credential)) = rest.split_once("Credential=") else {
        return Err(ApiError::IncompleteSignature(
            "Authorization header requires 'Credential' parameter.".to_owned(),
        ));
    };
    let scope = credential.split(',').next().unwrap_or_default();
    // <key>/<date>/<region>/firehose/aws4_request
    let region = scope.trim().split('/').rev().nth(2).unwrap_or_default();
    let plain = !region.is_empty() && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Ok(plain.then(|| region.to_owned()))
}

fn parse(body: &Bytes) -> Result<Value, ApiError> {
    serde_json::from_slice(body).map_err(|_| ApiError::Serialization("The request body is not valid JSON".to_owned()))
}
