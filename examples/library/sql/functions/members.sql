-- The command of POST /members: a row per request, with outcome 'joined', or 'taken' when another
-- member has the e-mail. Members are inserted in the order of their e-mails, so that two calls
-- cannot deadlock.
CREATE OR REPLACE FUNCTION members_join(p_ids uuid[], p_names text[], p_emails text[], p_events uuid[],
                                        p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, joined_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_names, p_emails, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, name, email, event_id, traceparent, place)
    ), joined AS (
        INSERT INTO members (id, name, email)
        SELECT r.id, r.name, r.email FROM requests r ORDER BY lower(r.email COLLATE "C"), r.place
        ON CONFLICT (lower(email)) DO NOTHING
        RETURNING id, joined_at
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('member:' || r.id), 'MemberJoined', 'member:' || r.id,
               jsonb_build_object('memberId', r.id, 'name', r.name), r.traceparent
        FROM joined j JOIN requests r ON r.id = j.id
        ORDER BY r.place
    )
    SELECT r.place, CASE WHEN j.id IS NULL THEN 'taken' ELSE 'joined' END, rfc3339(j.joined_at)
    FROM requests r LEFT JOIN joined j ON j.id = r.id
    ORDER BY r.place;
END
$$;
SELECT grant_execute('members_join', 'api');

-- A row per requested id, with NULLs where there is no such member.
CREATE OR REPLACE FUNCTION members_by_id(p_ids uuid[])
RETURNS TABLE (place bigint, id uuid, name text, email text, joined_at text, fines bigint)
LANGUAGE sql STABLE AS $$
    SELECT r.place, m.id, m.name, m.email, rfc3339(m.joined_at),
           (SELECT coalesce(sum(f.cents), 0) FROM fines f WHERE f.member_id = m.id)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place) LEFT JOIN members m ON m.id = r.id
$$;
SELECT grant_execute('members_by_id', 'api');
