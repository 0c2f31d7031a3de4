//! The process around a function.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use lambda_http::tower::util::MapFutureLayer;
use lambda_http::{Body, Request, Response, service_fn};
use lambda_runtime::layers::TracingLayer;
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::answered::Answered;
use crate::config::{self, ConfigError, Lookup, Reader};
use crate::function::{Function, answer};
use crate::record::{Output, Record};
use crate::under_way::UnderWay;
use crate::{logging, server, trace};

/// Set inside Lambda, and by `cargo lambda watch`.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Why a function's process ended.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot start the runtime: {0}")]
    Runtime(#[source] std::io::Error),
    #[error(transparent)]
    Server(#[from] server::ServerError),
    #[error("the Lambda runtime stopped: {0}")]
    Lambda(#[source] lambda_http::Error),
}

/// Runs a function until it is told to stop (SIGTERM, SIGINT), and finishes what is under way then: in Lambda when
/// `AWS_LAMBDA_RUNTIME_API` is set, else as a plain server. What is wrong with the configuration is one line on stderr and exit
/// code 2.
pub fn serve<F: Function>() -> ExitCode {
    match run::<F>(&config::env) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => {
            let code = if matches!(stopped, Stopped::Config(_)) { 2 } else { 1 };
            // Nothing is left to do if stderr is gone.
            let _ = writeln!(std::io::stderr(), "error: {stopped}");
            ExitCode::from(code)
        }
    }
}

/// Runs a function that is invoked with events instead of requests, until it is told to stop. What is wrong with the
/// configuration is one line on stderr and exit code 2.
/// `name` is what its records call it.
pub fn serve_invocations<C, S, E, A, X>(
    name: &'static str,
    from_lookup: fn(&Lookup<'_>) -> Result<C, S>,
    handle: impl AsyncFn(&C, LambdaEvent<E>, &mut Record) -> Result<A, X>,
) -> ExitCode
where
    S: Display,
    E: DeserializeOwned,
    A: Serialize,
    X: Into<Diagnostic>,
{
    let fail = |code: u8, message: &dyn Display| {
        // Nothing is left to do if stderr is gone.
        let _ = writeln!(std::io::stderr(), "error: {message}");
        ExitCode::from(code)
    };
    if config::env(RUNTIME_API).is_none() {
        return fail(
            2,
            &format_args!("{RUNTIME_API} is not set: Lambda sets it, and cargo lambda watch"),
        );
    }
    logging::init(&config::env, true);
    let context = match from_lookup(&config::env) {
        Ok(context) => context,
        Err(error) => return fail(2, &error),
    };
    let output = match output(&config::env, true) {
        Ok(output) => output,
        Err(error) => return fail(2, &error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &Stopped::Runtime(error)),
    };
    let (context, handle, output) = (&context, &handle, &output);
    let handler = lambda_runtime::service_fn(async |event| {
        // Boxed: with all of the runtime around it, the future of an SDK's call is nested deeper than the compiler follows when it
        // optimises.
        let (answer, record) = Box::pin(invoked(name, context, handle, event)).await;
        output.write(&record);
        // The runtime logs the `Debug` print of what it is given, and so it gets what the invoker sees.
        answer.map_err(Into::<Diagnostic>::into)
    });
    let under_way = UnderWay::new();
    let counting = under_way.clone();
    let run = Runtime::new(handler)
        .layer(TracingLayer::new())
        .layer(MapFutureLayer::new(move |invocation| counting.count(invocation)))
        .run();
    match runtime.block_on(under_way.drive(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &Stopped::Lambda(error)),
    }
}

/// A function, and where the records of its requests go.
pub(crate) struct Recorded<F> {
    pub(crate) function: F,
    pub(crate) output: Output,
}

impl<F: Function> Recorded<F> {
    /// Answers one request, once its record is written.
    pub(crate) async fn answer(&self, request: Request) -> Response<Body> {
        let (response, record) = answer(&self.function, request).await;
        self.output.write(&record);
        response
    }
}

/// Handles one invocation with an event.
async fn invoked<C, E, A, X>(
    name: &'static str,
    context: &C,
    handle: &impl AsyncFn(&C, LambdaEvent<E>, &mut Record) -> Result<A, X>,
    event: LambdaEvent<E>,
) -> (Result<A, X>, Record) {
    let started = Instant::now();
    let mut record = Record::of(name, event.context.request_id.clone());
    record.trace_id = event
        .context
        .xray_trace_id
        .as_deref()
        .and_then(|header| trace::root(header.as_bytes()));
    let span = record.span();
    let answer = handle(context, event, &mut record).instrument(span).await;
    record.outcome = Some(if answer.is_ok() { "done" } else { "failed" });
    record.duration = started.elapsed();
    (answer, record)
}

fn output(lookup: &Lookup<'_>, in_lambda: bool) -> Result<Output, ConfigError> {
    let mut reader = Reader::new(lookup);
    let output = Output::read(&mut reader, in_lambda);
    reader.finish(output)
}

fn run<F: Function>(lookup: &Lookup<'_>) -> Result<(), Stopped> {
    let in_lambda = lookup(RUNTIME_API).is_some();
    logging::init(lookup, in_lambda);
    let function = match (F::from_lookup(lookup), output(lookup, in_lambda)) {
        (Ok(function), Ok(output)) => Ok(Recorded { function, output }),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(one), Err(other)) => Err(one.and(other)),
    };
    if in_lambda {
        let function = Arc::new(function?);
        // One request at a time on a fraction of a core: more threads would only cost start-up time.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Stopped::Runtime)?;
        let handler = service_fn(move |request: Request| {
            let function = Arc::clone(&function);
            async move { Ok::<_, lambda_http::Error>(Answered(function.answer(request).await)) }
        });
        let under_way = UnderWay::new();
        let counting = under_way.clone();
        // As `lambda_http::run_concurrent`, with the outermost layer around each invocation and its answer.
        let run = lambda_http::runtime_concurrent(handler)
            .layer(TracingLayer::new())
            .layer(MapFutureLayer::new(move |invocation| counting.count(invocation)))
            .run_concurrent();
        return runtime.block_on(under_way.drive(run)).map_err(Stopped::Lambda);
    }
    let server = server::ServerConfig::from_lookup(lookup);
    let (function, server) = match (function, server) {
        (Ok(function), Ok(server)) => (Arc::new(function), server),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return Err(error.into()),
        (Err(one), Err(other)) => return Err(one.and(other).into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Stopped::Runtime)?;
    Ok(runtime.block_on(async {
        let listener = server::bind(&server).await?;
        server::run(listener, function, server::stop_signal()).await
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_invocation_is_recorded_however_it_ends() {
        let handle = async |divisor: &u64, event: LambdaEvent<u64>, record: &mut Record| {
            record.quarantined = Some(1);
            let stored = event.payload.checked_div(*divisor).ok_or("division by zero")?;
            record.stored = Some(stored);
            Ok::<_, &str>(stored)
        };
        for (divisor, outcome, stored) in [(2, "done", Some(4)), (0, "failed", None)] {
            let mut context = lambda_runtime::Context::default();
            context.request_id = "r-1".to_owned();
            let (answer, record) = invoked("replay", &divisor, &handle, LambdaEvent::new(8, context)).await;
            assert_eq!(answer.ok(), stored);
            let line = crate::record::spec::read(&record.emf(crate::clock::now()));
            assert_eq!(line.properties["outcome"], outcome);
            assert_eq!(line.properties["request_id"], "r-1");
            let names: Vec<_> = line.metrics.keys().map(String::as_str).collect();
            let expected = ["DurationMilliseconds", "Quarantined", "Stored"];
            assert_eq!(names, expected[..if stored.is_some() { 3 } else { 2 }]);
        }
    }
}
