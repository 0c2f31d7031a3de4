//! From a body to lines that are ready for the stream, and verdicts on what cannot be one.

use edge::{Rejected, Request, body};
use event_model::{Event, Issue, Reason, Rejection, Stamp, is_request_id};
use jiff::Timestamp;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Error;
use crate::idempotency::IdempotencyKey;
use crate::media::Media;
use crate::pack::{Packed, Packer, TooLong};
use crate::verdicts::Verdicts;

/// Most bytes that a compressed body may inflate to: 16 MiB.
pub const MAX_INFLATED_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of normalised events in an answer; a function URL returns 6 MB.
const MAX_SHOWN_BYTES: usize = 3 * 1024 * 1024;

/// A request's events, sorted into good and bad. At least one is good.
#[derive(Debug)]
pub struct Intake {
    /// The lines of the good events.
    pub records: Vec<Packed>,
    /// For each line, the place of its event in the request.
    pub(crate) places: Vec<usize>,
    /// What is wrong with the others.
    pub(crate) verdicts: Verdicts,
    /// With [`Keep::Shown`], the good events.
    pub(crate) shown: Shown,
}

/// The normalised events, as far as an answer has room.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) events: Vec<Box<RawValue>>,
    bytes: usize,
}

/// Whether the normalised events are kept beside their lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Only the lines.
    Lines,
    /// The events too, to be shown.
    Shown,
}

/// Reads the events of a request, and counts the wrong ones in `rejected`. An error means that none of them is to be stored. Their lines
/// carry the request's id, if it is one that can travel.
pub fn read(
    request: &Request,
    keep: Keep,
    now: Timestamp,
    mut new_id: impl FnMut() -> Uuid,
    request_id: &str,
    rejected: &mut Rejected,
) -> Result<Intake, Error> {
    let headers = request.headers();
    let media = Media::of(headers).ok_or(Error::UnsupportedMediaType)?;
    let key = IdempotencyKey::of(headers)?;
    if request.body().len() > edge::server::MAX_BODY_BYTES {
        return Err(Error::BodyTooLarge);
    }
    let body = body::decode(headers, request.body(), MAX_INFLATED_BYTES)?;
    let mut events = media.events(&body)?;
    let is_batch = events.is_batch();
    let mut packer = Packer::for_body(body.len());
    let (mut places, mut verdicts, mut shown) = (Vec::with_capacity(1), Verdicts::default(), Shown::default());
    let stamp = Stamp::new(now, if is_request_id(request_id) { request_id } else { "" });
    let mut place = 0;
    while let Some(event) = events.next_event().inspect_err(|refusal| whole(refusal, rejected))? {
        let bad = match event {
            Ok(event) => {
                let given = event.event_id().or_else(|| Some(key.as_ref()?.event_id(place, &event)));
                let event_id = given.unwrap_or_else(&mut new_id);
                match packer.push(|line| stamp.write_line(event_id, &event, line)) {
                    Ok(()) => {
                        places.push(place);
                        if keep == Keep::Shown {
                            shown.add(event, given);
                        }
                        None
                    }
                    Err(TooLong { .. }) if !is_batch => {
                        rejected.count(Reason::EventTooLarge.kind());
                        return Err(Error::EventTooLarge);
                    }
                    Err(TooLong { .. }) => {
                        let issue = Issue::of_body(Reason::EventTooLarge, RawValue::NULL.to_owned());
                        Some(vec![issue])
                    }
                }
            }
            Err(issues) => Some(issues),
        };
        if let Some(issues) = bad {
            if let Some(issue) = issues.first() {
                rejected.count(issue.kind());
            }
            if !is_batch {
                return Err(Error::Invalid(issues));
            }
            if verdicts.note(place, issues).is_err() {
                return Err(Error::Invalid(verdicts.too_many()));
            }
        }
        place += 1;
    }
    if places.is_empty() {
        return Err(Error::Invalid(verdicts.detail));
    }
    Ok(Intake {
        records: packer.finish(),
        places,
        verdicts,
        shown,
    })
}

/// Counts a body that is refused as a whole: where its events end is a guess, so it counts as one.
fn whole(refusal: &Rejection, rejected: &mut Rejected) {
    *rejected = Rejected::default();
    if let Rejection::Invalid(issues) = refusal {
        issues.iter().take(1).for_each(|issue| rejected.count(issue.kind()));
    }
}

impl Shown {
    fn add(&mut self, event: Event<'_>, id: Option<Uuid>) {
        if self.bytes >= MAX_SHOWN_BYTES {
            return;
        }
        let event = match id {
            Some(id) => event.identified(id),
            None => event,
        };
        // Writing strings and finite numbers to memory cannot fail.
        if let Ok(text) = serde_json::value::to_raw_value(&event) {
            self.bytes += text.get().len();
            // Once one has no place, none after it has: those that are shown are the first.
            if self.bytes < MAX_SHOWN_BYTES {
                self.events.push(text);
            }
        }
    }
}
