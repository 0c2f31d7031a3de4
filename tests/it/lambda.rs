//! The functions as Lambda runs them, against a runtime API of the test's own: what SIGTERM does to them, and what they write.

use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::held::Held;
use crate::process::{PATIENCE, eventually, setting};

/// A runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>) with some invocations to give.
pub struct Runtime {
    address: String,
    inner: Arc<Mutex<Inner>>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Inner {
    waiting: Vec<Value>,
    /// How often the next invocation was asked for.
    asked: usize,
    /// Answers by invocation, and whether each is one.
    answers: Vec<(String, Value)>,
}

impl Runtime {
    /// Listens on a free port; the last of these is given first.
    pub async fn start(invocations: &[Value]) -> anyhow::Result<Self> {
        let inner = Arc::new(Mutex::new(Inner {
            waiting: invocations.to_vec(),
            ..Inner::default()
        }));
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(answered))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(answered))
            .with_state(Arc::clone(&inner));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { address, inner, server })
    }

    /// Starts a function that asks this API for work.
    fn function(&self, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Child> {
        self.command(name, variables)?.spawn().context(name.to_owned())
    }

    /// The same, not started.
    pub fn command(&self, name: &str, variables: &[(&str, &str)]) -> anyhow::Result<Command> {
        let built = setting("WEIR_BIN");
        let program = built.parent().context("a folder")?.join(name);
        let mut command = Command::new(&program);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", &self.address)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// What the invocations were answered.
    pub fn answers(&self) -> Vec<Value> {
        self.inner().answers.iter().map(|(_, answer)| answer.clone()).collect()
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it was asked for work so often.
    pub async fn asked(&self, times: usize) -> anyhow::Result<()> {
        eventually("the function asks for work", async || {
            Ok((self.inner().asked >= times).then_some(()))
        })
        .await
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(inner): State<Arc<Mutex<Inner>>>) -> Response {
    let (number, event) = {
        let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.asked += 1;
        (inner.asked, inner.waiting.pop())
    };
    let Some(event) = event else {
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", format!("r-{number}")),
        // What `cargo lambda watch` says.
        ("lambda-runtime-deadline-ms", "600000".to_owned()),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:f".to_owned()),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(State(inner): State<Arc<Mutex<Inner>>>, Path(id): Path<String>, body: String) -> StatusCode {
    let answer = serde_json::from_str(&body).unwrap_or(Value::Null);
    let mut inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
    inner.answers.push((id, answer));
    StatusCode::ACCEPTED
}

/// `POST /events` as a function URL sends it.
fn request() -> Value {
    let event = json!({"dt": "2024-05-17T10:20:30Z", "name": "view", "user_id": 1, "url": "http://a/", "obj": "page"});
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/events", "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "h"},
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "h", "domainPrefix": "h", "requestId": "r", "routeKey": "$default",
            "stage": "$default", "time": "", "timeEpoch": 0,
            "http": {"method": "POST", "path": "/events", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "t"}
        },
        "body": event.to_string(), "isBase64Encoded": false,
    })
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = child.id().context("already gone")?;
    Ok(kill_process(
        Pid::from_raw(pid.cast_signed()).context("a pid")?,
        Signal::TERM,
    )?)
}

async fn end(mut child: Child) -> anyhow::Result<ExitStatus> {
    tokio::time::timeout(PATIENCE, child.wait())
        .await
        .context("did not end")?
        .context("lost")
}

const TAKEN: &str = r#"{"FailedPutCount":0,"Encrypted":false,"RequestResponses":[{"RecordId":"1"}]}"#;

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() -> anyhow::Result<()> {
    // One request at a time, and several as on a managed instance.
    for (concurrency, requests) in [("1", 1), ("2", 2)] {
        let firehose = Held::answering(TAKEN, 0).await?;
        let runtime = Runtime::start(&vec![request(); requests + 1]).await?;
        let child = runtime.function(
            "events",
            &[
                ("AWS_ENDPOINT_URL_FIREHOSE", &firehose.url),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
                ("AWS_LAMBDA_MAX_CONCURRENCY", concurrency),
            ],
        )?;
        firehose.met(requests).await?;
        told(&child).await?;
        firehose.release();
        let status = end(child).await?;
        ensure!(status.code() == Some(0), "{status}");
        let inner = runtime.inner();
        ensure!(inner.answers.len() == requests, "{:?}", inner.answers);
        for (_, answer) in &inner.answers {
            ensure!(
                answer["statusCode"] == 200 && answer["body"] == r#"{"accepted":1}"#,
                "{answer}"
            );
        }
        ensure!(
            inner.asked == requests,
            "work was asked for that would not be done: {}",
            inner.asked
        );
    }
    Ok(())
}

