-- The group flags: what a new user sees.
CREATE OR REPLACE FUNCTION flags_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO feature_flags (user_id, flag, enabled)
    SELECT (e.data->>'userId')::uuid, f.flag, f.enabled
    FROM unnest(events) e
    CROSS JOIN (VALUES ('onboarding_tour', true), ('new_checkout', false)) f(flag, enabled)
    ON CONFLICT (user_id, flag) DO NOTHING;
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 4) FROM unnest(events) e;
END
$$;
