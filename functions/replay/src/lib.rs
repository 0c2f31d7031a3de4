//! Replaying what Firehose gave up on: from its backup to rows in ClickHouse.
//!
//! An object of the backup holds Firehose's error records, one JSON object a line
//! (<https://docs.aws.amazon.com/firehose/latest/dev/retry.html>). Their data are the lines that the loader did not take; they go the
//! same way now, through the loader's own library, so what had been stored after all is recognised: see [`loader::insert`].

pub mod handler;
pub mod object;
pub mod s3;
mod store;

pub use object::{Contents, ObjectError, Undecodable};
pub use store::{Outcome, store};
