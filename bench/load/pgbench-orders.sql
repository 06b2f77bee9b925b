-- For pgbench: the statement of POST /orders, with one request of two items.
SELECT place, outcome, item, currency, total, items, created_at FROM orders_create(
    ARRAY[gen_random_uuid()],
    ARRAY[:user_id::uuid],
    ARRAY['{01900000-0000-7000-8000-000000000001,01900000-0000-7000-8000-000000000002}'],
    ARRAY['{1,2}'],
    ARRAY[gen_random_uuid()],
    ARRAY['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']);
