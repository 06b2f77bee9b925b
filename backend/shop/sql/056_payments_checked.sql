-- Up to when payments were compared with the gateway's list of charges, and when the next comparison is due. The row is
-- lost together with payments that a promoted standby or a backup lacks, so what they lack is compared again.
CREATE TABLE payments_checked (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    checked_to timestamptz NOT NULL DEFAULT now(),
    next_at    timestamptz NOT NULL DEFAULT now() + interval '1 hour'
);
INSERT INTO payments_checked DEFAULT VALUES;
