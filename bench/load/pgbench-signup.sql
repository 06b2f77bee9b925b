-- For pgbench: the statement of POST /signup, with one request.
\set r random(1, 1000000000000000000)
SELECT place, outcome, created_at FROM signup(
    ARRAY[gen_random_uuid()],
    ARRAY['pgbench-' || :r::bigint || '@example.com'],
    ARRAY['Bench ' || :r::bigint],
    ARRAY[gen_random_uuid()],
    ARRAY['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01']);
