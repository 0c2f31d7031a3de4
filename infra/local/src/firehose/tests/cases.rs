//! What is put, and what becomes of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Endpoint, Firehose};
use crate::firehose::api::ROOM;
use crate::firehose::deliver::Tuning;
use crate::firehose::faults::Faults;
use crate::firehose::server::{Options, Server};

fn no_faults() -> Faults {
    Faults::new(0, 0, 0)
}

fn objects(folder: &TempDir) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.path().join("backup")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_retried_with_the_same_request_id_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Status(500), Answer::WrongId, Answer::Status(429)]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    let attributes = json!([{ "AttributeName": "stage", "AttributeValue": "test" }]);
    let gzip = json!({ "RequestConfiguration": { "ContentEncoding": "GZIP", "CommonAttributes": attributes } });
    firehose.create(&endpoint.url, 0, 60, gzip).await;
    firehose.put(&["one\n", "", "three\n"]).await;
    let seen = endpoint.wait_for(4).await;
    assert_eq!(seen.len(), 4);
    for request in &seen {
        assert_eq!(request.request_id, seen[0].request_id);
        assert_eq!(request.records, ["one\n", "", "three\n"]);
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(header("x-amz-firehose-protocol-version").unwrap(), "1.0");
        assert_eq!(header("x-amz-firehose-request-id").unwrap(), request.request_id);
        assert_eq!(
            header("x-amz-firehose-source-arn").unwrap(),
            "arn:aws:firehose:eu-west-1:000000000000:deliverystream/s"
        );
        assert_eq!(header("x-amz-firehose-access-key").unwrap(), "the key");
        assert_eq!(
            header("x-amz-firehose-common-attributes").unwrap(),
            r#"{"commonAttributes":{"stage":"test"}}"#
        );
        assert_eq!(header("content-type").unwrap(), "application/json");
        assert_eq!(header("content-encoding").unwrap(), "gzip");
        assert!(header("content-length").is_some());
    }
    let done = json!({ "accepted": 3, "delivered": 3, "given_up": 0, "spooled_records": 0, "spooled_bytes": 0,
        "oldest_age_seconds": null, "in_flight": 0, "open_batches": 0, "failed_attempts": 3 });
    firehose.settles(done).await;
    assert!(objects(&folder).is_empty());
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_is_in_the_backup_folder() {
    for (answer, retry, attempts) in [(503, 0, 1), (413, 7200, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = Endpoint::start([Answer::Status(answer)]).await;
        let firehose = Firehose::start(&folder, no_faults()).await;
        firehose.create(&endpoint.url, 0, retry, json!({})).await;
        firehose.put(&["one", "two"]).await;
        firehose
            .settles(json!({ "delivered": 0, "given_up": 2, "spooled_records": 0 }))
            .await;
        let objects = objects(&folder);
        let [(name, content)] = objects.as_slice() else {
            panic!("{objects:?}")
        };
        assert!(name.starts_with("backup/bucket/http-endpoint-failed/20"), "{name}");
        let id = &endpoint.wait_for(1).await[0].request_id;
        assert!(name.contains("/s-1-20") && name.ends_with(id.as_str()), "{name}");
        let lines = content
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(lines.len(), 2);
        for (line, data) in lines.iter().zip(["one", "two"]) {
            assert_eq!(line["rawData"], STANDARD.encode(data));
            assert_eq!(line["attemptsMade"], attempts);
            assert_eq!(line["errorCode"], "HttpEndpoint.DestinationException");
            assert!(line["errorMessage"].as_str().unwrap().contains(&answer.to_string()));
            assert!(line["attemptEndingTimestamp"].as_i64() >= line["arrivalTimestamp"].as_i64());
            assert_eq!(line["subsequenceNumber"], 0);
            assert!(line["dataId"].as_str().unwrap().ends_with(".0"));
        }
        firehose.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_was_in_flight_is_sent_again_with_its_request_id_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Hang]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    firehose.put(&["one"]).await;
    let first = endpoint.wait_for(1).await[0].clone();
    firehose.stop().await;

    let again = Firehose::start(&folder, no_faults()).await;
    let second = endpoint.wait_for(2).await[1].clone();
    assert_eq!((first.request_id, first.records), (second.request_id, second.records));
    again
        .settles(json!({ "accepted": 1, "delivered": 1, "spooled_records": 0 }))
        .await;
    again.put(&["two"]).await;
    assert_eq!(endpoint.wait_for(3).await[2].records, ["two"]);
    again
        .settles(json!({ "accepted": 2, "delivered": 2, "in_flight": 0, "open_batches": 0 }))
        .await;
    let metrics = again.metrics().await;
    for line in [
        "# TYPE weir_firehose_records_accepted_total counter",
        "weir_firehose_records_accepted_total{stream=\"s\"} 2",
        "weir_firehose_records_delivered_total{stream=\"s\"} 2",
        "weir_firehose_records_given_up_total{stream=\"s\"} 0",
        "weir_firehose_failed_attempts_total{stream=\"s\"} 0",
        "weir_firehose_damaged_bytes_total{stream=\"s\"} 0",
        "weir_firehose_spooled_records{stream=\"s\"} 0",
        "weir_firehose_spooled_bytes{stream=\"s\"} 0",
        "# TYPE weir_firehose_oldest_record_age_seconds gauge",
        "weir_firehose_oldest_record_age_seconds{stream=\"s\"} 0",
        "weir_firehose_in_flight_deliveries{stream=\"s\"} 0",
        "weir_firehose_open_batches{stream=\"s\"} 0",
    ] {
        assert!(metrics.lines().any(|it| it == line), "no {line}: {metrics}");
    }
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_buffered_waits_for_the_interval_unless_the_size_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 900, 60, json!({})).await;
    let big = "x".repeat(400_000);
    firehose.put(&[&big, &big]).await;
    firehose
        .settles(json!({ "spooled_records": 2, "open_batches": 0, "spooled_bytes": 800_000 }))
        .await;
    firehose.put(&[&big, "tail"]).await;
    assert_eq!(endpoint.wait_for(1).await[0].records.len(), 2);
    firehose.settles(json!({ "delivered": 2, "spooled_records": 2 })).await;

    // A shorter interval applies to what is buffered already.
    let update = json!({ "DeliveryStreamName": "s", "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "HttpEndpointDestinationUpdate": { "BufferingHints": { "IntervalInSeconds": 0 } } });
    assert_eq!(firehose.call("UpdateDestination", update).await.0, 200);
    assert_eq!(endpoint.wait_for(2).await[1].records, [big.as_str(), "tail"]);
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_attempt_does_not_hold_up_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([Answer::Hang, Answer::Good]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    firehose.put(&["slow"]).await;
    endpoint.wait_for(1).await;
    firehose.put(&["fast"]).await;
    assert_eq!(endpoint.wait_for(2).await[1].records, ["fast"]);
    firehose
        .settles(json!({ "delivered": 1, "in_flight": 1, "open_batches": 1 }))
        .await;
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_data_mode_backs_up_what_is_delivered_too() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose
        .create(&endpoint.url, 0, 60, json!({ "S3BackupMode": "AllData" }))
        .await;
    firehose.put(&["one\n", "two\n"]).await;
    firehose.settles(json!({ "delivered": 2 })).await;
    let objects = objects(&folder);
    assert_eq!(objects.len(), 1);
    assert_eq!(objects[0].1, "one\ntwo\n");
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_refuse_records_and_calls_and_nothing_refused_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, Faults::new(50, 0, 7)).await;
    firehose.create(&endpoint.url, 0, 60, json!({})).await;
    let names = (0..100).map(|number| number.to_string()).collect::<Vec<_>>();
    let answer = firehose
        .put(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let responses = answer["RequestResponses"].as_array().unwrap();
    assert_eq!(responses.len(), 100);
    let failed = responses
        .iter()
        .filter(|response| response["ErrorCode"] == "ServiceUnavailableException")
        .count();
    assert_eq!(answer["FailedPutCount"], failed);
    assert!((20..80).contains(&failed), "{failed}");
    let taken = names
        .iter()
        .zip(responses)
        .filter(|(_, response)| response["RecordId"].is_string());
    assert_eq!(
        endpoint.wait_for(1).await[0].records,
        taken.map(|(name, _)| name.clone()).collect::<Vec<_>>()
    );
    firehose.stop().await;

    let throttled = Firehose::start(&folder, Faults::new(0, 100, 7)).await;
    let input = json!({ "DeliveryStreamName": "s", "Record": { "Data": "YQ==" } });
    let (status, error) = throttled.call("PutRecord", input).await;
    assert_eq!((status, &error["__type"]), (503, &json!("ServiceUnavailableException")));
    throttled.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_at_start_is_created_once_and_redirected_later() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let configuration = |url: &str| {
        json!({ "EndpointConfiguration": { "Url": url, "AccessKey": "k" },
        "BufferingHints": { "IntervalInSeconds": 0 } })
    };
    let version = async |firehose: &Firehose| {
        let (_, answer) = firehose
            .call("DescribeDeliveryStream", json!({ "DeliveryStreamName": "s" }))
            .await;
        answer["DeliveryStreamDescription"]["VersionId"].clone()
    };
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose
        .server
        .ensure_stream("s", configuration("http://127.0.0.1:1/"))
        .await
        .unwrap();
    firehose
        .server
        .ensure_stream("s", configuration("http://127.0.0.1:1/"))
        .await
        .unwrap();
    assert_eq!(version(&firehose).await, "1");
    firehose.put(&["one"]).await;
    firehose
        .server
        .ensure_stream("s", configuration(&endpoint.url))
        .await
        .unwrap();
    assert_eq!(version(&firehose).await, "2");
    assert_eq!(endpoint.wait_for(1).await[0].records, ["one"]);
    assert!(
        firehose
            .server
            .ensure_stream("s", json!({ "BufferingHints": { "IntervalInSeconds": 901 } }))
            .await
            .is_err()
    );
    assert!(
        firehose
            .server
            .ensure_stream("t", configuration("nowhere"))
            .await
            .is_err()
    );
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_or_port_is_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let firehose = Firehose::start(&folder, no_faults()).await;
    let options = |port: u16, data: &TempDir| Options {
        host: "127.0.0.1".parse().unwrap(),
        port,
        data: data.path().to_owned(),
        account: "000000000000".to_owned(),
        region: "us-east-1".to_owned(),
        tuning: Tuning::default(),
        faults: no_faults(),
        room: ROOM,
    };
    let error = Server::start(options(0, &folder)).await.unwrap_err().to_string();
    assert!(error.starts_with("another weir firehose uses "), "{error}");
    let other = tempfile::tempdir().unwrap();
    let error = Server::start(options(firehose.server.address.port(), &other))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("is taken"), "{error}");
    firehose.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_disk_is_counted_and_kept_and_costs_only_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::start([]).await;
    let firehose = Firehose::start(&folder, no_faults()).await;
    firehose.create(&endpoint.url, 900, 60, json!({})).await;
    firehose.put(&["one", "two", "three"]).await;
    firehose.stop().await;

    let stream = std::fs::read_dir(folder.path().join("streams"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let log = stream.join(format!("{:020}.log", 0));
    let mut bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(3).position(|window| window == b"two").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&log, bytes).unwrap();

    let again = Firehose::start(&folder, no_faults()).await;
    again
        .server
        .ensure_stream("s", json!({ "BufferingHints": { "IntervalInSeconds": 0 } }))
        .await
        .unwrap();
    let seen = endpoint.wait_for(2).await;
    let mut records = seen
        .iter()
        .flat_map(|request| request.records.clone())
        .collect::<Vec<_>>();
    records.sort();
    assert_eq!(records, ["one", "three"]);
    again
        .settles(json!({ "accepted": 2, "delivered": 2, "damaged_bytes": 39, "spooled_records": 0 }))
        .await;
    let copy = std::fs::read(stream.join(format!("damaged-{:020}.bin", 39))).unwrap();
    assert!(copy.ends_with(b"\x75wo"), "{copy:?}");
    again.stop().await;
}
