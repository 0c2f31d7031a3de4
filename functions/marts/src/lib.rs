//! What every function that reads a mart does the same way: configuration, read keys, parameters, the query within the deadline,
//! JSON or CSV, what may be cached, refusals.
//!
//! A function says what is its own, as a [`Mart`] and, with the feature `serve`, a [`Read`]: its path, its parameters, its query and
//! what a row is. Its `main` serves a [`Context`] of it. Without the feature this is what others may know of such a function,
//! and brings no client of ClickHouse.

#[cfg(feature = "serve")]
mod context;
pub mod error;
#[cfg(feature = "serve")]
mod failure;
pub mod format;
#[cfg(feature = "serve")]
mod handler;
mod mart;
pub mod parameters;
mod range;
#[cfg(feature = "serve")]
pub mod rows;
mod values;

#[cfg(feature = "serve")]
pub use context::{Config, Context, Read};
pub use error::CATALOGUE;
#[cfg(feature = "serve")]
pub use failure::Error;
#[cfg(feature = "serve")]
pub use handler::{MAX_ANSWER_BYTES, cached};
pub use mart::Mart;
pub use parameters::Parameters;
pub use range::Range;
pub use values::{Day, Instant, Number};
