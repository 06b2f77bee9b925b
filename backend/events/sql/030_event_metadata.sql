-- What an event tells about itself beyond its data, and which groups rest.

ALTER TABLE outbox
    ADD causation_id   uuid,                        -- the event that a consumer emitted this one for
    ADD correlation_id uuid,                        -- the first event of that chain; NULL: this one
    ADD schema_version smallint NOT NULL DEFAULT 1, -- of data, counted for each type
    ADD for_group      text;                        -- the only group that shall handle it; NULL: all

ALTER TABLE dead_letters
    ADD causation_id   uuid,
    ADD correlation_id uuid,
    ADD schema_version smallint NOT NULL DEFAULT 1;

-- Groups whose workers take no events.
CREATE TABLE paused_groups (
    group_name text PRIMARY KEY,
    paused_at  timestamptz NOT NULL DEFAULT now()
);
