//! Objects of S3, or of what speaks its API.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{BehaviorVersion, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use edge::aws::{Roots, http_client};
use edge::config::Reader;
use secrecy::{ExposeSecret, SecretString};

use crate::object::MAX_OBJECT_BYTES;

/// How long S3 may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long it may take for the next bytes.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a call may take with all its attempts: until the first bytes, for an object.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an object may take as a whole, where no deadline comes before.
const OBJECT_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Attempts for each call, the first included.
const ATTEMPTS: u32 = 4;

/// Most pages of a listing: ten million objects.
const MAX_PAGES: usize = 10_000;

/// Where, as whom.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// `AWS_REGION`, required; Lambda sets it.
    pub region: String,
    /// `AWS_ACCESS_KEY_ID`, required; Lambda sets it.
    pub access_key_id: String,
    /// `AWS_SECRET_ACCESS_KEY`, required; Lambda sets it.
    pub secret_access_key: SecretString,
    /// `AWS_SESSION_TOKEN`; Lambda sets it.
    pub session_token: Option<SecretString>,
    /// `AWS_ENDPOINT_URL_S3`; AWS's own when not set. With it, the bucket goes into the path.
    pub endpoint_url: Option<String>,
    /// `SSL_CERT_FILE`; Mozilla's list when not set.
    pub roots: Roots,
}

impl S3Config {
    /// Reads the values.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let mut config = S3Config {
            region: reader.required("AWS_REGION", "the region of the backup bucket"),
            access_key_id: reader.required("AWS_ACCESS_KEY_ID", "who reads the backup bucket"),
            secret_access_key: reader.secret("AWS_SECRET_ACCESS_KEY", "the secret of AWS_ACCESS_KEY_ID"),
            session_token: reader.optional("AWS_SESSION_TOKEN").map(Into::into),
            endpoint_url: reader.optional_url("AWS_ENDPOINT_URL_S3"),
            roots: Roots::default(),
        };
        config.roots = Roots::read(reader, config.endpoint_url.as_deref());
        config
    }
}

/// Why S3 did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    /// It refused.
    #[error("S3 refused s3://{bucket}/{key}: {code}")]
    Refused {
        /// The bucket.
        bucket: String,
        /// The object, or the prefix of a listing.
        key: String,
        /// S3's word for it.
        code: String,
    },
    /// No answer, or half of one.
    #[error("S3 did not answer for s3://{bucket}/{key}: {reason}")]
    Unreachable {
        /// The bucket.
        bucket: String,
        /// The object, or the prefix of a listing.
        key: String,
        /// What happened.
        reason: String,
    },
    /// Larger than any that Firehose writes.
    #[error("s3://{bucket}/{key} has more than {MAX_OBJECT_BYTES} bytes")]
    TooLarge {
        /// The bucket.
        bucket: String,
        /// The object.
        key: String,
    },
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// What changes with its content.
    pub etag: String,
}

/// A client of S3.
#[derive(Debug, Clone)]
pub struct S3 {
    client: Client,
}

impl S3 {
    /// A client. Connects when it is first used.
    pub fn new(config: &S3Config) -> Self {
        S3 { client: client(config) }
    }

    /// The objects whose key begins with `prefix`, in the order of their keys. Folders' markers are left out.
    pub async fn list(&self, bucket: &str, prefix: &str) -> Result<Vec<Listed>, S3Error> {
        let mut objects = Vec::new();
        let mut next = None;
        for _ in 0..MAX_PAGES {
            let page = self
                .client
                .list_objects_v2()
                .bucket(bucket)
                .prefix(prefix)
                .set_continuation_token(next)
                .send()
                .await
                .map_err(|error| failure(bucket, prefix, &error))?;
            next = page.next_continuation_token().map(str::to_owned);
            for object in page.contents() {
                let key = object.key().unwrap_or_default();
                if key.is_empty() || key.ends_with('/') {
                    continue;
                }
                objects.push(Listed {
                    key: key.to_owned(),
                    bytes: object.size().unwrap_or_default().unsigned_abs(),
                    etag: object.e_tag().unwrap_or_default().to_owned(),
                });
            }
            if next.is_none() {
                break;
            }
        }
        Ok(objects)
    }

    /// The content of an object.
    pub async fn get(&self, bucket: &str, key: &str) -> Result<Vec<u8>, S3Error> {
        self.get_within(OBJECT_TIMEOUT, bucket, key).await
    }

    async fn get_within(&self, limit: Duration, bucket: &str, key: &str) -> Result<Vec<u8>, S3Error> {
        tokio::time::timeout(limit, self.read(bucket, key))
            .await
            .unwrap_or_else(|_| {
                Err(S3Error::Unreachable {
                    bucket: bucket.to_owned(),
                    key: key.to_owned(),
                    reason: format!("not all of it came within {limit:?}"),
                })
            })
    }

    async fn read(&self, bucket: &str, key: &str) -> Result<Vec<u8>, S3Error> {
        let answer = self.client.get_object().bucket(bucket).key(key).send().await;
        let mut answer = answer.map_err(|error| failure(bucket, key, &error))?;
        let mut content = Vec::new();
        while let Some(chunk) = answer.body.next().await {
            let chunk = chunk.map_err(|error| S3Error::Unreachable {
                bucket: bucket.to_owned(),
                key: key.to_owned(),
                reason: edge::chain(&error),
            })?;
            content.extend_from_slice(&chunk);
            if content.len() > MAX_OBJECT_BYTES {
                return Err(S3Error::TooLarge {
                    bucket: bucket.to_owned(),
                    key: key.to_owned(),
                });
            }
        }
        Ok(content)
    }
}

fn failure<E, R>(bucket: &str, key: &str, error: &SdkError<E, R>) -> S3Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    match error {
        SdkError::ServiceError(service) => S3Error::Refused {
            bucket,
            key,
            code: service.err().code().unwrap_or("no reason given").to_owned(),
        },
        SdkError::TimeoutError(_) => S3Error::Unreachable {
            bucket,
            key,
            reason: "no answer in time".to_owned(),
        },
        _ => S3Error::Unreachable {
            bucket,
            key,
            reason: "the call failed before there was an answer".to_owned(),
        },
    }
}

fn client(config: &S3Config) -> Client {
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
    let timeouts = TimeoutConfig::builder().operation_timeout(CALL_TIMEOUT).build();
    let mut builder = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(config.region.clone()))
        .credentials_provider(credentials)
        .http_client(http_client(&config.roots, CONNECT_TIMEOUT, Some(READ_TIMEOUT)))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    if let Some(url) = &config.endpoint_url {
        builder = builder.endpoint_url(url).force_path_style(true);
    }
    Client::from_conf(builder.build())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// The client's own timeouts end with the first bytes of an answer.
    #[tokio::test]
    async fn an_object_that_never_ends_is_given_up() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await;
            std::future::pending::<()>().await;
        });
        let lookup = |key: &str| {
            Some(if key == "AWS_ENDPOINT_URL_S3" {
                url.clone()
            } else {
                "x".to_owned()
            })
        };
        let s3 = S3::new(&S3Config::read(&mut Reader::new(&lookup)));
        let error = s3.get_within(Duration::from_millis(300), "b", "k").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "S3 did not answer for s3://b/k: not all of it came within 300ms"
        );
    }
}
