//! Cold start: from exec to the first request for work, the first record, and how much there is to load.
//!
//! The functions are those that ship, in the release profile, for this machine's processor. `runtime` is Lambda to them,
//! `stream` is Firehose behind TLS, `size` builds the zip that is deployed. What Lambda adds is not in here: the microVM, the
//! download, and the share of a processor that a small function gets.

mod runtime;
mod size;
mod stream;

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use self::{
    runtime::{Call, RuntimeApi},
    stream::Stream,
};
use super::{Figure, Part};
use crate::{project::Project, report, report::Step, up};

/// How often each function is started.
const STARTS: usize = 30;

/// How long a function may take for what it is asked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The function whose start a sender waits for.
const EVENTS: &str = "events";

/// Bytes of a megabyte, as AWS counts packages.
const MEGABYTE: f64 = 1e6;

/// Measures all of it.
pub(super) async fn run(project: &Project) -> anyhow::Result<Vec<Figure>> {
    let functions = [&up::FUNCTIONS[..], &["migrate", "replay"]].concat();
    report::say("As shipped, linked as one: the first build takes many minutes.");
    let programs = up::build::programs_as_shipped(project.root(), &functions).await?;
    let stream = Stream::open().await?;
    let mut runtime = RuntimeApi::open().await?;
    let mut figures = Vec::new();

    let step = Step::begin(format!("start each function {STARTS} times"));
    step.expect_items(functions.len());
    for (at, (name, program)) in functions.iter().zip(&programs).enumerate() {
        step.at_item(at);
        figures.extend(starts(name, program, &mut runtime, &stream).await?);
    }
    step.done();

    let events = programs.first().context("no function was built")?;
    let step = Step::begin(format!("send the first event {STARTS} times"));
    figures.extend(first_records(events, &mut runtime, &stream).await?);
    step.done();

    figures.push(size::program(Part::Start, events)?);
    figures.extend(size::zip(project, Part::Start).await?);
    Ok(figures)
}

/// How long a function takes to ask for work, and how much memory it has by then.
async fn starts(name: &str, program: &Path, runtime: &mut RuntimeApi, stream: &Stream) -> anyhow::Result<Vec<Figure>> {
    let (mut times, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let started = Started::begin(name, program, runtime, stream, false).await?;
        times.push(started.took);
        memory.push(started.memory()?);
        started.end().await?;
    }
    let (times, memory) = (Sample::of_times(times), Sample::of(memory));
    let time = Figure::new(
        Part::Start,
        format!("{name}: exec to asking for work"),
        times.median,
        "ms",
    )
    .of(times.said());
    let memory = Figure::new(Part::Start, format!("{name}: memory by then"), memory.median, "MB").of(memory.said());
    Ok(match name {
        EVENTS => vec![time.at_most(3.0), memory.at_most(10.0)],
        _ => vec![time, memory],
    })
}

/// How long the first event takes, with the connection to the stream, and the second.
async fn first_records(program: &Path, runtime: &mut RuntimeApi, stream: &Stream) -> anyhow::Result<Vec<Figure>> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let mut started = Started::begin(EVENTS, program, runtime, stream, true).await?;
        let before = stream.records();
        for times in [&mut first, &mut second] {
            times.push(started.invoke(runtime).await?);
        }
        let put = stream.records() - before;
        ensure!(put == 2, "the stream got {put} records of 2 requests");
        started.end().await?;
    }
    let figure = |what: &str, times| {
        let times = Sample::of_times(times);
        Figure::new(Part::Start, what, times.median, "ms").of(times.said())
    };
    Ok(vec![
        figure("events: first record, by TLS", first).at_most(5.0),
        figure("events: second record", second),
    ])
}

/// A function that has asked for work.
struct Started {
    child: Child,
    took: Duration,
    work: oneshot::Sender<Vec<u8>>,
}

