-- What every event becomes, the side door for ad-hoc inserts, and what could not become a row.

-- One row an event. Columns in the order of the loader's block; event_id and the two times come after the client's own
-- fields.
-- - The sorting key ends in event_id, so a client's retry of an event (same event_id, another received_at) replaces it
--   when ClickHouse merges parts. received_at is the version: whichever order the copies arrive in, the same one stays.
--   Until that merge both are there: readers that sum or count use FINAL or distinct ids.
-- - Both dedup windows are set, so the loader's insert_deduplication_token works on a plain engine (which has none by
--   default) and on a Replicated one. Three days, because a delivery may be replayed from the backup bucket.
-- - The index on inserted_at is for readers that ask what arrived since they last looked; that on user_id is for
--   questions about one person.
CREATE TABLE IF NOT EXISTS {database}.events {on_cluster}
(
    dt          DateTime('UTC'),
    name        LowCardinality(String),
    user_id     UInt64,
    url         String,
    obj         LowCardinality(String),
    obj_id      String,
    product_id  UInt64,
    amount      Float64,
    exp         Map(LowCardinality(String), String),
    event_id    UUID,
    received_at DateTime64(3, 'UTC'),
    inserted_at DateTime DEFAULT now(),
    INDEX user_id_bloom user_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX inserted_at_minmax inserted_at TYPE minmax GRANULARITY 1
)
ENGINE = {replicated}ReplacingMergeTree(received_at)
PARTITION BY toYYYYMM(dt)
ORDER BY (dt, name, obj, obj_id, event_id)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 259200;

-- For point inserts typed by hand: rows reach events within a minute. Not for the loader: a Buffer forgets tokens, and
-- loses what it holds in a crash.
CREATE TABLE IF NOT EXISTS {database}.events_buffer {on_cluster} AS {database}.events
ENGINE = Buffer({database}, events, 1, 5, 60, 1000, 100000, 1000000, 50000000);

-- A row typed by hand has no id. Rows that all carry the nil id would replace one another in events, so the buffer gives
-- each its own.
ALTER TABLE {database}.events_buffer {on_cluster}
    MODIFY COLUMN event_id UUID DEFAULT generateUUIDv4(),
    MODIFY COLUMN received_at DateTime64(3, 'UTC') DEFAULT now64(3);

-- Lines that could not become a row, with the bytes as they came. No TTL: nothing acknowledged is thrown away by itself.
CREATE TABLE IF NOT EXISTS {database}.events_quarantine {on_cluster}
(
    quarantined_at DateTime64(3, 'UTC') DEFAULT now64(3),
    stage          LowCardinality(String) COMMENT 'Where it failed, such as decode, parse or insert',
    code           LowCardinality(String) COMMENT 'Why, as a stable word',
    reason         String COMMENT 'Why, as a sentence',
    field          String COMMENT 'The field that was at fault, or empty',
    raw            String COMMENT 'The bytes as they came',
    request_id     String COMMENT 'The Firehose request that carried them'
)
ENGINE = {replicated}MergeTree
PARTITION BY toYYYYMM(quarantined_at)
ORDER BY (quarantined_at, stage, code)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 259200;
