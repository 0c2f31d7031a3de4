-- Which request brought an event: what its sender was answered in x-amzn-requestid, and what the logs call the request.

-- Empty in rows that are older than the column, in those of a loader that does not know it yet, and in those that no request
-- brought. An event that was sent again has the id of the copy that stays. Events of one request lie near one another and share
-- it, so it compresses.
ALTER TABLE {database}.events {on_cluster}
    ADD COLUMN IF NOT EXISTS request_id String DEFAULT '' COMMENT 'The invocation that accepted the event' CODEC(ZSTD) AFTER received_at;

-- After the table behind it: what the buffer passes on must have a place there.
ALTER TABLE {database}.events_buffer {on_cluster}
    ADD COLUMN IF NOT EXISTS request_id String DEFAULT '' AFTER received_at;
