-- Of the trigger payments_dropped, which 040_payments_end.sql explains.
CREATE OR REPLACE FUNCTION payments_dropped() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    payment CONSTANT uuid := uuid_value(OLD.data->>'paymentId');
BEGIN
    PERFORM FROM payments p WHERE p.id = payment AND p.status = 'REQUESTED' FOR UPDATE;
    IF FOUND AND NOT EXISTS (SELECT FROM outbox o WHERE o.partition = OLD.partition AND o.position IS NULL
                             AND o.event_id = OLD.event_id AND o.for_group = OLD.group_name)
       AND NOT EXISTS (SELECT FROM consumer_partitions c
                       WHERE c.group_name = OLD.group_name AND c.partition = OLD.partition
                         AND c.handled < OLD.position
                         AND NOT EXISTS (SELECT FROM consumed d
                                         WHERE d.group_name = OLD.group_name AND d.partition = OLD.partition
                                           AND d.position = OLD.position)) THEN
        PERFORM payment_event('PaymentWithdrawn', OLD.aggregate, OLD.data,
                              OLD.traceparent || coalesce(' ' || OLD.tracestate, ''), OLD.event_id, coalesce(OLD.correlation_id, OLD.event_id));
    END IF;
    RETURN NULL;
END
$$;
