-- Whether the gateway itself said, when it was asked, that a charge pays for nothing. A message may say so, too, by
-- another key than the charge's own; such a record must not outrank what the gateway says of a payment.
ALTER TABLE stray_charges ADD proven boolean NOT NULL DEFAULT false;
