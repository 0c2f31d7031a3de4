//! The function that S3 invokes for what Firehose gave up on.

use std::process::ExitCode;
use std::sync::Arc;

use edge::config::env;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use replay::handler::{Context, S3Event, handle};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let context = match Context::from_lookup(&env) {
        Ok(context) => Arc::new(context),
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return Ok(ExitCode::from(2));
        }
    };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<S3Event>| {
        let context = Arc::clone(&context);
        async move { handle(&context, event).await }
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
