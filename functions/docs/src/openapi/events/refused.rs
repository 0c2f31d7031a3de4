//! Each refusal of `POST /events`, as the function answers it.

use edge::auth::{self, AuthError};
use edge::body::BodyError;
use edge::server::MAX_BODY_BYTES;
use edge::{Failure, Problem, problem};
use event_model::Undecodable;
use events::error::{self, Unstored};
use events::firehose::PutError;
use events::idempotency::NotAKey;
use events::{CATALOGUE, Error};

use super::examples;
use crate::openapi::refusals::Refusal;

/// Of `POST /events`: the whole catalogue.
pub(in crate::openapi) fn by_store() -> Vec<Refusal> {
    CATALOGUE.into_iter().map(refusal).collect()
}

/// Of `POST /events/validate`: all but those of the stream, which it does not touch.
pub(in crate::openapi) fn by_validate() -> Vec<Refusal> {
    let of_stream = [error::STREAM_UNAVAILABLE, error::STREAM_MISCONFIGURED];
    let others = CATALOGUE.into_iter().filter(|problem| !of_stream.contains(problem));
    others.map(refusal).collect()
}

fn refusal(problem: Problem) -> Refusal {
    let errors = errors();
    let error = errors.iter().find(|error| error.problem() == problem);
    let response = match (error, problem) {
        (Some(error), _) => error.response(),
        // What the server around the handler answers.
        (None, problem::BODY_TOO_LARGE) => problem.response(Some(&format!("it has more than {MAX_BODY_BYTES} bytes"))),
        (None, _) => problem.response(None),
    };
    Refusal { problem, response }
}

/// One error of each kind.
fn errors() -> Vec<Error> {
    vec![
        Error::NotFound,
        Error::MethodNotAllowed,
        Error::Auth(AuthError::Missing(&auth::WRITE)),
        Error::Auth(AuthError::Invalid(&auth::WRITE)),
        Error::UnsupportedMediaType,
        Error::IdempotencyKey(NotAKey),
        Error::BodyTooLarge,
        Error::Body(BodyError::UnsupportedEncoding),
        Error::Undecodable(Undecodable::NotUtf8),
        Error::Invalid(examples::issues()),
        Error::EventTooLarge,
        // Of a batch of three, with a wrong one between the good.
        Error::from(Box::new(Unstored {
            source: PutError::Unavailable {
                not_stored: vec![0],
                attempts: 1,
                reason: String::new(),
            },
            accepted: 1,
            rejected: examples::verdicts(),
            not_stored: vec![2],
        })),
        Error::from(Box::new(Unstored {
            source: PutError::Misconfigured {
                stream: String::new(),
                region: String::new(),
                reason: String::new(),
                advice: "",
            },
            accepted: 0,
            rejected: Vec::new(),
            not_stored: vec![0],
        })),
    ]
}