/// Sends SIGTERM and waits until it is heard. However long what is under way takes after that: whoever ends at once has ended by
/// then.
async fn told(child: &Child) -> anyhow::Result<()> {
    terminate(child)?;
    let id = child.id().context("already gone")?;
    eventually(
        "the function has heard the signal",
        async || Ok(heard(id).then_some(())),
    )
    .await
}

/// Whether no SIGTERM waits for the process: it was handled, or the process is gone. Only Linux tells.
fn heard(pid: u32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    pending.is_none_or(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << 14) == 0))
}

#[tokio::test]
async fn what_is_idle_ends_at_once() -> anyhow::Result<()> {
    let variables = [
        ("CLICKHOUSE_URL", "http://127.0.0.1:1"),
        ("FIREHOSE_ACCESS_KEY", "an-access-key-of-tests"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    for name in [
        "events",
        "loader",
        "activity",
        "sessions",
        "experiments",
        "retention",
        "funnel",
        "dashboard",
        "docs",
        "migrate",
        "replay",
    ] {
        let runtime = Runtime::start(&[]).await?;
        let child = runtime.function(name, &variables)?;
        runtime.asked(1).await?;
        terminate(&child)?;
        let status = end(child).await?;
        ensure!(status.code() == Some(0), "{name}: {status}");
    }
    Ok(())
}

/// A function that is invoked with an event instead of a request.
#[tokio::test]
async fn a_migration_that_is_under_way_is_answered() -> anyhow::Result<()> {
    let clickhouse = Held::answering("", 0).await?;
    let runtime = Runtime::start(&[json!({})]).await?;
    let child = runtime.function("migrate", &[("CLICKHOUSE_URL", &clickhouse.url)])?;
    clickhouse.met(1).await?;
    told(&child).await?;
    clickhouse.release();
    let status = end(child).await?;
    ensure!(status.code() == Some(0), "{status}");
    let inner = runtime.inner();
    // An answer without a body is none that ClickHouse gives.
    let (_, answer) = inner.answers.first().context("no answer")?;
    ensure!(answer["errorType"] == "MigrateError" && inner.asked == 1, "{answer}");
    Ok(())
}

/// Two stacks of one account do not share their metrics. What CloudWatch asks of the line is tested where it is made.
#[tokio::test]
async fn metrics_carry_the_name_that_lambda_gives() -> anyhow::Result<()> {
    // None of them is well: nothing answers at that address. A record is written all the same.
    let away = [
        ("CLICKHOUSE_URL", "http://127.0.0.1:1"),
        ("FIREHOSE_ACCESS_KEY", "an-access-key-of-tests"),
        ("AWS_ENDPOINT_URL_FIREHOSE", "http://127.0.0.1:1"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    for (name, event) in [
        ("events", request()),
        ("loader", request()),
        ("activity", request()),
        ("sessions", request()),
        ("experiments", request()),
        ("retention", request()),
        ("funnel", request()),
        ("dashboard", request()),
        ("docs", request()),
        ("migrate", json!({})),
        ("replay", json!({"Records": []})),
    ] {
        let runtime = Runtime::start(&[event]).await?;
        let mut command = runtime.command(name, &away)?;
        command
            .env("AWS_LAMBDA_FUNCTION_NAME", format!("weir-prod-{name}"))
            .stdout(Stdio::piped());
        let mut child = command.spawn().context(name)?;
        runtime.asked(2).await?;
        let mut out = child.stdout.take().context("no stdout")?;
        terminate(&child)?;
        end(child).await?;
        let mut printed = String::new();
        out.read_to_string(&mut printed).await?;
        let records: Vec<Value> = printed
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| !line["_aws"].is_null())
            .collect();
        let [record] = &records[..] else {
            anyhow::bail!("{name} wrote {} records: {printed}", records.len());
        };
        ensure!(record["function"] == format!("weir-prod-{name}"), "{record}");
        let directive = &record["_aws"]["CloudWatchMetrics"][0];
        ensure!(
            directive["Namespace"] == "Weir" && directive["Dimensions"] == json!([["function"]]),
            "{record}"
        );
        ensure!(record["DurationMilliseconds"].is_number(), "{record}");
    }
    Ok(())
}
