-- Leases on (group, partition), shared among the living workers.

-- A worker's heartbeat: renews its leases, takes free ones up to its fair share, and returns its
-- leases. It should release surplus leases, by worker_release(), for workers that have fewer. It
-- keeps the leases of a paused group and takes no events of it. A lease that is not renewed is
-- owned until it expires.
CREATE OR REPLACE FUNCTION worker_step(p_worker text, p_groups text[], p_ttl_ms int)
RETURNS TABLE (group_name text, partition smallint, epoch bigint, handled bigint, "position" bigint,
               surplus boolean, paused boolean, renewed boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ttl     CONSTANT interval := make_interval(secs => p_ttl_ms / 1000.0);
    expiry  timestamptz;
    -- A lease that expires later was given before the clock was set back. It counts as expired: no
    -- worker renews it, otherwise it would expire earlier.
    latest  timestamptz;
    witness boolean; -- it has been there for a whole lease time, so an owner's heartbeat would have come
    ahead   interval;
BEGIN
    -- One heartbeat at a time, so that shares and leases are based on a consistent state. 'weir', 2
    PERFORM pg_advisory_xact_lock(2003134834, 2);
    expiry := clock_timestamp() + ttl;
    latest := expiry + ttl;

    SELECT w.expires_at - expiry INTO ahead FROM workers w WHERE w.worker = p_worker AND w.expires_at > expiry;
    IF ahead > interval '1 second' THEN
        RAISE NOTICE 'the clock of PostgreSQL was set back by % s', round(extract(epoch FROM ahead));
    END IF;
    INSERT INTO workers AS w (worker, groups, expires_at) VALUES (p_worker, p_groups, expiry)
    ON CONFLICT (worker) DO UPDATE SET groups = excluded.groups, expires_at = excluded.expires_at,
        since = CASE WHEN w.expires_at BETWEEN expiry - ttl / 2 AND expiry THEN w.since ELSE clock_timestamp() END
    RETURNING w.since < clock_timestamp() - ttl INTO witness;
    DELETE FROM workers w USING (SELECT l.worker FROM workers l
                                 WHERE l.expires_at < clock_timestamp() OR l.expires_at > latest
                                 FOR UPDATE SKIP LOCKED) gone
    WHERE w.worker = gone.worker;

    -- A new group starts at the position of the slowest other group: events after it are not
    -- trimmed.
    INSERT INTO consumer_partitions (group_name, partition, handled)
    SELECT g, p.partition, coalesce((SELECT min(c.handled) FROM consumer_partitions c
                                     WHERE c.partition = p.partition), 0)
    FROM unnest(p_groups) g CROSS JOIN partitions p
    WHERE NOT EXISTS (SELECT FROM consumer_partitions c WHERE c.group_name = g AND c.partition = p.partition);

    -- A locked lease has effects in a transaction (consume()), and a long transaction must not
    -- block the heartbeats of all workers. The lease is not renewed now, and no worker takes it
    -- while it is locked.
    UPDATE consumer_partitions c SET expires_at = expiry
    FROM (SELECT l.group_name, l.partition FROM consumer_partitions l
          WHERE l.owner = p_worker AND l.group_name = ANY (p_groups)
          FOR NO KEY UPDATE SKIP LOCKED) mine
    WHERE c.group_name = mine.group_name AND c.partition = mine.partition;

    -- If a lease expired while no worker could make heartbeats (the database or the machine was
    -- down), its owner may live and have effects in progress.
    WITH unlocked AS MATERIALIZED (
        SELECT c.group_name, c.partition FROM consumer_partitions c
        WHERE c.group_name = ANY (p_groups)
          AND (c.owner IS NULL OR witness AND (c.expires_at < clock_timestamp() OR c.expires_at > latest))
        FOR NO KEY UPDATE SKIP LOCKED
    ), free AS (
        SELECT u.group_name, u.partition,
               row_number() OVER (PARTITION BY u.group_name ORDER BY u.partition) AS n
        FROM unlocked u
    )
    UPDATE consumer_partitions c SET owner = p_worker, epoch = c.epoch + 1, expires_at = expiry
    FROM free f
    WHERE c.group_name = f.group_name AND c.partition = f.partition
      AND f.n <= worker_share(p_worker, f.group_name)
               - (SELECT count(*) FROM consumer_partitions m
                  WHERE m.group_name = f.group_name AND m.owner = p_worker);

    RETURN QUERY
    SELECT c.group_name, c.partition, c.epoch, c.handled, p.position,
           row_number() OVER (PARTITION BY c.group_name ORDER BY c.partition)
               > worker_share(p_worker, c.group_name),
           EXISTS (SELECT FROM paused_groups g WHERE g.group_name = c.group_name),
           c.expires_at = expiry
    FROM consumer_partitions c JOIN partitions p USING (partition)
    WHERE c.owner = p_worker AND c.group_name = ANY (p_groups)
    ORDER BY 1, 2;
END
$$;
SELECT grant_execute('worker_step', 'worker');

-- The number of partitions of a group that a worker should own: the same for all workers; the first
-- ones take the remainder.
CREATE OR REPLACE FUNCTION worker_share(p_worker text, p_group text) RETURNS bigint
LANGUAGE sql STABLE AS $$
    SELECT outbox_partitions() / s.workers + (s.rank <= outbox_partitions() % s.workers)::int
    FROM (SELECT w.worker, row_number() OVER (ORDER BY w.worker) AS rank, count(*) OVER () AS workers
          FROM workers w WHERE p_group = ANY (w.groups)) s
    WHERE s.worker = p_worker
$$;

-- Releases one partition; does nothing if it has another owner.
CREATE OR REPLACE FUNCTION worker_release(p_worker text, p_group text, p_partition smallint, p_epoch bigint)
RETURNS void
LANGUAGE sql AS $$
    UPDATE consumer_partitions SET owner = NULL
    WHERE group_name = p_group AND partition = p_partition AND epoch = p_epoch AND owner = p_worker
$$;
SELECT grant_execute('worker_release', 'worker');

-- Releases all partitions of the worker.
CREATE OR REPLACE FUNCTION worker_leave(p_worker text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(2003134834, 2);
    UPDATE consumer_partitions SET owner = NULL WHERE owner = p_worker;
    DELETE FROM workers WHERE worker = p_worker;
END
$$;
SELECT grant_execute('worker_leave', 'worker');

-- The state for a new owner: the position up to which all events are handled, and the positions
-- above it that are handled (wait_ms NULL) or have failed and must wait. Returns at least one row
-- while the lease is valid (position NULL: there are none), in the order of positions.
CREATE OR REPLACE FUNCTION worker_open(p_group text, p_partition smallint, p_epoch bigint)
RETURNS TABLE (handled bigint, "position" bigint, wait_ms int)
LANGUAGE sql STABLE AS $$
    SELECT l.handled, s.position, s.wait_ms
    FROM consumer_partitions l
    LEFT JOIN (
        SELECT c.position, NULL::int AS wait_ms FROM consumed c
        WHERE c.group_name = p_group AND c.partition = p_partition
        UNION ALL
        -- If the clock was set back, this may be any time; the worker limits it.
        SELECT r.position, least(2147483647, greatest(0, extract(epoch FROM r.next_at - clock_timestamp()) * 1000))::int
        FROM retries r
        WHERE r.group_name = p_group AND r.partition = p_partition
    ) s ON true
    WHERE l.group_name = p_group AND l.partition = p_partition AND l.epoch = p_epoch
    ORDER BY s.position
$$;
SELECT grant_execute('worker_open', 'worker');

-- The first p_limit events of a partition above p_after and up to p_last, of one aggregate or
-- (NULL) of all: events that are missing in Redis, or were dropped from memory.
CREATE OR REPLACE FUNCTION worker_read(p_partition smallint, p_after bigint, p_aggregate text, p_limit int,
                                       p_last bigint DEFAULT 9223372036854775807)
RETURNS TABLE (partition smallint, "position" bigint, event_id uuid, type text, aggregate text,
               data text, traceparent text, "time" text, causation_id uuid, correlation_id uuid,
               schema_version smallint, for_group text, tracestate text)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off AS $$
    SELECT o.partition, o.position, o.event_id, o.type, o.aggregate, o.data::text, o.traceparent,
           to_char(o.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
           o.causation_id, coalesce(o.correlation_id, o.event_id), o.schema_version, o.for_group, o.tracestate
    FROM outbox o
    WHERE o.partition = p_partition AND o.position > p_after AND o.position <= p_last
      AND (p_aggregate IS NULL OR o.aggregate = p_aggregate)
    ORDER BY o.position LIMIT p_limit
$$;
SELECT grant_execute('worker_read', 'worker');

-- The ids of the outbox's events at p_limit positions from p_from on, and the partition's last
-- position; delivered events must have these ids. Returns at least one row.
CREATE OR REPLACE FUNCTION worker_ids(p_partition smallint, p_from bigint, p_limit int)
RETURNS TABLE (newest bigint, "position" bigint, event_id uuid)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
    SELECT p.position, o.position, o.event_id
    FROM partitions p
    LEFT JOIN LATERAL (SELECT o.position, o.event_id FROM outbox o
                       WHERE o.partition = p_partition AND o.position >= p_from AND o.position < p_from + p_limit
                       ORDER BY o.position OFFSET 0) o ON true
    WHERE p.partition = p_partition
$$;
SELECT grant_execute('worker_ids', 'worker');
