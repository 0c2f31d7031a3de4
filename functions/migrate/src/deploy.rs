//! What CloudFormation asks of a custom resource, and the document that it waits for
//! (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html>).

use std::net::IpAddr;

use http::Uri;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

/// What a document may have, in bytes.
const MAX_DOCUMENT_BYTES: usize = 4096;

/// The resource's own name. Always the same: CloudFormation deletes a resource whose name has changed.
const PHYSICAL_ID: &str = "weir-migrations";

/// A request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// Where the document goes. Whoever has it can answer in the function's place, so it is in no log.
    url: SecretString,
    stack_id: String,
    request_id: String,
    logical_id: String,
    physical_id: String,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The first deploy with the resource.
    Create,
    /// A later deploy, or the rollback of one.
    Update,
    /// The stack is deleted, or its first deploy failed.
    Delete,
    /// Something that there is not yet. It is answered all the same: CloudFormation would wait for an hour.
    Unknown,
}

/// A request that nobody can answer. It names the field and not what is in it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("CloudFormation's request has no usable {0}, so it cannot be answered")]
pub struct BadRequest(&'static str);

impl Request {
    /// Reads an event; none when it is a plain invocation.
    pub(crate) fn read(event: &Value) -> Option<Result<Self, BadRequest>> {
        ["RequestType", "ResponseURL", "StackId"]
            .iter()
            .any(|field| event.get(field).is_some())
            .then(|| Self::parse(event))
    }

    fn parse(event: &Value) -> Result<Self, BadRequest> {
        let text = |field: &'static str| {
            let value = event.get(field).and_then(Value::as_str);
            value.filter(|text| !text.is_empty()).ok_or(BadRequest(field))
        };
        let url = text("ResponseURL")?;
        if !is_safe(url) {
            return Err(BadRequest("ResponseURL"));
        }
        let kind = match event.get("RequestType").and_then(Value::as_str) {
            Some("Create") => Kind::Create,
            Some("Update") => Kind::Update,
            Some("Delete") => Kind::Delete,
            _ => Kind::Unknown,
        };
        Ok(Self {
            kind,
            url: url.into(),
            stack_id: text("StackId")?.to_owned(),
            request_id: text("RequestId")?.to_owned(),
            logical_id: text("LogicalResourceId")?.to_owned(),
            physical_id: text("PhysicalResourceId").unwrap_or(PHYSICAL_ID).to_owned(),
        })
    }

    /// Where the document goes.
    pub(crate) fn url(&self) -> &str {
        self.url.expose_secret()
    }

    /// The document, of at most 4,096 bytes: the reason is cut to what fits.
    pub(crate) fn document(&self, status: Status, reason: &str, data: Option<Data<'_>>) -> Vec<u8> {
        let mut document = Document {
            status,
            reason: reason.split_whitespace().collect::<Vec<_>>().join(" "),
            physical_resource_id: &self.physical_id,
            stack_id: &self.stack_id,
            request_id: &self.request_id,
            logical_resource_id: &self.logical_id,
            data,
        };
        loop {
            let bytes = serde_json::to_vec(&document).unwrap_or_default();
            let over = bytes.len().saturating_sub(MAX_DOCUMENT_BYTES);
            if over == 0 || document.reason.is_empty() {
                return bytes;
            }
            let end = document.reason.len().saturating_sub(over + '…'.len_utf8());
            document.reason.truncate(document.reason.floor_char_boundary(end));
            if end > 0 {
                document.reason.push('…');
            }
        }
    }
}

/// The address comes from AWS, or from whoever may invoke the function; what is sent there holds no secret. It is https: else only
/// this machine, by its number, where tests listen and Lambda has nothing that takes a PUT.
fn is_safe(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()),
        _ => false,
    }
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The deploy goes on.
    Success,
    /// The deploy is rolled back.
    Failed,
}

/// What a template can read of the resource, by `Fn::GetAtt`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Data<'a> {
    /// The newest migration.
    pub(crate) newest: &'a str,
    /// How many this request applied.
    pub(crate) applied: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Document<'a> {
    status: Status,
    reason: String,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(url: &str) -> Value {
        json!({"RequestType": "Create", "ResponseURL": url, "StackId": "s", "RequestId": "r", "LogicalResourceId": "l"})
    }

    #[test]
    fn what_cannot_be_answered_is_said_without_the_address() {
        for (field, value) in [
            ("ResponseURL", json!(null)),
            ("ResponseURL", json!(7)),
            ("ResponseURL", json!("secret")),
            ("ResponseURL", json!("ftp://secret/")),
            ("ResponseURL", json!("http://secret.example/")),
            ("ResponseURL", json!("http://localhost/secret")),
            ("ResponseURL", json!("http://127.0.0.1.secret.example/")),
            ("ResponseURL", json!("http://169.254.169.254/secret")),
            ("StackId", json!("")),
            ("RequestId", json!({"secret": 1})),
            ("LogicalResourceId", json!(null)),
        ] {
            let mut event = event("https://s3.example/secret");
            event[field] = value;
            let error = Request::read(&event).unwrap().unwrap_err();
            assert_eq!(error, BadRequest(field), "{event}");
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
    }

    #[test]
    fn only_requests_of_cloudformation_are_read_as_such() {
        for (event, custom) in [
            (json!({}), false),
            (json!(null), false),
            (json!("RequestType"), false),
            (json!({"source": "by hand"}), false),
            (json!({"RequestType": "Create"}), true),
            (event("https://s3.example/"), true),
            (event("http://127.0.0.1:9/"), true),
            (event("http://[::1]:9/"), true),
        ] {
            assert_eq!(Request::read(&event).is_some(), custom, "{event}");
        }
        let request = Request::read(&event("https://s3.example/secret")).unwrap().unwrap();
        assert!(!format!("{request:?}").contains("secret"), "{request:?}");
    }

    #[test]
    fn a_document_fits() {
        let mut event = event("https://s3.example/");
        for (reason, id_length) in [
            ("short", 1),
            ("é\"\n ".repeat(3000).as_str(), 1),
            ("x".repeat(5000).as_str(), 2000),
        ] {
            event["StackId"] = json!("i".repeat(id_length));
            let request = Request::read(&event).unwrap().unwrap();
            let document = request.document(Status::Failed, reason, None);
            assert!(document.len() <= MAX_DOCUMENT_BYTES, "{}", document.len());
            let read: Value = serde_json::from_slice(&document).unwrap();
            let told = read["Reason"].as_str().unwrap();
            assert_eq!(told.ends_with('…'), reason != "short", "{told}");
            assert!(told.len() > 900 || reason == "short", "{told}");
        }
    }
}
