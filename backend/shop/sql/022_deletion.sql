-- Users who leave. The row in `users` stays without what is personal, the row here as the record.

ALTER TABLE users DROP CONSTRAINT users_status_check;
ALTER TABLE users ADD CONSTRAINT users_status_check
    CHECK (status IN ('PENDING', 'ACTIVE', 'DELETING', 'DELETED'));

-- Each time is when that group did its part; NULL: not yet.
CREATE TABLE deletions (
    user_id            uuid PRIMARY KEY,
    requested_at       timestamptz NOT NULL DEFAULT now(),
    access_revoked_at  timestamptz,
    flags_deleted_at   timestamptz,
    subscription_cancelled_at timestamptz,
    anonymised_at      timestamptz
);

ALTER TABLE billing_profiles ADD COLUMN cancelled_at timestamptz;
