-- Writes a record into the audit log, in the caller's transaction: the operation and its record
-- commit together, or neither does. Returns the record's id, so that a query can call it for each
-- row of a set: SELECT count(audit_put(…)) FROM …
--
-- p_caller is the text of http/caller/caller.h, a JSON object with subject, actor and address; NULL when no
-- one called: then the subject is "system", and the actor the session's application_name.
-- p_traceparent is the text that a command gets; its trace is recorded. p_object names what was
-- changed by its id: the log is never changed, so it must have no e-mail address, no name, and
-- nothing else that a person may have deleted.
CREATE OR REPLACE FUNCTION audit_put(p_caller text, p_traceparent text, p_operation text, p_object text,
                                     p_outcome text, p_detail jsonb DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    record bigint;
    caller CONSTANT jsonb := coalesce(p_caller, '{}')::jsonb;
BEGIN
    INSERT INTO audit_records (operation, object, outcome, subject, actor, address, trace_id, detail)
    VALUES (p_operation, left(p_object, 500), p_outcome,
            left(coalesce(caller->>'subject', 'system'), 256),
            left(coalesce(caller->>'actor', nullif(current_setting('application_name'), ''), 'unknown'), 256),
            left(caller->>'address', 64), substr(p_traceparent, 4, 32), left(p_detail::text, 4000))
    RETURNING id INTO record;
    RETURN record;
END
$$;

-- The same for many records of one operation in one statement, for set-based commands: each list has
-- a value for each record, in the order in which they are written. Returns their number; lists that
-- are NULL, as array_agg() makes of no row, have none.
CREATE OR REPLACE FUNCTION audit_put_all(p_callers text[], p_traceparents text[], p_operation text, p_objects text[],
                                         p_outcomes text[], p_details jsonb[] DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
    own     CONSTANT text := coalesce(nullif(current_setting('application_name'), ''), 'unknown');
BEGIN
    IF p_objects IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO audit_records (operation, object, outcome, subject, actor, address, trace_id, detail)
    SELECT p_operation, left(r.object, 500), r.outcome, left(coalesce(c.caller->>'subject', 'system'), 256),
           left(coalesce(c.caller->>'actor', own), 256), left(c.caller->>'address', 64),
           substr(r.traceparent, 4, 32), left(r.detail::text, 4000)
    FROM unnest(p_callers, p_traceparents, p_objects, p_outcomes, p_details)
        WITH ORDINALITY AS r(caller, traceparent, object, outcome, detail, place)
    CROSS JOIN LATERAL (SELECT r.caller::jsonb AS caller OFFSET 0) c
    ORDER BY r.place;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;

-- A record of what weirctl has changed outside of the database: a key, a flag, an order to breakers, a token
-- that is revoked. Who may call it cannot record other operations with it, nor in the name of others than users of an
-- operating system.
CREATE OR REPLACE FUNCTION audit_put_ctl(p_caller text, p_operation text, p_object text, p_detail jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    kind CONSTANT text := split_part(p_operation, '.', 1);
BEGIN
    IF coalesce(p_operation !~ '^(key|flag|breaker|token)[.][a-z]+$' OR NOT starts_with(p_object, kind || ':')
                OR NOT starts_with(p_caller::jsonb->>'subject', 'os:'), true) THEN
        RAISE EXCEPTION 'permission denied for a record of "%"', p_operation USING ERRCODE = '42501';
    END IF;
    RETURN audit_put(p_caller, NULL, p_operation, p_object, 'done', p_detail);
END
$$;
SELECT grant_execute('audit_put_ctl', 'operator');

-- The first p_limit records that are not sealed, in the order of their ids, with the bytes that are
-- sealed; and the state of their chains (NULL: a new one). horizon is the least id of a transaction
-- whose end the snapshot does not know.
CREATE OR REPLACE FUNCTION audit_unsealed(p_limit int)
RETURNS TABLE (partition int, id bigint, at_us bigint, operation text, object text, outcome text, subject text,
               actor text, address text, trace_id text, detail text, size bigint, link bytea, peaks bytea, horizon text)
LANGUAGE sql STABLE
SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET enable_sort = off SET jit = off AS $$
    SELECT r.partition, r.id, (extract(epoch FROM r.at) * 1000000)::bigint, r.operation, r.object, r.outcome,
           r.subject, r.actor, r.address, r.trace_id, r.detail, c.size, c.link, c.peaks,
           pg_snapshot_xmin(pg_current_snapshot())::text
    FROM (SELECT * FROM audit_records a
          WHERE a.id > (SELECT f.floor FROM audit_floor f)
            AND NOT EXISTS (SELECT FROM audit_seals s WHERE s.id = a.id AND s.partition = a.partition)
          ORDER BY a.id LIMIT p_limit) r
    LEFT JOIN audit_chains c ON c.partition = r.partition
    ORDER BY r.id
$$;
SELECT grant_execute('audit_unsealed', 'relay');

-- Seals records: p_ids and the four lists after it have a value for each. p_chains and the lists
-- after it have the new ends of their chains, and the sizes that these had before: if one has
-- another size now, another sealer was faster, and the error is WE004.
--
-- p_horizon is that of audit_unsealed(), p_full says that there may be more records. Then the floor
-- rises. A record with an id up to next_floor, which was not seen when that was set, was written by
-- a transaction that had its id by then, so that is less than next_xid. When a horizon is above
-- next_xid, all these have ended: audit_unsealed() has seen what there is, and it is sealed
-- now. ids of transactions may be lower in a restored database; then next_xid is set again.
CREATE OR REPLACE FUNCTION audit_seal(p_ids bigint[], p_partitions int[], p_positions bigint[], p_leaves bytea[],
                                      p_links bytea[], p_chains int[], p_before bigint[], p_sizes bigint[],
                                      p_ends bytea[], p_peaks bytea[], p_horizon xid8, p_full boolean)
RETURNS void
LANGUAGE plpgsql
SET enable_seqscan = off SET jit = off AS $$
DECLARE
    last     CONSTANT bigint := p_ids[cardinality(p_ids)];
    current  CONSTANT xid8 := pg_current_xact_id();
    inserted bigint;
    updated  bigint;
BEGIN
    INSERT INTO audit_chains AS c (partition, size, link, peaks)
    SELECT n.partition, n.size, n.link, n.peaks
    FROM unnest(p_chains, p_before, p_sizes, p_ends, p_peaks) n(partition, before, size, link, peaks)
    WHERE n.before = 0
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS inserted = ROW_COUNT;
    UPDATE audit_chains c SET size = n.size, link = n.link, peaks = n.peaks
    FROM unnest(p_chains, p_before, p_sizes, p_ends, p_peaks) n(partition, before, size, link, peaks)
    WHERE c.partition = n.partition AND c.size = n.before;
    GET DIAGNOSTICS updated = ROW_COUNT;
    IF inserted + updated <> cardinality(p_chains) THEN
        RAISE EXCEPTION 'another process has sealed audit records' USING ERRCODE = 'WE004';
    END IF;

    INSERT INTO audit_seals (partition, position, id, leaf, link)
    SELECT * FROM unnest(p_partitions, p_positions, p_ids, p_leaves, p_links);

    UPDATE audit_floor f SET
        floor = CASE WHEN f.next_xid < p_horizon
                     THEN greatest(f.floor, least(f.next_floor, CASE WHEN p_full THEN last ELSE f.next_floor END))
                     ELSE f.floor END,
        next_floor = CASE WHEN coalesce(f.next_xid < p_horizon OR f.next_xid > current, true)
                          THEN greatest(f.next_floor, last) ELSE f.next_floor END,
        next_xid = CASE WHEN coalesce(f.next_xid < p_horizon OR f.next_xid > current, true)
                        THEN current ELSE f.next_xid END;
END
$$;
SELECT grant_execute('audit_seal', 'relay');

-- Keeps a signed head.
CREATE OR REPLACE FUNCTION audit_head_put(p_number bigint, p_head text, p_key text, p_signature text) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO audit_heads (number, head, key, signature) VALUES (p_number, p_head, p_key, p_signature)
$$;
SELECT grant_execute('audit_head_put', 'relay');

-- The newest head, or no row.
CREATE OR REPLACE FUNCTION audit_newest_head()
RETURNS TABLE (number bigint, head text, key text, signature text)
LANGUAGE sql STABLE AS $$
    SELECT h.number, h.head, h.key, h.signature FROM audit_heads h ORDER BY h.number DESC LIMIT 1
$$;
SELECT grant_execute('audit_newest_head', 'relay');

-- The ends of all chains; and for those in p_partitions, of which p_sizes records were witnessed by
-- a head, the hash of the chain there (NULL: there are fewer records).
CREATE OR REPLACE FUNCTION audit_ends(p_partitions int[], p_sizes bigint[])
RETURNS TABLE (partition int, size bigint, link bytea, peaks bytea, witnessed bytea)
LANGUAGE sql STABLE
SET enable_seqscan = off SET jit = off AS $$
    SELECT coalesce(c.partition, w.partition), coalesce(c.size, 0), c.link, c.peaks,
           (SELECT s.link FROM audit_seals s WHERE s.partition = w.partition AND s.position = w.size - 1)
    FROM audit_chains c
    FULL JOIN unnest(p_partitions, p_sizes) w(partition, size) ON w.partition = c.partition
    ORDER BY 1
$$;
SELECT grant_execute('audit_ends', 'relay');

-- Heads after a number, the oldest first.
CREATE OR REPLACE FUNCTION audit_heads_after(p_number bigint, p_limit int)
RETURNS TABLE (number bigint, head text, key text, signature text)
LANGUAGE sql STABLE AS $$
    SELECT h.number, h.head, h.key, h.signature FROM audit_heads h
    WHERE h.number > p_number ORDER BY h.number LIMIT p_limit
$$;
SELECT grant_execute('audit_heads_after', 'relay');

-- The migration has made it: it adds partitions, which the sealer may not do by itself.
SELECT grant_execute('audit_prepare', 'relay');

-- weirctl compares all of it.
SELECT grant_tables(r, 'SELECT', 'audit_records', 'audit_seals', 'audit_heads', 'audit_chains')
FROM unnest(ARRAY['ctl', 'operator']) r;
