-- The group billing: a profile for every new user.
CREATE OR REPLACE FUNCTION billing_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO billing_profiles (user_id, email, event_id)
    SELECT (e.data->>'userId')::uuid, e.data->>'email', e.event_id FROM unnest(events) e
    ON CONFLICT (user_id) DO NOTHING;
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 2) FROM unnest(events) e;
END
$$;
