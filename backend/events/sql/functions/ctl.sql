-- Functions of weirctl that change data. Each writes a record of the audit log; p_caller is who asks,
-- as audit_put() takes it.

-- Sets a group back (or creates it), so that its workers handle the events of the outbox again from
-- a position or a time on; in one partition, or (NULL) in all. A group that has not reached the
-- position is not changed: no event is skipped. Returns the position at which each partition
-- continues, and how many events the group has to handle.
--
-- The effects of events that the group has handled before are repeated; this needs p_again,
-- otherwise the error is WE003. Dead letters among these events are removed. The copies that
-- dead_replay() made of them are deleted, or count as handled if they are already in the log, so
-- that each event has its effect once.
CREATE OR REPLACE FUNCTION group_replay(p_group text, p_partition smallint, p_position bigint, p_time timestamptz,
                                        p_again boolean, p_caller text DEFAULT NULL)
RETURNS TABLE (partition smallint, "from" bigint, events bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    repeated bigint;
BEGIN
    -- Waits for batches that are committing, before the locks below block heartbeats.
    PERFORM FROM consumer_partitions c WHERE c.group_name = p_group ORDER BY c.partition FOR UPDATE;

    -- Meanwhile no worker makes a heartbeat, and the relay deletes no event. 'weir', 2 and 4
    PERFORM pg_advisory_xact_lock(2003134834, 2);
    PERFORM pg_advisory_xact_lock(2003134834, 4);

    CREATE TEMP TABLE replay ON COMMIT DROP AS
    SELECT p.partition, p.position, c.handled,
           least(greatest(s.start, s.oldest) - 1, p.position, c.handled) AS target
    FROM partitions p
    LEFT JOIN consumer_partitions c ON c.group_name = p_group AND c.partition = p.partition
    CROSS JOIN LATERAL (
        SELECT coalesce((SELECT min(o.position) FROM outbox o
                         WHERE o.partition = p.partition AND o.position IS NOT NULL), p.position + 1) AS oldest,
               coalesce(p_position, (SELECT min(o.position) FROM outbox o
                                     WHERE o.partition = p.partition AND o.position IS NOT NULL
                                       AND o.created_at >= p_time), p.position + 1) AS start
    ) s
    WHERE p_partition IS NULL OR p.partition = p_partition;

    -- Events handled before: up to the watermark, and those above it.
    SELECT sum(greatest(r.handled - r.target, 0))
           + (SELECT count(*) FROM consumed c JOIN replay m USING (partition)
              WHERE c.group_name = p_group AND c.position > m.target)
    INTO repeated FROM replay r;
    IF repeated > 0 AND NOT p_again THEN
        RAISE EXCEPTION 'group % has handled % of these events', p_group, repeated USING ERRCODE = 'WE003';
    END IF;

    INSERT INTO consumer_partitions AS c (group_name, partition, handled)
    SELECT p_group, r.partition, r.target FROM replay r
    ON CONFLICT (group_name, partition)
    DO UPDATE SET handled = excluded.handled, owner = NULL, epoch = c.epoch + 1, expires_at = now();
    DELETE FROM consumed c USING replay r WHERE c.group_name = p_group AND c.partition = r.partition;
    DELETE FROM retries t USING replay r WHERE t.group_name = p_group AND t.partition = r.partition;
    DELETE FROM dead_letters d USING replay r
    WHERE d.group_name = p_group AND d.partition = r.partition AND d.position > r.target;
    -- First the copies without a position. If the relay is giving positions, this statement waits;
    -- copies that get one remain, and the next statement sees them.
    DELETE FROM outbox o USING replay r
    WHERE o.partition = r.partition AND o.position IS NULL AND o.for_group = p_group
      AND EXISTS (SELECT FROM outbox e
                  WHERE e.event_id = o.event_id AND e.partition = o.partition AND e.position > r.target
                    AND coalesce(e.for_group = p_group, true));
    INSERT INTO consumed (group_name, partition, position)
    SELECT p_group, o.partition, o.position
    FROM replay r JOIN outbox o ON o.partition = r.partition AND o.position > r.target
    WHERE o.for_group = p_group
      AND EXISTS (SELECT FROM outbox e
                  WHERE e.event_id = o.event_id AND e.partition = o.partition
                    AND e.position > r.target AND e.position < o.position
                    AND coalesce(e.for_group = p_group, true));

    PERFORM audit_put(p_caller, NULL, 'group.replay', 'group:' || p_group,
                      CASE WHEN repeated > 0 THEN 'repeated' ELSE 'set back' END,
                      jsonb_build_object('partition', p_partition, 'position', p_position, 'time', p_time,
                                         'events', (SELECT sum(r.position - r.target) FROM replay r)));
    RETURN QUERY SELECT r.partition, r.target + 1, r.position - r.target FROM replay r ORDER BY 1;
    DROP TABLE replay;
END
$$;
SELECT grant_execute('group_replay', 'operator');

-- The record of a dead letter that was replayed or dropped.
CREATE OR REPLACE FUNCTION audit_put_letter(p_caller text, p_operation text, p_group text, p_partition smallint,
                                            p_position bigint, p_event uuid, p_type text)
RETURNS bigint
LANGUAGE sql AS $$
    SELECT audit_put(p_caller, NULL, p_operation, 'dead:' || p_group || ' ' || p_partition || '/' || p_position, 'done',
                     jsonb_build_object('event', p_event, 'type', p_type))
$$;

-- Writes dead letters of a group to the outbox again, for this group only: one, or (NULL) all. They
-- keep the event's id, come after newer events of their aggregates, and are no longer dead letters.
-- Letters without an event remain. Returns the letters.
CREATE OR REPLACE FUNCTION dead_replay(p_group text, p_partition smallint, p_position bigint,
                                       p_caller text DEFAULT NULL)
RETURNS TABLE ("group" text, at text, type text, aggregate text, id uuid)
LANGUAGE sql AS $$
    WITH letter AS (
        DELETE FROM dead_letters d
        WHERE d.group_name = p_group AND d.event_id IS NOT NULL
          AND (p_partition IS NULL OR (d.partition = p_partition AND d.position = p_position))
        RETURNING d.*
    ), put AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent, created_at, causation_id,
                            correlation_id, schema_version, for_group, tracestate)
        SELECT l.event_id, l.partition, l.type, l.aggregate, l.data, l.traceparent, l.created_at,
               l.causation_id, l.correlation_id, l.schema_version, l.group_name, l.tracestate
        FROM letter l ORDER BY l.partition, l.position
    ), audited AS MATERIALIZED (
        SELECT count(audit_put_letter(p_caller, 'dead.replay', l.group_name, l.partition, l.position, l.event_id, l.type))
        FROM letter l
    )
    SELECT l.group_name, l.partition || '/' || l.position, l.type, l.aggregate, l.event_id
    FROM audited CROSS JOIN letter l ORDER BY l.partition, l.position
