-- The recipients of mails: a row per user; has_left is true for a user who has requested deletion.
-- NULLs where there is no such user.
CREATE OR REPLACE FUNCTION mail_recipients(p_users uuid[])
RETURNS TABLE (place bigint, email text, display_name text, has_left boolean)
LANGUAGE sql STABLE AS $$
    SELECT r.place, u.email, u.display_name,
           EXISTS (SELECT FROM deletions d WHERE d.user_id = r.id)
    FROM unnest(p_users) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM users WHERE users.id = r.id LIMIT 1) u ON true
$$;
SELECT grant_execute('mail_recipients', 'worker');
