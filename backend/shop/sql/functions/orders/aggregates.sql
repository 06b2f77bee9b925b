-- The group aggregates: one upsert adds a batch of orders to their days. It commits together with
-- the mark that these events are handled, so each order is counted once: with OrderCreated, or,
-- when it has yet to be paid, with OrderPaid. Both events have its time and its items. A paid order
-- stays paid (payment_transitions).
--
-- The event DailyOrdersChanged announces, after the commit, that the dashboard has changed. It has
-- one aggregate for each partition of the orders, so that one worker at a time handles these events
-- in order.
CREATE OR REPLACE FUNCTION aggregates_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    counted outbox[] := ARRAY(SELECT e FROM unnest(events) e
                              WHERE e.type = 'OrderPaid' OR e.data->>'status' IS DISTINCT FROM 'PENDING');
    days    jsonb;
BEGIN
    IF cardinality(counted) = 0 THEN
        RETURN;
    END IF;

    WITH added AS MATERIALIZED (
        SELECT ((e.data->>'createdAt')::timestamptz AT TIME ZONE 'UTC')::date AS day,
               e.data->>'currency' AS currency, count(*) AS orders,
               sum((e.data->>'pieces')::bigint) AS items, sum((e.data->>'total')::bigint) AS revenue
        FROM unnest(counted) e GROUP BY 1, 2
    ), kept AS (
        INSERT INTO daily_order_stats AS s (day, currency, orders, items, revenue)
        SELECT a.day, a.currency, a.orders, a.items, a.revenue FROM added a
        ORDER BY a.day, a.currency -- the order in which rows are locked
        ON CONFLICT (day, currency) DO UPDATE
            SET orders = s.orders + excluded.orders, items = s.items + excluded.items,
                revenue = s.revenue + excluded.revenue
    )
    SELECT jsonb_agg(DISTINCT a.day) INTO days FROM added a;

    PERFORM outbox_put_because(counted[1], gen_random_uuid(), 'DailyOrdersChanged',
                               'daily-orders:' || counted[1].partition, jsonb_build_object('days', days));
END
$$;
