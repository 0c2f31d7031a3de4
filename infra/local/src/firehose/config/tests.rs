use super::*;

fn http() -> Value {
    json!({
        "EndpointConfiguration": { "Url": "http://127.0.0.1:9000/", "AccessKey": "secret" },
        "S3Configuration": { "RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::b" },
    })
}

#[test]
fn defaults_are_those_of_aws_and_the_key_is_not_described() {
    let description = Destination::parse("HttpEndpoint", &http())
        .unwrap()
        .description()
        .unwrap();
    let s3 = json!({
        "RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::b",
        "BufferingHints": { "SizeInMBs": 5, "IntervalInSeconds": 300 }, "CompressionFormat": "UNCOMPRESSED",
        "EncryptionConfiguration": { "NoEncryptionConfig": "NoEncryption" }, "CloudWatchLoggingOptions": { "Enabled": false },
    });
    assert_eq!(
        Value::Object(description),
        json!({ "HttpEndpointDestinationDescription": {
            "EndpointConfiguration": { "Url": "http://127.0.0.1:9000/" },
            "BufferingHints": { "SizeInMBs": 5, "IntervalInSeconds": 300 },
            "RequestConfiguration": { "ContentEncoding": "NONE", "CommonAttributes": [] },
            "RetryOptions": { "DurationInSeconds": 300 }, "S3BackupMode": "FailedDataOnly",
            "S3DestinationDescription": s3,
            "CloudWatchLoggingOptions": { "Enabled": false }, "ProcessingConfiguration": { "Enabled": false },
        } })
    );
}

#[test]
fn an_update_keeps_what_it_does_not_name() {
    let before = Destination::parse("HttpEndpoint", &http()).unwrap();
    let update = json!({
        "EndpointConfiguration": { "Url": "http://127.0.0.1:9001/" },
        "BufferingHints": { "IntervalInSeconds": 1 },
        "S3Update": { "Prefix": "p/" },
    });
    let Destination::HttpEndpoint(after) = before.update("HttpEndpoint", &update).unwrap() else {
        panic!()
    };
    assert_eq!(after.endpoint_configuration.url, "http://127.0.0.1:9001/");
    assert_eq!(after.endpoint_configuration.access_key.as_deref(), Some("secret"));
    assert_eq!(
        after.buffering_hints,
        Hints {
            size_mb: 5,
            interval_s: 1
        }
    );
    assert_eq!(after.s3.prefix.as_deref(), Some("p/"));
    assert!(
        before
            .update("ExtendedS3", &json!({}))
            .unwrap_err()
            .contains("HttpEndpoint")
    );
}

#[test]
fn what_cannot_be_done_is_refused() {
    for (feature, value) in [
        ("ProcessingConfiguration", json!({ "Enabled": true })),
        ("SecretsManagerConfiguration", json!({ "Enabled": true })),
    ] {
        let mut configuration = http();
        merge(&mut configuration, json!({ feature: value }));
        assert!(Destination::parse("HttpEndpoint", &configuration).is_err(), "{feature}");
    }
    assert!(Destination::parse("Redshift", &json!({})).is_err());
}
