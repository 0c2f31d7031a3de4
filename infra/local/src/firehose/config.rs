//! A stream's configuration: what CreateDeliveryStream was given, with AWS's defaults filled in, kept in `stream.json`.

#[cfg(test)]
mod tests;

use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What `stream.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamConfig {
    /// 1 to 64 of `[a-zA-Z0-9_.-]`.
    pub(crate) name: String,
    /// `arn:aws:firehose:<region>:<account>:deliverystream/<name>`.
    pub(crate) arn: String,
    /// `DirectPut`, or a source type, which gets no records here.
    pub(crate) kind: String,
    /// Milliseconds since the epoch.
    pub(crate) created_ms: i64,
    /// Milliseconds since the epoch.
    pub(crate) updated_ms: i64,
    /// 1, and one more with each UpdateDestination.
    pub(crate) version: u64,
    /// `{"KeyType", "KeyARN"?, "Status"}` once it was ever set. Nothing is encrypted: the state is only kept.
    pub(crate) encryption: Option<Value>,
    /// The source's configuration, if the stream is not `DirectPut`.
    pub(crate) source: Option<Value>,
    /// In the order in which they were set.
    pub(crate) tags: Vec<Tag>,
    /// Where records go.
    pub(crate) destination: Destination,
}

/// A stream's tag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// Where a stream's records go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Destination {
    /// Posted to an endpoint; what it does not take goes to the backup folder.
    HttpEndpoint(Box<HttpEndpoint>),
    /// Written to the folder of the bucket.
    S3(Box<S3>),
    /// The same, created by its newer name.
    ExtendedS3(Box<S3>),
}

/// `HttpEndpointDestinationDescription`, and the access key, which descriptions leave out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct HttpEndpoint {
    pub(crate) endpoint_configuration: Endpoint,
    #[serde(default)]
    pub(crate) buffering_hints: Hints,
    #[serde(default)]
    pub(crate) request_configuration: RequestConfiguration,
    #[serde(default)]
    pub(crate) retry_options: RetryOptions,
    #[serde(default)]
    pub(crate) s3_backup_mode: BackupMode,
    #[serde(rename = "RoleARN", default, skip_serializing_if = "Option::is_none")]
    pub(crate) role_arn: Option<String>,
    #[serde(rename = "S3DestinationDescription", alias = "S3Configuration")]
    pub(crate) s3: S3,
    #[serde(default = "disabled")]
    pub(crate) cloud_watch_logging_options: Value,
    #[serde(default = "disabled")]
    pub(crate) processing_configuration: Value,
}

/// The endpoint itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoint {
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access_key: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The key stays out of every log, and the URL may carry a secret too.
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// When a batch is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hints {
    /// MiB of data before base64.
    #[serde(rename = "SizeInMBs", default = "five")]
    pub(crate) size_mb: u64,
    /// Seconds since the first buffered record arrived; 0: at once.
    #[serde(rename = "IntervalInSeconds", default = "three_hundred")]
    pub(crate) interval_s: u64,
}

impl Default for Hints {
    fn default() -> Self {
        Self {
            size_mb: five(),
            interval_s: three_hundred(),
        }
    }
}

/// How requests look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RequestConfiguration {
    #[serde(default)]
    pub(crate) content_encoding: ContentEncoding,
    #[serde(default)]
    pub(crate) common_attributes: Vec<Attribute>,
}

/// Whether bodies are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum ContentEncoding {
    #[default]
    None,
    Gzip,
}

/// One entry of `X-Amz-Firehose-Common-Attributes`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Attribute {
    pub(crate) attribute_name: String,
    pub(crate) attribute_value: String,
}

/// How long a batch is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetryOptions {
    /// Seconds from the first failure; 0: one attempt.
    #[serde(rename = "DurationInSeconds", default = "three_hundred")]
    pub(crate) duration_s: u64,
}

impl Default for RetryOptions {
    fn default() -> Self {
        Self {
            duration_s: three_hundred(),
        }
    }
}

/// What goes to the backup folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum BackupMode {
    /// What the endpoint did not take.
    #[default]
    FailedDataOnly,
    /// Everything, and what the endpoint did not take once more as error records.
    AllData,
}

/// A bucket, which here is a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3 {
    #[serde(rename = "RoleARN")]
    pub(crate) role_arn: String,
    #[serde(rename = "BucketARN")]
    pub(crate) bucket_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_output_prefix: Option<String>,
    #[serde(default)]
    pub(crate) buffering_hints: Hints,
    #[serde(default = "uncompressed")]
    pub(crate) compression_format: String,
    #[serde(default = "no_encryption")]
    pub(crate) encryption_configuration: Value,
    #[serde(default = "disabled")]
    pub(crate) cloud_watch_logging_options: Value,
    /// What only `ExtendedS3` has: kept for its description.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Destination {
    /// Reads a configuration that has passed the model, and refuses what this server cannot do: a setting that changes
    /// where data goes, or what becomes of it, is never accepted and then ignored.
    pub(crate) fn parse(kind: &str, configuration: &Value) -> Result<Self, String> {
        let read = |error: serde_json::Error| error.to_string();
        let destination = match kind {
            "HttpEndpoint" => Self::HttpEndpoint(serde_json::from_value(configuration.clone()).map_err(read)?),
            "S3" => Self::S3(serde_json::from_value(configuration.clone()).map_err(read)?),
            "ExtendedS3" => Self::ExtendedS3(serde_json::from_value(configuration.clone()).map_err(read)?),
            other => {
                return Err(format!(
                    "{other} destinations are not supported by weir firehose: use HttpEndpoint or S3"
                ));
            }
        };
        for feature in [
            "ProcessingConfiguration",
            "SecretsManagerConfiguration",
            "DataFormatConversionConfiguration",
            "DynamicPartitioningConfiguration",
        ] {
            if configuration.pointer(&format!("/{feature}/Enabled")) == Some(&Value::Bool(true)) {
                return Err(format!("{feature} is not supported by weir firehose"));
            }
        }
        if !matches!(destination.s3().compression_format.as_str(), "UNCOMPRESSED" | "GZIP") {
            return Err("CompressionFormat must be UNCOMPRESSED or GZIP in weir firehose".to_owned());
        }
        if let Self::HttpEndpoint(http) = &destination {
            let url =
                url::Url::parse(&http.endpoint_configuration.url).map_err(|error| format!("Invalid Url: {error}"))?;
            if !url.has_host() {
                return Err("Invalid Url: no host".to_owned());
            }
            let key = http.endpoint_configuration.access_key.as_deref().unwrap_or_default();
            if HeaderValue::from_bytes(key.as_bytes()).is_err() {
                return Err("AccessKey cannot be sent as a header value".to_owned());
            }
        }
        Ok(destination)
    }

    /// Lays an update over it: members that are not given stay.
    pub(crate) fn update(&self, kind: &str, update: &Value) -> Result<Self, String> {
        let supported = matches!(
            (self, kind),
            (Self::HttpEndpoint(_), "HttpEndpoint") | (Self::S3(_) | Self::ExtendedS3(_), "S3" | "ExtendedS3")
        );
        if !supported {
            let named = if matches!(self, Self::HttpEndpoint(_)) {
                "HttpEndpoint"
            } else {
                kind
            };
            return Err(format!(
                "Changing the destination type to or from {named} is not supported at this time."
            ));
        }
        let mut merged = self.stored()?;
        let mut update = update.clone();
        if let Some(s3) = update.as_object_mut().and_then(|update| update.remove("S3Update")) {
            merge(&mut merged, json!({ "S3DestinationDescription": s3 }));
        }
        merge(&mut merged, update);
        Self::parse(kind, &merged)
    }

    /// The member of `DestinationDescription` with its value.
    pub(crate) fn description(&self) -> Result<Map<String, Value>, String> {
        let mut stored = self.stored()?;
        if let Some(endpoint) = stored.get_mut("EndpointConfiguration").and_then(Value::as_object_mut) {
            endpoint.remove("AccessKey");
        }
        let mut description = Map::new();
        match self {
            Self::HttpEndpoint(_) => {
                description.insert("HttpEndpointDestinationDescription".to_owned(), stored);
            }
            Self::S3(_) => {
                description.insert("S3DestinationDescription".to_owned(), stored);
            }
            Self::ExtendedS3(s3) => {
                let plain = S3 {
                    other: Map::new(),
                    ..S3::clone(s3)
                };
                let plain = serde_json::to_value(plain).map_err(|error| error.to_string())?;
                description.insert("S3DestinationDescription".to_owned(), plain);
                description.insert("ExtendedS3DestinationDescription".to_owned(), stored);
            }
        }
        Ok(description)
    }

    /// When a batch is due.
    pub(crate) fn hints(&self) -> Hints {
        match self {
            Self::HttpEndpoint(http) => http.buffering_hints,
            Self::S3(s3) | Self::ExtendedS3(s3) => s3.buffering_hints,
        }
    }

    /// The bucket: of the backup, or of the destination itself.
    pub(crate) fn s3(&self) -> &S3 {
        match self {
            Self::HttpEndpoint(http) => &http.s3,
            Self::S3(s3) | Self::ExtendedS3(s3) => s3,
        }
    }

    fn stored(&self) -> Result<Value, String> {
        match self {
            Self::HttpEndpoint(http) => serde_json::to_value(http),
            Self::S3(s3) | Self::ExtendedS3(s3) => serde_json::to_value(s3),
        }
        .map_err(|error| error.to_string())
    }
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

fn five() -> u64 {
    5
}

fn three_hundred() -> u64 {
    300
}

fn disabled() -> Value {
    json!({ "Enabled": false })
}

fn no_encryption() -> Value {
    json!({ "NoEncryptionConfig": "NoEncryption" })
}

fn uncompressed() -> String {
    "UNCOMPRESSED".to_owned()
}
