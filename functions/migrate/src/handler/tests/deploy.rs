//! Requests of CloudFormation, with a ClickHouse and an S3 that answer as a case wants.

use std::time::Duration;

use serde_json::json;

use super::*;

/// What S3's address holds, so that it is nobody's but S3's.
const SIGNATURE: &str = "signature-7f1c";

/// The path and the query as CloudFormation writes them.
const ADDRESS: &str =
    "/arn%3Aaws%3Acloudformation%3Astack/weir/1%7CMigrations%7C2?X-Amz-Signature=signature-7f1c&a=b%2Fc";

fn migrations() -> MigrationSet {
    let file = (
        "0001_create_a.sql".to_owned(),
        "CREATE TABLE {database}.a;\n".to_owned(),
    );
    MigrationSet::from_files([file]).unwrap()
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).unwrap());
    bytes.extend(text.as_bytes());
}

/// As RowBinaryWithNamesAndTypes: the database and the table are there.
fn both() -> Reply {
    let mut body = NEITHER.to_vec();
    for index in [19, 27] {
        body[index] = 1;
    }
    good(&body)
}

/// `schema_migrations` with the first migration, and those that this build does not have.
fn applied(newer: &[&str]) -> Reply {
    let mut body = vec![6];
    for name in ["version", "name", "checksum", "statements", "duration_ms", "applied_at"] {
        text(&mut body, name);
    }
    for of in ["UInt32", "String", "String", "UInt32", "UInt64", "String"] {
        text(&mut body, of);
    }
    let checksum = migrations().iter().next().unwrap().checksum().to_owned();
    let names = ["0001_create_a.sql"].into_iter().chain(newer.iter().copied());
    for (version, name) in (1u32..).zip(names) {
        body.extend(version.to_le_bytes());
        text(&mut body, name);
        text(&mut body, &checksum);
        body.extend(1u32.to_le_bytes());
        body.extend(5u64.to_le_bytes());
        text(&mut body, "2026-11-23 08:15:00");
    }
    good(&body)
}

fn up_to_date() -> Vec<Reply> {
    vec![both(), both(), applied(&[])]
}

fn refusing() -> Vec<Reply> {
    let words = b"Code: 57. DB::Exception: Table has 'secret'. (TABLE_ALREADY_EXISTS)";
    vec![good(NEITHER), good(b""), good(b""), (500, words.to_vec())]
}

fn event(kind: &str, s3: &str) -> Value {
    let mut event = json!({
        "RequestType": kind, "ResponseURL": format!("{s3}{ADDRESS}"), "StackId": "the stack", "RequestId": "the request",
        "ResourceType": "Custom::Migrations", "LogicalResourceId": "Migrations",
        "ResourceProperties": {"ServiceToken": "arn", "Version": "7"},
    });
    if kind != "Create" {
        event["PhysicalResourceId"] = "weir-migrations".into();
    }
    event
}

