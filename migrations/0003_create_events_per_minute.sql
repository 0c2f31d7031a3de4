-- What happens each minute, seconds after it happened: for dashboards that cannot wait for dbt.

-- One row a minute and name, and a few more until ClickHouse has merged them: read the view events_per_minute.
-- - The state holds event ids, and a set counts an id once: a client that sends an event again, and a delivery that comes again, change
--   nothing. The dedup windows drop the delivery earlier: it need not be counted to be found known.
-- - The minute is that of dt: an event that is sent again has the same one.
-- - Sixteen bytes an event: a week is kept, and older partitions are dropped whole.
CREATE TABLE IF NOT EXISTS {database}.events_per_minute_states {on_cluster}
(
    minute DateTime('UTC'),
    name   LowCardinality(String),
    ids    AggregateFunction(uniqExact, UUID)
)
ENGINE = {replicated}AggregatingMergeTree
PARTITION BY toDate(minute)
ORDER BY (minute, name)
TTL minute + INTERVAL 7 DAY
SETTINGS
    ttl_only_drop_parts = 1,
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 259200;

-- Sees each insert into events. What is older than the week is left out here, or every late event would make a part that is dropped
-- at once; what is a day ahead has a wrong clock.
CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.events_per_minute_mv {on_cluster}
TO {database}.events_per_minute_states AS
SELECT toStartOfMinute(dt) AS minute, name, uniqExactState(event_id) AS ids
FROM {database}.events
WHERE dt > now() - INTERVAL 7 DAY AND dt < now() + INTERVAL 1 DAY
GROUP BY minute, name;

CREATE VIEW IF NOT EXISTS {database}.events_per_minute {on_cluster} AS
SELECT minute, name, uniqExactMerge(ids) AS events
FROM {database}.events_per_minute_states
GROUP BY minute, name;
