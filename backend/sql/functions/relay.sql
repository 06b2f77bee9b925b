-- What the relay asks. relay.c explains the order of events and why no snapshot's xmin is needed.
--
-- The plans must not hang on statistics of a table that is empty now and long a minute later, so
-- these functions allow index scans in order and nested loops only, and no compilation of what they
-- seem to cost.

-- Gives positions to the first p_limit waiting events of each listed partition, in one transaction,
-- and returns these events.
CREATE OR REPLACE FUNCTION relay_take(p_limit int, p_partitions smallint[])
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text)
LANGUAGE sql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
    WITH waiting AS MATERIALIZED (
        SELECT w.id, p.partition,
               p.position + row_number() OVER (PARTITION BY p.partition ORDER BY w.id) AS position
        FROM partitions p
        CROSS JOIN LATERAL (SELECT o.id FROM outbox o
                            WHERE o.partition = p.partition AND o.position IS NULL
                            ORDER BY o.id LIMIT p_limit) w
        WHERE p.partition = ANY (p_partitions)
    ), advanced AS (
        UPDATE partitions p SET position = w.position
        FROM (SELECT partition, max(position) AS position FROM waiting GROUP BY partition) w
        WHERE p.partition = w.partition
    ), given AS (
        UPDATE outbox o SET position = w.position FROM waiting w WHERE o.id = w.id
        RETURNING o.*
    )
    SELECT g.partition, g.position, g.event_id, g.type, g.aggregate, g.data::text, g.traceparent,
           to_char(g.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM given g ORDER BY g.partition, g.position
$$;

-- Events of a partition that have a position above p_after: to publish them again.
CREATE OR REPLACE FUNCTION relay_read(p_partition smallint, p_after bigint, p_limit int)
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
    SELECT o.partition, o.position, o.event_id, o.type, o.aggregate, o.data::text, o.traceparent,
           to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    FROM outbox o
    WHERE o.partition = p_partition AND o.position > p_after
    ORDER BY o.position LIMIT p_limit
$$;

-- Every partition's last position, and the one up to which all groups have handled it, with the group
-- that has handled least.
CREATE OR REPLACE FUNCTION relay_state()
RETURNS TABLE (partition smallint, "position" bigint, handled bigint, slowest text)
LANGUAGE sql STABLE AS $$
    SELECT p.partition, p.position, coalesce(c.handled, 0), coalesce(c.group_name, '')
    FROM partitions p
    LEFT JOIN LATERAL (SELECT c.handled, c.group_name FROM consumer_partitions c
                       WHERE c.partition = p.partition
                       ORDER BY c.handled, c.group_name LIMIT 1) c ON true
    ORDER BY p.partition
$$;
