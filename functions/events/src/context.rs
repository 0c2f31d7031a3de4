//! What the function needs, made once at start.

use edge::config::{ConfigError, Lookup, Reader};
use edge::{Body, Function, Request, Response};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Error;
use crate::firehose::{Firehose, FirehoseConfig};

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events go.
    pub firehose: FirehoseConfig,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let firehose = FirehoseConfig::read(&mut reader);
        reader.finish(Config { firehose })
    }
}

/// What a request is handled with. Time and ids come from here, so that tests can choose them.
pub struct Context {
    /// Where events go.
    pub firehose: Firehose,
    /// The current instant.
    pub now: fn() -> Timestamp,
    /// An id for an event that has none: a UUIDv7, so that ids follow time.
    pub new_id: fn() -> Uuid,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            firehose: Firehose::new(config.firehose),
            now: edge::clock::now,
            new_id: Uuid::now_v7,
        }
    }
}

impl Function for Context {
    type Error = Error;

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    async fn handle(&self, request: Request) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, request).await
    }
}
