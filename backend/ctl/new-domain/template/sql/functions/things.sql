-- The command of POST /things: a thing, and the event ThingMade, for each request of the call.
CREATE OR REPLACE FUNCTION things_make(p_ids uuid[], p_names text[], p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint, made_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_names, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, name, event_id, traceparent, place)
    ), made AS (
        INSERT INTO things (id, name) SELECT r.id, r.name FROM requests r RETURNING id, made_at
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('thing:' || r.id), 'ThingMade', 'thing:' || r.id,
               jsonb_build_object('thingId', r.id, 'name', r.name, 'madeAt', rfc3339(m.made_at)), r.traceparent
        FROM made m JOIN requests r ON r.id = m.id
        ORDER BY r.place
    )
    SELECT r.place, rfc3339(m.made_at) FROM requests r JOIN made m ON m.id = r.id ORDER BY r.place;
END
$$;
SELECT grant_execute('things_make', 'api');

-- A row per request: the newest things, as [[id, name, made], …].
CREATE OR REPLACE FUNCTION things_list(p_limits int[])
RETURNS TABLE (place bigint, things text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, coalesce(l.things, '[]')::text
    FROM unnest(p_limits) WITH ORDINALITY AS r(n, place)
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(t.id, t.name, rfc3339(t.made_at)) ORDER BY t.made_at DESC, t.id DESC) AS things
        FROM (SELECT * FROM things ORDER BY made_at DESC, id DESC LIMIT r.n) t
    ) l
$$;
SELECT grant_execute('things_list', 'api');

-- The group counts. It commits together with the mark that the events are handled, so each is counted once.
CREATE OR REPLACE FUNCTION counts_apply(events outbox[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO thing_counts AS c (day, n)
    SELECT ((e.data->>'madeAt')::timestamptz AT TIME ZONE 'UTC')::date, count(*) FROM unnest(events) e
    GROUP BY 1 ORDER BY 1
    ON CONFLICT (day) DO UPDATE SET n = c.n + excluded.n
$$;
