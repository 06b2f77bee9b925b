-- What came of commands whose callers named them by an Idempotency-Key.

CREATE TABLE idempotency_keys (
    caller      text COLLATE "C" NOT NULL, -- digest of who called, '' for nobody in particular
    key         text COLLATE "C" NOT NULL,
    fingerprint text NOT NULL,             -- digest of what was asked for
    outcome     json NOT NULL,             -- the command's row: its columns in their order
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
