-- Locks the records of these deletions in the order of ids, so that concurrent groups cannot
-- deadlock.
CREATE OR REPLACE FUNCTION deletions_lock(p_users uuid[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM d.user_id FROM deletions d WHERE d.user_id = ANY (p_users) ORDER BY d.user_id FOR NO KEY UPDATE;
END
$$;
