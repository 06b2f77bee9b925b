-- The command of PUT /products/{id}: creates or changes a product, and writes the event
-- ProductChanged and a record of the audit log if a value has changed.
--
-- Returns a row per request with outcome 'created', 'changed' or 'unchanged'. Of several requests
-- for one product in the same call the last one wins, as if they had come one after the other;
-- there is one event, because the intermediate values were never visible.
--
-- Products are written in the order of their ids, so that two calls cannot deadlock.
CREATE OR REPLACE FUNCTION products_put(p_ids uuid[], p_names text[], p_prices bigint[], p_currencies text[],
                                        p_events uuid[], p_traceparents text[], p_callers text[] DEFAULT NULL)
RETURNS TABLE (place bigint, outcome text, updated_at text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH requests AS MATERIALIZED (
        SELECT r.*, row_number() OVER (PARTITION BY r.id ORDER BY r.place) AS nth,
               max(r.place) OVER (PARTITION BY r.id) AS last_place
        FROM unnest(p_ids, p_names, p_prices, p_currencies, p_events, p_traceparents)
            WITH ORDINALITY AS r(id, name, price, currency, event_id, traceparent, place)
    ), written AS MATERIALIZED (
        INSERT INTO products AS p (id, name, price, currency)
        SELECT r.id, r.name, r.price, r.currency FROM requests r WHERE r.place = r.last_place ORDER BY r.id
        ON CONFLICT (id) DO UPDATE
            SET name = excluded.name, price = excluded.price, currency = excluded.currency,
                -- The time increases with every change, whatever the order in which transactions
                -- began.
                updated_at = greatest(now(), p.updated_at + interval '1 ms')
            WHERE (p.name, p.price, p.currency) IS DISTINCT FROM (excluded.name, excluded.price, excluded.currency)
        -- A row that was inserted, not updated, has no xmax.
        RETURNING id, p.xmax = 0 AS is_new, updated_at
    ), events AS (
        INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent)
        SELECT r.event_id, outbox_partition('product:' || r.id), 'ProductChanged', 'product:' || r.id,
               jsonb_build_object('productId', r.id, 'name', r.name, 'price', r.price, 'currency', r.currency,
                                  'updatedAt', rfc3339(w.updated_at)),
               r.traceparent
        FROM written w JOIN requests r ON r.id = w.id AND r.place = r.last_place
        ORDER BY r.place
    ), audited AS MATERIALIZED (
        SELECT audit_put_all(array_agg(p_callers[r.place] ORDER BY r.place),
                             array_agg(r.traceparent ORDER BY r.place), 'product.put',
                             array_agg('product:' || r.id ORDER BY r.place),
                             array_agg(CASE WHEN w.is_new THEN 'created' ELSE 'changed' END ORDER BY r.place),
                             array_agg(jsonb_build_object('price', r.price, 'currency', r.currency) ORDER BY r.place))
        FROM written w JOIN requests r ON r.id = w.id AND r.place = r.last_place
    )
    SELECT r.place,
           CASE WHEN w.id IS NULL THEN 'unchanged'
                WHEN w.is_new AND r.nth = 1 THEN 'created'
                ELSE 'changed' END,
           rfc3339(coalesce(w.updated_at, product_updated_at(r.id)))
    FROM audited CROSS JOIN requests r LEFT JOIN written w ON w.id = r.id
    ORDER BY r.place;
END
$$;
SELECT grant_execute('products_put', 'api');

-- Its own snapshot sees a row that another transaction has committed while products_put() waited for it.
CREATE OR REPLACE FUNCTION product_updated_at(p_id uuid) RETURNS timestamptz
LANGUAGE sql VOLATILE AS 'SELECT updated_at FROM products WHERE id = p_id';
