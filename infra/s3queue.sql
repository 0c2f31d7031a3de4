-- With DeliverTo=s3: ClickHouse pulls from the bucket what the loader else inserts. DEPLOY.md says when, and how this file is run.
--
-- Not a migration: it names a bucket, it needs a Keeper, and only who delivers to S3 wants it. Placeholders: {database}, {on_cluster}
-- (nothing, or ON CLUSTER 'name'), {url} (https://<bucket>.s3.<region>.amazonaws.com) and {role} (the output S3QueueRoleArn).
--
-- What is lost against the loader:
-- - The deduplication token. An object that is loaded twice, as after a crash in the middle, is stored twice, until ReplacingMergeTree has
--   merged it away; readers with FINAL count it once. A materialized view on events that counts rows counts it twice.
-- - One insert a month. An object with events of more than a hundred months is refused as a whole, and tried again until loading_retries.
-- - A row that the table itself refuses (a CHECK, a narrower column) is not found by halving: it stops its object.
-- - The quarantine does not ask before it inserts. A line's id is the same, and readers take one row an id.

-- A line a row. `move`, because a queue that keeps its objects lists all of them at each poll, and tracks each of them in Keeper.
CREATE TABLE IF NOT EXISTS {database}.events_s3queue {on_cluster} (line String)
ENGINE = S3Queue('{url}/events/**', 'LineAsString', 'gzip', extra_credentials(role_arn = '{role}'))
SETTINGS
    mode = 'unordered',
    after_processing = 'move',
    after_processing_move_prefix = 'loaded/',
    loading_retries = 100,
    processing_threads_num = 4;

-- What a line is, computed once for both ways on from here. Nothing is stored.
CREATE TABLE IF NOT EXISTS {database}.events_s3queue_lines {on_cluster} (line String, object String, code String, field String)
ENGINE = Null;

-- A line that the loader refuses is refused here, with the same code and field. (functions/event-model/src/line.rs; the order of the
-- checks is the same.)
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.events_s3queue_read {on_cluster} TO {database}.events_s3queue_lines AS
WITH
    ['event_id', 'received_at', 'dt', 'name', 'user_id', 'url', 'obj', 'obj_id', 'product_id', 'amount', 'exp'] AS fields,
    isValidUTF8(line) AND isValidJSON(line) AND JSONType(line) = 'Object' AS is_object,
    arrayMap(name -> toString(JSONType(line, name)), fields) AS types,
    JSONExtractString(line, 'dt') AS dt,
    JSONExtractString(line, 'received_at') AS received_at,
    -- What each type may be: String, a number, an object.
    [
        types[1] = 'String' AND isNotNull(toUUIDOrNull(JSONExtractString(line, 'event_id'))),
        types[2] = 'String' AND isNotNull(parseDateTime64BestEffortOrNull(received_at, 3, 'UTC')),
        types[3] = 'String' AND match(dt, '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$')
            AND ifNull(toUnixTimestamp64Milli(parseDateTime64BestEffortOrNull(dt, 3, 'UTC')) BETWEEN 0 AND 4294967295000, false),
        types[4] = 'String',
        types[5] IN ('Int64', 'UInt64') AND isNotNull(JSONExtract(line, 'user_id', 'Nullable(UInt64)')),
        types[6] = 'String',
        types[7] = 'String',
        types[8] = 'String',
        types[9] IN ('Int64', 'UInt64') AND isNotNull(JSONExtract(line, 'product_id', 'Nullable(UInt64)')),
        types[10] IN ('Int64', 'UInt64', 'Double') AND ifNull(JSONExtract(line, 'amount', 'Nullable(Float64)') >= 0, false),
        types[11] = 'Object' AND arrayAll(pair -> startsWith(pair.2, '"'), JSONExtractKeysAndValuesRaw(line, 'exp'))
    ] AS valid,
    arrayFirst(name -> NOT JSONHas(line, name), fields) AS missing,
    -- The one field that may be missing: lines of older versions have none.
    NOT JSONHas(line, 'request_id') OR (JSONType(line, 'request_id') = 'String'
        AND match(JSONExtractString(line, 'request_id'), '^[0-9a-fA-F-]{0,36}$')) AS request_id_valid,
    arrayFirst((name, good) -> NOT good, arrayPushBack(fields, 'request_id'), arrayPushBack(valid, request_id_valid)) AS invalid
SELECT
    line,
    _path AS object,
    multiIf(
        length(line) > 1024000, 'too_long',
        NOT isValidUTF8(line), 'not_utf8',
        NOT isValidJSON(line), 'not_json',
        NOT is_object, 'not_an_object',
        missing != '', 'missing_field',
        invalid != '', 'invalid_field',
        '') AS code,
    if(code IN ('missing_field', 'invalid_field'), if(missing != '', missing, invalid), '') AS field
FROM {database}.events_s3queue
-- Firehose puts nothing between records, and the functions end each line: an empty one is nobody's event.
WHERE line != '';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.events_s3queue_events {on_cluster} TO {database}.events AS
SELECT
    toDateTime(parseDateTime64BestEffort(JSONExtractString(line, 'dt'), 0, 'UTC'), 'UTC') AS dt,
    JSONExtractString(line, 'name') AS name,
    JSONExtract(line, 'user_id', 'UInt64') AS user_id,
    JSONExtractString(line, 'url') AS url,
    JSONExtractString(line, 'obj') AS obj,
    JSONExtractString(line, 'obj_id') AS obj_id,
    JSONExtract(line, 'product_id', 'UInt64') AS product_id,
    JSONExtract(line, 'amount', 'Float64') AS amount,
    CAST(JSONExtractKeysAndValues(line, 'exp', 'String'), 'Map(LowCardinality(String), String)') AS exp,
    toUUID(JSONExtractString(line, 'event_id')) AS event_id,
    parseDateTime64BestEffort(JSONExtractString(line, 'received_at'), 3, 'UTC') AS received_at,
    JSONExtractString(line, 'request_id') AS request_id
FROM {database}.events_s3queue_lines
WHERE code = '';

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.events_s3queue_quarantine {on_cluster} TO {database}.events_quarantine AS
SELECT
    multiIf(code IN ('too_long', 'not_utf8'), 'decode', code IN ('not_json', 'not_an_object'), 'json', 'record') AS stage,
    code,
    concat('read by S3Queue: ', code) AS reason,
    field,
    line AS raw,
    object AS request_id
FROM {database}.events_s3queue_lines
WHERE code != '';
