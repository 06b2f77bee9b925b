-- Settles a batch of events for a group, in one transaction: effects, marks, retries, dead letters.
--
-- p_positions lists events of p_partition, at most one of each aggregate. p_errors has NULL for an
-- event whose effects p_apply makes, or the error of a failure outside of the database. p_final
-- means that no retry helps, p_excused that the failure does not count as an attempt (the
-- dependency is unavailable), p_waits is the least time in ms until the retry. Events of types not
-- in p_types, and events for another group only, are handled without an effect.
--
-- One call of p_apply makes the effects of the whole batch. If it fails, it is rolled back and each
-- event is applied alone, so that only failing events wait. An error that is not caused by the
-- events (deadlock, resources, shutdown, a missing privilege or schema) fails the whole call. An
-- event that needs a row which another transaction has locked (the session's lock_timeout) waits,
-- which does not count as an attempt.
--
-- p_ids are the delivered ids of the events (NULL: the entry could not be parsed). No event is
-- settled from the first one on whose id is not that of the outbox's event at its position: it
-- belongs to a history that was rolled back, and later events may belong to an aggregate whose
-- event it hides.
--
-- Returns the outcome per position: done (r_attempts is the number of earlier attempts that failed,
-- or NULL), retry (after r_wait_ms), dead, other (see p_ids), or unknown: the log ends before that
-- position (a stream that is ahead of the database), so the position must not be marked. Then r_handled, the position up to which all events are handled.
-- Raises WE001 when the caller no longer owns the partition.
CREATE OR REPLACE FUNCTION consume(
    p_group text, p_partition smallint, p_epoch bigint, p_apply text, p_types text[], p_permanent text[],
    p_positions bigint[], p_errors text[], p_final boolean[], p_excused boolean[], p_waits int[],
    p_attempts int, p_base_ms int, p_max_ms int, p_ttl_ms int, p_ids uuid[] DEFAULT NULL)
RETURNS TABLE (r_position bigint, r_outcome text, r_attempts int, r_wait_ms int, r_error text,
               r_handled bigint)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    low        bigint;
    newest     bigint;
    cut        bigint := 9223372036854775807; -- the first position with another event than the outbox's
    fresh      bigint[];          -- not handled before
    events     outbox[];          -- of them, to be applied: in the order of aggregates, in which
                                  -- set-based effects lock their rows, too
    event      outbox;
    failed     bigint[] := '{}';
    errors     text[] := '{}';
    finals     boolean[] := '{}';
    excused    boolean[] := '{}';
    waits      int[] := '{}';
    dead       bigint[];
    settled    bigint[];
    advanced   bigint;
    waited     CONSTANT text := current_setting('lock_timeout');
BEGIN
    -- The fence: waits for an owner that is committing; fails when there is a newer owner.
    SELECT c.handled INTO low FROM consumer_partitions c
    WHERE c.group_name = p_group AND c.partition = p_partition AND c.epoch = p_epoch
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'partition % of group % has another owner', p_partition, p_group
            USING ERRCODE = 'WE001';
    END IF;

    SELECT p.position INTO newest FROM partitions p WHERE p.partition = p_partition;

    SELECT coalesce(min(l.position), cut) INTO cut
    FROM unnest(p_positions, p_ids) l(position, id)
    WHERE l.position > low AND l.position <= newest
      AND l.id <> (SELECT o.event_id FROM outbox o WHERE o.partition = p_partition AND o.position = l.position);

    -- Rows are looked up one by one, in scalar subqueries: the plan of a join would depend on
    -- statistics.
    SELECT coalesce(array_agg(u.position), '{}'),
           coalesce(array_agg(u.event ORDER BY (u.event).aggregate COLLATE "C")
                    FILTER (WHERE u.error IS NULL AND (u.event).type = ANY (p_types)
                                    AND coalesce((u.event).for_group = p_group, true)), '{}'),
           coalesce(array_agg(u.position) FILTER (WHERE u.error IS NOT NULL OR (u.event).id IS NULL), '{}'),
           coalesce(array_agg(coalesce(u.error, 'the outbox has no such event'))
                    FILTER (WHERE u.error IS NOT NULL OR (u.event).id IS NULL), '{}'),
           coalesce(array_agg(u.final OR u.error IS NULL)
                    FILTER (WHERE u.error IS NOT NULL OR (u.event).id IS NULL), '{}'),
           coalesce(array_agg(u.excused) FILTER (WHERE u.error IS NOT NULL OR (u.event).id IS NULL), '{}'),
           coalesce(array_agg(u.wait) FILTER (WHERE u.error IS NOT NULL OR (u.event).id IS NULL), '{}')
    INTO fresh, events, failed, errors, finals, excused, waits
    FROM (SELECT l.position, l.error, l.final, l.excused, l.wait,
                 (SELECT o FROM outbox o WHERE o.partition = p_partition AND o.position = l.position) AS event,
                 (SELECT true FROM consumed c WHERE c.group_name = p_group AND c.partition = p_partition
                                                AND c.position = l.position) AS handled
          FROM unnest(p_positions, p_errors, p_final, p_excused, p_waits)
                   l(position, error, final, excused, wait)
          WHERE l.position > low AND l.position <= newest AND l.position < cut
          OFFSET 0) u
    WHERE u.handled IS NULL;

    IF cardinality(events) > 0 THEN
        BEGIN
            EXECUTE format('SELECT %I($1)', p_apply) USING events;
        EXCEPTION WHEN OTHERS THEN
            IF left(SQLSTATE, 2) IN ('25', '28', '3D', '3F', '40', '53', '57', '58') OR SQLSTATE = '42501' THEN
                RAISE;
            END IF;
            PERFORM set_config('lock_timeout', '20ms', true); -- one long wait is enough
            FOREACH event IN ARRAY events LOOP
                BEGIN
                    EXECUTE format('SELECT %I($1)', p_apply) USING ARRAY[event];
                EXCEPTION WHEN OTHERS THEN
                    IF left(SQLSTATE, 2) IN ('25', '28', '3D', '3F', '40', '53', '57', '58') OR SQLSTATE = '42501' THEN
                        RAISE;
                    END IF;
                    failed := failed || event.position;
                    errors := errors || format('%s (SQLSTATE %s)', SQLERRM, SQLSTATE);
                    finals := finals || (SQLSTATE = ANY (p_permanent) OR left(SQLSTATE, 2) = ANY (p_permanent));
                    excused := excused || (SQLSTATE = '55P03');
                    waits := waits || CASE WHEN SQLSTATE = '55P03' THEN 1000 ELSE 0 END;
                END;
            END LOOP;
            PERFORM set_config('lock_timeout', waited, true);
        END;
    END IF;

    IF cardinality(failed) > 0 THEN
        INSERT INTO retries AS r (group_name, partition, position, attempts, next_at, error)
        SELECT p_group, p_partition, f.position, (NOT f.excused)::int, clock_timestamp(), left(f.error, 1000)
        FROM unnest(failed, errors, excused) f(position, error, excused)
        ON CONFLICT (group_name, partition, position)
        DO UPDATE SET attempts = r.attempts + excluded.attempts, error = excluded.error;

        WITH gone AS (
            DELETE FROM retries r
            WHERE r.group_name = p_group AND r.partition = p_partition AND r.position = ANY (failed)
              AND (finals[array_position(failed, r.position)]
                   OR (r.attempts >= p_attempts AND NOT excused[array_position(failed, r.position)]))
            RETURNING r.*
        ), letters AS (
            INSERT INTO dead_letters (group_name, partition, position, attempts, error, event_id, type,
                                      aggregate, data, traceparent, created_at, causation_id,
                                      correlation_id, schema_version, tracestate)
            SELECT p_group, p_partition, g.position, g.attempts, g.error, (g.event).event_id, (g.event).type,
                   (g.event).aggregate, (g.event).data, (g.event).traceparent, (g.event).created_at,
                   (g.event).causation_id, (g.event).correlation_id, coalesce((g.event).schema_version, 1),
                   (g.event).tracestate
            FROM (SELECT gone.*, (SELECT o FROM outbox o WHERE o.partition = p_partition
                                                         AND o.position = gone.position) AS event
                  FROM gone OFFSET 0) g
            ON CONFLICT (group_name, partition, position) -- of a group that was deleted and created again
            DO UPDATE SET attempts = excluded.attempts, error = excluded.error, dead_at = excluded.dead_at
        )
        SELECT array_agg(g.position) INTO dead FROM gone g;

        RETURN QUERY
        SELECT d.position, 'dead'::text, d.attempts, NULL::int, d.error, NULL::bigint FROM dead_letters d
        WHERE d.group_name = p_group AND d.partition = p_partition AND d.position = ANY (dead);

        -- Exponential back-off with full jitter; the dependency's breaker limits the rate of
        -- excused failures.
        RETURN QUERY
        WITH waiting AS MATERIALIZED (
            SELECT r.position, r.attempts, r.error,
                   greatest(waits[array_position(failed, r.position)],
                            random() * CASE WHEN excused[array_position(failed, r.position)] THEN p_base_ms
                                            ELSE least(p_max_ms, p_base_ms * 2.0::float8 ^ (r.attempts - 1))
                                       END)::int AS wait_ms
            FROM retries r
            WHERE r.group_name = p_group AND r.partition = p_partition AND r.position = ANY (failed)
        ), planned AS (
            UPDATE retries r SET next_at = clock_timestamp() + make_interval(secs => w.wait_ms / 1000.0)
            FROM waiting w
            WHERE r.group_name = p_group AND r.partition = p_partition AND r.position = w.position
        )
        SELECT w.position, 'retry'::text, w.attempts, w.wait_ms, w.error, NULL::bigint FROM waiting w;
    END IF;

    SELECT coalesce(array_agg(u.position ORDER BY u.position), '{}') INTO settled
    FROM unnest(fresh) u(position)
    WHERE u.position <> ALL (failed) OR u.position = ANY (dead);

    -- Marks: the low watermark advances over positions without a gap; only the others become rows.
    SELECT low + count(*) INTO advanced
    FROM unnest(settled) WITH ORDINALITY s(position, n) WHERE s.position = low + s.n;

    INSERT INTO consumed (group_name, partition, position)
    SELECT p_group, p_partition, s.position FROM unnest(settled) s(position) WHERE s.position > advanced;

    IF advanced > low THEN
        IF EXISTS (SELECT FROM consumed c WHERE c.group_name = p_group AND c.partition = p_partition
                   AND c.position = advanced + 1) THEN
            SELECT c.position INTO advanced FROM consumed c
            WHERE c.group_name = p_group AND c.partition = p_partition AND c.position > advanced
              AND NOT EXISTS (SELECT FROM consumed n WHERE n.group_name = p_group
                              AND n.partition = p_partition AND n.position = c.position + 1)
            ORDER BY c.position LIMIT 1;
            DELETE FROM consumed c
            WHERE c.group_name = p_group AND c.partition = p_partition AND c.position <= advanced;
        END IF;
    END IF;

    -- Heartbeats skip a lease that is locked here, so the effects of a busy partition renew its
    -- lease.
    UPDATE consumer_partitions c SET handled = advanced, expires_at = until
    FROM (SELECT clock_timestamp() + make_interval(secs => p_ttl_ms / 1000.0) AS until) u
    WHERE c.group_name = p_group AND c.partition = p_partition
      AND (advanced > low OR c.expires_at NOT BETWEEN until - make_interval(secs => p_ttl_ms / 2000.0) AND until);

    RETURN QUERY
    WITH gone AS (
        DELETE FROM retries r
        WHERE r.group_name = p_group AND r.partition = p_partition AND r.position = ANY (settled)
        RETURNING r.position, r.attempts
    )
    SELECT u.position, CASE WHEN u.position > newest THEN 'unknown' WHEN u.position >= cut THEN 'other' ELSE 'done' END,
           (SELECT g.attempts FROM gone g WHERE g.position = u.position), NULL::int, NULL::text, NULL::bigint
    FROM unnest(p_positions) u(position)
    WHERE u.position <> ALL (failed);
    RETURN QUERY SELECT NULL::bigint, 'handled'::text, NULL::int, NULL::int, NULL::text, advanced;
END
$$;
SELECT grant_execute('consume', 'worker');
