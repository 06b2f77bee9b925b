-- The data of events about an order: everything that a consumer needs, so that it need not read the
-- tables. p_items as in orders_put(). The command adds the order's status.
CREATE OR REPLACE FUNCTION order_event_data(p_id uuid, p_user uuid, p_currency text, p_total bigint,
                                            p_pieces bigint, p_items jsonb, p_created_at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object(
        'orderId', p_id, 'userId', p_user, 'currency', p_currency, 'total', p_total, 'pieces', p_pieces,
        'items', (SELECT jsonb_agg(jsonb_build_object('productId', i->0, 'quantity', i->1, 'unitPrice', i->2))
                  FROM jsonb_array_elements(p_items) i),
        'createdAt', rfc3339(p_created_at))
$$;
