//! The Firehose API, through its routes: a call is done, or refused as AWS refuses it; never a failure of the server.
//!
//! Input: lines `operation`, `authorization`, then the body. Put calls stop where records would be stored. Streams are not
//! created or changed for real: their configurations are read, stored and read back.

#![no_main]

#[path = "../../../infra/local/src/client.rs"]
#[allow(dead_code, reason = "the deliveries use half of it")]
mod client;

#[path = "../../../infra/local/src/firehose"]
#[allow(dead_code, unused_imports, reason = "the server uses the rest")]
mod firehose {
    pub(crate) mod api;
    pub(crate) mod backup;
    pub(crate) mod clock;
    pub(crate) mod config;
    pub(crate) mod deliver;
    pub(crate) mod faults;
    pub(crate) mod files;
    pub(crate) mod ledger;
    pub(crate) mod spool;
    pub(crate) mod stream;
}

#[path = "../../../infra/local/src/metrics"]
#[allow(dead_code, reason = "the server uses the rest")]
mod metrics {
    pub(crate) mod exposition;
}

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use firehose::api::{App, ROOM, model, router, validate::validate};
use firehose::config::Destination;
use firehose::faults::Faults;
use firehose::stream::Registry;
use http::Request;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tower::ServiceExt;

const STREAM: &str = r#"{"DeliveryStreamName":"s","HttpEndpointDestinationConfiguration":{"EndpointConfiguration":
    {"Url":"http://127.0.0.1:1/"},"S3Configuration":{"RoleARN":"arn:aws:iam::000000000000:role/r","BucketARN":
    "arn:aws:s3:::b"}}}"#;
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=k/20240517/eu-west-1/firehose/aws4_request, SignedHeaders=host, Signature=0";

struct Server {
    runtime: Runtime,
    router: Router,
    _folder: TempDir,
}

/// One stream, and put calls that are all throttled once they are understood.
fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let folder = TempDir::new().expect("a folder");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().build().expect("a client");
        let app = {
            let _inside = runtime.enter();
            App {
                registry: Registry::open(folder.path(), client, Default::default()).expect("an empty registry"),
                faults: Faults::new(0, 100, 0),
                account: "000000000000".to_owned(),
                region: "us-east-1".to_owned(),
                room: std::sync::Arc::new(tokio::sync::Semaphore::new(ROOM)),
            }
        };
        let server = Server {
            runtime,
            router: router(Arc::new(app)),
            _folder: folder,
        };
        assert_eq!(call(&server, "CreateDeliveryStream", SIGNED, STREAM.as_bytes()).0, 200);
        server
    })
}

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (operation, authorization, body) = (line(), line(), line());
    let (Ok(operation), Ok(authorization)) = (str::from_utf8(operation), str::from_utf8(authorization)) else {
        return;
    };
    let authorization = if authorization.is_empty() {
        SIGNED
    } else {
        authorization
    };
    configuration(body);
    if ["CreateDeliveryStream", "UpdateDestination"].contains(&operation) || operation.contains("Delete") {
        return;
    }
    let (status, answer) = call(server(), operation, authorization, body);
    match status {
        200 => assert!(answer.get("__type").is_none()),
        400 | 403 | 413 | 503 => {
            assert!(
                answer["__type"]
                    .as_str()
                    .is_some_and(|name| name.ends_with("Exception")),
                "{answer}"
            );
            assert!(answer["message"].is_string(), "{answer}");
            // Throttled: understood, and about to be stored.
            assert_eq!(status == 503, answer["__type"] == "ServiceUnavailableException");
        }
        0 => {}
        _ => panic!("{status}: {answer}"),
    }
});

/// Status and body of an answer; 0 when no request can be made of this.
fn call(server: &Server, operation: &str, authorization: &str, body: &[u8]) -> (u16, Value) {
    let request = Request::post("/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Firehose_20150804.{operation}"))
        .header("authorization", authorization)
        .body(Body::from(body.to_vec()));
    let Ok(request) = request else { return (0, Value::Null) };
    server.runtime.block_on(async {
        let response = server
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("the routes always answer");
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX)
            .await
            .expect("the body is in memory");
        (status, serde_json::from_slice(&body).expect("an answer is JSON"))
    })
}

/// A destination that is accepted is stored and read back as it was, and is described without its key.
fn configuration(body: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(body) else {
        return;
    };
    if validate(&input, model::CREATE).is_err() {
        return;
    }
    for kind in ["HttpEndpoint", "S3", "ExtendedS3"] {
        let Some(given) = input.get(format!("{kind}DestinationConfiguration")) else {
            continue;
        };
        let Ok(destination) = Destination::parse(kind, given) else {
            continue;
        };
        let stored = serde_json::to_vec(&destination).expect("a configuration is JSON");
        assert_eq!(
            serde_json::from_slice::<Destination>(&stored).expect("it is read back"),
            destination
        );
        let description = Value::Object(destination.description().expect("a description"));
        assert!(
            description
                .pointer("/HttpEndpointDestinationDescription/EndpointConfiguration/AccessKey")
                .is_none()
        );
        assert_eq!(
            destination.update(kind, &json!({})).as_ref(),
            Ok(&destination),
            "an update of nothing"
        );
    }
}
