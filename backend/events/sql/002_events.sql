-- The outbox, its positions, and what every consumer group has done with its events.

-- How many partitions the log has. It must not change while events are in it: an aggregate's events
-- would move to another partition and lose their order.
CREATE FUNCTION outbox_partitions() RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 8::smallint';

-- One row per event, written in the transaction of the command that causes it. Rows stay as history.
CREATE TABLE outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id    uuid NOT NULL,
    partition   smallint NOT NULL,
    position    bigint,              -- place in its partition's log; the relay gives it
    type        text NOT NULL,
    aggregate   text NOT NULL,
    data        jsonb NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_waiting ON outbox (partition, id) WHERE position IS NULL;
CREATE UNIQUE INDEX outbox_log ON outbox (partition, position) WHERE position IS NOT NULL;
-- Every row is updated once, soon after it was written; dead index entries lie where the relay looks.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 10000);

CREATE TABLE partitions (
    partition smallint PRIMARY KEY,
    position  bigint NOT NULL DEFAULT 0 -- the last one given
) WITH (fillfactor = 50);
INSERT INTO partitions (partition) SELECT generate_series(0, outbox_partitions() - 1);

-- A group's place in a partition's log, and the lease on it. One worker at a time handles a
-- (group, partition): the owner until expires_at. Each change of owner raises the epoch, and
-- every transaction with effects checks it.
CREATE TABLE consumer_partitions (
    group_name text NOT NULL,
    partition  smallint NOT NULL REFERENCES partitions,
    handled    bigint NOT NULL,         -- every position up to here is handled
    owner      text,
    epoch      bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, partition)
) WITH (fillfactor = 50);

-- Positions above `handled` that are handled already.
CREATE TABLE consumed (
    group_name text NOT NULL,
    partition  smallint NOT NULL,
    position   bigint NOT NULL,
    PRIMARY KEY (group_name, partition, position)
);

-- Events that failed and will be tried again.
CREATE TABLE retries (
    group_name text NOT NULL,
    partition  smallint NOT NULL,
    position   bigint NOT NULL,
    attempts   int NOT NULL,            -- that failed
    next_at    timestamptz NOT NULL,
    error      text NOT NULL,           -- of the last one
    PRIMARY KEY (group_name, partition, position)
);

-- Events that a group gave up. The event itself is copied: it outlives the outbox's history.
CREATE TABLE dead_letters (
    group_name  text NOT NULL,
    partition   smallint NOT NULL,
    position    bigint NOT NULL,
    attempts    int NOT NULL,
    error       text NOT NULL,
    event_id    uuid,                   -- NULL: the outbox had no such event
    type        text,
    aggregate   text,
    data        jsonb,
    traceparent text,
    created_at  timestamptz,            -- of the event
    dead_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (group_name, partition, position)
);

-- Workers that are alive, to share partitions fairly.
CREATE TABLE workers (
    worker     text PRIMARY KEY,
    groups     text[] NOT NULL,
    expires_at timestamptz NOT NULL
);
