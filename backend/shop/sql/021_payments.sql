-- Payments: what an order owes, and how far the gateway is with it.

-- The states that a payment may go through. news is the gateway's word on the charge; next the state
-- that it leads to, the same one for what is known already. What is not listed is impossible.
-- `confirmed`: only when the gateway was asked, not on a message that may be old.
CREATE TABLE payment_transitions (
    status    text NOT NULL,
    news      text NOT NULL CHECK (news IN ('succeeded', 'failed', 'refunded')),
    next      text NOT NULL,
    confirmed boolean NOT NULL,
    PRIMARY KEY (status, news)
);
INSERT INTO payment_transitions (status, news, next, confirmed) VALUES
    ('REQUESTED', 'succeeded', 'SUCCEEDED', false),
    ('REQUESTED', 'failed',    'FAILED',    false),
    ('SUCCEEDED', 'succeeded', 'SUCCEEDED', false),
    ('FAILED',    'failed',    'FAILED',    false),
    ('FAILED',    'succeeded', 'REFUNDING', true), -- the order is given up: the money goes back
    ('REFUNDING', 'succeeded', 'REFUNDING', false),
    ('REFUNDING', 'refunded',  'REFUNDED',  false),
    ('REFUNDED',  'refunded',  'REFUNDED',  false);

CREATE TABLE payments (
    id         uuid PRIMARY KEY,           -- the gateway's idempotency key
    order_id   uuid NOT NULL UNIQUE,
    user_id    uuid NOT NULL,
    amount     bigint NOT NULL,            -- minor units
    currency   text NOT NULL,
    status     text NOT NULL DEFAULT 'REQUESTED',
    charge     text,                       -- the gateway's name for it, once it is known
    reason     text,                       -- why it failed
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- The second line against impossible transitions: whoever writes.
CREATE FUNCTION payments_guard() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'REQUESTED' THEN
            RAISE EXCEPTION 'payment % cannot begin as %', NEW.id, NEW.status USING ERRCODE = 'WE002';
        END IF;
    ELSIF NOT EXISTS (SELECT FROM payment_transitions t WHERE t.status = OLD.status AND t.next = NEW.status) THEN
        RAISE EXCEPTION 'payment % is %, it cannot become %', NEW.id, OLD.status, NEW.status
            USING ERRCODE = 'WE002';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER payments_guard BEFORE INSERT OR UPDATE OF status ON payments
    FOR EACH ROW EXECUTE FUNCTION payments_guard();

-- Charges that the gateway told of and that belong to no payment.
CREATE TABLE stray_charges (
    charge     text PRIMARY KEY,
    key        text NOT NULL,              -- the idempotency key under which it was made
    status     text NOT NULL DEFAULT 'REPORTED' CHECK (status IN ('REPORTED', 'UNKNOWN', 'UNPAID', 'REFUNDED')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The gateway's messages, by their ids; kept for longer than it sends one again.
CREATE TABLE payment_webhooks (
    id          text PRIMARY KEY,
    payment_id  uuid,
    news        text NOT NULL,
    verdict     text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_webhooks_age ON payment_webhooks (received_at);
