-- The group flags: the feature flags of a new user; none if the user was deleted.
CREATE OR REPLACE FUNCTION flags_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    leavers uuid[] := ARRAY(SELECT coalesce(e.data->>'userId', e.data->>'user_id')::uuid FROM unnest(events) e WHERE e.type = 'UserDeleted');
BEGIN
    INSERT INTO feature_flags (user_id, flag, enabled)
    SELECT (e.data->>'userId')::uuid, f.flag, f.enabled
    FROM unnest(events) e
    CROSS JOIN (VALUES ('onboarding_tour', true), ('new_checkout', false)) f(flag, enabled)
    WHERE e.type = 'UserCreated'
      AND NOT EXISTS (SELECT FROM deletions d WHERE d.user_id = (e.data->>'userId')::uuid)
    ON CONFLICT (user_id, flag) DO NOTHING;
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 4) FROM unnest(events) e
    WHERE e.type = 'UserCreated';

    DELETE FROM feature_flags WHERE user_id = ANY (leavers);
    PERFORM deletions_lock(leavers);
    UPDATE deletions SET flags_deleted_at = coalesce(flags_deleted_at, now()) WHERE user_id = ANY (leavers);
END
$$;
