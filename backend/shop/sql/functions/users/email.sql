-- The group email, after its mails were sent (or are no longer needed).
CREATE OR REPLACE FUNCTION email_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 1) FROM unnest(events) e
    WHERE e.type = 'UserCreated';
END
$$;
