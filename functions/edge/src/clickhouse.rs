//! The configured ClickHouse client, and what its failures mean.

mod connect;
mod exception;

use std::future::Future;
use std::time::Duration;

use clickhouse::Client;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Reader;

pub use exception::Exception;

/// How long ClickHouse may take to accept a connection: an address that swallows what is sent to it must not cost all of
/// the time that a retry would have had.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest wait for one piece of a request to leave.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Which ClickHouse, as whom.
#[derive(Debug, Clone)]
pub struct ClickHouseConfig {
    /// `CLICKHOUSE_URL`, required.
    pub url: String,
    /// `CLICKHOUSE_USER`, default `default`.
    pub user: String,
    /// `CLICKHOUSE_PASSWORD`, default empty.
    pub password: SecretString,
    /// `CLICKHOUSE_DATABASE`, default `analytics`.
    pub database: String,
}

impl ClickHouseConfig {
    /// Reads the four values.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        ClickHouseConfig {
            url: reader.required_url("CLICKHOUSE_URL", "the HTTP address of ClickHouse"),
            user: reader.or("CLICKHOUSE_USER", "default"),
            password: reader.or("CLICKHOUSE_PASSWORD", "").into(),
            database: reader.or("CLICKHOUSE_DATABASE", "analytics"),
        }
    }

    /// A client. Connects when it is first used; clones share its connections.
    pub fn client(&self) -> Client {
        self.client_within(CONNECT_TIMEOUT)
    }

    /// As [`ClickHouseConfig::client`], with that long to connect.
    pub fn client_within(&self, connect: Duration) -> Client {
        let client = connect::client(&self.url, connect)
            .with_user(&self.user)
            .with_database(&self.database);
        match self.password.expose_secret() {
            "" => client,
            password => client.with_password(password),
        }
    }
}

/// Why ClickHouse did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// No connection, or it broke.
    #[error("ClickHouse cannot be reached")]
    Unreachable(#[source] clickhouse::error::Error),
    /// No answer in time; whether it was done is not known.
    #[error("ClickHouse did not answer within {0:?}")]
    TimedOut(Duration),
    /// ClickHouse answered with an exception; `code` is its number (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>).
    #[error("ClickHouse refused")]
    Refused {
        /// The exception's number, when there is one.
        code: Option<u32>,
        /// What it said. May quote data: for the log only.
        #[source]
        source: clickhouse::error::Error,
    },
    /// The answer is not what was asked for.
    #[error("ClickHouse's answer cannot be read")]
    Garbled(#[source] clickhouse::error::Error),
}

impl WarehouseError {
    /// A stable name for the reason.
    pub fn code(&self) -> &'static str {
        match self {
            WarehouseError::Unreachable(_) => "warehouse_unreachable",
            WarehouseError::TimedOut(_) => "warehouse_timeout",
            WarehouseError::Refused { .. } => "warehouse_refused",
            WarehouseError::Garbled(_) => "warehouse_garbled",
        }
    }

    /// The exception's number, when ClickHouse answered with one.
    pub fn exception(&self) -> Option<u32> {
        match self {
            WarehouseError::Refused { code, .. } => *code,
            WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_) | WarehouseError::Garbled(_) => None,
        }
    }

    /// What was wrong with the data, when that is why ClickHouse refused it. Everything else may work later.
    pub fn bad_data(&self) -> Option<Exception> {
        self.exception().and_then(Exception::bad_data)
    }
}

impl From<clickhouse::error::Error> for WarehouseError {
    fn from(error: clickhouse::error::Error) -> Self {
        use clickhouse::error::Error;
        match error {
            Error::Network(_) => WarehouseError::Unreachable(error),
            Error::TimedOut => WarehouseError::TimedOut(SEND_TIMEOUT),
            Error::BadResponse(ref text) => WarehouseError::Refused {
                code: exception_code(text),
                source: error,
            },
            _ => WarehouseError::Garbled(error),
        }
    }
}

/// The number in `Code: 60. DB::Exception: …`.
fn exception_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Runs something against ClickHouse, connecting included, for at most `limit`.
pub async fn within<T>(
    limit: Duration,
    work: impl Future<Output = clickhouse::error::Result<T>>,
) -> Result<T, WarehouseError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(WarehouseError::TimedOut(limit)),
    }
}

/// Bounds several steps together, each of which may be bounded by [`within`].
pub async fn within_all<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, WarehouseError>>,
) -> Result<T, WarehouseError> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or(Err(WarehouseError::TimedOut(limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exception_codes() {
        for (text, code) in [
            (
                "Code: 60. DB::Exception: Table analytics.users_activity does not exist.",
                Some(60),
            ),
            ("Code: 516. DB::Exception: default: Authentication failed", Some(516)),
            ("404 page not found", None),
            ("Code: x", None),
        ] {
            assert_eq!(exception_code(text), code, "{text}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let lookup = |key: &str| (key == "CLICKHOUSE_PASSWORD").then(|| "hunter2".to_owned());
        let config = ClickHouseConfig::read(&mut Reader::new(&lookup));
        assert!(!format!("{config:?}").contains("hunter2"));
        assert_eq!(config.database, "analytics");
    }
}
