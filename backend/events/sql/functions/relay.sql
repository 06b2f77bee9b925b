-- The queries of the relay. relay.c explains the order of events, and why no snapshot's xmin is
-- needed.
--
-- The plans must not depend on the statistics of a table that is empty now and long a minute later.
-- So these functions allow only index scans in order and nested loops, and no JIT compilation.

-- Begins a relay's term, in the session that holds the lock. Returns the token of its appends: era,
-- PostgreSQL's timeline and term in digits of fixed width, so that a later token is the greater
-- text; and the era alone. A promoted standby has a higher timeline, also when it has lost the last
-- terms of the old primary. If the server lacks these functions (a cloud's own storage), the
-- timeline is 0.
CREATE OR REPLACE FUNCTION relay_lead() RETURNS TABLE (token text, era bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    timeline bigint := 0;
BEGIN
    BEGIN
        timeline := ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint;
    EXCEPTION WHEN feature_not_supported OR insufficient_privilege OR undefined_function THEN
        NULL;
    END;
    RETURN QUERY
    UPDATE relay_term t SET term = t.term + 1
    RETURNING lpad(t.era::text, 10, '0') || lpad(timeline::text, 10, '0') || lpad(t.term::text, 20, '0'), t.era;
END
$$;
SELECT grant_execute('relay_lead', 'relay');

-- Halts a partition, unless an operator has begun another era meanwhile.
CREATE OR REPLACE FUNCTION relay_halt(p_partition smallint, p_why text, p_era bigint) RETURNS void
LANGUAGE sql AS $$
    UPDATE partitions p SET halted = p_why
    WHERE p.partition = p_partition AND p.halted IS DISTINCT FROM p_why
      AND EXISTS (SELECT FROM relay_term t WHERE t.era = p_era)
$$;
SELECT grant_execute('relay_halt', 'relay');

-- Ends the halt of a partition whose stream was deleted, with the unknown events in it.
CREATE OR REPLACE FUNCTION relay_resume(p_partition smallint) RETURNS void
LANGUAGE sql AS $$
    UPDATE partitions p SET halted = NULL WHERE p.partition = p_partition
$$;
SELECT grant_execute('relay_resume', 'relay', 'operator');

-- Gives positions to the first p_limit waiting events of each listed partition, in one transaction,
-- and returns these events.
CREATE OR REPLACE FUNCTION relay_give(p_limit int, p_partitions smallint[])
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text, causation_id uuid, correlation_id uuid,
               schema_version smallint, for_group text, tracestate text)
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
        WHERE p.partition = ANY (p_partitions) AND p.halted IS NULL
    ), advanced AS (
        UPDATE partitions p SET position = w.position
        FROM (SELECT partition, max(position) AS position FROM waiting GROUP BY partition) w
        WHERE p.partition = w.partition
    ), given AS (
        UPDATE outbox o SET position = w.position FROM waiting w WHERE o.id = w.id
        RETURNING o.*
    )
    SELECT g.partition, g.position, g.event_id, g.type, g.aggregate, g.data::text, g.traceparent,
           to_char(g.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           g.causation_id, coalesce(g.correlation_id, g.event_id), g.schema_version, g.for_group, g.tracestate
    FROM given g ORDER BY g.partition, g.position
$$;

-- relay_give(), without the partitions in which another transaction has locked a row: only these
-- wait, because their order must be kept.
CREATE OR REPLACE FUNCTION relay_take(p_limit int, p_partitions smallint[])
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text, causation_id uuid, correlation_id uuid,
               schema_version smallint, for_group text, tracestate text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    waited CONSTANT text := current_setting('lock_timeout');
    one    smallint;
BEGIN
    RETURN QUERY SELECT * FROM relay_give(p_limit, p_partitions);
EXCEPTION WHEN lock_not_available THEN
    PERFORM set_config('lock_timeout', '20ms', true);
    FOREACH one IN ARRAY p_partitions LOOP
        BEGIN
            RETURN QUERY SELECT * FROM relay_give(p_limit, ARRAY[one]);
        EXCEPTION WHEN lock_not_available THEN
            NULL;
        END;
    END LOOP;
    PERFORM set_config('lock_timeout', waited, true);
END
$$;
SELECT grant_execute('relay_take', 'relay');

-- Events of a partition above position p_after, to be published again.
CREATE OR REPLACE FUNCTION relay_read(p_partition smallint, p_after bigint, p_limit int)
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text, causation_id uuid, correlation_id uuid,
               schema_version smallint, for_group text, tracestate text)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
    SELECT o.partition, o.position, o.event_id, o.type, o.aggregate, o.data::text, o.traceparent,
           to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           o.causation_id, coalesce(o.correlation_id, o.event_id), o.schema_version, o.for_group, o.tracestate
    FROM outbox o
    WHERE o.partition = p_partition AND o.position > p_after
    ORDER BY o.position LIMIT p_limit
$$;
SELECT grant_execute('relay_read', 'relay');

-- For every partition: the last position, the position up to which all groups have handled it, the
-- slowest group, whether it is halted, and the era.
CREATE OR REPLACE FUNCTION relay_state()
RETURNS TABLE (partition smallint, "position" bigint, handled bigint, slowest text, halted text, era bigint)
LANGUAGE sql STABLE AS $$
    SELECT p.partition, p.position, coalesce(c.handled, 0), coalesce(c.group_name, ''), coalesce(p.halted, ''),
           (SELECT t.era FROM relay_term t)
    FROM partitions p
    LEFT JOIN LATERAL (SELECT c.handled, c.group_name FROM consumer_partitions c
                       WHERE c.partition = p.partition
                       ORDER BY c.handled, c.group_name LIMIT 1) c ON true
    ORDER BY p.partition
$$;
SELECT grant_execute('relay_state', 'relay');

-- Deletes events that every group has handled and that are older than p_keep_s seconds: at most the
-- first p_limit of each partition, so that the rest has no gap. Returns their number.
CREATE OR REPLACE FUNCTION outbox_expire(p_keep_s int, p_limit int) RETURNS bigint
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
DECLARE
    gone bigint;
BEGIN
    -- Not during group_replay(), which sets a group back to the oldest event. 'weir', 4
    PERFORM pg_advisory_xact_lock(2003134834, 4);
    DELETE FROM outbox o USING (
        SELECT e.id, bool_and(e.created_at < clock_timestamp() - make_interval(secs => p_keep_s))
                         OVER (PARTITION BY p.partition ORDER BY e.position) AS old
        FROM partitions p
        CROSS JOIN LATERAL (SELECT min(c.handled) AS handled FROM consumer_partitions c
                            WHERE c.partition = p.partition) h
        CROSS JOIN LATERAL (SELECT o.id, o.position, o.created_at FROM outbox o
                            WHERE o.partition = p.partition AND o.position <= h.handled
                            ORDER BY o.position LIMIT p_limit) e
    ) f
    WHERE f.old AND o.id = f.id;
    GET DIAGNOSTICS gone = ROW_COUNT;
    RETURN gone;
END
$$;
SELECT grant_execute('outbox_expire', 'relay');
