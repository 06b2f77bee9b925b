-- The group aggregates: one upsert adds a batch of orders to their days. It commits together with the mark
-- that these events are handled, so each order is counted once.
--
-- The event DailyOrdersChanged tells, after the commit, that the dashboard is another. It has one aggregate
-- for each partition that the orders came from: one worker at a time handles that, and writes them in order.
CREATE OR REPLACE FUNCTION aggregates_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    days jsonb;
BEGIN
    WITH added AS MATERIALIZED (
        SELECT ((e.data->>'createdAt')::timestamptz AT TIME ZONE 'UTC')::date AS day,
               e.data->>'currency' AS currency, count(*) AS orders,
               sum((e.data->>'pieces')::bigint) AS items, sum((e.data->>'total')::bigint) AS revenue
        FROM unnest(events) e GROUP BY 1, 2
    ), kept AS (
        INSERT INTO daily_order_stats AS s (day, currency, orders, items, revenue)
        SELECT a.day, a.currency, a.orders, a.items, a.revenue FROM added a
        ORDER BY a.day, a.currency -- the order in which rows are locked
        ON CONFLICT (day, currency) DO UPDATE
            SET orders = s.orders + excluded.orders, items = s.items + excluded.items,
                revenue = s.revenue + excluded.revenue
    )
    SELECT jsonb_agg(DISTINCT a.day) INTO days FROM added a;

    PERFORM outbox_put_because(events[1], gen_random_uuid(), 'DailyOrdersChanged',
                               'daily-orders:' || events[1].partition, jsonb_build_object('days', days));
END
$$;
