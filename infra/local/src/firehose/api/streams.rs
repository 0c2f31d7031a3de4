//! The operations on streams: create, describe, list, update, delete, tags and the encryption switch.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::{App, model, validate};
use crate::firehose::clock::now_ms;
use crate::firehose::config::{Destination, StreamConfig, Tag};
use crate::firehose::stream::{Stream, StreamError};

/// Streams an account may have in a region.
const MAX_STREAMS: usize = 50;

const MAX_TAGS: usize = 50;

const DESTINATION_ID: &str = "destinationId-000000000001";

const DESTINATIONS: &[&str] = &[
    "HttpEndpoint",
    "S3",
    "ExtendedS3",
    "Redshift",
    "Elasticsearch",
    "Amazonopensearchservice",
    "AmazonOpenSearchServerless",
    "Splunk",
    "Snowflake",
    "Iceberg",
];

/// CreateDeliveryStream.
pub(crate) async fn create(app: &Arc<App>, input: &Value, region: &str) -> Result<Value, ApiError> {
    validate::validate(input, model::CREATE)?;
    let (kind, configuration) = one_destination(input, "DestinationConfiguration")?;
    let source_type = text(input, "DeliveryStreamType").unwrap_or("DirectPut");
    let source = input
        .get("KinesisStreamSourceConfiguration")
        .filter(|source| !source.is_null());
    if source.is_some() && source_type != "KinesisStreamAsSource" {
        return Err(ApiError::InvalidArgument(
            "KinesisSourceStreamConfig is only applicable for KinesisStreamAsSource stream type".to_owned(),
        ));
    }
    let destination = Destination::parse(kind, configuration).map_err(ApiError::InvalidArgument)?;
    let name = name(input);
    let _one_at_a_time = app.registry.changes.lock().await;
    if app.registry.get(name).is_some() {
        let account = &app.account;
        return Err(ApiError::InUse(format!(
            "Firehose {name} under accountId {account} already exists"
        )));
    }
    let streams = app.registry.all();
    if streams.len() >= MAX_STREAMS {
        let names = streams
            .iter()
            .map(|stream| stream.config().name.clone())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(ApiError::LimitExceeded(format!(
            "You have already consumed your firehose quota of {MAX_STREAMS} hoses. Firehose names: [{names}]"
        )));
    }
    let now = now_ms();
    let arn = format!("arn:aws:firehose:{region}:{}:deliverystream/{name}", app.account);
    let encryption = input
        .get("DeliveryStreamEncryptionConfigurationInput")
        .filter(|input| !input.is_null());
    let config = StreamConfig {
        name: name.to_owned(),
        arn: arn.clone(),
        kind: source_type.to_owned(),
        created_ms: now,
        updated_ms: now,
        version: 1,
        encryption: encryption.map(|encryption| with_status(encryption, "ENABLED")),
        source: source.cloned(),
        tags: tags(input),
        destination,
    };
    if source_type != "DirectPut" {
        tracing::warn!(
            stream = name,
            source_type,
            "there is no such source here: nothing will arrive in this stream"
        );
    }
    let shared = Arc::clone(app);
    tokio::task::spawn_blocking(move || shared.registry.create(config))
        .await
        .map_err(|_| ApiError::Internal)?
        .map_err(failed)?;
    Ok(json!({ "DeliveryStreamARN": arn }))
}

/// DeleteDeliveryStream.
pub(crate) async fn delete(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::NAME_ONLY)?;
    let _one_at_a_time = app.registry.changes.lock().await;
    find(app, input)?;
    app.registry.delete(name(input)).await.map_err(failed)?;
    Ok(json!({}))
}

