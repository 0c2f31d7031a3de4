//! Putting records into the stream, with bounded retries of just what was refused.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_credential_types::Credentials;
use aws_sdk_firehose::Client;
use aws_sdk_firehose::config::retry::RetryConfig;
use aws_sdk_firehose::config::timeout::TimeoutConfig;
use aws_sdk_firehose::config::{BehaviorVersion, Region};
use aws_sdk_firehose::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use edge::aws::{Roots, http_client};
use edge::config::Reader;
use secrecy::{ExposeSecret, SecretString};

use crate::calls::{Calls, Said};
use crate::pack::{Packed, calls};

/// How often a record is offered to Firehose.
pub const MAX_ATTEMPTS: u32 = 3;

/// The wait before the second attempt; it doubles for the third. Half of it is random, so that clients that were refused
/// together do not come back together.
const FIRST_BACKOFF: Duration = Duration::from_millis(150);

/// How long Firehose may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a whole request may spend on Firehose.
const MAX_BUDGET: Duration = Duration::from_secs(10);

/// Why a call failed that took too long.
const NO_ANSWER: &str = "no answer in time";

/// Why records are not even offered.
const NO_TIME: &str = "no time was left";

/// With less time than this no call is begun: its answer would hardly come, and its records might be stored all the same.
const MIN_CALL: Duration = Duration::from_millis(20);

/// Which stream, as whom.
#[derive(Debug, Clone)]
pub struct FirehoseConfig {
    /// `FIREHOSE_STREAM`, default `weir-events`.
    pub stream: String,
    /// `AWS_REGION`, required; Lambda sets it.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, required; Lambda sets it.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`, required; Lambda sets it.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`; Lambda sets it.
    pub session_token: Option<SecretString>,
    /// `AWS_ENDPOINT_URL_FIREHOSE`; AWS's own when not set.
    pub endpoint_url: Option<String>,
    /// `SSL_CERT_FILE`; Mozilla's list when not set.
    pub roots: Roots,
}

impl FirehoseConfig {
    /// Reads the values.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let mut config = FirehoseConfig {
            stream: reader.or("FIREHOSE_STREAM", "weir-events"),
            region: reader.required("AWS_REGION", "the region of the Firehose stream"),
            access_key_id: reader.required("AWS_ACCESS_KEY_ID", "who puts records into Firehose"),
            secret_access_key: reader.secret("AWS_SECRET_ACCESS_KEY", "the secret of AWS_ACCESS_KEY_ID"),
            session_token: reader.optional("AWS_SESSION_TOKEN").map(Into::into),
            endpoint_url: reader.optional_url("AWS_ENDPOINT_URL_FIREHOSE"),
            roots: Roots::default(),
        };
        config.roots = Roots::read(reader, config.endpoint_url.as_deref());
        config
    }
}

/// Why some records are not in the stream.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// Firehose throttles, fails or cannot be reached: the same may work later.
    #[error("{} record(s) not stored after {attempts} attempt(s): {reason}", not_stored.len())]
    Unavailable {
        /// The records that are not known to be stored, as indexes into what was to be put.
        not_stored: Vec<usize>,
        /// How often the last of them was offered.
        attempts: u32,
        /// The last refusal, or that there was no time.
        reason: String,
    },
    /// Firehose will refuse this until somebody changes the set-up.
    #[error("Firehose refuses stream {stream:?} in {region}: {reason}. {advice}")]
    Misconfigured {
        /// The stream.
        stream: String,
        /// Its region.
        region: String,
        /// Firehose's word for it.
        reason: String,
        /// What the operator should do.
        advice: &'static str,
    },
}

impl PutError {
    /// The records that are not known to be stored, as indexes into what was to be put; `None` for all.
    pub fn not_stored(&self) -> Option<&[usize]> {
        match self {
            PutError::Unavailable { not_stored, .. } => Some(not_stored),
            PutError::Misconfigured { .. } => None,
        }
    }
}

