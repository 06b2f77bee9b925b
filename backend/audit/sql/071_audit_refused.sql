-- Where the stream weir:refused was read up to: backend/audit/refused_stream.c writes what it has read and this in one
-- transaction, so no entry is recorded twice.
CREATE TABLE audit_refused_from (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    position text NOT NULL DEFAULT '0-0'
) WITH (fillfactor = 50);
INSERT INTO audit_refused_from DEFAULT VALUES;
