"""clickhouse-connect, ClickHouse's official Python client, reads and writes `weir clickhouse`.

Usage: connect_clickhouse.py HOST PORT. Prints `ok` when every assertion held.
"""

import datetime
import sys
import uuid

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

host, port = sys.argv[1], int(sys.argv[2])
for compress in (False, "lz4", "zstd", "gzip"):
    client = clickhouse_connect.get_client(host=host, port=port, database="analytics", compress=compress)
    assert client.server_version.startswith("26."), client.server_version
    client.command("DROP TABLE IF EXISTS connect")
    client.command(
        "CREATE TABLE connect (id UUID, n UInt64, at DateTime64(3, 'UTC'), tags Map(String, String), "
        "name LowCardinality(String), maybe Nullable(Float64)) ENGINE = MergeTree ORDER BY n"
    )
    when = datetime.datetime(2024, 5, 17, 10, 20, 30, 125000, tzinfo=datetime.timezone.utc)
    rows = [[uuid.UUID(int=i), i, when, {"k": str(i)}, f"name {i % 7}", None if i % 2 else i / 2] for i in range(100_000)]
    written = client.insert("connect", rows, column_names=["id", "n", "at", "tags", "name", "maybe"])
    assert written.written_rows == 100_000, written.summary
    result = client.query("SELECT * FROM connect WHERE n = {n:UInt64}", parameters={"n": 99_998})
    # The client gives times of a UTC column without a zone.
    assert result.result_rows == [(uuid.UUID(int=99_998), 99_998, when.replace(tzinfo=None), {"k": "99998"}, "name 3", 49_999.0)], result.result_rows
    assert int(result.summary["read_rows"]) >= 1, result.summary
    with client.query_row_block_stream("SELECT n FROM connect ORDER BY n") as stream:
        assert sum(len(block) for block in stream) == 100_000
    external = ExternalData(file_name="wanted", data=b"1\n2\n3\n", fmt="TSV", structure=["n UInt64"])
    assert client.query("SELECT count() FROM connect WHERE n IN wanted", external_data=external).first_row == (3,)
    try:
        client.query("SELECT * FROM no_such_table")
        raise SystemExit("a missing table gave no error")
    except DatabaseError as error:
        assert "UNKNOWN_TABLE" in str(error), error

# A session keeps its settings and its temporary tables; another does not see them.
one = clickhouse_connect.get_client(host=host, port=port, session_id="one-session")
one.command("CREATE TEMPORARY TABLE mine (n UInt8)")
one.command("INSERT INTO mine VALUES (1), (2)")
assert one.command("SELECT sum(n) FROM mine") == 3
other = clickhouse_connect.get_client(host=host, port=port, session_id="another-session")
try:
    other.query("SELECT * FROM mine")
    raise SystemExit("a temporary table leaked out of its session")
except DatabaseError:
    pass
print("ok")
