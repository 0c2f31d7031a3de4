//! What every HTTP function of Weir does the same way: configuration, the process around the handler, bodies, write keys,
//! origins, responses, files, time, deadlines, the record of a request, the ClickHouse client.
//!
//! A function implements [`Function`] and its `main` calls [`serve()`]. Inside Lambda (or `cargo lambda watch`) the handler
//! is driven by the Lambda runtime; elsewhere the same binary is a plain HTTP/1.1 server on `PORT`. Both build the same
//! [`Request`], by the same parsing, so a handler cannot tell.

mod answered;
pub mod auth;
#[cfg(feature = "aws")]
pub mod aws;
pub mod body;
#[cfg(feature = "clickhouse")]
pub mod clickhouse;
pub mod clock;
pub mod config;
pub mod cors;
pub mod deadline;
mod function;
mod logging;
pub mod problem;
mod record;
pub mod resource;
pub mod respond;
pub mod route;
mod serve;
pub mod server;
mod trace;
mod under_way;

pub use function::{Failure, Function, answer, chain};
pub use lambda_http::aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
pub use lambda_http::{Body, Request, RequestExt, Response};
pub use problem::Problem;
pub use record::{DIMENSION, NAMESPACE, Record, Rejected};
pub use serve::{serve, serve_invocations};
