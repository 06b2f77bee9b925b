-- outside a transaction
-- The payment of a charge, for payment_of_charge(). First away with what an attempt that was broken off has left.
DROP INDEX CONCURRENTLY IF EXISTS payments_charge;

CREATE INDEX CONCURRENTLY payments_charge ON payments (charge) WHERE charge IS NOT NULL;
