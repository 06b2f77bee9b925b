-- The command signup: a user and the event UserCreated for each request whose e-mail is free.
-- Returns a row per request: outcome 'created', or 'taken' when another user, or an earlier request
-- of the same call, has the e-mail.
--
-- Users are inserted in the order of their e-mails: an insert waits for a concurrent insert of the
-- same e-mail, and two calls with opposite orders would deadlock. Events are written in the order
-- of the requests.
CREATE OR REPLACE FUNCTION signup(p_ids uuid[], p_emails text[], p_names text[], p_events uuid[],
                                  p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, created_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_emails, p_names, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, email, name, event_id, traceparent, place)
    ), created AS (
        INSERT INTO users (id, email, display_name)
        SELECT r.id, r.email, r.name FROM requests r ORDER BY lower(r.email COLLATE "C"), r.place
        ON CONFLICT (lower(email)) DO NOTHING
        RETURNING id, created_at
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('user:' || r.id), 'UserCreated', 'user:' || r.id,
               jsonb_build_object('userId', r.id, 'email', r.email, 'displayName', r.name,
                                  'createdAt', rfc3339(c.created_at)),
               r.traceparent
        FROM created c JOIN requests r ON r.id = c.id
        ORDER BY r.place
    )
    SELECT r.place, CASE WHEN c.id IS NULL THEN 'taken' ELSE 'created' END, rfc3339(c.created_at)
    FROM requests r LEFT JOIN created c ON c.id = r.id
    ORDER BY r.place;
END
$$;
SELECT grant_execute('signup', 'api');
