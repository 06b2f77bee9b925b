-- The command checkout: for each request an order PENDING with its items and prices of this moment, a
-- payment of its total, and the event PaymentRequested. p_items has [{"productId", "quantity"}, …].
--
-- Outcomes: accepted; no_user; no_product, detail is the first product that there is not; currencies,
-- detail names them; total, when it is more than a charge may be.
CREATE OR REPLACE FUNCTION checkout(p_ids uuid[], p_users uuid[], p_items jsonb[], p_payments uuid[],
                                    p_events uuid[], p_traceparents text[])
RETURNS TABLE (place bigint, outcome text, id text, payment_id text, total text, currency text,
               created_at text, detail text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_users, p_items, p_payments, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, user_id, items, payment_id, event_id, traceparent, place)
    ), lines AS MATERIALIZED (
        SELECT r.place, i.product_id, i.quantity, i.first, p.id IS NULL AS missing, p.price, p.currency
        FROM requests r
        CROSS JOIN LATERAL (
            SELECT (e.item->>'productId')::uuid AS product_id, sum((e.item->>'quantity')::bigint) AS quantity,
                   min(e.n) AS first
            FROM jsonb_array_elements(r.items) WITH ORDINALITY e(item, n) GROUP BY 1) i
        LEFT JOIN LATERAL (SELECT * FROM products WHERE products.id = i.product_id LIMIT 1) p ON true
    ), judged AS MATERIALIZED (
        SELECT r.*, l.total, l.currencies[1] AS currency,
               CASE WHEN NOT EXISTS (SELECT FROM users u WHERE u.id = r.user_id AND u.status IN ('PENDING', 'ACTIVE'))
                        THEN 'no_user'
                    WHEN l.missing IS NOT NULL THEN 'no_product'
                    WHEN cardinality(l.currencies) > 1 THEN 'currencies'
                    WHEN l.total > 99999999999 OR l.most > 1000000 THEN 'total'
                    ELSE 'accepted' END AS outcome,
               coalesce(l.missing, array_to_string(l.currencies, ', ')) AS detail
        FROM requests r
        JOIN (SELECT place, sum(quantity * price) AS total, max(quantity) AS most,
                     array_agg(DISTINCT currency) FILTER (WHERE NOT missing) AS currencies,
                     (array_agg(product_id::text ORDER BY first) FILTER (WHERE missing))[1] AS missing
              FROM lines GROUP BY place) l USING (place)
    ), ordered AS (
        INSERT INTO orders (id, user_id, status, currency, total)
        SELECT j.id, j.user_id, 'PENDING', j.currency, j.total::bigint FROM judged j
        WHERE j.outcome = 'accepted' ORDER BY j.place
        RETURNING orders.id, orders.created_at
    ), items AS (
        INSERT INTO order_items (order_id, product_id, quantity, unit_price)
        SELECT j.id, l.product_id, l.quantity::int, l.price
        FROM judged j JOIN lines l USING (place) WHERE j.outcome = 'accepted' ORDER BY j.place, l.first
    ), owed AS (
        INSERT INTO payments (id, order_id, user_id, amount, currency)
        SELECT j.payment_id, j.id, j.user_id, j.total::bigint, j.currency FROM judged j
        WHERE j.outcome = 'accepted' ORDER BY j.place
    ), events AS MATERIALIZED (
        SELECT j.place, outbox_put(j.event_id, 'PaymentRequested', 'order:' || j.id,
                   jsonb_build_object('orderId', j.id, 'userId', j.user_id, 'paymentId', j.payment_id,
                                      'amount', j.total::bigint, 'currency', j.currency), j.traceparent)
        FROM (SELECT * FROM judged WHERE outcome = 'accepted' ORDER BY place OFFSET 0) j
    )
    SELECT j.place, j.outcome, j.id::text, j.payment_id::text, j.total::bigint::text, j.currency,
           rfc3339(o.created_at), j.detail
    FROM judged j LEFT JOIN ordered o ON o.id = j.id LEFT JOIN events e ON e.place = j.place
    ORDER BY j.place;
END
$$;
