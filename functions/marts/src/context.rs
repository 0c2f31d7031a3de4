//! What a function needs, made once at start.

use std::marker::PhantomData;

use clickhouse::query::Query;
use clickhouse::{Client, RowOwned, RowRead};
use edge::auth::{self, Keys};
use edge::clickhouse::ClickHouseConfig;
use edge::config::{ConfigError, Lookup, Reader};
use edge::{Body, Function, Record, Request, Response};
use jiff::Timestamp;

use crate::failure::Error;
use crate::mart::Mart;

/// A mart that is read from ClickHouse.
pub trait Read: Mart<Row: RowOwned + RowRead> {
    /// The query. What was asked for goes into it as parameters of ClickHouse's, `{name: Type}`, never as text. Of a mart with pages
    /// it may give one row more than a page has: that there are more.
    fn query(client: &Client, question: &Self::Question) -> Query;
}

/// The configuration of a function.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the mart is.
    pub clickhouse: ClickHouseConfig,
    /// Who may read.
    pub read_keys: Keys,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Config {
            clickhouse: ClickHouseConfig::read(&mut reader),
            read_keys: Keys::read(&mut reader, &auth::READ),
        };
        reader.finish(config)
    }
}

/// What a request is answered with.
pub struct Context<M> {
    /// Where the mart is.
    pub clickhouse: Client,
    /// Who may read.
    pub read_keys: Keys,
    /// The current instant; its UTC day is «today».
    pub now: fn() -> Timestamp,
    mart: PhantomData<M>,
}

impl<M> Context<M> {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            clickhouse: config.clickhouse.client(),
            read_keys: config.read_keys,
            now: edge::clock::now,
            mart: PhantomData,
        }
    }
}

impl<M: Read> Function for Context<M> {
    type Error = Error;

    const NAME: &'static str = M::NAME;

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        const { &[M::PATH] }
    }

    async fn handle(&self, request: Request, _: &mut Record) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, request).await
    }
}