$$;
SELECT grant_execute('dead_replay', 'operator');

-- Deletes dead letters of a group: one, or (NULL) all. Returns them.
CREATE OR REPLACE FUNCTION dead_drop(p_group text, p_partition smallint, p_position bigint,
                                     p_caller text DEFAULT NULL)
RETURNS TABLE ("group" text, at text, type text, aggregate text, id uuid)
LANGUAGE sql AS $$
    WITH letter AS (
        DELETE FROM dead_letters d
        WHERE d.group_name = p_group
          AND (p_partition IS NULL OR (d.partition = p_partition AND d.position = p_position))
        RETURNING d.*
    ), audited AS MATERIALIZED (
        SELECT count(audit_put_letter(p_caller, 'dead.drop', l.group_name, l.partition, l.position, l.event_id, l.type))
        FROM letter l
    )
    SELECT l.group_name, l.partition || '/' || l.position, l.type, l.aggregate, l.event_id
    FROM audited CROSS JOIN letter l ORDER BY l.partition, l.position
$$;
SELECT grant_execute('dead_drop', 'operator');

-- Deletes the state of a group: its positions, its failed events and its dead letters. The error is
-- WE003 when a worker runs the group, or, without p_yes, when it has unhandled events or dead
-- letters. Returns what was deleted.
CREATE OR REPLACE FUNCTION group_delete(p_group text, p_yes boolean, p_caller text DEFAULT NULL)
RETURNS TABLE ("group" text, unhandled bigint, pending bigint, dead bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    -- Meanwhile no worker makes a heartbeat. 'weir', 2
    PERFORM pg_advisory_xact_lock(2003134834, 2);
    IF EXISTS (SELECT FROM workers w WHERE p_group = ANY (w.groups) AND w.expires_at > clock_timestamp()) THEN
        RAISE EXCEPTION 'workers run group %: stop them, or take it out of their groups, first', p_group
            USING ERRCODE = 'WE003';
    END IF;
    "group" := p_group;
    SELECT coalesce(sum(p.position - c.handled), 0) - (SELECT count(*) FROM consumed m WHERE m.group_name = p_group)
    INTO unhandled
    FROM consumer_partitions c JOIN partitions p USING (partition) WHERE c.group_name = p_group;
    SELECT count(*) INTO pending FROM retries r WHERE r.group_name = p_group;
    SELECT count(*) INTO dead FROM dead_letters d WHERE d.group_name = p_group;
    IF unhandled + dead > 0 AND NOT p_yes THEN
        RAISE EXCEPTION 'group % has % events that it has not handled and % dead letters; --yes forgets them', p_group,
            unhandled, dead USING ERRCODE = 'WE003';
    END IF;
    PERFORM audit_put(p_caller, NULL, 'group.delete', 'group:' || p_group, 'deleted',
                      jsonb_build_object('unhandled', unhandled, 'pending', pending, 'dead', dead));
    DELETE FROM consumer_partitions c WHERE c.group_name = p_group;
    DELETE FROM consumed m WHERE m.group_name = p_group;
    DELETE FROM retries r WHERE r.group_name = p_group;
    DELETE FROM dead_letters d WHERE d.group_name = p_group;
    DELETE FROM paused_groups g WHERE g.group_name = p_group;
    RETURN NEXT;
END
$$;
SELECT grant_execute('group_delete', 'operator');

-- Pauses a group, or (NULL) all groups that have run. Returns the groups that are paused, of these.
CREATE OR REPLACE FUNCTION group_pause(p_group text, p_caller text DEFAULT NULL)
RETURNS TABLE ("group" text, paused_since text)
LANGUAGE plpgsql AS $$
DECLARE
    audited bigint;
BEGIN
    WITH paused AS (
        INSERT INTO paused_groups (group_name)
        SELECT DISTINCT c.group_name FROM consumer_partitions c
        WHERE c.group_name = coalesce(p_group, c.group_name) ON CONFLICT DO NOTHING
        RETURNING group_name
    )
    SELECT count(audit_put(p_caller, NULL, 'group.pause', 'group:' || p.group_name, 'paused')) INTO audited FROM paused p;
    RETURN QUERY SELECT g.group_name, rfc3339(g.paused_at) FROM paused_groups g
                 WHERE g.group_name = coalesce(p_group, g.group_name) ORDER BY 1;
END
$$;
SELECT grant_execute('group_pause', 'operator');

-- Ends the pause of a group, or (NULL) of all. Returns them.
CREATE OR REPLACE FUNCTION group_resume(p_group text, p_caller text DEFAULT NULL)
RETURNS TABLE ("group" text, resumed_at text, was_paused_at text)
LANGUAGE sql AS $$
    WITH resumed AS (
        DELETE FROM paused_groups g WHERE g.group_name = coalesce(p_group, g.group_name)
        RETURNING g.group_name, g.paused_at
    ), audited AS MATERIALIZED (
        SELECT count(audit_put(p_caller, NULL, 'group.resume', 'group:' || r.group_name, 'resumed')) FROM resumed r
    )
    SELECT r.group_name, rfc3339(now()), rfc3339(r.paused_at) FROM audited CROSS JOIN resumed r ORDER BY 1
$$;
SELECT grant_execute('group_resume', 'operator');

-- Begins a new era of the relay, after p_era at least: weirctl relay rebase.
CREATE OR REPLACE FUNCTION relay_rebase(p_era bigint, p_caller text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    new_era bigint;
BEGIN
    UPDATE relay_term t SET era = greatest(t.era, p_era) + 1 RETURNING t.era INTO new_era;
    PERFORM audit_put(p_caller, NULL, 'relay.rebase', 'relay', 'done', jsonb_build_object('era', new_era));
    RETURN new_era;
END
$$;
SELECT grant_execute('relay_rebase', 'operator');

-- weirctl shows what is there, and selects, sorts and joins it as its arguments say.
SELECT grant_tables(r, 'SELECT', 'outbox', 'partitions', 'consumer_partitions', 'consumed', 'retries', 'dead_letters',
                    'workers', 'paused_groups', 'relay_term')
FROM unnest(ARRAY['ctl', 'operator']) r;
