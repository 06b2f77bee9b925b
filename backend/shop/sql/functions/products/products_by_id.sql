-- A row per requested id, with NULLs where there is no such product.
CREATE OR REPLACE FUNCTION products_by_id(p_ids uuid[])
RETURNS TABLE (place bigint, id uuid, name text, price bigint, currency text, updated_at text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, p.id, p.name, p.price, p.currency, rfc3339(p.updated_at)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM products WHERE products.id = r.id LIMIT 1) p ON true
$$;
SELECT grant_execute('products_by_id', 'api');
