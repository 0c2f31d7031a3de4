//! One batch, from its first attempt until it is delivered, given up or the program ends.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::judge::{Failure, Verdict};
use super::{Context, attempt, backoff, batch, blocking};
use crate::firehose::backup::{self, ObjectName, Purpose};
use crate::firehose::clock::now_ms;
use crate::firehose::config::{BackupMode, Destination, StreamConfig};
use crate::firehose::spool::cursor::OpenBatch;

/// How a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The destination has it.
    Delivered,
    /// The backup folder has it.
    GivenUp,
    /// None of its records can be read back any more.
    Unreadable,
    /// The program ends; the batch stays open.
    Stopped,
}

/// Sends the batch until it is done. The retry duration counts from the first failure since the program started: while it
/// is down, nobody tries.
pub(super) async fn drive(
    context: Arc<Context>,
    batch: OpenBatch,
    attempts: Arc<AtomicU32>,
    mut first_slot: Option<OwnedSemaphorePermit>,
) -> Outcome {
    let mut failing_since = None;
    // Of AllData. After a restart it is written again: its key is the same, so nothing is doubled.
    let mut data_stored = false;
    let mut failures = 0;
    loop {
        let slot = match first_slot.take() {
            Some(slot) => slot,
            None => tokio::select! {
                () = context.stop.cancelled() => return Outcome::Stopped,
                slot = Arc::clone(&context.slots).acquire_owned() => match slot {
                    Ok(slot) => slot,
                    Err(_) => return Outcome::Stopped,
                },
            },
        };
        // Read for each attempt: URL and key may have changed since the last one.
        let config = Arc::clone(&context.config.borrow());
        context.status.in_flight.fetch_add(1, Ordering::Relaxed);
        let sent = send(&context, &batch, &config, &mut data_stored).await;
        context.status.in_flight.fetch_sub(1, Ordering::Relaxed);
        drop(slot);
        context.freed.notify_one();

        let failure = match sent {
            Ok(Sent::Judged(Verdict::Delivered)) => return Outcome::Delivered,
            Ok(Sent::Judged(Verdict::Failed(failure))) => failure,
            Ok(Sent::Nothing) => return Outcome::Unreadable,
            Err(error) => Failure::without_answer("InternalError", error.to_string()),
        };
        let made = attempts.fetch_add(1, Ordering::Relaxed) + 1;
        failures += 1;
        context.status.failed(batch.request_id, made, &failure);
        let since = *failing_since.get_or_insert_with(Instant::now);
        let wait = match &config.destination {
            Destination::HttpEndpoint(_) if failure.permanent => None,
            Destination::HttpEndpoint(http) => {
                let retry_for = Duration::from_secs(http.retry_options.duration_s);
                backoff::next_wait(
                    context.tuning.first_wait,
                    failures,
                    since.elapsed(),
                    retry_for,
                    rand::random(),
                )
            }
            // There is no place left to give up to.
            Destination::S3(_) | Destination::ExtendedS3(_) => {
                Some(backoff::wait(context.tuning.first_wait, failures, rand::random()))
            }
        };
        tracing::warn!(
            stream = config.name, request_id = %batch.request_id, records = batch.records, attempt = made,
            code = failure.code, status = failure.status,
            retry_in_ms = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            "a delivery attempt failed"
        );
        match wait {
            Some(wait) => tokio::select! {
                () = context.stop.cancelled() => return Outcome::Stopped,
                () = tokio::time::sleep(wait) => {}
            },
            None => return give_up(&context, &batch, &config, made, failure).await,
        }
    }
}

enum Sent {
    Judged(Verdict),
    Nothing,
}

async fn send(context: &Context, batch: &OpenBatch, config: &StreamConfig, data_stored: &mut bool) -> io::Result<Sent> {
    match &config.destination {
        Destination::HttpEndpoint(http) => {
            if http.s3_backup_mode == BackupMode::AllData && !*data_stored {
                store_data(context, batch, config).await?;
                *data_stored = true;
            }
            let (spool, of) = (Arc::clone(&context.spool), batch.clone());
            let encoding = http.request_configuration.content_encoding;
            let content = blocking(move || batch::body(&spool, &of, now_ms(), encoding)).await?;
            if content.records == 0 {
                return Ok(Sent::Nothing);
            }
            let verdict = attempt::post(&context.client, http, &config.arn, &batch.request_id, content.bytes).await;
            Ok(Sent::Judged(verdict))
        }
        Destination::S3(_) | Destination::ExtendedS3(_) => {
            let stored = store_data(context, batch, config).await?;
            Ok(if stored {
                Sent::Judged(Verdict::Delivered)
            } else {
                Sent::Nothing
            })
        }
    }
}

/// Writes the records as they came. Whether there were any.
async fn store_data(context: &Context, batch: &OpenBatch, config: &StreamConfig) -> io::Result<bool> {
    let (spool, root, batch, config) = (
        Arc::clone(&context.spool),
        context.backup.clone(),
        batch.clone(),
        config.clone(),
    );
    blocking(move || {
        let content = batch::raw(&spool, &batch)?;
        if content.records > 0 {
            let name = object_name(&batch, &config, content.oldest_ms);
            backup::write(&root, config.destination.s3(), Purpose::Data, name, &content.bytes)?;
        }
        Ok(content.records > 0)
    })
    .await
}

/// Writes the batch to the backup folder. It is not closed before it is there.
async fn give_up(
    context: &Context,
    batch: &OpenBatch,
    config: &StreamConfig,
    attempts: u32,
    failure: Failure,
) -> Outcome {
    let ended_ms = now_ms();
    let mut tries = 0;
    loop {
        let (spool, root, of, config) = (
            Arc::clone(&context.spool),
            context.backup.clone(),
            batch.clone(),
            config.clone(),
        );
        let (code, message) = (failure.code, failure.message.clone());
        let written = blocking(move || {
            let content = batch::errors(&spool, &of, attempts, code, &message, ended_ms)?;
            let name = object_name(&of, &config, content.oldest_ms);
            backup::write(&root, config.destination.s3(), Purpose::Failure, name, &content.bytes)
        })
        .await;
        let error = match written {
            Ok(path) => {
                // A 413 loses the batch on AWS: it is neither sent again nor put in the bucket. Here it is kept, and said.
                let advice = failure
                    .permanent
                    .then_some("AWS would have LOST these records: lower SizeInMBs");
                tracing::error!(
                    request_id = %batch.request_id, records = batch.records, attempts, code = failure.code,
                    status = failure.status, backup = %path.display(), advice,
                    "a delivery is given up: its records are in the backup folder"
                );
                return Outcome::GivenUp;
            }
            Err(error) => error,
        };
        tries += 1;
        let wait = backoff::wait(context.tuning.first_wait, tries, rand::random());
        tracing::error!(request_id = %batch.request_id, %error, "the backup could not be written: trying again");
        tokio::select! {
            () = context.stop.cancelled() => return Outcome::Stopped,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn object_name<'a>(batch: &OpenBatch, config: &'a StreamConfig, oldest_ms: i64) -> ObjectName<'a> {
    ObjectName {
        stream: &config.name,
        version: config.version,
        formed_ms: batch.formed_ms,
        oldest_ms,
        request_id: batch.request_id,
    }
}
