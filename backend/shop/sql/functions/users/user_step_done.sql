-- Marks a step of the signup as done for these users; after the last step they become ACTIVE. Locks
-- rows in the order of ids, so that concurrent groups cannot deadlock.
--   1 email   2 billing   4 flags
CREATE OR REPLACE FUNCTION user_step_done(p_users uuid[], p_step int) RETURNS void
LANGUAGE sql AS $$
    WITH locked AS MATERIALIZED (
        SELECT u.id FROM users u WHERE u.id = ANY (p_users) ORDER BY u.id FOR NO KEY UPDATE
    )
    UPDATE users u
    SET steps = u.steps | p_step,
        status = CASE WHEN u.status = 'PENDING' AND (u.steps | p_step) & 7 = 7 THEN 'ACTIVE' ELSE u.status END
    FROM locked l WHERE u.id = l.id AND u.steps & p_step = 0
$$;
