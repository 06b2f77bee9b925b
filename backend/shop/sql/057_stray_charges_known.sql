-- Under a payment's own id only payment_step() has put charges, upon the gateway's answer. A migration of its own: the
-- table is not locked meanwhile.
UPDATE stray_charges s SET proven = true
WHERE NOT s.proven AND s.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
  AND EXISTS (SELECT FROM payments p
              WHERE p.id = CASE WHEN s.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN s.key::uuid END);
