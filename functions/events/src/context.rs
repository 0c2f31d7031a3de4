//! What the function needs, made once at start.

use edge::auth::{self, Keys};
use edge::config::{ConfigError, Lookup, Reader};
use edge::cors::Cors;
use edge::{Body, Function, Record, Request, Response};
use jiff::Timestamp;
use uuid::Uuid;

use crate::error::Error;
use crate::firehose::{Firehose, FirehoseConfig};
use crate::ids::Ids;

/// What pages may use, as a preflight is answered.
pub const CORS_METHODS: &str = "POST";
/// The headers that pages may set.
pub const CORS_HEADERS: &str = "authorization, content-encoding, content-type, idempotency-key, x-write-key";

/// The configuration of the function.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where events go.
    pub firehose: FirehoseConfig,
    /// Who may send.
    pub write_keys: Keys,
    /// Which pages may send.
    pub cors: Cors,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Config {
            firehose: FirehoseConfig::read(&mut reader),
            write_keys: Keys::read(&mut reader, &auth::WRITE),
            cors: Cors::read(&mut reader, CORS_METHODS, CORS_HEADERS),
        };
        reader.finish(config)
    }
}

/// What a request is handled with. Time and ids come from here, so that tests can choose them.
pub struct Context {
    /// Where events go.
    pub firehose: Firehose,
    /// Who may send.
    pub write_keys: Keys,
    /// Which pages may send.
    pub cors: Cors,
    /// The current instant.
    pub now: fn() -> Timestamp,
    /// An id for an event that has none: a UUIDv7, so that ids follow time.
    pub new_id: fn(&mut Ids) -> Uuid,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            firehose: Firehose::new(config.firehose),
            write_keys: config.write_keys,
            cors: config.cors,
            now: edge::clock::now,
            new_id: Ids::next_id,
        }
    }
}

impl Function for Context {
    type Error = Error;

    const NAME: &'static str = "events";

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        &["/events", "/events/validate"]
    }

    fn cors(&self) -> Option<&Cors> {
        Some(&self.cors)
    }

    async fn handle(&self, request: Request, record: &mut Record) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, request, record).await
    }
}
