-- The group invalidation has its effect in Redis only.
CREATE OR REPLACE FUNCTION invalidation_apply(events outbox[]) RETURNS void
LANGUAGE sql AS 'SELECT';
