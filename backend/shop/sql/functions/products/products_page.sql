-- A row per request: up to p_limits products above the id p_after, as [[id, name, price, currency,
-- updated], …] in the order of their ids, and the last of them when there are more.
CREATE OR REPLACE FUNCTION products_page(p_after uuid[], p_limits int[])
RETURNS TABLE (place bigint, products text, next uuid)
LANGUAGE sql STABLE AS $$
    SELECT r.place, coalesce(l.products, '[]')::text, CASE WHEN l.found > r.n THEN l.last END
    FROM unnest(p_after, p_limits) WITH ORDINALITY AS r(after, n, place)
    CROSS JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(p.id, p.name, p.price, p.currency, rfc3339(p.updated_at))
                         ORDER BY p.id) FILTER (WHERE p.nth <= r.n) AS products,
               count(*) AS found,
               (array_agg(p.id ORDER BY p.id))[r.n] AS last
        FROM (SELECT q.*, row_number() OVER (ORDER BY q.id) AS nth
              FROM (SELECT * FROM products WHERE products.id > r.after ORDER BY products.id LIMIT r.n + 1) q) p
    ) l
$$;
SELECT grant_execute('products_page', 'api');
