//! From a request to an acknowledgement.

use edge::{Body, Record, Rejected, Request, Response, deadline, respond, route};
use http::{Method, StatusCode};

use crate::answer::{Accepted, Validated};
use crate::context::Context;
use crate::error::{Error, Unstored};
use crate::ids::Ids;
use crate::intake::{self, Intake, Keep};

/// Answers one request: `POST /events` stores events, `POST /events/validate` only says what it would do, and counts none.
pub async fn handle(context: &Context, request: Request, record: &mut Record) -> Result<Response<Body>, Error> {
    let path = route::path(&request);
    let keep = match path.as_deref() {
        Some("/events") => Keep::Lines,
        Some("/events/validate") => Keep::Shown,
        _ => return Err(Error::NotFound),
    };
    if request.method() != Method::POST {
        return Err(Error::MethodNotAllowed);
    }
    // Before a byte of the body is looked at.
    context.write_keys.check(&request)?;
    let now = (context.now)();
    let mut rejected = Rejected::default();
    let mut ids = Ids::new(now);
    let new_id = || (context.new_id)(&mut ids);
    let read = intake::read(&request, keep, now, new_id, record.request_id(), &mut rejected);
    // Of what could not be read to its end, nobody knows how many events it holds.
    let events_are_known = matches!(&read, Ok(_) | Err(Error::Invalid(_) | Error::EventTooLarge));
    if keep == Keep::Lines && events_are_known {
        record.accepted = Some(0);
        record.not_stored = Some(0);
        record.rejected = Some(rejected);
    }
    let intake = read?;
    match keep {
        Keep::Lines => {
            // Reading a large request has taken its time.
            let budget = deadline::remaining(&request, (context.now)());
            store(context, intake, budget, record).await
        }
        Keep::Shown => Ok(show(&intake)),
    }
}

/// Puts the lines into the stream, and acknowledges them once all are there.
async fn store(
    context: &Context,
    intake: Intake,
    budget: std::time::Duration,
    record: &mut Record,
) -> Result<Response<Body>, Error> {
    let Intake {
        records,
        places,
        verdicts,
        ..
    } = intake;
    let lines: Vec<_> = records.iter().map(|record| record.lines.clone()).collect();
    let retries = record.firehose_retries.insert(0);
    match context.firehose.put(records, budget, retries).await {
        Ok(()) => {
            record.accepted = Some(places.len() as u64);
            Ok(respond::json_of(
                StatusCode::OK,
                &Accepted {
                    accepted: places.len(),
                    rejected: &verdicts.listed,
                },
            ))
        }
        Err(source) => {
            let missing = |record: &usize| lines.get(*record).cloned().and_then(|lines| places.get(lines));
            let not_stored: Vec<usize> = match source.not_stored() {
                Some(records) => records.iter().filter_map(missing).flatten().copied().collect(),
                None => places.clone(),
            };
            let accepted = places.len() - not_stored.len();
            record.accepted = Some(accepted as u64);
            record.not_stored = Some(not_stored.len() as u64);
            Err(Error::from(Box::new(Unstored {
                source,
                accepted,
                rejected: verdicts.listed,
                not_stored,
            })))
        }
    }
}

/// Says what would be stored.
fn show(intake: &Intake) -> Response<Body> {
    respond::json_of(
        StatusCode::OK,
        &Validated {
            accepted: intake.places.len(),
            rejected: &intake.verdicts.listed,
            events: &intake.shown.events,
            events_omitted: intake.places.len() - intake.shown.events.len(),
        },
    )
}

#[cfg(test)]
mod tests;
