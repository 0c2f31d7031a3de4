//! A small server that answers as ClickHouse does, for the tests of every function that reads a mart.

#![allow(dead_code, reason = "no function uses all of it")]

use std::sync::{Arc, Mutex};

use edge::{Body, Function, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::{Context, Read};

/// One value, as RowBinary has it.
pub(crate) enum Cell {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    F64(f64),
    Null,
    Some(f64),
    SomeU32(u32),
    Text(&'static str),
}

/// Rows as RowBinaryWithNamesAndTypes.
pub(crate) fn rows<const N: usize>(columns: [(&str, &str); N], rows: &[[Cell; N]]) -> Vec<u8> {
    let mut out = vec![N as u8];
    let text = |text: &str, out: &mut Vec<u8>| {
        out.push(text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    };
    columns.iter().for_each(|(name, _)| text(name, &mut out));
    columns.iter().for_each(|(_, kind)| text(kind, &mut out));
    for cell in rows.iter().flatten() {
        match cell {
            Cell::U8(number) => out.push(*number),
            Cell::U16(number) => out.extend(number.to_le_bytes()),
            Cell::U32(number) => out.extend(number.to_le_bytes()),
            Cell::U64(number) => out.extend(number.to_le_bytes()),
            Cell::F64(number) => out.extend(number.to_le_bytes()),
            Cell::Null => out.push(1),
            Cell::Some(number) => {
                out.push(0);
                out.extend(number.to_le_bytes());
            }
            Cell::SomeU32(number) => {
                out.push(0);
                out.extend(number.to_le_bytes());
            }
            Cell::Text(value) => text(value, &mut out),
        }
    }
    out
}

/// A function in front of a ClickHouse that always answers the same. It is the 23rd of November 2026.
pub(crate) struct Fake<M> {
    pub(crate) context: Context<M>,
    asked: Arc<Mutex<String>>,
}

impl<M: Read> Fake<M> {
    /// One that may be read by everybody.
    pub(crate) async fn answering(status: u16, body: Vec<u8>) -> Self {
        Self::configured(status, body, &[]).await
    }

    /// One with these variables.
    pub(crate) async fn configured(status: u16, body: Vec<u8>, variables: &[(&str, &str)]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(String::new()));
        let last = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (body, last) = (Bytes::from(body.clone()), last.clone());
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let mut response = hyper::Response::new(Full::new(body.clone()));
                    *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                    let last = last.clone();
                    async move {
                        let sent = request.into_body().collect().await?.to_bytes();
                        *last.lock().unwrap() = String::from_utf8_lossy(&sent).into_owned();
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        let context = context(&url, variables);
        Fake { context, asked }
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
        self.asked.lock().unwrap().clone()
    }

    /// What a parameter of the last query was: they travel beside it, as the fields of a form.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let asked = self.asked();
        let (_, rest) = asked.split_once(&format!("\"param_{name}\"\r\n\r\n"))?;
        rest.split_once("\r\n").map(|(value, _)| value.to_owned())
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
