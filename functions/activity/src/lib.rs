//! `GET /activity?from=&to=`: the mart `users_activity` as JSON or CSV.

mod context;
mod error;
mod handler;
mod range;

pub use context::{Config, Context};
pub use error::Error;
pub use handler::{Day, handle};
pub use range::{MAX_DAYS, Range};
