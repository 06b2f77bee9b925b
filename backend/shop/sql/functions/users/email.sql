-- The group email, after its mails have gone out (or need not go any more).
CREATE OR REPLACE FUNCTION email_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM user_step_done(array_agg((e.data->>'userId')::uuid), 1) FROM unnest(events) e
    WHERE e.type = 'UserCreated';
END
$$;
