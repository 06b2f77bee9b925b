-- outside a transaction
-- Payments of some time, for payments_uncharged().
DROP INDEX CONCURRENTLY IF EXISTS payments_age;

CREATE INDEX CONCURRENTLY payments_age ON payments (created_at);
