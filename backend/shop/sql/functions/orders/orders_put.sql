-- Writes orders with their items and prices. The caller writes the events.
--
-- p_products and p_quantities hold an array literal for each order: '{uuid,…}' and '{1,…}', of the same
-- length. Returns a row per order, in which outcome is 'created', or why nothing was written:
--   unknown_user
--   unknown_product, bad_quantity, repeated_product, other_currency   with the first wrong item, from 0
--   no_items
-- items is [[product, quantity, unit price], …] in the order of the request; pieces their quantities' sum.
--
-- Users and products are locked against deletion until the commit, in the order of their ids, so
-- that two calls cannot deadlock. Prices are those at the time of the lock.
CREATE OR REPLACE FUNCTION orders_put(p_ids uuid[], p_users uuid[], p_products text[], p_quantities text[],
                                      p_status text)
RETURNS TABLE (place bigint, outcome text, item int, currency text, total bigint, pieces bigint, items jsonb,
               created_at timestamptz)
LANGUAGE plpgsql
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT * FROM unnest(p_ids, p_users, p_products, p_quantities)
            WITH ORDINALITY AS r(id, user_id, products, quantities, place)
    ), lines AS MATERIALIZED (
        SELECT r.place, l.line, l.product_id, l.quantity,
               row_number() OVER (PARTITION BY r.place, l.product_id ORDER BY l.line) > 1 AS repeated
        FROM requests r
        CROSS JOIN unnest(r.products::uuid[], r.quantities::int[])
            WITH ORDINALITY AS l(product_id, quantity, line)
    ), known_users AS MATERIALIZED (
        SELECT u.id FROM users u
        WHERE u.id = ANY (p_users) AND u.status IN ('PENDING', 'ACTIVE')
        ORDER BY u.id FOR KEY SHARE
    ), known_products AS MATERIALIZED (
        SELECT p.id, p.price, p.currency FROM products p
        WHERE p.id = ANY (ARRAY (SELECT DISTINCT l.product_id FROM lines l))
        ORDER BY p.id FOR KEY SHARE
    ), judged AS MATERIALIZED (
        SELECT l.place, l.line, l.product_id, l.quantity, p.price, p.currency,
               CASE WHEN p.id IS NULL THEN 'unknown_product'
                    WHEN l.quantity IS NULL OR l.quantity NOT BETWEEN 1 AND 1000 THEN 'bad_quantity'
                    WHEN l.repeated THEN 'repeated_product'
                    WHEN p.currency <> first_value(p.currency) OVER (PARTITION BY l.place ORDER BY l.line)
                    THEN 'other_currency' END AS wrong
        FROM lines l LEFT JOIN known_products p ON p.id = l.product_id
    ), summed AS MATERIALIZED (
        SELECT j.place, min(j.line) FILTER (WHERE j.wrong IS NOT NULL) AS wrong_line,
               min(j.currency) AS currency,
               (sum(j.price * j.quantity) FILTER (WHERE j.wrong IS NULL))::bigint AS total,
               sum(j.quantity) AS pieces,
               jsonb_agg(jsonb_build_array(j.product_id, j.quantity, j.price) ORDER BY j.line) AS items
        FROM judged j GROUP BY j.place
    ), outcomes AS MATERIALIZED (
        SELECT r.place, r.id, r.user_id, s.currency, s.total, s.pieces, s.items, s.wrong_line,
               CASE WHEN u.id IS NULL THEN 'unknown_user'
                    WHEN s.place IS NULL THEN 'no_items'
                    WHEN s.wrong_line IS NOT NULL
                    THEN (SELECT j.wrong FROM judged j WHERE j.place = r.place AND j.line = s.wrong_line)
                    ELSE 'created' END AS outcome
        FROM requests r
        LEFT JOIN known_users u ON u.id = r.user_id
        LEFT JOIN summed s ON s.place = r.place
    ), created AS (
        INSERT INTO orders (id, user_id, status, currency, total)
        SELECT o.id, o.user_id, p_status, o.currency, o.total FROM outcomes o
        WHERE o.outcome = 'created' ORDER BY o.place
        RETURNING id, created_at
    ), written AS (
        INSERT INTO order_items (order_id, product_id, line, quantity, unit_price)
        SELECT o.id, j.product_id, j.line, j.quantity, j.price
        FROM outcomes o JOIN judged j ON j.place = o.place
        WHERE o.outcome = 'created' ORDER BY o.place, j.line
    )
    SELECT o.place, o.outcome,
           CASE WHEN o.outcome NOT IN ('created', 'unknown_user', 'no_items') THEN o.wrong_line::int - 1 END,
           o.currency, o.total, o.pieces, o.items, c.created_at
    FROM outcomes o LEFT JOIN created c ON c.id = o.id
    ORDER BY o.place;
END
$$;
