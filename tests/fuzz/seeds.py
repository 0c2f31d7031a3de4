#!/usr/bin/env python3
"""Writes the first inputs of each fuzz target to tests/fuzz/corpus/<target>/, from tests/fixtures/contract.jsonl.

libFuzzer finds the structure of JSON or SQL by itself only after hours; from real inputs it starts at once.
"""

import base64
import gzip
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent
CASES = HERE.parent / "fixtures" / "contract.jsonl"


def body(case):
    return case["body"].encode() if "body" in case else base64.b64decode(case["body_b64"])


def line(case):
    """The line that the stream carries for an accepted event."""
    event = case["event"]
    if isinstance(event["amount"], dict):  # Not finite: there is no such line.
        return None
    fields = {
        "event_id": f"00000000-0000-4000-8000-{case['id']:012}",
        "received_at": "2024-05-17T10:20:31.500Z",
        **event,
        "dt": event["dt"][:19] + "Z",
        "exp": event["exp"] or {},
        **({"request_id": "8f5e0c7a-3f1d-4e57-9f0a-5b8a4c1d2e3f"} if case["id"] % 3 == 0 else {}),
    }
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=case["id"] % 2 == 0).encode("utf-8", "replace")


def long_values():
    """Values longer than what an answer echoes."""
    for value in [b"1." + b"5" * 5000, b"9" * 4000, b'"' + b"\\u0001" * 5000 + b'"', b"[" * 100 + b"]" * 100]:
        yield b'{"user_id":' + value + b"}"


GZIPPED = gzip.compress(b'{"user_id":1}' * 20, mtime=0)
# A zstd frame with its content size and one block as it is: magic, descriptor, size, block header, data.
ZSTD = bytes.fromhex("28b52ffd2004210000") + b"abcd"
# ClickHouse's frame of plain bytes; the checksum is not looked at where this is used.
FRAME = bytes(16) + b"\x02" + (9 + 5).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"plain"

STATEMENTS = [
    "SELECT 1 FORMAT JSON",
    "(SELECT 1) UNION ALL (SELECT 2) FORMAT TSV SETTINGS max_threads = 1;",
    "WITH x AS (SELECT 'a;b''c\\'d') SELECT * FROM x -- FORMAT CSV",
    "SELECT query_id, `a b`, \"c\"\"d\" FROM system.processes /* c */ FORMAT Pretty",
    "INSERT INTO db.t (a, b) VALUES (1, 'x')",
    "INSERT INTO t FORMAT JSONEachRow\n{\"a\":1}",
    "INSERT INTO t (a) SETTINGS async_insert=1 FORMAT CSV SETTINGS a = -1.5, b = 'x'\r\n1,2",
    "INSERT INTO FUNCTION file('a', 'CSV') SELECT a FROM input('a UInt8, b String') FORMAT RowBinary;\n\x01",
    "INSERT INTO t FROM INFILE 'a' FORMAT CSV",
    "INSERT INTO t SELECT $tag$ FORMAT x $tag$ FROM s",
    "WITH 1 AS x INSERT INTO t SELECT x",
    "KILL QUERY WHERE query_id = 'a' SYNC",
    "SHOW TABLES; SELECT 2",
    "SELECT 1 INTO OUTFILE 'x' FORMAT CSV # end",
    " ;",
]
QUERIES = [
    "query=SELECT+1&database=d&max_threads=1&param_x=7%20a&compress=1&decompress=1&default_format=JSON&role=a"
    "\naccept-encoding: gzip, br\nx-clickhouse-user: default\nx-clickhouse-key: k\nx-clickhouse-format: CSV",
    "session_id=s&session_timeout=60&session_check=1&close_session=1&client_protocol_version=54460&buffer_size=9"
    "\nauthorization: Basic dXNlcjpwYXNz\ncontent-encoding: zstd\norigin: http://a",
    "user=u&password=p&query_id=q&wait_end_of_query=true&enable_http_compression=1&http_zlib_compression_level=9"
    "&add_http_cors_header=1&session_timezone=UTC&http_response_buffer_size=5\ncontent-type: multipart/form-data",
]
URLS = ["/events/?a=b+c&a=%41&key=&&x", "/%65vents/validate/", "//a//?=b&%C3%A9=%ff", "*", "http://host/a?b#c"]
HEADERS = [
    '/events?key=k3y\nidempotency-key: "a \\"b\\" \\\\c";v=1\ncontent-type: application/x-ndjson',
    "/events\nauthorization: Bearer k3y\nidempotency-key: abc\ncontent-type: Application/JSON; charset=utf-8",
    "/events?key=%6b3y\nx-write-key: other\nidempotency-key: a\nidempotency-key: a\ncontent-type: text/plain",
]
S3 = {"RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::b", "Prefix": "p/"}
HTTP = {
    "EndpointConfiguration": {"Url": "https://a/b", "Name": "n", "AccessKey": "k"},
    "RequestConfiguration": {
        "ContentEncoding": "GZIP",
        "CommonAttributes": [{"AttributeName": "a", "AttributeValue": "b"}],
    },
    "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
    "RetryOptions": {"DurationInSeconds": 0},
    "S3BackupMode": "AllData",
    "S3Configuration": S3,
}
CALLS = [
    ("PutRecord", {"DeliveryStreamName": "s", "Record": {"Data": "YQ=="}}),
    ("PutRecordBatch", {"DeliveryStreamName": "s", "Records": [{"Data": "YQ=="}, {"Data": ""}]}),
    ("CreateDeliveryStream", {"DeliveryStreamName": "t", "HttpEndpointDestinationConfiguration": HTTP}),
    ("CreateDeliveryStream", {"DeliveryStreamName": "t", "ExtendedS3DestinationConfiguration": S3, "Tags": []}),
    ("CreateDeliveryStream", {"DeliveryStreamName": "t", "S3DestinationConfiguration": S3}),
    ("DescribeDeliveryStream", {"DeliveryStreamName": "s", "Limit": 1, "ExclusiveStartDestinationId": "d"}),
    ("ListDeliveryStreams", {"Limit": 1, "DeliveryStreamType": "DirectPut", "ExclusiveStartDeliveryStreamName": "a"}),
    ("ListTagsForDeliveryStream", {"DeliveryStreamName": "s", "ExclusiveStartTagKey": "a", "Limit": 50}),
    ("TagDeliveryStream", {"DeliveryStreamName": "s", "Tags": [{"Key": "a", "Value": "b"}]}),
    ("UntagDeliveryStream", {"DeliveryStreamName": "s", "TagKeys": ["a"]}),
    ("StartDeliveryStreamEncryption", {"DeliveryStreamName": "s", "DeliveryStreamEncryptionConfigurationInput":
        {"KeyARN": "arn:aws:kms:a:b:c", "KeyType": "CUSTOMER_MANAGED_CMK"}}),
    ("StopDeliveryStreamEncryption", {"DeliveryStreamName": "s"}),
]
METRICS = json.dumps({
    "_aws": {"CloudWatchMetrics": [{"Namespace": "Weir", "Dimensions": [["function"]], "Metrics": []}], "Timestamp": 1},
    "function": "events", "request_id": "r", "method": "POST", "route": "/events", "status": 200, "outcome": "done",
    "Accepted": 5, "Rejected": 2, "rejected.missing": 2, "NotStored": 0, "Bytes": 350, "FirehoseRetries": 2, "Stored": 7,
    "Quarantined": 1, "InsertMilliseconds": 20, "DataAgeMilliseconds": 60000, "DurationMilliseconds": 1.5,
}, separators=(",", ":")).encode()
ANSWER = {"requestId": "ed4acda5-034f-9f42-bba1-f29aea6d7d8f", "timestamp": 1578090903599, "errorMessage": "m"}


