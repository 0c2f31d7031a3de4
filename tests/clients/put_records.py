"""boto3 puts records into `weir firehose`.

Usage: put_records.py URL STREAM COUNT. Prints the number of records that were acknowledged, then `ok`.
"""

import sys

import boto3
from botocore.exceptions import ClientError

url, stream, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
firehose = boto3.client(
    "firehose", endpoint_url=url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
)
assert stream in firehose.list_delivery_streams()["DeliveryStreamNames"]
described = firehose.describe_delivery_stream(DeliveryStreamName=stream)["DeliveryStreamDescription"]
assert described["DeliveryStreamStatus"] == "ACTIVE", described
assert described["DeliveryStreamType"] == "DirectPut", described

acknowledged = 0
assert firehose.put_record(DeliveryStreamName=stream, Record={"Data": b'{"boto3":0}\n'})["RecordId"]
acknowledged += 1
while acknowledged < count:
    batch = [{"Data": b'{"boto3":%d}\n' % n} for n in range(acknowledged, min(count, acknowledged + 500))]
    answer = firehose.put_record_batch(DeliveryStreamName=stream, Records=batch)
    assert answer["FailedPutCount"] == 0 and len(answer["RequestResponses"]) == len(batch), answer
    acknowledged += len(batch)


def refused(code, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
    else:
        raise SystemExit(f"{code} was expected")


refused("ResourceNotFoundException", firehose.put_record, DeliveryStreamName="nope", Record={"Data": b"x"})
refused("ResourceNotFoundException", firehose.describe_delivery_stream, DeliveryStreamName="nope")
refused("ValidationException", firehose.put_record, DeliveryStreamName=stream, Record={"Data": b"x" * 1_024_001})
refused(
    "InvalidArgumentException", firehose.put_record_batch, DeliveryStreamName=stream, Records=[{"Data": b"x" * 1_000_000}] * 5
)
refused("ValidationException", firehose.put_record_batch, DeliveryStreamName=stream, Records=[{"Data": b"x"}] * 501)
refused(
    "ResourceInUseException",
    firehose.create_delivery_stream,
    DeliveryStreamName=stream,
    HttpEndpointDestinationConfiguration={
        "EndpointConfiguration": {"Url": "http://127.0.0.1:9/"},
        "S3Configuration": {"RoleARN": "arn:aws:iam::000000000000:role/r", "BucketARN": "arn:aws:s3:::backup"},
    },
)
print(acknowledged)
print("ok")