/// The stream.
pub struct Firehose {
    stream: Arc<Stream>,
    /// Requests that come together share calls.
    calls: Arc<Calls>,
}

impl Firehose {
    /// A stream that is connected to when it is first used. The client is made at once: before the first request Lambda gives
    /// a whole processor, and then the share that goes with the function's memory.
    pub fn new(config: FirehoseConfig) -> Self {
        let stream = Arc::new(Stream {
            client: client(&config),
            config,
        });
        let of_calls = Arc::clone(&stream);
        let calls = Calls::new(move |records| {
            let stream = Arc::clone(&of_calls);
            Box::pin(async move { stream.send(records).await })
        });
        Firehose { stream, calls }
    }

    /// Puts records, and returns when Firehose has all of them. What it refuses is offered again, alone, as long as
    /// attempts and `budget` last. A call whose answer is lost is offered again too: Firehose may then have its records
    /// twice, and `event_id` tells. `retries` counts how often records were offered again.
    pub async fn put(&self, records: Vec<Packed>, budget: Duration, retries: &mut u64) -> Result<(), PutError> {
        let give_up_at = Instant::now() + budget.min(MAX_BUDGET);
        let blobs: Vec<Blob> = records.into_iter().map(|record| Blob::new(record.data)).collect();
        let mut waiting: Vec<usize> = (0..blobs.len()).collect();
        let mut reason = NO_TIME.to_owned();
        for attempt in 1..=MAX_ATTEMPTS {
            let pause = match attempt {
                1 => Duration::ZERO,
                _ => jittered(FIRST_BACKOFF * 2_u32.pow(attempt - 2)),
            };
            if Instant::now() + pause + MIN_CALL > give_up_at {
                return Err(PutError::Unavailable {
                    not_stored: waiting,
                    attempts: attempt - 1,
                    reason,
                });
            }
            if attempt > 1 {
                *retries += 1;
                tracing::warn!(
                    records = waiting.len(),
                    attempt,
                    reason,
                    "offering records to Firehose again"
                );
                tokio::time::sleep(pause).await;
            }
            let mut refused = Vec::new();
            for call in calls(waiting.iter().map(|index| blobs[*index].as_ref().len())) {
                let members = &waiting[call];
                let left = give_up_at.saturating_duration_since(Instant::now());
                if left < MIN_CALL {
                    reason = NO_TIME.to_owned();
                    refused.extend_from_slice(members);
                    continue;
                }
                match self
                    .call(members.iter().map(|index| blobs[*index].clone()), left)
                    .await?
                {
                    Said::Answered(entries) => {
                        for (refusal, index) in entries.into_iter().zip(members) {
                            if let Some(code) = refusal {
                                refused.push(*index);
                                reason = code;
                            }
                        }
                    }
                    Said::Failed(failure) => {
                        reason = failure;
                        refused.extend_from_slice(members);
                    }
                    Said::Misconfigured { reason, advice } => return Err(self.misconfigured(reason, advice)),
                }
            }
            if refused.is_empty() {
                return Ok(());
            }
            waiting = refused;
        }
        Err(PutError::Unavailable {
            not_stored: waiting,
            attempts: MAX_ATTEMPTS,
            reason,
        })
    }

    /// One call, or a share of one.
    async fn call(&self, data: impl Iterator<Item = Blob>, limit: Duration) -> Result<Said, PutError> {
        let records = data
            .map(|data| Record::builder().data(data).build())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.misconfigured(error.to_string(), "This is a bug."))?;
        // Waiting for a turn is part of it.
        let (limit, now) = (limit.min(CALL_TIMEOUT), tokio::time::Instant::now());
        let offered = tokio::time::timeout_at(
            now + limit,
            self.calls.offer(records, now + (limit - MIN_CALL.min(limit))),
        );
        Ok(offered.await.unwrap_or_else(|_| Said::Failed(NO_ANSWER.to_owned())))
    }

    fn misconfigured(&self, reason: String, advice: &'static str) -> PutError {
        let FirehoseConfig { stream, region, .. } = &self.stream.config;
        PutError::Misconfigured {
            stream: stream.clone(),
            region: region.clone(),
            reason,
            advice,
        }
    }
}