/// DescribeDeliveryStream.
pub(crate) fn describe(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::DESCRIBE)?;
    let config = find(app, input)?.config();
    let mut description = json!({
        "DeliveryStreamName": config.name,
        "DeliveryStreamARN": config.arn,
        "DeliveryStreamStatus": "ACTIVE",
        "DeliveryStreamType": config.kind,
        "VersionId": config.version.to_string(),
        "CreateTimestamp": seconds(config.created_ms),
        "LastUpdateTimestamp": seconds(config.updated_ms),
        "Destinations": [],
        "HasMoreDestinations": false,
    });
    let after = text(input, "ExclusiveStartDestinationId");
    if after.is_none_or(|after| after < DESTINATION_ID) {
        let mut destination = Map::from_iter([("DestinationId".to_owned(), Value::from(DESTINATION_ID))]);
        destination.extend(config.destination.description().map_err(|_| ApiError::Internal)?);
        description["Destinations"] = json!([destination]);
    }
    if let Some(encryption) = &config.encryption {
        description["DeliveryStreamEncryptionConfiguration"] = encryption.clone();
    }
    if let Some(source) = &config.source {
        description["Source"] = json!({ "KinesisStreamSourceDescription": source });
    }
    Ok(json!({ "DeliveryStreamDescription": description }))
}

/// ListDeliveryStreams. Ten at a time unless the caller says otherwise, as on AWS.
pub(crate) fn list(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::LIST)?;
    let kind = text(input, "DeliveryStreamType");
    let names = app
        .registry
        .all()
        .iter()
        .map(|stream| stream.config())
        .filter(|config| kind.is_none_or(|kind| config.kind == kind))
        .map(|config| config.name.clone())
        .collect::<Vec<_>>();
    let (page, more) = page(
        &names,
        String::as_str,
        text(input, "ExclusiveStartDeliveryStreamName"),
        limit(input, 10),
    );
    Ok(json!({ "DeliveryStreamNames": page, "HasMoreDeliveryStreams": more }))
}

/// UpdateDestination.
pub(crate) async fn update(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::UPDATE)?;
    let (kind, changes) = one_destination(input, "DestinationUpdate")?;
    let _one_at_a_time = app.registry.changes.lock().await;
    let name = name(input);
    let stream = app.registry.get(name).ok_or_else(|| ApiError::NotFoundToUpdate {
        name: name.to_owned(),
        account: app.account.clone(),
    })?;
    let config = stream.config();
    let version = text(input, "CurrentDeliveryStreamVersionId").unwrap_or_default();
    if version != config.version.to_string() {
        return Err(ApiError::ConcurrentModification(format!(
            "Cannot update firehose: {name} since the current version id: {} and specified version id: {version} do not match",
            config.version
        )));
    }
    let id = text(input, "DestinationId").unwrap_or_default();
    if id != DESTINATION_ID {
        return Err(ApiError::InvalidArgument(format!("Destination Id {id} not found")));
    }
    let destination = config
        .destination
        .update(kind, changes)
        .map_err(ApiError::InvalidArgument)?;
    redirect(&stream, destination).await?;
    Ok(json!({}))
}

/// Gives a stream another destination, as a new version.
pub(crate) async fn redirect(stream: &Stream, destination: Destination) -> Result<(), ApiError> {
    let config = stream.config();
    let version = config.version + 1;
    let next = StreamConfig {
        destination,
        version,
        updated_ms: now_ms(),
        ..StreamConfig::clone(&config)
    };
    stream.configure(next).await.map_err(failed)
}

/// TagDeliveryStream. A tag of a key that is there replaces it, in its place.
pub(crate) async fn tag(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::TAG)?;
    change(app, input, |config| {
        for tag in tags(input) {
            match config.tags.iter_mut().find(|old| old.key == tag.key) {
                Some(old) => *old = tag,
                None => config.tags.push(tag),
            }
        }
        if config.tags.len() > MAX_TAGS {
            return Err(ApiError::LimitExceeded(format!(
                "A delivery stream can have at most {MAX_TAGS} tags"
            )));
        }
        Ok(())
    })
    .await
}

/// UntagDeliveryStream. Keys that are not there are ignored.
pub(crate) async fn untag(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::UNTAG)?;
    let keys = input["TagKeys"].as_array().map(Vec::as_slice).unwrap_or_default();
    change(app, input, |config| {
        config.tags.retain(|tag| !keys.iter().any(|key| key == &tag.key));
        Ok(())
    })
    .await
}

/// ListTagsForDeliveryStream.
pub(crate) fn list_tags(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::LIST_TAGS)?;
    let config = find(app, input)?.config();
    let after = text(input, "ExclusiveStartTagKey");
    let (page, more) = page(&config.tags, |tag| tag.key.as_str(), after, limit(input, MAX_TAGS));
    Ok(json!({ "Tags": page, "HasMoreTags": more }))
}

