//! From Firehose deliveries to rows in ClickHouse.
//!
//! Every delivery is answered in the shape of the Firehose HTTP endpoint delivery specification 1.0
//! (<https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>). 200 means that each of its lines is
//! in `events` or, when it cannot be a row, in `events_quarantine`. Anything else makes Firehose deliver again, which is
//! safe: see [`insert`].

mod context;
mod delivery;
mod error;
mod handler;
pub mod insert;
pub mod native;
mod quarantine;
mod store;

pub use context::{Config, Context};
pub use delivery::{Lines, MAX_RECORDS, NotBase64, Records};
pub use error::{Error, MAX_INFLATED_BYTES};
pub use handler::handle;
pub use store::{Stored, blocks, store};
