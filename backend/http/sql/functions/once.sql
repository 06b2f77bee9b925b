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
    lifetime CONSTANT interval := '24 hours';
    locked   bigint[];
    fresh    bigint[];
    places   bigint[];
    outcomes json[];
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

    IF cardinality(fresh) > 0 THEN
        EXECUTE format('SELECT array_agg(c.place ORDER BY c.place), array_agg(row_to_json(c) ORDER BY c.place) FROM (%s) c',
                       p_statements[1])
        INTO places, outcomes
        USING ARRAY(SELECT p_values[f]->>0 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>1 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>2 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>3 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>4 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>5 FROM unnest(fresh) f),
              ARRAY(SELECT p_values[f]->>6 FROM unnest(fresh) f), ARRAY(SELECT p_values[f]->>7 FROM unnest(fresh) f);

        INSERT INTO idempotency_keys AS i (caller, key, fingerprint, outcome)
        SELECT p_callers[fresh[o.place]], p_keys[fresh[o.place]], p_fingerprints[fresh[o.place]], o.outcome
        FROM unnest(places, outcomes) o(place, outcome)
        ON CONFLICT (caller, key)
        DO UPDATE SET fingerprint = excluded.fingerprint, outcome = excluded.outcome, created_at = now();
    END IF;

    RETURN QUERY
    SELECT r.place,
           CASE WHEN r.place <> ALL (locked) THEN 'running'
                WHEN i.fingerprint <> p_fingerprints[r.place] THEN 'other'
                WHEN r.place = ANY (fresh) THEN 'new'
                ELSE 'replay' END,
           CASE WHEN r.place = ANY (locked) AND i.fingerprint = p_fingerprints[r.place] THEN i.outcome END
    FROM unnest(p_callers, p_keys) WITH ORDINALITY r(caller, key, place)
    LEFT JOIN LATERAL (SELECT * FROM idempotency_keys k WHERE k.caller = r.caller AND k.key = r.key LIMIT 1) i ON true;
END
$$;
-- It runs statements that its caller passes, so with the caller's rights.
SELECT grant_invoke('once', 'api');
SELECT grant_tables('api', 'SELECT, INSERT, UPDATE, DELETE', 'idempotency_keys');
