-- Things, and how many were made on each day.

CREATE TABLE things (
    id      uuid PRIMARY KEY,
    name    text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX things_made ON things (made_at DESC, id DESC);

CREATE TABLE thing_counts (
    day date PRIMARY KEY,
    n   bigint NOT NULL
);
