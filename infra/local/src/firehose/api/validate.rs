//! The service model as a table, and the walk that checks a request against it.
//!
//! Refusals are worded as AWS's front end words them: "1 validation error detected: Value '' at 'deliveryStreamName'
//! failed to satisfy constraint: …", every problem in one message.

use serde_json::Value;

use super::error::ApiError;

/// What a member may be.
#[derive(Debug)]
pub(crate) enum Shape {
    Text {
        min: usize,
        max: usize,
        pattern: Option<&'static Pattern>,
        secret: bool,
    },
    Whole {
        min: i64,
        max: i64,
    },
    Flag,
    OneOf(&'static [&'static str]),
    List {
        min: usize,
        max: usize,
        member: &'static Shape,
    },
    Structure(&'static [Member]),
    /// A structure that is stored and not looked into.
    Opaque,
}

/// A member of a structure.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// A regular expression of the model, and a function that says the same.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) text: &'static str,
    pub(crate) matches: fn(&str) -> bool,
}

/// A member that may be missing.
pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        required: false,
        shape,
    }
}

/// A member that must be there.
pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Member {
    Member {
        name,
        required: true,
        shape,
    }
}

/// Checks a whole request. Unknown members are ignored, as AWS ignores them.
pub(crate) fn validate(request: &Value, members: &'static [Member]) -> Result<(), ApiError> {
    let mut problems = Vec::new();
    structure(request, members, "", &mut problems)?;
    refuse(&problems)
}

/// The error for these problems, if there are any.
pub(crate) fn refuse(problems: &[String]) -> Result<(), ApiError> {
    if problems.is_empty() {
        return Ok(());
    }
    let (count, noun) = (problems.len(), if problems.len() == 1 { "error" } else { "errors" });
    Err(ApiError::Validation(format!(
        "{count} validation {noun} detected: {}",
        problems.join("; ")
    )))
}

/// One problem, in AWS's words.
pub(crate) fn problem(value: &str, path: &str, rule: &str) -> String {
    format!("Value {value} at '{path}' failed to satisfy constraint: Member must {rule}")
}

/// A problem of a member that is missing.
pub(crate) fn missing(path: &str) -> String {
    problem("null", path, "not be null")
}

fn check(value: &Value, shape: &Shape, path: &str, problems: &mut Vec<String>) -> Result<(), ApiError> {
    match shape {
        Shape::Text {
            min,
            max,
            pattern,
            secret,
        } => {
            let text = value.as_str().ok_or_else(|| wrong_type(value, "String"))?;
            let shown = if *secret {
                "'***'".to_owned()
            } else {
                format!("'{text}'")
            };
            let length = text.chars().count();
            if let Some(pattern) = pattern
                && !(pattern.matches)(text)
            {
                problems.push(problem(
                    &shown,
                    path,
                    &format!("satisfy regular expression pattern: {}", pattern.text),
                ));
            }
            if length < *min {
                problems.push(problem(
                    &shown,
                    path,
                    &format!("have length greater than or equal to {min}"),
                ));
            }
            if length > *max {
                problems.push(problem(
                    &shown,
                    path,
                    &format!("have length less than or equal to {max}"),
                ));
            }
        }
        Shape::Whole { min, max } => {
            let number = value.as_i64().ok_or_else(|| wrong_type(value, "Integer"))?;
            if number < *min {
                problems.push(problem(
                    &format!("'{number}'"),
                    path,
                    &format!("have value greater than or equal to {min}"),
                ));
            }
            if number > *max {
                problems.push(problem(
                    &format!("'{number}'"),
                    path,
                    &format!("have value less than or equal to {max}"),
                ));
            }
        }
        Shape::Flag => {
            value.as_bool().ok_or_else(|| wrong_type(value, "Boolean"))?;
        }
        Shape::OneOf(values) => {
            let text = value.as_str().ok_or_else(|| wrong_type(value, "String"))?;
            if !values.contains(&text) {
                let rule = format!("satisfy enum value set: [{}]", values.join(", "));
                problems.push(problem(&format!("'{text}'"), path, &rule));
            }
        }
        Shape::List { min, max, member } => {
            let items = value.as_array().ok_or_else(|| wrong_type(value, "List"))?;
            if items.len() < *min {
                problems.push(problem(
                    "'[]'",
                    path,
                    &format!("have length greater than or equal to {min}"),
                ));
            }
            if items.len() > *max {
                let shown = format!("'[{} members]'", items.len());
                problems.push(problem(
                    &shown,
                    path,
                    &format!("have length less than or equal to {max}"),
                ));
            }
            for (index, item) in items.iter().enumerate() {
                check(item, member, &format!("{path}.{}.member", index + 1), problems)?;
            }
        }
        Shape::Structure(members) => structure(value, members, path, problems)?,
        Shape::Opaque => {
            value.as_object().ok_or_else(|| wrong_type(value, "Structure"))?;
        }
    }
    Ok(())
}

