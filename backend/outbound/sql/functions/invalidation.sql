-- The group invalidation has no effect in PostgreSQL, only in Redis.
CREATE OR REPLACE FUNCTION invalidation_apply(events outbox[]) RETURNS void
LANGUAGE sql AS 'SELECT';