def seeds():
    cases = [json.loads(text) for text in CASES.read_text().splitlines()]
    bodies = [body(case) for case in cases] + list(long_values())
    lines = [text for case in cases if case["status"] == 200 and (text := line(case))]
    few = [text for text in bodies if len(text) < 600]
    yield from (("event_from_json", text) for text in bodies)
    yield from (("record_from_line", text) for text in lines)
    for start in range(0, len(few), 3):
        group = few[start : start + 3]
        yield "batch_from_json", b"[" + b", ".join(group) + b"]"
        yield "batch_from_json", group[0]
        yield "batch_from_ndjson", b"\r\n".join(text.replace(b"\n", b" ") for text in group)
    for start in range(0, len(lines), 4):
        records = [b"\n".join(lines[start : start + 2]) + b"\n", b"\n".join(lines[start + 2 : start + 4])]
        data = [{"data": base64.b64encode(record).decode()} for record in records]
        delivery = {"requestId": f"r{start}", "timestamp": start, "records": data}
        yield "loader_delivery", b"\0" + json.dumps(delivery).encode()
        yield "loader_delivery", b"\1" + b"\0".join(records)
        failed = ({"rawData": record["data"], "attemptEndingTimestamp": start} for record in data)
        yield "backup_object", b"\0" + "\n".join(map(json.dumps, failed)).encode()
        yield "backup_object", b"\1" + b"\0".join(records)
    yield from (("body_decode", choice + b"\xff\x0f" + text) for choice in (b"\0", b"\1") for text in lines[::20])
    yield from (("body_decode", b"\2\xff\x0f" + GZIPPED * count) for count in (1, 2))
    yield from (("body_decode", b"\3\xff\x0f" + ZSTD * count) for count in (1, 2))
    yield from (("clickhouse_compression", bytes([choice, 1, 9, 0]) + text) for choice in range(9) for text in lines[:3])
    yield from (("clickhouse_compression", bytes([choice]) + b"\1\0\0" + FRAME * 2) for choice in (1, 2))
    yield "clickhouse_compression", b"\7\1\0\0" + GZIPPED
    yield from (("clickhouse_statement", text.encode("latin-1")) for text in STATEMENTS)
    yield from (("clickhouse_request", text.encode()) for text in QUERIES)
    yield from (("route_query", text.encode()) for text in URLS)
    yield from (("request_headers", text.replace(": ", ":").encode()) for text in HEADERS)
    yield from (("firehose_api", f"{name}\n\n{json.dumps(call)}".encode()) for name, call in CALLS)
    yield from (("firehose_answer", status.to_bytes(2, "little") + json.dumps(ANSWER).encode()) for status in (200, 413))
    yield from (("metrics_records", cut + METRICS + b"\nINFO a line\n" + METRICS[:60] + METRICS) for cut in (b"\0", b"\x28"))


def main():
    counts = {}
    for target, data in seeds():
        counts[target] = counts.get(target, 0) + 1
        folder = HERE / "corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"seed-{counts[target]:04}").write_bytes(data)
    for target, count in sorted(counts.items()):
        print(f"{target}: {count} seeds")


if __name__ == "__main__":
    main()
