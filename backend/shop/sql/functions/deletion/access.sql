-- The group access: the API answers 410 for deleted users.
CREATE OR REPLACE FUNCTION access_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    leavers uuid[] := ARRAY(SELECT coalesce(e.data->>'userId', e.data->>'user_id')::uuid FROM unnest(events) e);
BEGIN
    -- Locked in the order of ids, as user_step_done() does.
    PERFORM u.id FROM users u WHERE u.id = ANY (leavers) ORDER BY u.id FOR NO KEY UPDATE;
    UPDATE users SET status = 'DELETED' WHERE id = ANY (leavers);
    PERFORM deletions_lock(leavers);
    UPDATE deletions SET access_revoked_at = coalesce(access_revoked_at, now()) WHERE user_id = ANY (leavers);
END
$$;
