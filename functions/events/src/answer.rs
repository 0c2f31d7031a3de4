//! What `POST /events` and `POST /events/validate` answer, as types: the responses are written from them, and so is their
//! documentation.

use event_model::{Issue, Loc, NormalisedEvent};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// 200 of `POST /events`: these events are in the stream, on disk.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Accepted<'a> {
    /// How many events were stored.
    pub accepted: usize,
    /// What is wrong with the others of the batch; absent when there are none.
    #[serde(skip_serializing_if = "<[Verdict]>::is_empty")]
    pub rejected: &'a [Verdict],
}

/// One thing that is wrong with one event of a batch that was accepted in part.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Verdict {
    /// The event's place: in the array, or among the lines that are not blank. From 0.
    pub index: usize,
    /// Where in the event: `"body"`, then the field, then (in `exp`) the key.
    pub loc: Vec<Loc>,
    /// The stable name of the problem.
    pub r#type: &'static str,
    /// The problem in a sentence.
    pub msg: String,
    /// The numbers or words of the rule that was broken, when it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl Verdict {
    /// The verdict on the event at `index`.
    pub fn new(index: usize, issue: &Issue) -> Self {
        Verdict {
            index,
            loc: issue.loc.clone(),
            r#type: issue.kind(),
            msg: issue.msg(),
            ctx: issue.ctx(),
        }
    }
}

/// 200 of `POST /events/validate`: the same verdicts, and nothing stored.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Validated<'a> {
    /// How many events would be stored.
    pub accepted: usize,
    /// What is wrong with the others of the batch; absent when there are none.
    #[serde(skip_serializing_if = "<[Verdict]>::is_empty")]
    pub rejected: &'a [Verdict],
    /// The events that would be stored, normalised, in the order of the request. With an `event_id` only where the client
    /// gave one, in the event or by `Idempotency-Key`; the others get one when they are stored.
    #[schemars(with = "Vec<NormalisedEvent>")]
    pub events: &'a [Box<RawValue>],
    /// How many more there are that no answer has room for; absent when there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub events_omitted: usize,
}

/// 422: nothing was acceptable, so nothing was stored. FastAPI's shape.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invalid<'a> {
    /// What is wrong, in the order of the request; of a large batch the first part. In a batch each `loc` leads through
    /// the event's index.
    pub detail: &'a [Issue],
}

/// Any other refusal.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Refused {
    /// What happened, in a sentence.
    pub detail: String,
    /// The stable name of the problem.
    pub code: &'static str,
}

/// The stream did not take all of the events. Sending the whole request again is right when the events have ids, their
/// own or by `Idempotency-Key`; else send those that are named.
#[derive(Debug, Serialize, JsonSchema)]
pub struct NotStored<'a> {
    /// What happened, in a sentence.
    pub detail: String,
    /// The stable name of the problem.
    pub code: &'static str,
    /// How many events were stored.
    pub accepted: usize,
    /// What is wrong with events of the batch; absent when there are none.
    #[serde(skip_serializing_if = "<[Verdict]>::is_empty")]
    pub rejected: &'a [Verdict],
    /// The places of the valid events that are not known to be stored. From 0.
    pub not_stored: &'a [usize],
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
