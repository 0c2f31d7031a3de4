//! `weir firehose` with the real SDK in front and an HTTP endpoint behind.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_credential_types::Credentials;
use aws_sdk_firehose::Client;
use aws_sdk_firehose::config::{BehaviorVersion, Region};
use aws_sdk_firehose::primitives::Blob;
use aws_sdk_firehose::types::Record;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use edge::aws::Roots;
use serde_json::Value;

use crate::endpoint::Endpoint;
use crate::process::{Service, eventually, scratch};

/// Amazon's own client.
pub fn sdk(url: &str) -> Client {
    let config = aws_sdk_firehose::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(url)
        .http_client(edge::aws::http_client(&Roots::default(), Duration::from_secs(3), None))
        .build();
    Client::from_conf(config)
}

/// Puts records that must all be taken.
pub async fn put(client: &Client, stream: &str, data: &[String]) -> anyhow::Result<()> {
    let records = data
        .iter()
        .map(|data| Record::builder().data(Blob::new(data.as_bytes())).build());
    let records = records.collect::<Result<Vec<_>, _>>()?;
    let answer = client
        .put_record_batch()
        .delivery_stream_name(stream)
        .set_records(Some(records))
        .send()
        .await?;
    ensure!(answer.failed_put_count() == 0, "{answer:?}");
    Ok(())
}

#[tokio::test]
async fn a_refused_delivery_is_sent_again_under_the_same_request_id() -> anyhow::Result<()> {
    let dir = scratch();
    let endpoint = Endpoint::start().await?;
    endpoint.refuse(true);
    let firehose = Service::start(dir.path(), &endpoint.firehose_args("again")).await?;
    put(&sdk(&firehose.url), "again", &["one\n".to_owned()]).await?;
    eventually("two attempts", async || {
        Ok((endpoint.attempts().len() >= 2).then_some(()))
    })
    .await?;
    endpoint.refuse(false);
    eventually("it is delivered", async || Ok((endpoint.records() == 1).then_some(()))).await?;
    let ids: HashSet<_> = endpoint
        .attempts()
        .into_iter()
        .map(|attempt| attempt.request_id)
        .collect();
    ensure!(ids.len() == 1, "{ids:?}");
    firehose.stop().await
}

#[tokio::test]
async fn what_was_acknowledged_survives_sigkill() -> anyhow::Result<()> {
    let dir = scratch();
    let endpoint = Endpoint::start().await?;
    endpoint.refuse(true);
    let args = endpoint.firehose_args("kept");
    let firehose = Service::start(dir.path(), &args).await?;
    let data: Vec<_> = (0..1000).map(|n| format!("record {n}\n")).collect();
    for batch in data.chunks(100) {
        put(&sdk(&firehose.url), "kept", batch).await?;
    }
    eventually("a first attempt", async || Ok(endpoint.attempts().first().cloned())).await?;
    firehose.kill().await?;

    endpoint.refuse(false);
    let firehose = Service::start(dir.path(), &args).await?;
    eventually("all is delivered", async || {
        Ok((endpoint.records() >= 1000).then_some(()))
    })
    .await?;
    let attempts = endpoint.attempts();
    let mut of_request = std::collections::HashMap::new();
    for attempt in &attempts {
        let first = of_request.entry(&attempt.request_id).or_insert(&attempt.records);
        ensure!(
            *first == &attempt.records,
            "request {} changed over the restart",
            attempt.request_id
        );
    }
    let delivered: HashSet<_> = of_request
        .values()
        .flat_map(|records| records.iter().cloned())
        .collect();
    let sent: HashSet<_> = data.into_iter().map(String::into_bytes).collect();
    ensure!(delivered == sent && endpoint.records() == 1000);
    firehose.stop().await
}

#[tokio::test]
async fn what_cannot_be_delivered_lands_in_the_backup() -> anyhow::Result<()> {
    let dir = scratch();
    let endpoint = Endpoint::start().await?;
    endpoint.refuse(true);
    let args = [&endpoint.firehose_args("given-up")[..], &["--retry-seconds", "1"]].concat();
    let firehose = Service::start(dir.path(), &args).await?;
    put(
        &sdk(&firehose.url),
        "given-up",
        &["lost?\n".to_owned(), "no\n".to_owned()],
    )
    .await?;

    let backup = dir.path().join("data/firehose/backup");
    let lines = eventually("an error record", async || {
        let Some(file) = files(&backup).into_iter().next() else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file)?;
        Ok((text.lines().count() == 2).then_some(text))
    })
    .await?;
    let mut data = Vec::new();
    for line in lines.lines() {
        let record: Value = serde_json::from_str(line)?;
        ensure!(record["attemptsMade"].as_u64() >= Some(1), "{record}");
        ensure!(
            record["errorCode"]
                .as_str()
                .is_some_and(|code| code.starts_with("HttpEndpoint.")),
            "{record}"
        );
        for field in ["arrivalTimestamp", "attemptEndingTimestamp", "errorMessage"] {
            ensure!(!record[field].is_null(), "no {field}: {record}");
        }
        data.push(STANDARD.decode(record["rawData"].as_str().context("rawData")?)?);
    }
    ensure!(data == [b"lost?\n".to_vec(), b"no\n".to_vec()], "{data:?}");
    firehose.stop().await
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let entries = entries.filter_map(Result::ok).map(|entry| entry.path());
    entries
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect()
}
