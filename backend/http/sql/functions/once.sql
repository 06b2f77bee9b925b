-- Runs a set-based command for requests that carry an idempotency key: once for each (caller, key).
--
-- p_statements has the command without keys, the same for each request of a call: a SELECT over
-- arrays $1 to $8 whose first column, place, is the request's index in them. p_values has a JSON
-- array of each request's values. Verdicts:
--   new      the command ran; outcome is its row, which is stored in the same transaction
--   replay   the command ran before for the same request; outcome is the stored row
--   other    the key was used for another request
--   running  the key is in use by another session, or twice in this call
--
-- A lock that is held until the end of its transaction distinguishes running from done: when it is
-- free, the rows that its last owner committed are visible to the next statement.
CREATE OR REPLACE FUNCTION once(p_statements text[], p_callers text[], p_keys text[], p_fingerprints text[],
                                p_values jsonb[])
RETURNS TABLE (place bigint, verdict text, outcome json)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    locked   bigint[];
    fresh    bigint[];
    places   bigint[];
    outcomes json[];
BEGIN
    SELECT o.locked, o.fresh INTO locked, fresh FROM once_begin(p_callers, p_keys) o;

    IF cardinality(fresh) > 0 THEN
        EXECUTE format('SELECT array_agg(c.place ORDER BY c.place), array_agg(row_to_json(c) ORDER BY c.place) FROM (%s) c',
                       p_statements[1])
        INTO places, outcomes
        USING ARRAY(SELECT p_values[f]->>0 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>1 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>2 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>3 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>4 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>5 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>6 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>7 FROM unnest(fresh) f);

        PERFORM once_keep(array_agg(p_callers[fresh[o.place]]), array_agg(p_keys[fresh[o.place]]),
                          array_agg(p_fingerprints[fresh[o.place]]), array_agg(o.outcome))
        FROM unnest(places, outcomes) o(place, outcome);
    END IF;

    RETURN QUERY
    SELECT r.place,
           CASE WHEN r.place <> ALL (locked) THEN 'running'
                WHEN i.fingerprint <> p_fingerprints[r.place] THEN 'other'
                WHEN r.place = ANY (fresh) THEN 'new'
                ELSE 'replay' END,
           CASE WHEN r.place = ANY (locked) AND i.fingerprint = p_fingerprints[r.place] THEN i.outcome END
    FROM unnest(p_callers, p_keys) WITH ORDINALITY r(caller, key, place)
    LEFT JOIN once_known(p_callers, p_keys) i ON i.place = r.place;
END
$$;
-- It runs statements that its caller passes, so with the caller's rights. The API has none on the
-- table: it can ask for a key that it knows, and not for all.
SELECT grant_invoke('once', 'api');

-- Forgets old keys, and locks those of a call that no other session has. Returns the places of the
-- locked ones, and of those among them for which nothing is stored.
CREATE OR REPLACE FUNCTION once_begin(p_callers text[], p_keys text[], OUT locked bigint[], OUT fresh bigint[])
LANGUAGE plpgsql AS $$
DECLARE
    lifetime CONSTANT interval := '24 hours';
BEGIN
    DELETE FROM idempotency_keys i WHERE i.ctid = ANY (ARRAY(
        SELECT e.ctid FROM idempotency_keys e WHERE e.created_at < now() - lifetime
        ORDER BY e.created_at LIMIT 100 FOR UPDATE SKIP LOCKED));

    SELECT coalesce(array_agg(u.place ORDER BY u.place), '{}') INTO locked
    FROM (SELECT min(r.place) AS place FROM unnest(p_callers, p_keys) WITH ORDINALITY r(caller, key, place)
          GROUP BY r.caller, r.key OFFSET 0) u
    WHERE pg_try_advisory_xact_lock(hashtextextended(p_callers[u.place] || ' ' || p_keys[u.place], 0));

    SELECT coalesce(array_agg(l.place ORDER BY l.place), '{}') INTO fresh
    FROM unnest(locked) l(place)
    WHERE NOT EXISTS (SELECT FROM idempotency_keys i
                      WHERE i.caller = p_callers[l.place] AND i.key = p_keys[l.place]
                        AND i.created_at >= now() - lifetime);
END
$$;
SELECT grant_execute('once_begin', 'api');

-- Stores the outcomes of requests that ran.
CREATE OR REPLACE FUNCTION once_keep(p_callers text[], p_keys text[], p_fingerprints text[], p_outcomes json[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO idempotency_keys AS i (caller, key, fingerprint, outcome)
    SELECT o.caller, o.key, o.fingerprint, o.outcome
    FROM unnest(p_callers, p_keys, p_fingerprints, p_outcomes) o(caller, key, fingerprint, outcome)
    ON CONFLICT (caller, key)
    DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = now();
END
$$;
SELECT grant_execute('once_keep', 'api');

-- What is stored for each key; no row for others.
CREATE OR REPLACE FUNCTION once_known(p_callers text[], p_keys text[])
RETURNS TABLE (place bigint, fingerprint text, outcome json)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT r.place, i.fingerprint, i.outcome
    FROM unnest(p_callers, p_keys) WITH ORDINALITY r(caller, key, place)
    JOIN LATERAL (SELECT * FROM idempotency_keys k WHERE k.caller = r.caller AND k.key = r.key LIMIT 1) i ON true;
END
$$;
SELECT grant_execute('once_known', 'api');
