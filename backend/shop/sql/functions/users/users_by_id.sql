-- A row per requested id, with NULLs where there is no such user. The subquery with LIMIT keeps the plan
-- at one index lookup per id, whatever the table's size was when it was made.
CREATE OR REPLACE FUNCTION users_by_id(p_ids uuid[])
RETURNS TABLE (place bigint, id uuid, email text, display_name text, status text, created_at text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, u.id, u.email, u.display_name, u.status, rfc3339(u.created_at)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = r.id LIMIT 1) u ON true
$$;
SELECT grant_execute('users_by_id', 'api');
