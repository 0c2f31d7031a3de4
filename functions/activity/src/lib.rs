//! `GET /activity?from=&to=`: the mart `users_activity` as JSON or CSV.

mod context;
pub mod error;
mod handler;
mod range;

pub use context::{Config, Context};
pub use error::{CATALOGUE, Error};
pub use handler::{Activity, Day, handle};
pub use range::{Range, RangeError};
