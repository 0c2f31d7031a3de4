//! The process around a function.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_http::{Request, service_fn};

use crate::config::{self, ConfigError, Lookup};
use crate::function::{Function, answer};
use crate::{logging, server};

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

/// Runs a function until it is told to stop: in Lambda when `AWS_LAMBDA_RUNTIME_API` is set, else as a plain server. What
/// is wrong with the configuration is one line on stderr and exit code 2.
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

fn run<F: Function>(lookup: &Lookup<'_>) -> Result<(), Stopped> {
    let in_lambda = lookup("AWS_LAMBDA_RUNTIME_API").is_some();
    logging::init(lookup, in_lambda);
    let function = F::from_lookup(lookup);
    if in_lambda {
        let function = Arc::new(function?);
        // One request at a time on a fraction of a core: more threads would only cost start-up time.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Stopped::Runtime)?;
        let handler = service_fn(move |request: Request| {
            let function = Arc::clone(&function);
            async move { Ok::<_, lambda_http::Error>(answer(&*function, request).await) }
        });
        return runtime
            .block_on(lambda_http::run_concurrent(handler))
            .map_err(Stopped::Lambda);
    }
    let server = server::ServerConfig::from_lookup(lookup);
    let (function, server) = match (function, server) {
        (Ok(function), Ok(server)) => (Arc::new(server::Hosted(function)), server),
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
