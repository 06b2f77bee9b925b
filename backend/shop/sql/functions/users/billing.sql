-- The group billing: a profile for every new user. It is cancelled, without the address, when the
-- user is deleted. A late signup (a replayed dead letter) creates no profile for a deleted user.
CREATE OR REPLACE FUNCTION billing_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    leavers uuid[] := ARRAY(SELECT coalesce(e.data->>'userId', e.data->>'user_id')::uuid FROM unnest(events) e WHERE e.type = 'UserDeleted');
BEGIN
    INSERT INTO billing_profiles (user_id, email, event_id)
    SELECT (e.data->>'userId')::uuid, e.data->>'email', e.event_id FROM unnest(events) e
    WHERE e.type = 'UserCreated'
      AND NOT EXISTS (SELECT FROM deletions d WHERE d.user_id = (e.data->>'userId')::uuid)
    ON CONFLICT (user_id) DO NOTHING;
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 2) FROM unnest(events) e
    WHERE e.type = 'UserCreated';

    UPDATE billing_profiles SET email = '', cancelled_at = coalesce(cancelled_at, now())
    WHERE user_id = ANY (leavers);
    PERFORM deletions_lock(leavers);
    UPDATE deletions SET subscription_cancelled_at = coalesce(subscription_cancelled_at, now())
    WHERE user_id = ANY (leavers);
END
$$;
