-- The command DELETE /users/{id}: the event UserDeleted, once for each user. The consumers do the
-- rest independently; `deletions` has their progress. Outcomes: accepted (also when it was asked
-- for before), gone when access is revoked already, unknown.
CREATE OR REPLACE FUNCTION delete_users(p_ids uuid[], p_events uuid[], p_traceparents text[],
                                        p_callers text[] DEFAULT NULL)
RETURNS TABLE (place bigint, outcome text, requested_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM u.id FROM users u WHERE u.id = ANY (p_ids) ORDER BY u.id FOR NO KEY UPDATE;

    PERFORM audit_put_all(array_agg(p_callers[l.place] ORDER BY l.id), array_agg(p_traceparents[l.place] ORDER BY l.id),
                          'user.delete', array_agg('user:' || l.id ORDER BY l.id),
                          array_agg('accepted'::text ORDER BY l.id))
    FROM (SELECT DISTINCT ON (r.id) r.id, r.place FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
          JOIN users u ON u.id = r.id AND u.status IN ('PENDING', 'ACTIVE')
          ORDER BY r.id, r.place) l;

    WITH leaving AS MATERIALIZED (
        SELECT DISTINCT ON (r.id) r.* FROM unnest(p_ids, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, event_id, traceparent, place)
        JOIN users u ON u.id = r.id AND u.status IN ('PENDING', 'ACTIVE')
        ORDER BY r.id, r.place
    ), marked AS (
        UPDATE users u SET status = 'DELETING' FROM leaving l WHERE u.id = l.id
    ), recorded AS (
        INSERT INTO deletions (user_id) SELECT l.id FROM leaving l
    )
    -- The names of its members are the published contract's.
    INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
    SELECT l.event_id, outbox_partition('user:' || l.id), 'UserDeleted', 'user:' || l.id,
           jsonb_build_object('userId', l.id, 'user_id', l.id, 'timestamp', rfc3339(now())), l.traceparent
    FROM leaving l;

    RETURN QUERY
    SELECT r.place,
           CASE u.status WHEN 'DELETING' THEN 'accepted' WHEN 'DELETED' THEN 'gone' ELSE 'unknown' END,
           rfc3339(d.requested_at)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = r.id LIMIT 1) u ON true
    LEFT JOIN LATERAL (SELECT * FROM deletions WHERE deletions.user_id = r.id LIMIT 1) d ON true;
END
$$;
SELECT grant_execute('delete_users', 'api');
