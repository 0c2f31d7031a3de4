//! What the function needs, made once at start.

use std::convert::Infallible;

use edge::auth::AccessKey;
use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Body, Function, Record, Request, Response};
use http::StatusCode;
use jiff::Timestamp;

use crate::handler;

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// `FIREHOSE_ACCESS_KEY`, required: what Firehose must send as `X-Amz-Firehose-Access-Key`.
    pub access_key: AccessKey,
    /// Where rows go.
    pub clickhouse: ClickHouseConfig,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let access_key = AccessKey::read(
            &mut reader,
            "FIREHOSE_ACCESS_KEY",
            "the access key that Firehose sends to the loader",
        );
        let clickhouse = ClickHouseConfig::read(&mut reader);
        reader.finish_some(access_key.map(|access_key| Config { access_key, clickhouse }))
    }
}

/// What a delivery is handled with.
pub struct Context {
    /// What Firehose must send.
    pub access_key: AccessKey,
    /// Where rows go.
    pub clickhouse: clickhouse::Client,
    /// The current instant.
    pub now: fn() -> Timestamp,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            access_key: config.access_key,
            clickhouse: config.clickhouse.client(),
            now: edge::clock::now,
        }
    }
}

impl Function for Context {
    type Error = Infallible;

    const NAME: &'static str = "loader";

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        &["/"]
    }

    async fn handle(&self, request: Request, record: &mut Record) -> Result<Response<Body>, Infallible> {
        Ok(handler::handle(self, request, record).await)
    }

    /// Firehose drops what is answered 413 for good, so a delivery that is too large gets another status.
    fn too_large(&self, limit: usize) -> Response<Body> {
        let reason = format!("the delivery is larger than {limit} bytes: lower the stream's buffer size");
        handler::reply(StatusCode::BAD_REQUEST, "", (self.now)(), Some(&reason))
    }
}
