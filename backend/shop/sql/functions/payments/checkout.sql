-- The command checkout: orders_put() with the status PENDING, for each order a payment of its total, and the
-- events OrderCreated and PaymentRequested. Outcomes and items as in orders_put().
CREATE OR REPLACE FUNCTION checkout(p_ids uuid[], p_users uuid[], p_products text[], p_quantities text[],
                                    p_payments uuid[], p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, item int, id text, currency text, total text, items text,
               created_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH orders AS MATERIALIZED (
        SELECT * FROM orders_put(p_ids, p_users, p_products, p_quantities, 'PENDING')
    ), owed AS (
        INSERT INTO payments (id, order_id, user_id, amount, currency)
        SELECT p_payments[o.place], p_ids[o.place], p_users[o.place], o.total, o.currency
        FROM orders o WHERE o.outcome = 'created' ORDER BY o.place
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT e.event_id, outbox_partition('order:' || p_ids[o.place]), e.type, 'order:' || p_ids[o.place],
               e.data, p_traceparents[o.place]
        FROM orders o
        CROSS JOIN LATERAL (VALUES
            (1, p_events[o.place], 'OrderCreated',
             order_event_data(p_ids[o.place], p_users[o.place], o.currency, o.total, o.pieces, o.items,
                              o.created_at) || jsonb_build_object('status', 'PENDING')),
            (2, uuid7(), 'PaymentRequested',
             jsonb_build_object('orderId', p_ids[o.place], 'userId', p_users[o.place],
                                'paymentId', p_payments[o.place], 'amount', o.total,
                                'currency', o.currency))) e(n, event_id, type, data)
        WHERE o.outcome = 'created'
        ORDER BY o.place, e.n
    )
    SELECT o.place, o.outcome, o.item, p_ids[o.place]::text, o.currency, o.total::text, o.items::text,
           rfc3339(o.created_at)
    FROM orders o ORDER BY o.place;
END
$$;
SELECT grant_execute('checkout', 'api');
