-- The group analytics: one row for every signup.
CREATE OR REPLACE FUNCTION analytics_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO analytics_events (event_id, type, subject, occurred_at)
    SELECT e.event_id, e.type, e.aggregate, e.created_at FROM unnest(events) e
    ON CONFLICT (event_id) DO NOTHING;
END
$$;
