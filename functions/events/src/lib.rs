//! `POST /events`: parses events and acknowledges them once Firehose has them. Nothing is answered 2xx before.
//! `POST /events/validate` says what would become of them, and stores nothing.

pub mod answer;
mod calls;
mod context;
pub mod error;
pub mod firehose;
mod handler;
pub mod idempotency;
pub mod ids;
pub mod intake;
pub mod media;
pub mod pack;
mod verdicts;

pub use context::{CORS_HEADERS, CORS_METHODS, Config, Context};
pub use error::{CATALOGUE, Error, RETRY_AFTER_SECONDS, Unstored};
pub use handler::handle;
