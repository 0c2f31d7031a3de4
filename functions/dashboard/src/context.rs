//! What the function needs, made once at start.

use clickhouse::Client;
use edge::auth::Keys;
use edge::config::{ConfigError, Lookup};
use edge::{Body, Function, Record, Request, Response};
use jiff::Timestamp;
use marts::{Config, Error};

/// What a request is answered with.
pub struct Context {
    /// Where the marts and the events are.
    pub clickhouse: Client,
    /// Who may read.
    pub read_keys: Keys,
    /// The current instant; its UTC day is «today».
    pub now: fn() -> Timestamp,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            clickhouse: config.clickhouse.client(),
            read_keys: config.read_keys,
            now: edge::clock::now,
        }
    }
}

impl Function for Context {
    type Error = Error;

    const NAME: &'static str = "dashboard";

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        crate::handler::ROUTES
    }

    async fn handle(&self, request: Request, _: &mut Record) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, &request).await
    }
}
