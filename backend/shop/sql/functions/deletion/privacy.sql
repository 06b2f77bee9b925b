-- The group privacy: removes personal data from users, from the events in the outbox, and from dead
-- letters. Event types, ids and amounts remain.
CREATE OR REPLACE FUNCTION privacy_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql
SET enable_bitmapscan = on AS $$ -- consume() has it off; the index on the outbox' age needs it
DECLARE
    leavers uuid[] := ARRAY(SELECT coalesce(e.data->>'userId', e.data->>'user_id')::uuid FROM unnest(events) e);
BEGIN
    PERFORM u.id FROM users u WHERE u.id = ANY (leavers) ORDER BY u.id FOR NO KEY UPDATE;
    UPDATE outbox o SET data = o.data - '{email,displayName}'::text[]
    FROM users u
    WHERE u.id = ANY (leavers) AND o.created_at = u.created_at AND o.aggregate = 'user:' || u.id;
    UPDATE dead_letters d SET data = d.data - '{email,displayName}'::text[]
    WHERE d.aggregate = ANY (SELECT 'user:' || l FROM unnest(leavers) l);
    -- The address is free again; no address can look like this one (it has no @).
    UPDATE users SET email = 'deleted:' || id, display_name = 'Deleted user' WHERE id = ANY (leavers);
    PERFORM deletions_lock(leavers);
    UPDATE deletions SET anonymised_at = coalesce(anonymised_at, now()) WHERE user_id = ANY (leavers);
END
$$;
