//! The configured ClickHouse client, and what its failures mean.

mod connect;
mod exception;
mod said;

use std::future::Future;
use std::time::Duration;

use clickhouse::Client;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Reader;

pub use exception::Exception;
pub use said::Said;

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

/// Why ClickHouse did not do what it was asked. Neither `Display` nor `Debug` nor a source holds ClickHouse's own words, so that no
/// log does: they may quote data. [`WarehouseError::in_full`] has them, for an operator at a terminal.
#[derive(Debug, thiserror::Error)]
pub enum WarehouseError {
    /// No connection, or it broke. What the network says quotes nothing.
    #[error("ClickHouse cannot be reached")]
    Unreachable(#[source] clickhouse::error::Error),
    /// No answer in time; whether it was done is not known.
    #[error("ClickHouse did not answer within {0:?}")]
    TimedOut(Duration),
    /// ClickHouse answered with an exception; `code` is its number (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>).
    #[error("ClickHouse refused: {said}")]
    Refused {
        /// The exception's number, when there is one.
        code: Option<u32>,
        /// What it said.
        said: Said,
    },
    /// The answer is not what was asked for.
    #[error("ClickHouse's answer cannot be read")]
    Garbled(Said),
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

    /// The error with ClickHouse's own words. They may quote data: for an operator at a terminal, not for a log.
    pub fn in_full(&self) -> String {
        match self {
            WarehouseError::Refused { said, .. } | WarehouseError::Garbled(said) => format!("{self}: {}", said.words()),
            WarehouseError::Unreachable(_) | WarehouseError::TimedOut(_) => crate::chain(self),
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
            Error::BadResponse(_) => {
                let said = Said::from(&error);
                WarehouseError::Refused {
                    code: said.exception(),
                    said,
                }
            }
            _ => WarehouseError::Garbled(Said::from(&error)),
        }
    }
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

    /// Whatever way a log is written.
    #[test]
    fn clickhouses_words_are_in_no_log() {
        use clickhouse::error::Error;
        let words = "Code: 469. DB::Exception: Constraint is violated at 'secret'";
        for (error, shown) in [
            (
                Error::BadResponse(words.to_owned()),
                "ClickHouse refused: exception 469",
            ),
            (
                Error::BadResponse("secret".to_owned()),
                "ClickHouse refused: no exception's number",
            ),
            (Error::Custom("secret".to_owned()), "ClickHouse's answer cannot be read"),
            (
                Error::SchemaMismatch("secret".to_owned()),
                "ClickHouse's answer cannot be read",
            ),
            (
                Error::Other("secret".to_owned().into()),
                "ClickHouse's answer cannot be read",
            ),
        ] {
            let error = WarehouseError::from(error);
            assert_eq!(crate::chain(&error), shown);
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            assert!(error.in_full().starts_with(shown) && error.in_full().contains("secret"));
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
