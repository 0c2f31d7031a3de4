//! A small server that answers as ClickHouse does, for the tests of every function that reads.

#![allow(dead_code, reason = "no function uses all of it")]

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

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
    SomeU64(u64),
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
            Cell::SomeU64(number) => {
                out.push(0);
                out.extend(number.to_le_bytes());
            }
            Cell::Text(value) => text(value, &mut out),
        }
    }
    out
}

/// A ClickHouse.
pub(crate) struct Server {
    /// Where it is.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// One that answers what it is asked with a status and a body.
    pub(crate) async fn start(answer: impl Fn(&str) -> (u16, Vec<u8>) + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let told = asked.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (answer, told) = (answer.clone(), told.clone());
                let service = service_fn(move |request: hyper::Request<Incoming>| {
                    let (answer, told) = (answer.clone(), told.clone());
                    async move {
                        let sent = request.into_body().collect().await?.to_bytes();
                        let sent = String::from_utf8_lossy(&sent).into_owned();
                        let (status, body) = answer(&sent);
                        told.lock().unwrap().push(sent);
                        let mut response = hyper::Response::new(Full::new(Bytes::from(body)));
                        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                        Ok::<_, hyper::Error>(response)
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Server { url, asked }
    }

    /// What it was asked, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// What a parameter of a query was: they travel beside it, as the fields of a form.
pub(crate) fn parameter(asked: &str, name: &str) -> Option<String> {
    let (_, rest) = asked.split_once(&format!("\"param_{name}\"\r\n\r\n"))?;
    rest.split_once("\r\n").map(|(value, _)| value.to_owned())
}
