//! What the API answers when it refuses, in the shape of AWS's json 1.1 protocol.
//!
//! Source: each operation's error list and "Common errors" in the Firehose API reference.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;
use uuid::Uuid;

use super::{CONTENT_TYPE, REQUEST_ID};

/// A refused call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// A member breaks the service model.
    #[error("{0}")]
    Validation(String),
    /// Members that do not go together, or that this server cannot do.
    #[error("{0}")]
    InvalidArgument(String),
    /// No such stream.
    #[error("Firehose {name} under account {account} not found.")]
    NotFound { name: String, account: String },
    /// No such stream, as UpdateDestination words it.
    #[error("Firehose {name} under accountId {account} not found.")]
    NotFoundToUpdate { name: String, account: String },
    /// The name is taken, or the stream is in another state.
    #[error("{0}")]
    InUse(String),
    /// Too many streams or tags.
    #[error("{0}")]
    LimitExceeded(String),
    /// The destination changed since the caller read its version.
    #[error("{0}")]
    ConcurrentModification(String),
    /// Throttled, or the disk refused: nothing of the call is stored.
    #[error("{0}")]
    Unavailable(String),
    /// The body is not JSON of the right types, or data is not base64.
    #[error("{0}")]
    Serialization(String),
    /// No such operation.
    #[error("{0}")]
    UnknownOperation(String),
    /// No Authorization header.
    #[error("Missing Authentication Token")]
    MissingToken,
    /// An Authorization header that is not a version 4 signature.
    #[error("{0}")]
    IncompleteSignature(String),
    /// The body is larger than any call may be.
    #[error("Request body is larger than {0} bytes")]
    TooLarge(usize),
    /// The body did not come in time.
    #[error("The request body did not come in time")]
    TooSlow,
    /// A fault of this server.
    #[error("The request processing has failed because of an internal error.")]
    Internal,
}

impl ApiError {
    /// The name that SDKs match on.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Validation(_) => "ValidationException",
            Self::InvalidArgument(_) => "InvalidArgumentException",
            Self::NotFound { .. } | Self::NotFoundToUpdate { .. } => "ResourceNotFoundException",
            Self::InUse(_) => "ResourceInUseException",
            Self::LimitExceeded(_) => "LimitExceededException",
            Self::ConcurrentModification(_) => "ConcurrentModificationException",
            Self::Unavailable(_) => "ServiceUnavailableException",
            Self::Serialization(_) => "SerializationException",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::MissingToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature(_) => "IncompleteSignatureException",
            Self::TooLarge(_) => "RequestEntityTooLargeException",
            Self::TooSlow => "RequestTimeoutException",
            Self::Internal => "InternalFailure",
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Validation(_)
            | Self::InvalidArgument(_)
            | Self::NotFound { .. }
            | Self::NotFoundToUpdate { .. }
            | Self::InUse(_)
            | Self::LimitExceeded(_)
            | Self::ConcurrentModification(_)
            | Self::Serialization(_)
            | Self::UnknownOperation(_) => StatusCode::BAD_REQUEST,
            Self::MissingToken | Self::IncompleteSignature(_) => StatusCode::FORBIDDEN,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The answer on the wire.
    pub(crate) fn into_response(self, request_id: Uuid) -> Response<Body> {
        let body = json!({ "__type": self.code(), "message": self.to_string() }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.code()));
        if let Ok(value) = HeaderValue::try_from(request_id.to_string()) {
            headers.insert(REQUEST_ID, value);
        }
        response
    }
}