fn structure(value: &Value, members: &[Member], path: &str, problems: &mut Vec<String>) -> Result<(), ApiError> {
    let object = value.as_object().ok_or_else(|| wrong_type(value, "Structure"))?;
    for member in members {
        let path = if path.is_empty() {
            lower_first(member.name)
        } else {
            format!("{path}.{}", lower_first(member.name))
        };
        match object.get(member.name) {
            Some(Value::Null) | None => {
                if member.required {
                    problems.push(missing(&path));
                }
            }
            Some(value) => check(value, member.shape, &path, problems)?,
        }
    }
    Ok(())
}

fn wrong_type(value: &Value, wanted: &str) -> ApiError {
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(_) => "BOOLEAN_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "LIST_VALUE",
        Value::Object(_) => "STRUCTURE_VALUE",
    };
    ApiError::Serialization(format!("{found} cannot be converted to {wanted}"))
}

/// `SizeInMBs` → `sizeInMBs`, as AWS writes paths.
fn lower_first(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map(|first| first.to_ascii_lowercase())
        .into_iter()
        .chain(letters)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::model::{CREATE, LIST, TAG};
    use super::*;

    #[track_caller]
    fn refused(request: Value, members: &'static [Member], expected: &str) {
        match validate(&request, members) {
            Err(ApiError::Validation(message)) => assert_eq!(message, expected),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn problems_are_worded_as_aws_words_them() {
        let rule = "failed to satisfy constraint: Member must";
        refused(
            json!({}),
            CREATE,
            &format!("1 validation error detected: Value null at 'deliveryStreamName' {rule} not be null"),
        );
        refused(
            json!({ "DeliveryStreamName": "a b" }),
            CREATE,
            &format!(
                "1 validation error detected: Value 'a b' at 'deliveryStreamName' {rule} satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
            ),
        );
        refused(
            json!({ "Limit": 0, "DeliveryStreamType": "Queue" }),
            LIST,
            &format!(
                "2 validation errors detected: Value '0' at 'limit' {rule} have value greater than or equal to 1; \
                 Value 'Queue' at 'deliveryStreamType' {rule} satisfy enum value set: [DirectPut, KinesisStreamAsSource, MSKAsSource, DatabaseAsSource]"
            ),
        );
        refused(
            json!({ "DeliveryStreamName": "a", "Tags": [{ "Key": "foo!", "Value": "bar" }] }),
            TAG,
            &format!(
                "1 validation error detected: Value 'foo!' at 'tags.1.member.key' {rule} satisfy regular expression pattern: \
                 ^(?!aws:)[\\p{{L}}\\p{{Z}}\\p{{N}}_.:\\/=+\\-@%]*$"
            ),
        );
    }

    #[test]
    fn the_limits_of_an_http_endpoint_are_those_of_the_model() {
        let with = |size: i64, interval: i64, retry: i64, url: &str| {
            validate(
                &json!({ "DeliveryStreamName": "a", "HttpEndpointDestinationConfiguration": {
                    "EndpointConfiguration": { "Url": url, "AccessKey": "k" },
                    "BufferingHints": { "SizeInMBs": size, "IntervalInSeconds": interval },
                    "RetryOptions": { "DurationInSeconds": retry },
                    "S3Configuration": { "RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::b" },
                } }),
                CREATE,
            )
        };
        for (size, interval, retry, url, good) in [
            (1, 0, 0, "https://a", true),
            (64, 900, 7200, "http://127.0.0.1:1/x", true),
            (0, 0, 0, "https://a", false),
            (65, 0, 0, "https://a", false),
            (1, -1, 0, "https://a", false),
            (1, 901, 0, "https://a", false),
            (1, 0, 7201, "https://a", false),
            (1, 0, 0, "ftp://a", false),
            (1, 0, 0, "a", false),
        ] {
            assert_eq!(
                with(size, interval, retry, url).is_ok(),
                good,
                "{size} {interval} {retry} {url}"
            );
        }
    }

    #[test]
    fn a_wrong_type_is_a_serialization_error() {
        let error = validate(&json!({ "Limit": "ten" }), LIST).unwrap_err();
        assert_eq!(
            error,
            ApiError::Serialization("STRING_VALUE cannot be converted to Integer".to_owned())
        );
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let request = json!({ "DeliveryStreamName": "a", "HttpEndpointDestinationConfiguration": {
            "EndpointConfiguration": { "Url": "https://a", "AccessKey": "s".repeat(4097) },
            "S3Configuration": { "RoleARN": "arn:aws:iam::123456789012:role/r", "BucketARN": "arn:aws:s3:::b" },
        } });
        assert!(!validate(&request, CREATE).unwrap_err().to_string().contains("sss"));
    }
}
