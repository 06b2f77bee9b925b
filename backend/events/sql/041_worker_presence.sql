-- Since when a worker's heartbeats have come without a gap (of half a lease). Only who has been there for a whole
-- lease takes those that ran out: when the database was away for all, their owners come back to them.
ALTER TABLE workers ADD since timestamptz NOT NULL DEFAULT clock_timestamp();