struct Case {
    what: &'static str,
    kind: &'static str,
    clickhouse: Vec<Reply>,
    left_ms: u64,
    s3: Vec<u16>,
    /// What the document says, or the invocation's error.
    expected: Result<(Status, &'static str), &'static str>,
    puts: usize,
}

#[tokio::test]
async fn cloudformation_hears_of_it() {
    use Status::{Failed, Success};
    let ok = || vec![200];
    let newly = || vec![good(NEITHER), good(b""), good(b""), good(b""), good(b"")];
    #[rustfmt::skip]
    let cases = [
        Case { what: "a first deploy", kind: "Create", clickhouse: newly(), left_ms: 9000, s3: ok(),
            expected: Ok((Success, "Applied: 1. The newest is 0001_create_a.sql")), puts: 1 },
        Case { what: "nothing is pending", kind: "Update", clickhouse: up_to_date(), left_ms: 9000, s3: ok(),
            expected: Ok((Success, "Applied: 0. The newest is 0001_create_a.sql")), puts: 1 },
        Case { what: "a migration fails", kind: "Update", clickhouse: refusing(), left_ms: 9000, s3: ok(),
            expected: Ok((Failed, "0001_create_a.sql: statement 1 of 1 failed, nothing after it ran: exception 57 ")), puts: 1 },
        Case { what: "a rollback to an older build", kind: "Update", left_ms: 9000, s3: ok(),
            clickhouse: vec![both(), both(), applied(&["0002_create_b.sql"])],
            expected: Ok((Success, "Nothing is applied or undone: 0002_create_b.sql was applied on ")), puts: 1 },
        Case { what: "an older build in a new stack", kind: "Create", left_ms: 9000, s3: ok(),
            clickhouse: vec![both(), both(), applied(&["0002_create_b.sql"])],
            expected: Ok((Failed, "0002_create_b.sql was applied on ")), puts: 1 },
        Case { what: "ClickHouse never answers", kind: "Create", clickhouse: vec![], left_ms: 600, s3: ok(),
            expected: Ok((Failed, "no time was left: no migration was under way")), puts: 1 },
        Case { what: "a statement is never answered", kind: "Create", left_ms: 1000, s3: ok(),
            clickhouse: vec![good(NEITHER), good(b""), good(b"")],
            expected: Ok((Failed, "no time was left: 0001_create_a.sql, statement 1 of 1 ")), puts: 1 },
        Case { what: "no time at all", kind: "Create", clickhouse: vec![], left_ms: 0, s3: ok(),
            expected: Err("CloudFormation could not be told Failed: S3 did not answer in time. What it was to hear: no time"), puts: 0 },
        Case { what: "the end of a stack", kind: "Delete", clickhouse: vec![], left_ms: 9000, s3: ok(),
            expected: Ok((Success, "Nothing is dropped")), puts: 1 },
        Case { what: "what there is not yet", kind: "Import", clickhouse: vec![], left_ms: 9000, s3: ok(),
            expected: Ok((Failed, "RequestType is none of Create, Update and Delete")), puts: 1 },
        Case { what: "S3 fails twice", kind: "Update", clickhouse: up_to_date(), left_ms: 9000, s3: vec![500, 503, 200],
            expected: Ok((Success, "Applied: 0.")), puts: 3 },
        Case { what: "S3 always fails", kind: "Update", clickhouse: up_to_date(), left_ms: 9000, s3: vec![500; 9],
            expected: Err("CloudFormation could not be told Success: S3 answered 500. What it was to hear: Applied: 0."), puts: 4 },
        Case { what: "the address has expired", kind: "Update", clickhouse: up_to_date(), left_ms: 9000, s3: vec![403, 200],
            expected: Err("CloudFormation could not be told Success: S3 answered 403."), puts: 1 },
        Case { what: "S3 never answers", kind: "Update", clickhouse: up_to_date(), left_ms: 1000, s3: vec![],
            expected: Err("CloudFormation could not be told Success: S3 did not answer in time."), puts: 1 },
    ];
    for case in cases {
        let what = case.what;
        let (s3, puts) = server(case.s3.into_iter().map(|status| (status, Vec::new())).collect()).await;
        let context = context(case.clickhouse, migrations()).await;
        let began = std::time::Instant::now();
        let answer = handle(
            &context,
            invocation(event(case.kind, &s3), case.left_ms),
            &mut Record::default(),
        )
        .await;
        // It ends before Lambda ends it, which is half a second after what is left.
        let limit = Duration::from_millis(case.left_ms + 400);
        assert!(began.elapsed() < limit, "{what}: {:?}", began.elapsed());
        let puts = puts.lock().unwrap().clone();
        assert_eq!(puts.len(), case.puts, "{what}: {puts:?} {answer:?}");
        match (answer, case.expected) {
            (Ok(answer), Ok((status, reason))) => {
                assert_eq!(answer, Answer::Told { told: status }, "{what}");
                told(what, puts.last().unwrap(), status, reason);
            }
            (Err(error), Err(expected)) => {
                let shown = format!("{error} {error:?}");
                assert!(error.to_string().starts_with(expected), "{what}: {error}");
                assert!(
                    !shown.contains(SIGNATURE) && !shown.contains("secret"),
                    "{what}: {shown}"
                );
                assert_eq!(Diagnostic::from(error).error_type, "NotTold");
            }
            (answer, expected) => panic!("{what}: {answer:?}, not {expected:?}"),
        }
    }
}

/// The PUT is as the signature wants it, and holds what CloudFormation wants.
fn told(what: &str, put: &str, status: Status, reason: &str) {
    let (head, body) = put.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with(&format!("PUT {ADDRESS} HTTP/1.1\r\n")),
        "{what}: {head}"
    );
    assert!(head.contains("\r\ncontent-type: \r\n"), "{what}: {head}");
    assert!(!head.contains("transfer-encoding"), "{what}: {head}");
    let document: Value = serde_json::from_str(body).unwrap();
    let success = status == Status::Success;
    let mut expected = json!({
        "Status": if success { "SUCCESS" } else { "FAILED" }, "Reason": document["Reason"],
        "PhysicalResourceId": "weir-migrations", "StackId": "the stack", "RequestId": "the request", "LogicalResourceId": "Migrations",
    });
    let said = document["Reason"].as_str().unwrap();
    if said.starts_with("Applied") {
        let applied = said.split(['.', ' ']).nth(1).unwrap();
        expected["Data"] = json!({"Newest": "0001_create_a.sql", "Applied": applied});
    }
    assert_eq!(document, expected, "{what}");
    assert!(said.starts_with(reason), "{what}: {said}");
    // Only ClickHouse's number, and where its words are.
    assert!(!body.contains("secret"), "{what}: {body}");
    assert_eq!(
        said.contains("exception"),
        said.ends_with("cargo weir migrate shows what ClickHouse said"),
        "{what}: {said}"
    );
}

#[tokio::test]
async fn a_request_that_cannot_be_answered_is_an_error() {
    let context = context(vec![], migrations()).await;
    let error = handle(
        &context,
        invocation(event("Create", "http://s3.example"), 9000),
        &mut Record::default(),
    )
    .await;
    let error = error.unwrap_err();
    assert_eq!(
        error.to_string(),
        "CloudFormation's request has no usable ResponseURL, so it cannot be answered"
    );
    assert_eq!(Diagnostic::from(error).error_type, "BadRequest");
}
