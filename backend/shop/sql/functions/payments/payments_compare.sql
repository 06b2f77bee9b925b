-- Compares charges of the gateway's list with payments. shop/payments/reconcile.h explains it.
--
-- p_charges is an array of the gateway's charges. What has changed since p_until is under way, and no difference.
-- Returns the charges that differ:
--
--   no payment      money was taken, and the database knows of no payment
--   not given back  a charge that is known to pay for nothing, or a payment that is REFUNDING, has its money still
--   other charge    money was taken, and the payment has another charge
--   other amount    the charge is of another amount or currency than its payment
--   other state     the payment says something else than its charge
--
-- mend is the event that ends the difference, NULL when only a person can. With p_mend it is put: the group payments
-- asks the gateway, and decides by its answer, so that an event which comes twice, or too late, does no harm.
CREATE OR REPLACE FUNCTION payments_compare(p_charges jsonb, p_until timestamptz, p_mend boolean,
                                            p_caller text DEFAULT NULL)
RETURNS TABLE (difference text, charge text, key text, charged text, payment uuid, order_id uuid, paid text, mend text,
               listed jsonb)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c record;
    p payments;
    s stray_charges;
BEGIN
    FOR c IN SELECT * FROM jsonb_to_recordset(p_charges)
             AS r(id text, idempotency_key text, amount bigint, currency text, status text)
    LOOP
        SELECT * INTO s FROM stray_charges WHERE stray_charges.charge = c.id;
        p := NULL;
        -- In the mending transaction nothing moves the payment on meanwhile.
        IF p_mend THEN
            SELECT * INTO p FROM payments WHERE payments.id = payment_of_charge(c.id, c.idempotency_key) FOR UPDATE;
        ELSE
            SELECT * INTO p FROM payments WHERE payments.id = payment_of_charge(c.id, c.idempotency_key);
        END IF;

        difference := CASE
            WHEN p.updated_at >= p_until OR s.created_at >= p_until THEN NULL
            WHEN s.charge IS NOT NULL AND (s.proven OR p.id IS NULL) THEN
                CASE WHEN c.status = 'succeeded' THEN 'not given back' END
            WHEN p.id IS NULL THEN CASE WHEN c.status = 'succeeded' THEN 'no payment' END
            WHEN p.charge <> c.id THEN CASE WHEN c.status = 'succeeded' THEN 'other charge' END
            WHEN p.amount <> c.amount OR upper(p.currency) <> upper(c.currency) THEN
                CASE WHEN c.status = 'succeeded' OR p.status IN ('REQUESTED', 'SUCCEEDED') THEN 'other amount' END
            WHEN p.status = 'REFUNDING' AND c.status = 'succeeded' THEN 'not given back'
            WHEN p.status <> upper(c.status) THEN 'other state'
        END;
        CONTINUE WHEN difference IS NULL;

        mend := CASE
            WHEN p.id IS NULL OR s.proven OR difference = 'other charge' THEN 'StrayChargeReported'
            WHEN difference = 'not given back' THEN 'RefundRequested'
            WHEN difference = 'other amount' AND p.status NOT IN ('REQUESTED', 'FAILED') THEN NULL
            WHEN EXISTS (SELECT FROM payment_transitions t WHERE t.status = p.status AND t.news = c.status) THEN
                'PaymentReported'
        END;
        charge := c.id;
        key := c.idempotency_key;
        charged := concat_ws(' ', c.status, c.amount, c.currency);
        listed := to_jsonb(c);
        payment := p.id;
        order_id := p.order_id;
        paid := CASE WHEN p.id IS NOT NULL THEN concat_ws(' ', p.status, p.amount, p.currency) END;
        RETURN NEXT;

        CONTINUE WHEN NOT p_mend OR mend IS NULL;
        PERFORM audit_put(p_caller, NULL, 'payment.mend', 'charge:' || c.id, mend,
                          jsonb_build_object('difference', difference, 'payment', p.id));
        IF mend = 'StrayChargeReported' THEN
            INSERT INTO stray_charges AS k (charge, key) VALUES (c.id, c.idempotency_key) ON CONFLICT DO NOTHING;
            PERFORM payment_event(mend, 'charge:' || c.id,
                                  jsonb_build_object('charge', c.id, 'key', c.idempotency_key), NULL, NULL, NULL);
        ELSE
            PERFORM payment_event(mend, 'order:' || p.order_id,
                                  jsonb_build_object('orderId', p.order_id, 'userId', p.user_id, 'paymentId', p.id,
                                                     'amount', p.amount, 'currency', p.currency, 'news', c.status,
                                                     'charge', c.id), NULL, NULL, NULL);
        END IF;
    END LOOP;
END
$$;
SELECT grant_execute('payments_compare', 'worker', 'operator');

-- Payments that were made in that time and say that there is a charge, without one among p_keys, the keys of the
-- charges that the gateway has listed. At most p_limit; the gateway is to be asked for each, because its clock is
-- another one, and it may have made the charge much later than we the payment.
CREATE OR REPLACE FUNCTION payments_uncharged(p_keys jsonb, p_since timestamptz, p_until timestamptz, p_limit int)
RETURNS TABLE (payment text, charge text, order_id text, paid text)
LANGUAGE sql STABLE AS $$
    SELECT p.id::text, p.charge, p.order_id::text, concat_ws(' ', p.status, p.amount, p.currency)
    FROM payments p
    WHERE p.created_at >= p_since AND p.created_at < p_until AND p.updated_at < p_until
      AND p.status IN ('SUCCEEDED', 'REFUNDING', 'REFUNDED')
      AND NOT EXISTS (SELECT FROM jsonb_array_elements_text(p_keys) k WHERE uuid_value(k) = p.id)
    ORDER BY p.created_at LIMIT p_limit
$$;
SELECT grant_execute('payments_uncharged', 'worker', 'operator');

-- The time to compare next, one row when it is due: of all workers one gets it. It begins an hour before the end of the
-- last one, as clocks differ. Whoever has compared says so with payments_checked_to().
CREATE OR REPLACE FUNCTION payments_check_due(p_every_s int) RETURNS TABLE (since text, until text)
LANGUAGE sql AS $$
    UPDATE payments_checked SET next_at = clock_timestamp() + make_interval(secs => p_every_s)
    -- One that is farther away than p_every_s was set by another clock, or by other settings.
    WHERE next_at <= clock_timestamp() OR next_at > clock_timestamp() + make_interval(secs => p_every_s)
    RETURNING rfc3339(checked_to - interval '1 hour'), rfc3339(clock_timestamp() - interval '5 minutes')
$$;
SELECT grant_execute('payments_check_due', 'worker');

CREATE OR REPLACE FUNCTION payments_checked_to(p_until timestamptz) RETURNS void
LANGUAGE sql AS $$
    UPDATE payments_checked SET checked_to = greatest(checked_to, p_until)
$$;
SELECT grant_execute('payments_checked_to', 'worker');
