-- Members, books with their copies, loans and fines.

CREATE TABLE members (
    id        uuid PRIMARY KEY,
    name      text NOT NULL,
    email     text COLLATE "C" NOT NULL,
    joined_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX members_email ON members (lower(email));

CREATE TABLE books (
    id       uuid PRIMARY KEY,
    title    text NOT NULL,
    author   text,
    kind     text NOT NULL CHECK (kind IN ('novel', 'reference', 'children')),
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX books_added ON books (added_at DESC, id DESC);

CREATE TABLE copies (
    book_id uuid NOT NULL REFERENCES books (id),
    copy    int  NOT NULL,
    PRIMARY KEY (book_id, copy)
);

CREATE TABLE loans (
    id          uuid PRIMARY KEY,
    member_id   uuid NOT NULL REFERENCES members (id),
    book_id     uuid NOT NULL,
    copy        int  NOT NULL,
    lent_at     timestamptz NOT NULL DEFAULT now(),
    due_at      timestamptz NOT NULL,
    returned_at timestamptz,
    FOREIGN KEY (book_id, copy) REFERENCES copies (book_id, copy)
);
-- One copy, one loan: whatever the functions do, nobody gets what somebody has.
CREATE UNIQUE INDEX loans_out ON loans (book_id, copy) WHERE returned_at IS NULL;

-- One fine for a loan, however often its event is handled.
CREATE TABLE fines (
    loan_id   uuid PRIMARY KEY REFERENCES loans (id),
    member_id uuid NOT NULL REFERENCES members (id),
    cents     int  NOT NULL CHECK (cents > 0)
);
CREATE INDEX fines_member ON fines (member_id);
