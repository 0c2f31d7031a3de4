//! The functions' addresses in front of cargo-lambda: what a function URL is on AWS.
//!
//! cargo-lambda serves addresses too, but answers 500 to what a function URL passes on: a body that is not UTF-8, such as
//! a compressed one, under a type of text. So requests become events here, by the code that the plain servers use, and
//! cargo-lambda gets them as invocations
//! (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).

use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge::server::{self, Refusal, Responder};
use edge::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse, Body, Response, problem};
use reqwest::{Client, StatusCode};
use tokio_util::sync::CancellationToken;

use super::settings::FUNCTIONS;

/// Where each path leads, but for those under `/lambda-url/<function>`, which lead to that function. cargo-lambda's own
/// router, in the root Cargo.toml, says the same to those who run it alone.
const ROUTES: [(&str, &str); 10] = [
    ("/events", "events"),
    ("/activity", "activity"),
    ("/sessions", "sessions"),
    ("/experiments", "experiments"),
    ("/retention", "retention"),
    ("/funnel", "funnel"),
    ("/dashboard", "dashboard"),
    ("/docs", "docs"),
    ("/redoc", "docs"),
    ("/openapi.json", "docs"),
];

/// Serves the functions' addresses until it is dropped.
#[derive(Debug)]
pub(super) struct FunctionUrls {
    stop: CancellationToken,
}

impl FunctionUrls {
    /// Listens on `port`, and invokes functions at the cargo-lambda on `watch`.
    pub(super) async fn start(port: u16, watch: u16) -> anyhow::Result<Self> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("port {port} for the functions cannot be used"))?;
        let invoker = Invoker {
            client: crate::client::builder().build().context("no HTTP client can be made")?,
            base: format!("http://127.0.0.1:{watch}/2015-03-31/functions"),
        };
        let stop = CancellationToken::new();
        tokio::spawn(server::run(listener, Arc::new(invoker), stop.clone().cancelled_owned()));
        Ok(Self { stop })
    }
}

impl Drop for FunctionUrls {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Invokes functions.
struct Invoker {
    client: Client,
    base: String,
}

impl Responder for Invoker {
    async fn respond(&self, mut event: ApiGatewayV2httpRequest) -> Response<Body> {
        let path = event.raw_path.clone().unwrap_or_default();
        let Some((function, path)) = route(&path) else {
            return problem::NOT_FOUND.response(None);
        };
        event.raw_path = Some(path.to_owned());
        match self.invoke(function, &event).await {
            Ok(answer) => response(answer),
            Err(why) => {
                tracing::warn!(function, %why, "no answer");
                unanswered()
            }
        }
    }

    fn refuse(&self, refusal: Refusal, request: &http::request::Parts) -> Response<Body> {
        let response = refusal.response();
        let function = route(request.uri.path()).map(|(function, _)| function);
        tracing::info!(function, status = response.status().as_u16(), "a body was not read");
        response
    }
}

impl Invoker {
    async fn invoke(
        &self,
        function: &str,
        event: &ApiGatewayV2httpRequest,
    ) -> anyhow::Result<ApiGatewayV2httpResponse> {
        let url = format!("{}/{function}/invocations", self.base);
        let answer = self.client.post(url).body(serde_json::to_vec(event)?).send().await?;
        let (status, body) = (answer.status(), answer.bytes().await?);
        // What the function says is not repeated: it may quote data.
        anyhow::ensure!(status == StatusCode::OK, "cargo-lambda answered {status}");
        serde_json::from_slice(&body)
            .ok()
            .context("the function answered with an error")
    }
}

/// The function that a path leads to, and the path that it sees.
fn route(path: &str) -> Option<(&'static str, &str)> {
    if let Some(rest) = path.strip_prefix("/lambda-url/") {
        let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let function = FUNCTIONS.into_iter().find(|function| *function == name)?;
        return Some((function, if path.is_empty() { "/" } else { path }));
    }
    ROUTES.into_iter().find_map(|(prefix, function)| {
        let rest = path.strip_prefix(prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((function, path))
    })
}

fn response(answer: ApiGatewayV2httpResponse) -> Response<Body> {
    let status = u16::try_from(answer.status_code).ok();
    let Some(status) = status.and_then(|status| StatusCode::from_u16(status).ok()) else {
        return unanswered();
    };
    let body = match answer.body {
        Some(Body::Text(text)) if answer.is_base64_encoded => match STANDARD.decode(text) {
            Ok(bytes) => Body::Binary(bytes),
            Err(_) => return unanswered(),
        },
        body => body.unwrap_or(Body::Empty),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = answer.headers;
    for (name, value) in &answer.multi_value_headers {
        if !response.headers().contains_key(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    response
}

/// What a function URL answers for a function that did not.
fn unanswered() -> Response<Body> {
    edge::respond::json(
        StatusCode::BAD_GATEWAY,
        r#"{"Message":"Internal Server Error"}"#.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn paths_lead_to_functions() {
        for (path, expected) in [
            ("/events", Some(("events", "/events"))),
            ("/events/", Some(("events", "/events/"))),
            ("/events/validate", Some(("events", "/events/validate"))),
            ("/eventsx", None),
            ("/docs/swagger-ui.css", Some(("docs", "/docs/swagger-ui.css"))),
            ("/lambda-url/loader", Some(("loader", "/"))),
            ("/lambda-url/loader/", Some(("loader", "/"))),
            ("/lambda-url/events/events", Some(("events", "/events"))),
            ("/lambda-url/nobody/", None),
            ("/", None),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    /// Those who run `cargo lambda watch` alone find the same functions at the same paths.
    #[test]
    fn the_router_of_cargo_lambda_says_the_same() {
        let manifest = include_str!("../../../../Cargo.toml");
        let (_, router) = manifest
            .split_once("[workspace.metadata.lambda.watch.router]\n")
            .unwrap();
        let mut routed = BTreeSet::new();
        for line in router.lines().take_while(|line| !line.is_empty()) {
            let (path, function) = line.split_once(" = ").unwrap();
            let (path, function) = (path.trim_matches('"'), function.trim_matches('"'));
            let example = path.replace("{*file}", "file.js");
            assert_eq!(route(&example).map(|(function, _)| function), Some(function), "{line}");
            routed.extend(
                ROUTES
                    .iter()
                    .map(|(prefix, _)| *prefix)
                    .filter(|prefix| *prefix == path),
            );
        }
        assert_eq!(routed.len(), ROUTES.len());
    }
}
