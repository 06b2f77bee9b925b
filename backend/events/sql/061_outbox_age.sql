-- Finds events by the time at which they were made. A block range index costs an insert next to nothing.
--
-- At first the shop's migration 022 made it: such a database has it, and is not locked for nothing.
DO $$
BEGIN
    IF to_regclass('outbox_age') IS NULL THEN
        CREATE INDEX outbox_age ON outbox USING brin (created_at) WITH (pages_per_range = 16, autosummarize = on);
    END IF;
END
$$;
