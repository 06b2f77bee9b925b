-- No payment stays open for ever: three more ways in which one ends.

-- The gateway says that a charge was made and is given back already: before anybody knew of it, or after all had been
-- given up.
INSERT INTO payment_transitions (status, news, next, confirmed) VALUES
    ('REQUESTED', 'refunded', 'REFUNDED', true),
    ('FAILED', 'refunded', 'REFUNDED', true);

-- An operator drops a dead letter that was a payment's last chance: the group payments asks the gateway once more,
-- and the payment ends as it says. Not dropped is the letter of an event that comes again: by a replay of the letter,
-- which is in the outbox then, or of the group, which has it before it.
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
                             AND o.event_id = OLD.event_id AND o.for_group = OLD.group_name)
       AND NOT EXISTS (SELECT FROM consumer_partitions c
                       WHERE c.group_name = OLD.group_name AND c.partition = OLD.partition
                         AND c.handled < OLD.position
                         AND NOT EXISTS (SELECT FROM consumed d
                                         WHERE d.group_name = OLD.group_name AND d.partition = OLD.partition
                                           AND d.position = OLD.position)) THEN
        PERFORM payment_event('PaymentWithdrawn', OLD.aggregate, OLD.data, OLD.traceparent, OLD.event_id,
                              coalesce(OLD.correlation_id, OLD.event_id));
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER payments_dropped AFTER DELETE ON dead_letters
    FOR EACH ROW WHEN (OLD.group_name = 'payments'
                       AND OLD.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn'))
    EXECUTE FUNCTION payments_dropped();
