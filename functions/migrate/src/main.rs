//! The function that a deploy invokes to bring the warehouse's tables up to date.

use std::process::ExitCode;
use std::sync::Arc;

use edge::config::env;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use migrate::handler::{Context, handle};
use serde::de::IgnoredAny;

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
    lambda_runtime::run(service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let context = Arc::clone(&context);
        async move { handle(&context, event).await }
    }))
    .await?;
    Ok(ExitCode::SUCCESS)
}