impl Started {
    /// Starts it with Lambda's environment and its own, and nothing of this process's. `trusting`: it trusts the stream's
    /// certificate, for which it reads a file.
    async fn begin(
        name: &str,
        program: &Path,
        runtime: &mut RuntimeApi,
        stream: &Stream,
        trusting: bool,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .env_clear()
            .envs(environment(name, runtime, stream))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true);
        if trusting {
            command.env("SSL_CERT_FILE", stream.authority());
        }
        let before = Instant::now();
        let child = command.spawn().with_context(|| program.display().to_string())?;
        match runtime.call(PATIENCE).await.with_context(|| name.to_owned())? {
            Call::Next { at, work } => Ok(Started {
                child,
                took: at.saturating_duration_since(before),
                work,
            }),
            Call::Answered { said, .. } => bail!("{name} did not start: {said}"),
        }
    }

    /// Gives it an event, and returns how long the answer took.
    async fn invoke(&mut self, runtime: &mut RuntimeApi) -> anyhow::Result<Duration> {
        let (none, _) = oneshot::channel();
        let work = std::mem::replace(&mut self.work, none);
        let before = Instant::now();
        ensure!(work.send(invocation()).is_ok(), "the function hung up");
        let took = match runtime.call(PATIENCE).await? {
            Call::Answered { at, said } => {
                let answer: serde_json::Value = serde_json::from_str(&said).context(said)?;
                ensure!(answer["statusCode"] == 200, "{answer}");
                at.saturating_duration_since(before)
            }
            Call::Next { .. } => bail!("the function asked for more work before it had answered"),
        };
        match runtime.call(PATIENCE).await? {
            Call::Next { work, .. } => self.work = work,
            Call::Answered { said, .. } => bail!("two answers: {said}"),
        }
        Ok(took)
    }

    /// The memory that it holds, in MB.
    fn memory(&self) -> anyhow::Result<f64> {
        let pid = self.child.id().context("the function has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes: f64 = line
            .and_then(|rest| rest.trim().strip_suffix("kB"))
            .context("no VmRSS")?
            .trim()
            .parse()?;
        Ok(kibibytes * 1024.0 / MEGABYTE)
    }

    /// Ends it.
    async fn end(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// What a function sees on Lambda. All functions get the same, as each reads only what is its own.
fn environment(name: &str, runtime: &RuntimeApi, stream: &Stream) -> Vec<(&'static str, String)> {
    [
        ("AWS_LAMBDA_RUNTIME_API", runtime.address()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
        ("AWS_SESSION_TOKEN", "bench".to_owned()),
        ("AWS_ENDPOINT_URL_FIREHOSE", stream.url()),
        ("FIREHOSE_STREAM", up::STREAM.to_owned()),
        ("FIREHOSE_ACCESS_KEY", "an access key of the bench alone".to_owned()),
        // Nothing connects to it at start. With TLS, as a warehouse has that is not on this machine.
        ("CLICKHOUSE_URL", "https://clickhouse.example:8443".to_owned()),
        ("CLICKHOUSE_USER", "bench".to_owned()),
        ("CLICKHOUSE_PASSWORD", "bench".to_owned()),
    ]
    .into()
}

/// A POST of one event, as a function URL hands it over.
fn invocation() -> Vec<u8> {
    let event =
        r#"{"dt":"2026-01-01T00:00:00Z","name":"view","user_id":42,"url":"https://shop.example/","obj":"page"}"#;
    let request = serde_json::json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/events",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "bench.lambda-url.us-east-1.on.aws"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "bench",
            "domainName": "bench.lambda-url.us-east-1.on.aws",
            "domainPrefix": "bench",
            "http": {
                "method": "POST",
                "path": "/events",
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "bench"
            },
            "requestId": "bench",
            "routeKey": "$default",
            "stage": "$default",
            "time": "01/Jan/2026:00:00:00 +0000",
            "timeEpoch": 1_767_225_600_000_i64
        },
        "body": event,
        "isBase64Encoded": false
    });
    request.to_string().into_bytes()
}

/// Some numbers of the same thing.
struct Sample {
    median: f64,
    p90: f64,
}

impl Sample {
    fn of(mut numbers: Vec<f64>) -> Self {
        numbers.sort_by(f64::total_cmp);
        let at = |share: usize| {
            let last = numbers.len().saturating_sub(1);
            numbers.get(last * share / 100).copied().unwrap_or(f64::NAN)
        };
        Sample {
            median: at(50),
            p90: at(90),
        }
    }

    fn of_times(times: Vec<Duration>) -> Self {
        Self::of(times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect())
    }

    fn said(&self) -> String {
        format!("p90 {:.2}", self.p90)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_are_below_the_median() {
        let sample = Sample::of((0..=30).rev().map(f64::from).collect());
        assert_eq!((sample.median, sample.p90), (15.0, 27.0));
        assert!(Sample::of(Vec::new()).median.is_nan());
    }

    #[test]
    fn the_event_is_one() {
        let request: serde_json::Value = serde_json::from_slice(&invocation()).unwrap();
        let body = request["body"].as_str().unwrap();
        let mut events = event_model::Events::from_json(body.as_bytes()).unwrap();
        assert!(events.next_event().unwrap().is_some_and(|event| event.is_ok()));
    }
}
