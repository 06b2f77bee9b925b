-- The audit log: who did what, when, to what, with which outcome. backend/audit/audit.h explains it.
--
-- A command writes a record in its own transaction (audit_put()), and does nothing else: no lock, no
-- counter. One process at a time seals records (audit_seal()): it gives them positions in the chain
-- of their partition. Records, seals and heads are never changed or deleted; triggers refuse it, and
-- the owner of the tables has no privilege for it either.

-- The partition of a time: its month, in UTC. Old partitions are detached and dropped as a whole.
CREATE FUNCTION audit_partition(at timestamptz) RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT (extract(year FROM at AT TIME ZONE 'UTC') * 100 + extract(month FROM at AT TIME ZONE 'UTC'))::int
$$;

CREATE SEQUENCE audit_ids;

CREATE TABLE audit_records (
    -- The transaction has its own id before it draws this one: audit_seal() relies on it.
    id        bigint NOT NULL DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('audit_ids') END,
    partition int NOT NULL DEFAULT audit_partition(now()),
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    operation text NOT NULL CHECK (length(operation) <= 100),
    object    text NOT NULL CHECK (length(object) <= 500),
    outcome   text NOT NULL CHECK (length(outcome) <= 100),
    subject   text NOT NULL CHECK (length(subject) <= 256), -- on whose behalf: an id, never an e-mail address or a name
    actor     text NOT NULL CHECK (length(actor) <= 256),   -- the program that did it
    address   text CHECK (length(address) <= 64),           -- of the caller
    trace_id  text CHECK (length(trace_id) <= 32),
    detail    text CHECK (length(detail) <= 4000),          -- JSON; text, because its bytes are sealed
    PRIMARY KEY (id, partition)
) PARTITION BY LIST (partition);

-- The place of a record in the chain of its partition. common/audit/record.h has the hashes.
CREATE TABLE audit_seals (
    partition int NOT NULL,
    position  bigint NOT NULL,
    id        bigint NOT NULL,
    leaf      bytea NOT NULL, -- hash of the record
    link      bytea NOT NULL, -- hash of the chain up to it
    PRIMARY KEY (partition, position),
    UNIQUE (id, partition)
) PARTITION BY LIST (partition);

-- Signed heads: common/audit/head.h.
CREATE TABLE audit_heads (
    number    bigint PRIMARY KEY,
    head      text NOT NULL,
    key       text NOT NULL,
    signature text NOT NULL
);

-- The end of each chain, from which the sealer continues. Nothing is proved by it.
CREATE TABLE audit_chains (
    partition int PRIMARY KEY,
    size      bigint NOT NULL CHECK (size > 0),
    link      bytea NOT NULL,
    peaks     bytea NOT NULL -- of the tree: common/merkle/merkle.h
) WITH (fillfactor = 50);

-- All records with an id up to floor are sealed, or will never be there; so the sealer need not look
-- at them. Those up to next_floor that are there are sealed, and the transactions that may still
-- commit others have ids below next_xid.
CREATE TABLE audit_floor (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    floor      bigint NOT NULL DEFAULT 0,
    next_floor bigint NOT NULL DEFAULT 0,
    next_xid   xid8
) WITH (fillfactor = 50);
INSERT INTO audit_floor DEFAULT VALUES;

CREATE FUNCTION audit_refuse() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = '42501';
END
$$;

CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE ON audit_records FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE ON audit_seals FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_records EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_seals EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON audit_heads EXECUTE FUNCTION audit_refuse();
REVOKE UPDATE, DELETE, TRUNCATE ON audit_records, audit_seals, audit_heads FROM CURRENT_USER;

-- Adds a partition to both tables. What a trigger for each row and the indexes are, PostgreSQL copies; the rest is
-- done here.
CREATE FUNCTION audit_add_partition(p_name text, p_bound text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    child  text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['audit_records', 'audit_seals'] LOOP
        child := parent || '_' || p_name;
        CONTINUE WHEN to_regclass(child) IS NOT NULL;
        -- Attaching, unlike CREATE TABLE … PARTITION OF, does not lock the parent for writers.
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', child, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I %s', parent, child, p_bound);
        EXECUTE format('CREATE TRIGGER audit_refuse_truncate BEFORE TRUNCATE ON %I EXECUTE FUNCTION audit_refuse()',
                       child);
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %I FROM CURRENT_USER', child);
    END LOOP;
END
$$;

-- Makes the partitions of this month and of the next one. The sealer calls it every hour. Records of a month without a
-- partition are in audit_records_other, so that no command fails for want of one; such a month stays there.
CREATE FUNCTION audit_prepare() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    month int;
BEGIN
    FOREACH month IN ARRAY ARRAY[audit_partition(now()), audit_partition(now() + interval '28 days'),
                                 audit_partition(date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
                                                 + interval '32 days')] LOOP
        IF NOT EXISTS (SELECT FROM audit_records_other r WHERE r.partition = month)
           AND NOT EXISTS (SELECT FROM audit_seals_other s WHERE s.partition = month) THEN
            PERFORM audit_add_partition(month::text, format('FOR VALUES IN (%s)', month));
        END IF;
    END LOOP;
END
$$;

DO $$
BEGIN
    PERFORM audit_add_partition('other', 'DEFAULT');
    PERFORM audit_prepare();
END
$$;
