-- What the listener for operators shows of outbox and groups.

-- The events that wait for the relay, and the age of the oldest.
CREATE OR REPLACE FUNCTION readings_outbox() RETURNS TABLE (waiting bigint, age_ms bigint)
LANGUAGE sql STABLE AS $$
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(o.created_at)) * 1000, 0)::bigint
    FROM outbox o WHERE o.position IS NULL
$$;
SELECT grant_execute('readings_outbox', 'relay');

-- A row for each group. Ages use the first event that each partition has not handled, as "weirctl
-- groups" does.
CREATE OR REPLACE FUNCTION readings_groups()
RETURNS TABLE (group_name text, lag numeric, age_ms bigint, retries bigint, dead bigint)
LANGUAGE sql STABLE AS $$
    SELECT c.group_name,
           sum(p.position - c.handled) - (SELECT count(*) FROM consumed m WHERE m.group_name = c.group_name),
           coalesce(extract(epoch FROM clock_timestamp() - min((SELECT o.created_at FROM outbox o
               WHERE o.partition = c.partition AND o.position = c.handled + 1))) * 1000, 0)::bigint,
           (SELECT count(*) FROM retries r WHERE r.group_name = c.group_name),
           (SELECT count(*) FROM dead_letters d WHERE d.group_name = c.group_name)
    FROM consumer_partitions c JOIN partitions p USING (partition) GROUP BY c.group_name
$$;
SELECT grant_execute('readings_groups', 'worker', 'relay');