/// What calls are made with.
struct Stream {
    config: FirehoseConfig,
    client: Client,
}

impl Stream {
    /// One call.
    async fn send(&self, records: Vec<Record>) -> Said {
        let call = self
            .client
            .put_record_batch()
            .delivery_stream_name(&self.config.stream)
            .set_records(Some(records))
            .send();
        match call.await {
            Ok(output) => Said::Answered(refusals(&output)),
            Err(error) => classify(&error),
        }
    }
}

fn classify(error: &SdkError<PutRecordBatchError>) -> Said {
    match error {
        SdkError::TimeoutError(_) => Said::Failed(NO_ANSWER.to_owned()),
        // What the network says quotes nothing; what an answer says may.
        SdkError::DispatchFailure(_) => Said::Failed(edge::chain(error)),
        SdkError::ResponseError(_) => Said::Failed("an answer that cannot be read".to_owned()),
        SdkError::ServiceError(service) => {
            let code = service.err().code().unwrap_or_default();
            match advice(code) {
                // Not its message: it may quote records.
                Some(advice) => Said::Misconfigured {
                    reason: code.to_owned(),
                    advice,
                },
                None => Said::Failed(format!("{code} ({})", service.raw().status().as_u16())),
            }
        }
        _ => Said::Misconfigured {
            reason: edge::chain(error),
            advice: "Check AWS_REGION and AWS_ENDPOINT_URL_FIREHOSE.",
        },
    }
}

/// For each record of a call why it was refused, if it was.
fn refusals(output: &PutRecordBatchOutput) -> Vec<Option<String>> {
    let entries = output.request_responses().iter();
    entries.map(|entry| entry.error_code().map(str::to_owned)).collect()
}

/// What an operator should do about a refusal that no retry mends; `None` for the others.
fn advice(code: &str) -> Option<&'static str> {
    match code {
        "ResourceNotFoundException" => Some("Create the stream, or set FIREHOSE_STREAM and AWS_REGION to where it is."),
        "AccessDeniedException" => Some("Allow firehose:PutRecordBatch on the stream to this function's role."),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "ExpiredTokenException"
        | "MissingAuthenticationTokenException"
        | "SignatureDoesNotMatch" => {
            Some("Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, and the clock.")
        }
        "InvalidArgumentException" | "ValidationException" | "SerializationException" | "InvalidSourceException" => {
            Some("Check that the stream takes direct puts.")
        }
        "InvalidKMSResourceException" => Some("Check the stream's encryption key."),
        _ => None,
    }
}

/// Between half of a duration and all of it.
fn jittered(pause: Duration) -> Duration {
    // Each RandomState has other keys: randomness enough to spread clients out.
    let random = RandomState::new().build_hasher().finish() % 1024;
    pause / 2 + (pause / 2) * (random as u32) / 1024
}

fn client(config: &FirehoseConfig) -> Client {
    let credentials = Credentials::new(
        config.access_key_id.clone(),
        config.secret_access_key.expose_secret().to_owned(),
        config
            .session_token
            .as_ref()
            .map(|token| token.expose_secret().to_owned()),
        None,
        "environment",
    );
    let timeouts = TimeoutConfig::builder()
        .operation_attempt_timeout(CALL_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut builder = aws_sdk_firehose::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .http_client(http_client(&config.roots, CONNECT_TIMEOUT, None))
        // `put` retries, because only it knows which records were refused.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Some(url) = &config.endpoint_url {
        builder = builder.endpoint_url(url);
    }
    Client::from_conf(builder.build())
}
