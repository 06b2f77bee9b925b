-- Whether the gateway itself said, when it was asked, that a charge pays for nothing. A message may say so, too, by
-- another key than the charge's own; such a record must not outrank what the gateway says of a payment.
ALTER TABLE stray_charges ADD proven boolean NOT NULL DEFAULT false;
-- Under a payment's own id only payment_step() has put charges, upon the gateway's answer.
UPDATE stray_charges s SET proven = true FROM payments p WHERE p.id::text = s.key;
CREATE INDEX payments_charge ON payments (charge) WHERE charge IS NOT NULL;
