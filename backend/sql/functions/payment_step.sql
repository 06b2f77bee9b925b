-- The one function that moves a payment on: the gateway says that its charge has succeeded, failed or was
-- refunded. The table payment_transitions says what follows; with the payment go its order and the events.
--
-- p_confirmed: the gateway was asked and this is how the charge stands. Otherwise it is a message that may
-- be old, out of order or about another charge; what does not fit, or would turn a failure round, then
-- becomes the event PaymentReported, upon which the gateway is asked. Does it not fit even then, it is
-- refused with WE002.
--
-- Returns applied, repeated (known already), unsure (the gateway will be asked), or unknown: no such payment.
CREATE OR REPLACE FUNCTION payment_step(p_payment uuid, p_news text, p_charge text, p_amount bigint,
                                        p_currency text, p_reason text, p_confirmed boolean, p_traceparent text)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    p        payments;
    t        payment_transitions;
    wrong    text;
    subject  text;
    content  jsonb;
BEGIN
    SELECT * INTO p FROM payments WHERE id = p_payment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    SELECT * INTO t FROM payment_transitions WHERE status = p.status AND news = p_news;

    wrong := CASE
        WHEN t.next IS NULL THEN format('payment %s is %s; its charge cannot be "%s"', p.id, p.status, p_news)
        WHEN p_amount <> p.amount OR p_currency <> p.currency THEN
            format('payment %s is of %s %s; its charge is of %s %s', p.id, p.amount, p.currency, p_amount, p_currency)
        WHEN p.charge <> p_charge THEN
            format('the charge of payment %s is %s, not %s', p.id, p.charge, p_charge)
    END;
    IF wrong IS NOT NULL AND p_confirmed THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'WE002';
    END IF;

    subject := 'order:' || p.order_id;
    content := jsonb_build_object('orderId', p.order_id, 'userId', p.user_id, 'paymentId', p.id,
                                  'amount', p.amount, 'currency', p.currency);
    IF wrong IS NOT NULL OR (t.confirmed AND NOT p_confirmed) THEN
        PERFORM outbox_put(uuid7(), 'PaymentReported', subject,
                           content || jsonb_build_object('news', p_news, 'charge', p_charge), p_traceparent);
        RETURN 'unsure';
    END IF;
    IF t.next = p.status THEN
        RETURN 'repeated';
    END IF;

    UPDATE payments SET status = t.next, charge = coalesce(p_charge, charge), reason = coalesce(p_reason, reason),
                        updated_at = now()
    WHERE id = p.id;
    content := content || jsonb_strip_nulls(jsonb_build_object('charge', p_charge, 'reason', p_reason));

    CASE t.next
    WHEN 'SUCCEEDED' THEN
        UPDATE orders SET status = 'PAID' WHERE id = p.order_id AND status = 'PENDING';
        PERFORM outbox_put(uuid7(), 'PaymentSucceeded', subject, content, p_traceparent);
        PERFORM outbox_put(uuid7(), 'OrderPaid', subject,
                           jsonb_build_object('orderId', p.order_id, 'userId', p.user_id, 'total', p.amount,
                                              'currency', p.currency, 'paidAt', rfc3339(now())), p_traceparent);
    WHEN 'FAILED' THEN
        UPDATE orders SET status = 'FAILED' WHERE id = p.order_id AND status = 'PENDING';
        PERFORM outbox_put(uuid7(), 'PaymentFailed', subject, content, p_traceparent);
    WHEN 'REFUNDING' THEN
        PERFORM outbox_put(uuid7(), 'RefundRequested', subject, content, p_traceparent);
    WHEN 'REFUNDED' THEN
        PERFORM outbox_put(uuid7(), 'PaymentRefunded', subject, content, p_traceparent);
    END CASE;
    RETURN 'applied';
END
$$;
