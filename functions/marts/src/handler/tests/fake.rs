//! A small server that answers as ClickHouse does, for the tests of every function that reads a mart.

#![allow(dead_code, reason = "no function uses all of it")]

use edge::{Body, Function, Response};

pub(crate) use self::server::{Cell, Server, rows};
use super::{Context, Read};

#[path = "server.rs"]
mod server;

/// A function in front of a ClickHouse that always answers the same. It is the 23rd of November 2026.
pub(crate) struct Fake<M> {
    pub(crate) context: Context<M>,
    server: Server,
}

impl<M: Read> Fake<M> {
    /// One that may be read by everybody.
    pub(crate) async fn answering(status: u16, body: Vec<u8>) -> Self {
        Self::configured(status, body, &[]).await
    }

    /// One with these variables.
    pub(crate) async fn configured(status: u16, body: Vec<u8>, variables: &[(&str, &str)]) -> Self {
        let server = Server::start(move |_| (status, body.clone())).await;
        let context = context(&server.url, variables);
        Fake { context, server }
    }

    /// What the function answers.
    pub(crate) async fn get(&self, uri: &str, accept: &str) -> Response<Body> {
        let request = http::Request::get(uri).header("accept", accept).body(Body::Empty);
        edge::answer(&self.context, request.unwrap()).await.0
    }

    /// The status and the body of an answer.
    pub(crate) async fn read(&self, uri: &str, accept: &str) -> (u16, String) {
        let response = self.get(uri, accept).await;
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), body)
    }

    /// What ClickHouse was asked last.
    pub(crate) fn asked(&self) -> String {
        self.server.asked().pop().unwrap_or_default()
    }

    /// What a parameter of the last query was.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        server::parameter(&self.asked(), name)
    }
}

/// The context of a function whose ClickHouse is at that address.
pub(crate) fn context<M: Read>(url: &str, variables: &[(&str, &str)]) -> Context<M> {
    let lookup = |key: &str| match key {
        "CLICKHOUSE_URL" => Some(url.to_owned()),
        _ => variables
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, value)| (*value).to_owned()),
    };
    let mut context = <Context<M> as Function>::from_lookup(&lookup).unwrap();
    // What the test server sends is plain.
    context.clickhouse = context.clickhouse.with_compression(clickhouse::Compression::None);
    context.now = || "2026-11-23T23:59:59Z".parse().unwrap();
    context
}
