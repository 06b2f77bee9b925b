-- No payment stays open for ever: two more ways in which one ends.

-- The gateway says that the charge was made and is given back already.
INSERT INTO payment_transitions (status, news, next, confirmed) VALUES ('REQUESTED', 'refunded', 'REFUNDED', true);

-- An operator drops a dead letter that was a payment's last chance: the group payments asks the gateway once more,
-- and the payment ends as it says. The letter of a replay, which is in the outbox again, is not dropped.
CREATE FUNCTION payments_dropped() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    payment CONSTANT text := OLD.data->>'paymentId';
BEGIN
    IF payment !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
        RETURN NULL;
    END IF;
    PERFORM FROM payments p WHERE p.id = payment::uuid AND p.status = 'REQUESTED' FOR UPDATE;
    IF FOUND AND NOT EXISTS (SELECT FROM outbox o WHERE o.partition = OLD.partition AND o.position IS NULL
                             AND o.event_id = OLD.event_id AND o.for_group = OLD.group_name) THEN
        PERFORM payment_event('PaymentWithdrawn', OLD.aggregate, OLD.data, OLD.traceparent, OLD.event_id,
                              coalesce(OLD.correlation_id, OLD.event_id));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER payments_dropped AFTER DELETE ON dead_letters
    FOR EACH ROW WHEN (OLD.group_name = 'payments' AND OLD.type IN ('PaymentRequested', 'PaymentWithdrawn'))
    EXECUTE FUNCTION payments_dropped();
