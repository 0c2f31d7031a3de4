-- What the quarantine needs so that a bad line is kept once, can be corrected, and is replayed once.

-- The id of a line: a version 5 UUID of where it failed and its bytes, so it is the same whatever request the line comes
-- with. The loader computes it too, and keeps only lines whose id is not there; two loaders at the same instant may still both
-- keep one, so readers take one row an id. The expression gives the id to rows that are older than the column, and to rows
-- of a loader that does not know it yet.
ALTER TABLE {database}.events_quarantine {on_cluster}
    ADD COLUMN IF NOT EXISTS id UUID DEFAULT arrayMap(
        h -> toUUID(concat(
            substring(h, 1, 8), '-', substring(h, 9, 4), '-5', substring(h, 14, 3), '-',
            translate(substring(h, 17, 1), '0123456789abcdef', '89ab89ab89ab89ab'), substring(h, 18, 3), '-',
            substring(h, 21, 12))),
        [lower(hex(SHA1(concat(unhex('3b1d6f0c5e0a4c7e9a7bd06c8a4f2e91'), CAST(stage, 'String'), unhex('00'), raw))))]
    )[1] COMMENT 'UUIDv5 of stage, a zero byte, and raw';

ALTER TABLE {database}.events_quarantine {on_cluster}
    ADD INDEX IF NOT EXISTS id_bloom id TYPE bloom_filter(0.001) GRANULARITY 1;

-- What people did about quarantined lines. Rows are only added: the last `fix` of a line counts, and a line with a `replay`
-- is done.
CREATE TABLE IF NOT EXISTS {database}.events_quarantine_actions {on_cluster}
(
    id       UUID COMMENT 'The line, as in events_quarantine',
    at       DateTime64(3, 'UTC') DEFAULT now64(3),
    action   LowCardinality(String) COMMENT 'fix: raw is the corrected line; replay: it was accepted as event_id',
    raw      String COMMENT 'The corrected line of a fix, else empty',
    event_id UUID COMMENT 'The event that a replay became, else nil'
)
ENGINE = {replicated}MergeTree
ORDER BY (id, at)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 10000,
    replicated_deduplication_window_seconds = 259200;
