-- The partition of an aggregate's events. sha256, because hashtext() may change with a major version
-- of PostgreSQL, and with it the partition of every aggregate.
CREATE OR REPLACE FUNCTION outbox_partition(aggregate text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((get_byte(h, 0) * 256 + get_byte(h, 1)) % outbox_partitions())::smallint
    FROM sha256(convert_to(aggregate, 'UTF8')) AS h
$$;

-- Puts an event into the outbox, in the caller's transaction. The caller must have locked (inserted,
-- updated) the aggregate's row before: then events of one aggregate are in the order of their changes.
CREATE OR REPLACE FUNCTION outbox_put(event_id uuid, type text, aggregate text, data jsonb, traceparent text)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
    VALUES (event_id, outbox_partition(aggregate), type, aggregate, data, traceparent)
$$;
