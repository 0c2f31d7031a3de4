//! The shapes of the Firehose API that this server looks into, with the service model's own limits and patterns
//! (API version 2015-08-04). Two differ on purpose: a URL may be `http://` and of any port, and ARNs are checked for what
//! is used of them.

use super::validate::{Member, Pattern, Shape, optional, required};

const STREAM_PATTERN: Pattern = Pattern {
    text: "[a-zA-Z0-9_.-]+",
    matches: |text| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
            && !text.is_empty()
    },
};
const DIGITS: Pattern = Pattern {
    text: "[0-9]+",
    matches: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
};
const ID_PATTERN: Pattern = Pattern {
    text: "[a-zA-Z0-9-]+",
    matches: |text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'),
};
const URL_PATTERN: Pattern = Pattern {
    text: "https?://.*",
    matches: |text| {
        text.split_once("://")
            .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !rest.is_empty())
            && !text.bytes().any(|byte| byte == b'\n' || byte == b'\r')
    },
};
const NOT_BLANK: Pattern = Pattern {
    text: "^(?!\\s*$).+",
    matches: |text| !text.trim().is_empty(),
};
const ONE_LINE: Pattern = Pattern {
    text: ".*",
    matches: |text| !text.contains(['\n', '\r']),
};
const TAG_KEY_PATTERN: Pattern = Pattern {
    text: "^(?!aws:)[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@%]*$",
    matches: |text| !text.starts_with("aws:") && tag_letters(text),
};
const TAG_VALUE_PATTERN: Pattern = Pattern {
    text: "^[\\p{L}\\p{Z}\\p{N}_.:\\/=+\\-@%]*$",
    matches: tag_letters,
};
const BUCKET_PATTERN: Pattern = Pattern {
    text: "arn:.*:s3:::[\\w\\.\\-]{1,255}",
    matches: |text| bucket_name(text).is_some(),
};

fn tag_letters(text: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_alphanumeric() || letter == ' ' || "_.:/=+-@%".contains(letter))
}

/// The bucket that an ARN names. `arn:aws:s3::name` is let through too: tools in the field send it.
pub(crate) fn bucket_name(arn: &str) -> Option<&str> {
    let (head, name) = arn.rsplit_once(':')?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let whole = head.starts_with("arn:") && head.contains(":s3:");
    // A folder gets this name, so the two that mean another folder are out.
    (whole && (1..=255).contains(&name.len()) && name.bytes().all(good) && name != "." && name != "..").then_some(name)
}

const NAME: Shape = Shape::Text {
    min: 1,
    max: 64,
    pattern: Some(&STREAM_PATTERN),
    secret: false,
};
const TYPE: Shape = Shape::OneOf(&["DirectPut", "KinesisStreamAsSource", "MSKAsSource", "DatabaseAsSource"]);
const ARN: Shape = Shape::Text {
    min: 1,
    max: 512,
    pattern: None,
    secret: false,
};
const BUCKET_ARN: Shape = Shape::Text {
    min: 1,
    max: 2048,
    pattern: Some(&BUCKET_PATTERN),
    secret: false,
};
const PREFIX: Shape = Shape::Text {
    min: 0,
    max: 1024,
    pattern: Some(&ONE_LINE),
    secret: false,
};

const TAG_KEY: Shape = Shape::Text {
    min: 1,
    max: 128,
    pattern: Some(&TAG_KEY_PATTERN),
    secret: false,
};
const TAG_VALUE: Shape = Shape::Text {
    min: 0,
    max: 256,
    pattern: Some(&TAG_VALUE_PATTERN),
    secret: false,
};
const A_TAG: Shape = Shape::Structure(&[required("Key", &TAG_KEY), optional("Value", &TAG_VALUE)]);
const TAGS: Shape = Shape::List {
    min: 1,
    max: 50,
    member: &A_TAG,
};
const TAG_KEYS: Shape = Shape::List {
    min: 1,
    max: 50,
    member: &TAG_KEY,
};

const ENCRYPTION: Shape = Shape::Structure(&[
    optional("KeyARN", &ARN),
    required("KeyType", &Shape::OneOf(&["AWS_OWNED_CMK", "CUSTOMER_MANAGED_CMK"])),
]);

