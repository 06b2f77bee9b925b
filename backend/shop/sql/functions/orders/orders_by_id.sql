-- A row per requested id, with NULLs where there is no such order. items as in orders_put().
CREATE OR REPLACE FUNCTION orders_by_id(p_ids uuid[])
RETURNS TABLE (place bigint, id uuid, user_id uuid, status text, currency text, total bigint, items text,
               created_at text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, o.id, o.user_id, o.status, o.currency, o.total, i.items::text, rfc3339(o.created_at)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM orders WHERE orders.id = r.id LIMIT 1) o ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(i.product_id, i.quantity, i.unit_price) ORDER BY i.line) AS items
        FROM order_items i WHERE i.order_id = o.id) i ON true
$$;
SELECT grant_execute('orders_by_id', 'api');
