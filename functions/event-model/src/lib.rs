//! The event contract: what a client posts ([`Event`]), the line that goes through the stream ([`Record`]), the row that
//! is stored ([`Row`]).
//!
//! This crate does no I/O and reads no clock and no environment: bytes and times come in as arguments, values and typed
//! reasons come out. What is accepted, and what value it becomes, follows pydantic v2's lax mode; where it is stricter on
//! purpose, the item says so.

mod batch;
mod calendar;
mod coerce;
mod event;
mod issue;
mod json;
pub mod limits;
mod line;
mod row;
mod schema;
mod write;

pub use batch::Events;
pub use event::{Event, FIELDS};
pub use issue::{Bound, Issue, Loc, Reason, Rejection, Undecodable};
pub use line::Record;
pub use row::{LineError, Row, is_request_id};
pub use schema::NormalisedEvent;
pub use write::Stamp;
