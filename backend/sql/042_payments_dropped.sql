-- Two more ways in which a payment comes to its end: the gateway's word on an open one was a dead letter, too, and is
-- dropped; what was charged after all had been given up was given back by the gateway itself.

INSERT INTO payment_transitions (status, news, next, confirmed) VALUES ('FAILED', 'refunded', 'REFUNDED', true);

DROP TRIGGER payments_dropped ON dead_letters;
CREATE TRIGGER payments_dropped AFTER DELETE ON dead_letters
    FOR EACH ROW WHEN (OLD.group_name = 'payments'
                       AND OLD.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn'))
    EXECUTE FUNCTION payments_dropped();
