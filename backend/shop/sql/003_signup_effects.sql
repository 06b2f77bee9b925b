-- What the consumers of UserCreated keep. Each group stands for a service of its own, hence no foreign
-- keys to users; the unique constraints are the second line against an effect that happens twice.

CREATE TABLE billing_profiles (
    user_id    uuid PRIMARY KEY,
    email      text NOT NULL,
    event_id   uuid NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE analytics_events (
    event_id    uuid PRIMARY KEY,
    type        text NOT NULL,
    subject     text NOT NULL,
    occurred_at timestamptz NOT NULL
);

CREATE TABLE feature_flags (
    user_id uuid NOT NULL,
    flag    text NOT NULL,
    enabled boolean NOT NULL,
    PRIMARY KEY (user_id, flag)
);
