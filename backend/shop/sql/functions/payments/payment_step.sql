-- The one function that moves a payment on: the gateway says that its charge has succeeded, failed or was
-- refunded. The table payment_transitions says what follows; with the payment go its order and the events.
--
-- p_confirmed: the gateway was asked and this is how the charge stands. Otherwise it is a message that may
-- be old, out of order or about another charge; what does not fit, or would turn a failure round, then
-- becomes the event PaymentReported, upon which the gateway is asked. Does it not fit even then, it is
-- refused with WE002; unless the payment is open, or has failed, and there is a charge of another amount under its
-- key: with that in the way it can never be paid. It fails, and the charge is a stray one, whose money goes back.
--
-- Without p_charge there is none, which ends an open payment, and tells nothing of one that has ended meanwhile.
--
-- p_cause is the event upon which the gateway was asked, p_correlation the first one of its chain; NULL when
-- the gateway spoke by itself.
--
-- What was proved outranks what was said: stray_charges keeps charges that pay for nothing, and only a `proven` row of
-- it, which was made when the gateway had been asked, keeps its charge from a payment. One that a message made is
-- dropped when the gateway confirms that the charge is this payment's; until then the gateway is asked.
--
-- Returns applied, repeated (known already), unsure (the gateway will be asked), stray (about a charge that was proved
-- to be none of this payment's), or unknown: no such payment.
CREATE OR REPLACE FUNCTION payment_step(p_payment uuid, p_news text, p_charge text, p_amount bigint,
                                        p_currency text, p_reason text, p_confirmed boolean, p_traceparent text,
                                        p_cause uuid DEFAULT NULL, p_correlation uuid DEFAULT NULL)
RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    p        payments;
    t        payment_transitions;
    wrong    text;
    is_stray boolean; -- NULL: no; false: somebody said so; true: proven
    subject  text;
    content  jsonb;
BEGIN
    SELECT * INTO p FROM payments WHERE id = p_payment FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 'unknown';
    END IF;
    SELECT s.proven INTO is_stray FROM stray_charges s WHERE s.charge = p_charge;
    IF is_stray AND p.status <> 'REQUESTED' THEN
        RETURN 'stray';
    END IF;
    IF p_charge IS NULL AND p.status <> 'REQUESTED' THEN
        RETURN 'repeated';
    END IF;
    SELECT * INTO t FROM payment_transitions WHERE status = p.status AND news = p_news;

    wrong := CASE
        WHEN t.next IS NULL THEN format('payment %s is %s; its charge cannot be "%s"', p.id, p.status, p_news)
        WHEN p_amount <> p.amount OR upper(p_currency) <> upper(p.currency) THEN
            format('payment %s is of %s %s; its charge is of %s %s', p.id, p.amount, p.currency, p_amount, p_currency)
        WHEN p.charge <> p_charge THEN
            format('the charge of payment %s is %s, not %s', p.id, p.charge, p_charge)
        WHEN is_stray THEN format('the charge %s pays for nothing, so not for payment %s', p_charge, p.id)
        WHEN NOT is_stray AND NOT p_confirmed AND p.charge IS NULL THEN
            format('the charge %s is said to be none of payment %s', p_charge, p.id)
    END;
    IF wrong IS NOT NULL AND p_confirmed THEN
        IF p.status NOT IN ('REQUESTED', 'FAILED') OR t.next IS NULL OR is_stray THEN
            RAISE EXCEPTION '%', wrong USING ERRCODE = 'WE002';
        END IF;
        PERFORM stray_charge_put(p_charge, p.id::text, p_news, true, p_traceparent, p_cause, p_correlation);
        RETURN payment_step(p.id, 'failed', NULL, NULL, NULL, wrong, true, p_traceparent, p_cause, p_correlation);
    END IF;

    IF p_confirmed AND NOT is_stray THEN
        DELETE FROM stray_charges s WHERE s.charge = p_charge;
    END IF;

    subject := 'order:' || p.order_id;
    content := jsonb_build_object('orderId', p.order_id, 'userId', p.user_id, 'paymentId', p.id,
                                  'amount', p.amount, 'currency', p.currency);
    IF wrong IS NOT NULL OR (t.confirmed AND NOT p_confirmed) THEN
        PERFORM payment_event('PaymentReported', subject,
                              content || jsonb_build_object('news', p_news, 'charge', p_charge), p_traceparent,
                              p_cause, p_correlation);
        RETURN 'unsure';
    END IF;
    IF t.next = p.status THEN
        RETURN 'repeated';
    END IF;

    UPDATE payments SET status = t.next, charge = coalesce(p_charge, charge), reason = coalesce(p_reason, reason),
                        updated_at = now()
    WHERE id = p.id;
    content := content || jsonb_strip_nulls(jsonb_build_object('charge', p_charge, 'reason', p_reason));

    IF t.next IN ('REFUNDING', 'REFUNDED') THEN
        PERFORM audit_put(NULL, p_traceparent, 'payment.refund', 'payment:' || p.id,
                          CASE t.next WHEN 'REFUNDING' THEN 'requested' ELSE 'refunded' END,
                          jsonb_build_object('orderId', p.order_id, 'amount', p.amount, 'currency', p.currency,
                                             'charge', coalesce(p_charge, p.charge), 'cause', p_cause));
    END IF;

    CASE t.next
    WHEN 'SUCCEEDED' THEN
        UPDATE orders SET status = 'PAID' WHERE id = p.order_id AND status = 'PENDING';
        PERFORM payment_event('PaymentSucceeded', subject, content, p_traceparent, p_cause, p_correlation);
        PERFORM payment_event('OrderPaid', subject,
                              jsonb_build_object('orderId', p.order_id, 'userId', p.user_id, 'total', p.amount,
                                                 'currency', p.currency, 'pieces', i.pieces,
                                                 'createdAt', rfc3339(o.created_at), 'paidAt', rfc3339(now())),
                              p_traceparent, p_cause, p_correlation)
        FROM orders o
        CROSS JOIN LATERAL (SELECT sum(i.quantity) AS pieces FROM order_items i WHERE i.order_id = o.id) i
        WHERE o.id = p.order_id;
    WHEN 'FAILED' THEN
        UPDATE orders SET status = 'FAILED' WHERE id = p.order_id AND status = 'PENDING';
        PERFORM payment_event('PaymentFailed', subject, content, p_traceparent, p_cause, p_correlation);
    WHEN 'REFUNDING' THEN
        PERFORM payment_event('RefundRequested', subject, content, p_traceparent, p_cause, p_correlation);
    WHEN 'REFUNDED' THEN
        UPDATE orders SET status = 'FAILED' WHERE id = p.order_id AND status = 'PENDING';
        PERFORM payment_event('PaymentRefunded', subject, content, p_traceparent, p_cause, p_correlation);
    END CASE;
    RETURN 'applied';
END
$$;

-- Keeps a charge that pays for nothing, by a message or (p_proven) because the gateway was asked; when money was taken
-- for it, or it may be a payment's, the event StrayChargeReported makes the group payments ask the gateway and give it back.
DROP FUNCTION IF EXISTS stray_charge_put(text, text, text, text, uuid, uuid);
CREATE OR REPLACE FUNCTION stray_charge_put(p_charge text, p_key text, p_news text, p_proven boolean,
                                            p_traceparent text, p_cause uuid DEFAULT NULL,
                                            p_correlation uuid DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stray_charges AS s (charge, key, proven) VALUES (p_charge, p_key, p_proven)
    ON CONFLICT (charge) DO UPDATE SET proven = true, key = excluded.key WHERE excluded.proven AND NOT s.proven;
    IF p_news = 'succeeded' OR payment_of_charge(p_charge, p_key) IS NOT NULL AND NOT p_proven THEN
        PERFORM FROM stray_charges s WHERE s.charge = p_charge FOR UPDATE;
        PERFORM payment_event('StrayChargeReported', 'charge:' || p_charge,
                              jsonb_build_object('charge', p_charge, 'key', p_key), p_traceparent, p_cause, p_correlation);
    END IF;
END
$$;

-- An event of a payment's order, as outbox_put_because() puts it, whose cause is known by its id only.
CREATE OR REPLACE FUNCTION payment_event(type text, aggregate text, data jsonb, traceparent text, cause uuid,
                                         correlation uuid)
RETURNS void
LANGUAGE sql AS $$
    INSERT INTO outbox (event_id, partition, type, aggregate, data, traceparent, causation_id, correlation_id)
    VALUES (uuid7(), outbox_partition(aggregate), type, aggregate, data, traceparent, cause, correlation)
$$;
