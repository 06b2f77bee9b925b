-- The newest p_days days that have orders: [[day, currency, orders, items, revenue], …], newest first.
CREATE OR REPLACE FUNCTION daily_orders(p_days int) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(s.day, s.currency, s.orders, s.items, s.revenue)
                              ORDER BY s.day DESC, s.currency), '[]')::text
    FROM daily_order_stats s
    WHERE s.day IN (SELECT DISTINCT d.day FROM daily_order_stats d ORDER BY d.day DESC LIMIT p_days)
$$;
SELECT grant_execute('daily_orders', 'api');
