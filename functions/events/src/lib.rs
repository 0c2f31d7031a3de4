//! `POST /events`: parses events and acknowledges them once Firehose has them. Nothing is answered 2xx before.

mod context;
mod error;
pub mod firehose;
mod handler;
pub mod pack;

pub use context::{Config, Context};
pub use error::Error;
pub use handler::handle;
