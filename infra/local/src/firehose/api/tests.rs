//! The API over a real socket: what is refused, in which shape, and what a client reads back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::firehose::faults::Faults;
use crate::firehose::tests::Firehose;

async fn firehose(folder: &tempfile::TempDir) -> Firehose {
    Firehose::start(folder, Faults::new(0, 0, 0)).await
}

fn s3() -> Value {
    json!({ "RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::bucket" })
}

fn create(name: &str) -> Value {
    json!({ "DeliveryStreamName": name, "HttpEndpointDestinationConfiguration": {
        "EndpointConfiguration": { "Url": "http://127.0.0.1:1/" }, "S3Configuration": s3() } })
}

fn put(records: Vec<Value>) -> Value {
    json!({ "DeliveryStreamName": "s", "Records": records })
}

fn record(bytes: usize) -> Value {
    json!({ "Data": STANDARD.encode(vec![b'x'; bytes]) })
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_code_the_status_and_the_words_of_aws() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = firehose(&folder).await;
    assert_eq!(firehose.call("CreateDeliveryStream", create("s")).await.0, 200);
    let one = |name: &str| json!({ "DeliveryStreamName": name });
    let two = json!({ "DeliveryStreamName": "t", "S3DestinationConfiguration": s3(), "ExtendedS3DestinationConfiguration": s3() });
    let update = |version: &str, id: &str| {
        json!({ "DeliveryStreamName": "s", "CurrentDeliveryStreamVersionId": version, "DestinationId": id,
            "HttpEndpointDestinationUpdate": { "EndpointConfiguration": { "Url": "http://127.0.0.1:2/" } } })
    };
    for (operation, input, status, code, words) in [
        (
            "DescribeDeliveryStream",
            one("weir-x"),
            400,
            "ResourceNotFoundException",
            "Firehose weir-x under account 000000000000 not found.",
        ),
        (
            "DeleteDeliveryStream",
            one("weir-x"),
            400,
            "ResourceNotFoundException",
            "weir-x",
        ),
        (
            "DescribeDeliveryStream",
            one("a/b"),
            400,
            "ValidationException",
            "1 validation error detected: Value 'a/b' at 'deliveryStreamName'",
        ),
        (
            "DescribeDeliveryStream",
            one(&"a".repeat(65)),
            400,
            "ValidationException",
            "less than or equal to 64",
        ),
        (
            "CreateDeliveryStream",
            create("s"),
            400,
            "ResourceInUseException",
            "Firehose s under accountId 000000000000 already exists",
        ),
        (
            "CreateDeliveryStream",
            one("t"),
            400,
            "InvalidArgumentException",
            "Exactly one destination configuration",
        ),
        (
            "CreateDeliveryStream",
            two,
            400,
            "InvalidArgumentException",
            "Exactly one destination configuration",
        ),
        (
            "CreateDeliveryStream",
            json!({ "DeliveryStreamName": "t", "RedshiftDestinationConfiguration": {} }),
            400,
            "InvalidArgumentException",
            "Redshift",
        ),
        (
            "UpdateDestination",
            update("2", "destinationId-000000000001"),
            400,
            "ConcurrentModificationException",
            "current version id: 1",
        ),
        (
            "UpdateDestination",
            update("1", "destinationId-000000000002"),
            400,
            "InvalidArgumentException",
            "not found",
        ),
        (
            "PutRecord",
            json!({ "DeliveryStreamName": "weir-x", "Record": { "Data": "" } }),
            400,
            "ResourceNotFoundException",
            "weir-x",
        ),
        (
            "PutRecord",
            json!({ "DeliveryStreamName": "s" }),
            400,
            "ValidationException",
            "Value null at 'record'",
        ),
        (
            "PutRecord",
            json!({ "DeliveryStreamName": "s", "Record": {} }),
            400,
            "ValidationException",
            "Value null at 'record.data'",
        ),
        (
            "PutRecord",
            json!({ "DeliveryStreamName": "s", "Record": { "Data": "§" } }),
            400,
            "SerializationException",
            "base64",
        ),
        (
            "PutRecord",
            json!({ "DeliveryStreamName": "s", "Record": { "Data": 5 } }),
            400,
            "SerializationException",
            "type",
        ),
        ("PutRecord", json!([]), 400, "SerializationException", ""),
        (
            "PutRecordBatch",
            put(vec![]),
            400,
            "ValidationException",
            "greater than or equal to 1",
        ),
        (
            "PutRecordBatch",
            one("s"),
            400,
            "ValidationException",
            "Value null at 'records'",
        ),
        (
            "PutRecordBatch",
            put(vec![record(1); 501]),
            400,
            "ValidationException",
            "less than or equal to 500",
        ),
        (
            "PutRecordBatch",
            put(vec![record(1), record(1_024_001)]),
            400,
            "ValidationException",
            "'records.2.member.data'",
        ),
        (
            "PutRecordBatch",
            put(vec![record(1_000_000); 5]),
            400,
            "InvalidArgumentException",
            "Records size exceeds 4 MB limit",
        ),
        ("GetRecords", json!({}), 400, "UnknownOperationException", "GetRecords"),
    ] {
        let (found_status, answer) = firehose.call(operation, input).await;
        let message = answer["message"].as_str().unwrap_or_default();
        assert_eq!(
            (found_status, answer["__type"].as_str()),
            (status, Some(code)),
            "{operation}: {answer}"
        );
        assert!(message.contains(words), "{operation}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_of_the_protocol_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = firehose(&folder).await;
    let request = || firehose.request("ListDeliveryStreams", "{}").build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let cases: [(&str, Option<&str>, u16, &str); 5] = [
        ("authorization", None, 403, "MissingAuthenticationTokenException"),
        ("authorization", Some("Basic abc"), 403, "IncompleteSignatureException"),
        ("x-amz-target", None, 400, "UnknownOperationException"),
        (
            "x-amz-target",
            Some("Kinesis_20131202.PutRecord"),
            400,
            "UnknownOperationException",
        ),
        (
            "content-type",
            Some("application/cbor"),
            400,
            "UnknownOperationException",
        ),
    ];
    for (header, value, status, code) in cases {
        let mut request = request();
        request.headers_mut().remove(header);
        if let Some(value) = value {
            request.headers_mut().insert(header, value.parse().unwrap());
        }
        let response = client.execute(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["x-amzn-errortype"], code);
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
        assert_eq!(response.headers()["x-amzn-requestid"].len(), 36);
        assert_eq!(response.json::<Value>().await.unwrap()["__type"], code);
    }
    let broken = firehose.request("ListDeliveryStreams", "{").send().await.unwrap();
    assert_eq!(
        broken.json::<Value>().await.unwrap()["__type"],
        "SerializationException"
    );
    let huge = firehose
        .request("PutRecordBatch", vec![b' '; 13 * 1024 * 1024])
        .send()
        .await
        .unwrap();
    assert_eq!(huge.status().as_u16(), 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_calls_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = firehose(&folder).await;
    firehose.call("CreateDeliveryStream", create("s")).await;
    for records in [
        vec![record(0); 500],
        vec![record(1_024_000)],
        vec![record(1_048_576 - 25_000); 4],
    ] {
        let count = records.len();
        let (status, answer) = firehose.call("PutRecordBatch", put(records)).await;
        assert_eq!((status, &answer["FailedPutCount"]), (200, &json!(0)), "{answer}");
        assert_eq!(answer["RequestResponses"].as_array().unwrap().len(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_in_pages_and_deleted_and_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = firehose(&folder).await;
    for name in ["c", "a", "b", ".", ".."] {
        assert_eq!(server.call("CreateDeliveryStream", create(name)).await.0, 200);
    }
    let list = async |input: Value| {
        let (_, answer) = server.call("ListDeliveryStreams", input).await;
        (
            answer["DeliveryStreamNames"].clone(),
            answer["HasMoreDeliveryStreams"].clone(),
        )
    };
    assert_eq!(list(json!({})).await, (json!([".", "..", "a", "b", "c"]), json!(false)));
    assert_eq!(
        list(json!({ "Limit": 3 })).await,
        (json!([".", "..", "a"]), json!(true))
    );
    let next = json!({ "Limit": 3, "ExclusiveStartDeliveryStreamName": "a" });
    assert_eq!(list(next).await, (json!(["b", "c"]), json!(false)));
    assert_eq!(
        list(json!({ "DeliveryStreamType": "MSKAsSource" })).await,
        (json!([]), json!(false))
    );
    assert_eq!(
        server
            .call("DeleteDeliveryStream", json!({ "DeliveryStreamName": "b" }))
            .await
            .0,
        200
    );
    let tags = json!([{ "Key": "k", "Value": "v" }, { "Key": "l" }]);
    server
        .call("TagDeliveryStream", json!({ "DeliveryStreamName": "a", "Tags": tags }))
        .await;
    server
        .call(
            "UntagDeliveryStream",
            json!({ "DeliveryStreamName": "a", "TagKeys": ["l"] }),
        )
        .await;
    server
        .call("StartDeliveryStreamEncryption", json!({ "DeliveryStreamName": "a" }))
        .await;
    server.stop().await;

    let server = firehose(&folder).await;
    let (_, answer) = server.call("ListDeliveryStreams", json!({})).await;
    assert_eq!(answer["DeliveryStreamNames"], json!([".", "..", "a", "c"]));
    let (_, answer) = server
        .call("ListTagsForDeliveryStream", json!({ "DeliveryStreamName": "a" }))
        .await;
    assert_eq!(
        answer,
        json!({ "Tags": [{ "Key": "k", "Value": "v" }], "HasMoreTags": false })
    );
    let (_, answer) = server
        .call("DescribeDeliveryStream", json!({ "DeliveryStreamName": "a" }))
        .await;
    let description = &answer["DeliveryStreamDescription"];
    assert_eq!(
        description["DeliveryStreamARN"],
        "arn:aws:firehose:eu-west-1:000000000000:deliverystream/a"
    );
    assert_eq!(description["DeliveryStreamStatus"], "ACTIVE");
    assert_eq!(
        description["DeliveryStreamEncryptionConfiguration"],
        json!({ "KeyType": "AWS_OWNED_CMK", "Status": "ENABLED" })
    );
    assert_eq!(
        description["Destinations"][0]["DestinationId"],
        "destinationId-000000000001"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_streams_than_the_quota() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = firehose(&folder).await;
    for number in 0..50 {
        assert_eq!(
            firehose
                .call("CreateDeliveryStream", create(&format!("s{number}")))
                .await
                .0,
            200
        );
    }
    let (status, answer) = firehose.call("CreateDeliveryStream", create("more")).await;
    assert_eq!((status, &answer["__type"]), (400, &json!("LimitExceededException")));
}

/// What is not read yet takes room as well: a call that comes meanwhile is told to slow down, and nothing of it is stored.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_room_for_so_many_bytes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let body = put(vec![record(100_000)]).to_string();
    let firehose = Firehose::start_in(body.len(), &folder, Faults::new(0, 0, 0)).await;
    assert_eq!(firehose.call("CreateDeliveryStream", create("s")).await.0, 200);

    let head = format!(
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: Firehose_20150804.\
         PutRecordBatch\r\nauthorization: AWS4-HMAC-SHA256 Credential=k/20261101/eu-west-1/firehose/aws4_request\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.as_bytes().split_at(1_000);
    let begun = async || {
        let mut slow = tokio::net::TcpStream::connect(firehose.server.address).await.unwrap();
        slow.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        slow
    };
    let (mut one, mut other) = (begun().await, begun().await);
    let (mut refused, mut taken) = (String::new(), String::new());
    // Whichever is read first has the room.
    let mut slow = tokio::select! {
        read = one.read_to_string(&mut refused) => read.map(|_| other),
        read = other.read_to_string(&mut taken) => read.map(|_| one),
    }
    .unwrap();
    refused.push_str(&std::mem::take(&mut taken));
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(
        refused.ends_with(r#"{"__type":"ServiceUnavailableException","message":"Slow down."}"#),
        "{refused}"
    );
    slow.write_all(rest).await.unwrap();
    slow.read_to_string(&mut taken).await.unwrap();
    assert!(taken.starts_with("HTTP/1.1 200"), "{taken}");
    assert_eq!(firehose.call("PutRecordBatch", put(vec![record(1)])).await.0, 200);
    // More than there is room for is refused whenever it comes, as is what does not say how long it is.
    assert_eq!(firehose.call("PutRecordBatch", put(vec![record(100_100)])).await.0, 503);
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>(body)]));
    let chunked = firehose.request("PutRecordBatch", chunked).send().await.unwrap();
    assert_eq!(chunked.status(), 503);
    firehose.stop().await;
}
