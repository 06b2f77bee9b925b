-- Users, and the steps of their signup.

CREATE TABLE users (
    id           uuid PRIMARY KEY,
    -- As it was given. Only ASCII is allowed, and in the collation "C" lower() is the same everywhere.
    email        text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    status       text NOT NULL DEFAULT 'PENDING' CHECK (status IN ('PENDING', 'ACTIVE')),
    steps        int NOT NULL DEFAULT 0, -- bits of the signup's steps that are done
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 80); -- steps and status change soon after: on the same page, without the indexes

CREATE UNIQUE INDEX users_email ON users (lower(email));
