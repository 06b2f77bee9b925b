-- Which relay may append to the streams, and which partitions stand still because their stream has events
-- of another history: a standby was promoted without the last transactions, a backup was restored.

-- A relay's term begins when it gets the lock. Redis keeps the newest token (era, timeline, term) beside each
-- stream and refuses appends with an older one. An operator raises the era: weirctl relay rebase.
CREATE TABLE relay_term (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    era      bigint NOT NULL DEFAULT 0,
    term     bigint NOT NULL DEFAULT 0
);
INSERT INTO relay_term DEFAULT VALUES;

-- NULL: events flow. ahead: the stream has events that the database does not know. superseded: Redis has the
-- token of a relay that this database knows nothing of.
ALTER TABLE partitions ADD halted text CHECK (halted IN ('ahead', 'superseded'));