const URL: Shape = Shape::Text {
    min: 1,
    max: 1000,
    pattern: Some(&URL_PATTERN),
    secret: true,
};
const ENDPOINT: Shape = Shape::Structure(&[
    required("Url", &URL),
    optional(
        "Name",
        &Shape::Text {
            min: 1,
            max: 256,
            pattern: Some(&NOT_BLANK),
            secret: false,
        },
    ),
    optional(
        "AccessKey",
        &Shape::Text {
            min: 0,
            max: 4096,
            pattern: Some(&ONE_LINE),
            secret: true,
        },
    ),
]);
const HINTS: Shape = Shape::Structure(&[
    optional("SizeInMBs", &Shape::Whole { min: 1, max: 64 }),
    optional("IntervalInSeconds", &Shape::Whole { min: 0, max: 900 }),
]);
const S3_HINTS: Shape = Shape::Structure(&[
    optional("SizeInMBs", &Shape::Whole { min: 1, max: 128 }),
    optional("IntervalInSeconds", &Shape::Whole { min: 0, max: 900 }),
]);
const ATTRIBUTE: Shape = Shape::Structure(&[
    required(
        "AttributeName",
        &Shape::Text {
            min: 1,
            max: 256,
            pattern: Some(&NOT_BLANK),
            secret: true,
        },
    ),
    required(
        "AttributeValue",
        &Shape::Text {
            min: 0,
            max: 1024,
            pattern: Some(&ONE_LINE),
            secret: true,
        },
    ),
]);
const REQUEST: Shape = Shape::Structure(&[
    optional("ContentEncoding", &Shape::OneOf(&["NONE", "GZIP"])),
    optional(
        "CommonAttributes",
        &Shape::List {
            min: 0,
            max: 50,
            member: &ATTRIBUTE,
        },
    ),
]);
const RETRY: Shape = Shape::Structure(&[optional("DurationInSeconds", &Shape::Whole { min: 0, max: 7200 })]);
const BACKUP_MODE: Shape = Shape::OneOf(&["FailedDataOnly", "AllData"]);
const PROCESSING: Shape = Shape::Structure(&[
    optional("Enabled", &Shape::Flag),
    optional(
        "Processors",
        &Shape::List {
            min: 0,
            max: 1000,
            member: &Shape::Opaque,
        },
    ),
]);
const SECRETS: Shape = Shape::Structure(&[required("Enabled", &Shape::Flag)]);
const COMPRESSION: Shape = Shape::OneOf(&["UNCOMPRESSED", "GZIP", "ZIP", "Snappy", "HADOOP_SNAPPY"]);

const S3: Shape = Shape::Structure(&[
    required("RoleARN", &ARN),
    required("BucketARN", &BUCKET_ARN),
    optional("Prefix", &PREFIX),
    optional("ErrorOutputPrefix", &PREFIX),
    optional("BufferingHints", &S3_HINTS),
    optional("CompressionFormat", &COMPRESSION),
    optional("CloudWatchLoggingOptions", &Shape::Opaque),
]);
const S3_UPDATE: Shape = Shape::Structure(&[
    optional("RoleARN", &ARN),
    optional("BucketARN", &BUCKET_ARN),
    optional("Prefix", &PREFIX),
    optional("ErrorOutputPrefix", &PREFIX),
    optional("BufferingHints", &S3_HINTS),
    optional("CompressionFormat", &COMPRESSION),
    optional("CloudWatchLoggingOptions", &Shape::Opaque),
]);
const HTTP: Shape = Shape::Structure(&[
    required("EndpointConfiguration", &ENDPOINT),
    required("S3Configuration", &S3),
    optional("BufferingHints", &HINTS),
    optional("RequestConfiguration", &REQUEST),
    optional("ProcessingConfiguration", &PROCESSING),
    optional("RoleARN", &ARN),
    optional("RetryOptions", &RETRY),
    optional("S3BackupMode", &BACKUP_MODE),
    optional("SecretsManagerConfiguration", &SECRETS),
    optional("CloudWatchLoggingOptions", &Shape::Opaque),
]);
const HTTP_UPDATE: Shape = Shape::Structure(&[
    optional("EndpointConfiguration", &ENDPOINT),
    optional("S3Update", &S3_UPDATE),
    optional("BufferingHints", &HINTS),
    optional("RequestConfiguration", &REQUEST),
    optional("ProcessingConfiguration", &PROCESSING),
    optional("RoleARN", &ARN),
    optional("RetryOptions", &RETRY),
    optional("S3BackupMode", &BACKUP_MODE),
    optional("SecretsManagerConfiguration", &SECRETS),
    optional("CloudWatchLoggingOptions", &Shape::Opaque),
]);

