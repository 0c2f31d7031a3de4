//! What the function needs, made once at start.

use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Body, Function, Record, Request, Response};
use jiff::Timestamp;

use crate::failure::Error;

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the mart is.
    pub clickhouse: ClickHouseConfig,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let clickhouse = ClickHouseConfig::read(&mut reader);
        reader.finish(Config { clickhouse })
    }
}

/// What a request is answered with.
pub struct Context {
    /// Where the mart is.
    pub clickhouse: clickhouse::Client,
    /// The current instant; its UTC day is «today».
    pub now: fn() -> Timestamp,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            clickhouse: config.clickhouse.client(),
            now: edge::clock::now,
        }
    }
}

impl Function for Context {
    type Error = Error;

    const NAME: &'static str = "activity";

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        &["/activity"]
    }

    async fn handle(&self, request: Request, _: &mut Record) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, request).await
    }
}
