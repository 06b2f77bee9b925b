-- The partition of an aggregate's events. sha256, because hashtext() may change with a major version
-- of PostgreSQL, and with it the partition of every aggregate.
CREATE OR REPLACE FUNCTION outbox_partition(aggregate text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ((get_byte(h, 0) * 256 + get_byte(h, 1)) % outbox_partitions())::smallint
    FROM sha256(convert_to(aggregate, 'UTF8')) AS h
$$;

-- Writes an event to the outbox, in the caller's transaction. The caller must have locked
-- (inserted, updated) the aggregate's row before, so that events of one aggregate are in the order
-- of their changes. traceparent is the text that a command gets: 063_tracestate.sql. schema_version
-- is the version of data, counted for each type.
CREATE OR REPLACE FUNCTION outbox_put(event_id uuid, type text, aggregate text, data jsonb, traceparent text,
                                      schema_version int DEFAULT 1)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent, schema_version)
    VALUES (event_id, outbox_partition(aggregate), type, aggregate, data, traceparent, schema_version)
$$;

-- The same for a consumer that emits an event because of another one (an element of the argument of
-- its apply function): the new event continues the trace, has the other event as its cause, and
-- belongs to the same chain.
CREATE OR REPLACE FUNCTION outbox_put_because(cause outbox, event_id uuid, type text, aggregate text, data jsonb,
                                              schema_version int DEFAULT 1)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent, tracestate, causation_id,
                        correlation_id, schema_version)
    VALUES (event_id, outbox_partition(aggregate), type, aggregate, data, (cause).traceparent,
            (cause).tracestate, (cause).event_id, coalesce((cause).correlation_id, (cause).event_id), schema_version)
$$;
