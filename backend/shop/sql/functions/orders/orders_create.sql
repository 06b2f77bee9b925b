-- The command of POST /orders: orders_put(), and the event OrderCreated for each order that was written.
CREATE OR REPLACE FUNCTION orders_create(p_ids uuid[], p_users uuid[], p_products text[], p_quantities text[],
                                         p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, item int, currency text, total bigint, items text, created_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH orders AS MATERIALIZED (
        SELECT * FROM orders_put(p_ids, p_users, p_products, p_quantities, 'PLACED')
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT p_events[o.place], outbox_partition('order:' || p_ids[o.place]), 'OrderCreated',
               'order:' || p_ids[o.place],
               order_event_data(p_ids[o.place], p_users[o.place], o.currency, o.total, o.pieces, o.items,
                                o.created_at) || jsonb_build_object('status', 'PLACED'),
               p_traceparents[o.place]
        FROM orders o WHERE o.outcome = 'created'
        ORDER BY o.place
    )
    SELECT o.place, o.outcome, o.item, o.currency, o.total, o.items::text, rfc3339(o.created_at)
    FROM orders o ORDER BY o.place;
END
$$;
SELECT grant_execute('orders_create', 'api');
