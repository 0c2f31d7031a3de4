//! Everything that a delivery can fail with, in one catalogue. No status is 413: Firehose drops what gets one.

use edge::body::BodyError;
use edge::clickhouse::WarehouseError;
use http::StatusCode;

/// Most bytes that a compressed delivery may inflate to. Firehose itself buffers at most 64 MiB.
pub const MAX_INFLATED_BYTES: usize = 64 * 1024 * 1024;

/// Why a delivery failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The access key is missing or another.
    #[error("wrong access key")]
    WrongKey,
    /// Firehose posts.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// Not protocol version 1.0.
    #[error("unknown protocol version")]
    UnknownVersion,
    /// The body cannot be inflated.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// Not the JSON of a delivery.
    #[error("not a delivery")]
    NotADelivery {
        /// Where the fault is, from 1.
        line: usize,
        /// Where in that line, from 1.
        column: usize,
    },
    /// More records than Firehose sends.
    #[error("too many records")]
    TooManyRecords {
        /// How many it may be.
        limit: usize,
    },
    /// The request id in the body is not that of the header.
    #[error("two request ids")]
    TwoRequestIds,
    /// No time is left to insert.
    #[error("no time left")]
    NoTime,
    /// ClickHouse did not take the rows.
    #[error(transparent)]
    Warehouse(#[from] WarehouseError),
}

impl Error {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Error::WrongKey => "wrong_key",
            Error::MethodNotAllowed => "method_not_allowed",
            Error::UnknownVersion => "unknown_protocol_version",
            Error::Body(error) => error.problem().code,
            Error::NotADelivery { .. } => "not_a_delivery",
            Error::TooManyRecords { .. } => "too_many_records",
            Error::TwoRequestIds => "two_request_ids",
            Error::NoTime => "no_time",
            Error::Warehouse(error) => error.code(),
        }
    }

    /// The HTTP status. Firehose tries every one of these again.
    pub fn status(&self) -> StatusCode {
        match self {
            Error::WrongKey => StatusCode::UNAUTHORIZED,
            Error::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Error::UnknownVersion
            | Error::Body(_)
            | Error::NotADelivery { .. }
            | Error::TooManyRecords { .. }
            | Error::TwoRequestIds => StatusCode::BAD_REQUEST,
            Error::NoTime => StatusCode::SERVICE_UNAVAILABLE,
            Error::Warehouse(error) => match error {
                WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_) => StatusCode::SERVICE_UNAVAILABLE,
                WarehouseError::Refused { .. } | WarehouseError::Garbled(_) => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// What goes into `errorMessage`, which ends up in Firehose's logs and backup records.
    pub fn message(&self) -> String {
        match self {
            Error::WrongKey => "the access key is missing or wrong".to_owned(),
            Error::MethodNotAllowed => "deliveries are posted".to_owned(),
            Error::UnknownVersion => "only protocol version 1.0 is spoken here".to_owned(),
            Error::Body(error) => error.to_string(),
            Error::NotADelivery { line, column } => {
                format!("the body is not a delivery (line {line}, column {column})")
            }
            Error::TooManyRecords { limit } => format!("the delivery has more than {limit} records"),
            Error::TwoRequestIds => "the request id of the body is not that of the header".to_owned(),
            Error::NoTime => "no time was left to insert".to_owned(),
            Error::Warehouse(WarehouseError::Refused { code: Some(code), .. }) => {
                format!("ClickHouse refused the rows with exception {code}")
            }
            Error::Warehouse(error) => error.to_string(),
        }
    }
}
