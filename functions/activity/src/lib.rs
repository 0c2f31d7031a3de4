//! `GET /activity?from=&to=`: the mart `users_activity` as JSON or CSV.
//!
//! With the feature `serve`, which is on by default, it is the function. Without it, it is what others may know of the function,
//! and brings no client of ClickHouse.

mod answer;
#[cfg(feature = "serve")]
mod context;
pub mod error;
#[cfg(feature = "serve")]
mod failure;
#[cfg(feature = "serve")]
mod handler;
mod range;

pub use answer::{Activity, Day};
#[cfg(feature = "serve")]
pub use context::{Config, Context};
pub use error::CATALOGUE;
#[cfg(feature = "serve")]
pub use failure::Error;
#[cfg(feature = "serve")]
pub use handler::handle;
pub use range::{Range, RangeError};