/// CreateDeliveryStream.
pub(crate) const CREATE: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    optional("DeliveryStreamType", &TYPE),
    optional("DeliveryStreamEncryptionConfigurationInput", &ENCRYPTION),
    optional("KinesisStreamSourceConfiguration", &Shape::Opaque),
    optional("HttpEndpointDestinationConfiguration", &HTTP),
    optional("S3DestinationConfiguration", &S3),
    optional("ExtendedS3DestinationConfiguration", &S3),
    optional("Tags", &TAGS),
];
/// UpdateDestination.
pub(crate) const UPDATE: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    required(
        "CurrentDeliveryStreamVersionId",
        &Shape::Text {
            min: 1,
            max: 50,
            pattern: Some(&DIGITS),
            secret: false,
        },
    ),
    required(
        "DestinationId",
        &Shape::Text {
            min: 1,
            max: 100,
            pattern: Some(&ID_PATTERN),
            secret: false,
        },
    ),
    optional("HttpEndpointDestinationUpdate", &HTTP_UPDATE),
    optional("S3DestinationUpdate", &S3_UPDATE),
    optional("ExtendedS3DestinationUpdate", &S3_UPDATE),
];
/// DeleteDeliveryStream and StopDeliveryStreamEncryption.
pub(crate) const NAME_ONLY: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    optional("AllowForceDelete", &Shape::Flag),
];
/// DescribeDeliveryStream.
pub(crate) const DESCRIBE: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    optional("Limit", &Shape::Whole { min: 1, max: 10_000 }),
    optional(
        "ExclusiveStartDestinationId",
        &Shape::Text {
            min: 1,
            max: 100,
            pattern: Some(&ID_PATTERN),
            secret: false,
        },
    ),
];
/// ListDeliveryStreams.
pub(crate) const LIST: &[Member] = &[
    optional("Limit", &Shape::Whole { min: 1, max: 10_000 }),
    optional("DeliveryStreamType", &TYPE),
    optional("ExclusiveStartDeliveryStreamName", &NAME),
];
/// TagDeliveryStream.
pub(crate) const TAG: &[Member] = &[required("DeliveryStreamName", &NAME), required("Tags", &TAGS)];
/// UntagDeliveryStream.
pub(crate) const UNTAG: &[Member] = &[required("DeliveryStreamName", &NAME), required("TagKeys", &TAG_KEYS)];
/// ListTagsForDeliveryStream.
pub(crate) const LIST_TAGS: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    optional("ExclusiveStartTagKey", &TAG_KEY),
    optional("Limit", &Shape::Whole { min: 1, max: 50 }),
];
/// StartDeliveryStreamEncryption.
pub(crate) const START_ENCRYPTION: &[Member] = &[
    required("DeliveryStreamName", &NAME),
    optional("DeliveryStreamEncryptionConfigurationInput", &ENCRYPTION),
];

/// Whether `name` may name a stream.
pub(crate) fn stream_name_problem(name: &str) -> Option<&'static str> {
    if !(STREAM_PATTERN.matches)(name) {
        Some("satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
    } else if name.len() > 64 {
        Some("have length less than or equal to 64")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_become_folder_names_and_never_paths() {
        for (arn, expected) in [
            ("arn:aws:s3:::weir-backup", Some("weir-backup")),
            ("arn:aws:s3::moto", Some("moto")),
            ("arn:aws:s3:::..", None),
            ("arn:aws:s3:::a/b", None),
            ("arn:aws:s3:::", None),
            ("weir-backup", None),
        ] {
            assert_eq!(bucket_name(arn), expected, "{arn}");
        }
    }
}