/// StartDeliveryStreamEncryption. The state is kept and shown; the spool is not encrypted.
pub(crate) async fn start_encryption(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::START_ENCRYPTION)?;
    let default = json!({ "KeyType": "AWS_OWNED_CMK" });
    let wanted = input
        .get("DeliveryStreamEncryptionConfigurationInput")
        .filter(|input| !input.is_null());
    let encryption = with_status(wanted.unwrap_or(&default), "ENABLED");
    change(app, input, |config| {
        config.encryption = Some(encryption.clone());
        Ok(())
    })
    .await
}

/// StopDeliveryStreamEncryption.
pub(crate) async fn stop_encryption(app: &App, input: &Value) -> Result<Value, ApiError> {
    validate::validate(input, model::NAME_ONLY)?;
    change(app, input, |config| {
        let before = config.encryption.take().unwrap_or_else(|| json!({}));
        config.encryption = Some(with_status(&before, "DISABLED"));
        Ok(())
    })
    .await
}

async fn change(
    app: &App,
    input: &Value,
    edit: impl FnOnce(&mut StreamConfig) -> Result<(), ApiError>,
) -> Result<Value, ApiError> {
    let _one_at_a_time = app.registry.changes.lock().await;
    let stream = find(app, input)?;
    let mut config = StreamConfig::clone(&stream.config());
    edit(&mut config)?;
    stream.configure(config).await.map_err(failed)?;
    Ok(json!({}))
}

fn find(app: &App, input: &Value) -> Result<Arc<Stream>, ApiError> {
    let name = name(input);
    app.registry.get(name).ok_or_else(|| ApiError::NotFound {
        name: name.to_owned(),
        account: app.account.clone(),
    })
}

fn name(input: &Value) -> &str {
    text(input, "DeliveryStreamName").unwrap_or_default()
}

fn text<'v>(input: &'v Value, member: &str) -> Option<&'v str> {
    input.get(member).and_then(Value::as_str)
}

fn limit(input: &Value, default: usize) -> usize {
    input
        .get("Limit")
        .and_then(Value::as_u64)
        .and_then(|limit| usize::try_from(limit).ok())
        .unwrap_or(default)
}

fn tags(input: &Value) -> Vec<Tag> {
    input
        .get("Tags")
        .and_then(|tags| serde_json::from_value(tags.clone()).ok())
        .unwrap_or_default()
}

/// What follows `after`, which is ignored when nothing has that name.
fn page<'i, T>(items: &'i [T], key: impl Fn(&T) -> &str, after: Option<&str>, limit: usize) -> (&'i [T], bool) {
    let start = after
        .and_then(|after| items.iter().position(|item| key(item) == after))
        .map_or(0, |at| at + 1);
    let rest = items.get(start..).unwrap_or_default();
    (rest.get(..limit).unwrap_or(rest), rest.len() > limit)
}

fn one_destination<'v>(input: &'v Value, suffix: &str) -> Result<(&'static str, &'v Value), ApiError> {
    let mut given = DESTINATIONS.iter().filter_map(|kind| {
        let value = input.get(format!("{kind}{suffix}"))?;
        (!value.is_null()).then_some((*kind, value))
    });
    match (given.next(), given.next()) {
        (Some(destination), None) => Ok(destination),
        _ => Err(ApiError::InvalidArgument(
            "Exactly one destination configuration is supported for a Firehose".to_owned(),
        )),
    }
}

fn with_status(encryption: &Value, status: &str) -> Value {
    let mut encryption = encryption.clone();
    if let Some(members) = encryption.as_object_mut() {
        members.insert("Status".to_owned(), Value::from(status));
    }
    encryption
}

/// AWS writes times as seconds with a fraction.
fn seconds(ms: i64) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of this age are exact in an f64")]
    Value::from(ms as f64 / 1000.0)
}

/// A failure of the disk: the caller may try again.
fn failed(error: StreamError) -> ApiError {
    tracing::error!(%error, "a stream could not be changed");
    ApiError::Unavailable("The service is unavailable. Try again later.".to_owned())
}
