-- Positions begin at 1, and workers rely on it. A group that somebody sets back by hand begins
-- after position 0.
UPDATE consumer_partitions SET handled = 0 WHERE handled < 0;
UPDATE partitions SET position = 0 WHERE position < 0;
ALTER TABLE consumer_partitions
    ADD CONSTRAINT consumer_partitions_handled_check CHECK (handled >= 0);
ALTER TABLE partitions ADD CONSTRAINT partitions_position_check CHECK (position >= 0);
