-- The queries and effects of the group payments. payments_settle() commits the effects as soon as
-- the gateway has answered, before the event counts as handled: if the mark is lost, the gateway
-- gives the same answer for the same idempotency key, and payment_step() ignores it. So
-- payments_apply() does nothing.
CREATE OR REPLACE FUNCTION payments_apply(events outbox[]) RETURNS void
LANGUAGE sql AS ''; -- consume() needs one

-- The state of payments. withdrawn: the user was deleted, and must not be charged.
CREATE OR REPLACE FUNCTION payments_due(p_ids uuid[])
RETURNS TABLE (place bigint, status text, amount text, currency text, charge text, order_id text, withdrawn boolean)
LANGUAGE sql STABLE AS $$
    SELECT r.place, p.status, p.amount::text, p.currency, p.charge, p.order_id::text,
           EXISTS (SELECT FROM deletions d WHERE d.user_id = p.user_id)
    FROM unnest(p_ids) WITH ORDINALITY AS r(id, place)
    LEFT JOIN LATERAL (SELECT * FROM payments WHERE payments.id = r.id LIMIT 1) p ON true
$$;
SELECT grant_execute('payments_due', 'worker');

-- Records the gateway's answers about charges. verdict as of payment_step(), or impossible with
-- why.
CREATE OR REPLACE FUNCTION payments_settle(p_ids uuid[], p_news text[], p_charges text[], p_amounts bigint[],
                                           p_currencies text[], p_reasons text[], p_confirmed boolean[],
                                           p_traceparents text[], p_causes uuid[], p_correlations uuid[])
RETURNS TABLE (place bigint, verdict text, why text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r record;
BEGIN
    -- In the order of ids: two calls that lock the same payments cannot deadlock.
    FOR r IN SELECT * FROM unnest(p_ids, p_news, p_charges, p_amounts, p_currencies, p_reasons, p_confirmed,
                                  p_traceparents, p_causes, p_correlations)
                 WITH ORDINALITY AS u(id, news, charge, amount, currency, reason, confirmed, traceparent, cause,
                                      correlation, place)
             ORDER BY u.id, u.place
    LOOP
        place := r.place;
        why := NULL;
        BEGIN
            verdict := payment_step(r.id, r.news, r.charge, r.amount, r.currency, r.reason, r.confirmed,
                                    r.traceparent, r.cause, r.correlation);
        EXCEPTION WHEN SQLSTATE 'WE002' THEN
            verdict := 'impossible';
            why := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT grant_execute('payments_settle', 'worker');

-- To which payments charges belong that were said to belong to none: NULL when that is true. keys are the gateway's
-- own, as it gives them when it is asked.
CREATE OR REPLACE FUNCTION stray_charges_due(p_charges text[], p_keys text[])
RETURNS TABLE (place bigint, payment text)
LANGUAGE sql STABLE AS $$
    SELECT r.place, CASE WHEN s.proven THEN NULL ELSE payment_of_charge(r.charge, r.key)::text END
    FROM unnest(p_charges, p_keys) WITH ORDINALITY AS r(charge, key, place)
    LEFT JOIN stray_charges s ON s.charge = r.charge
$$;
SELECT grant_execute('stray_charges_due', 'worker');

-- Records the outcome of charges that belong to no payment.
CREATE OR REPLACE FUNCTION stray_charges_settle(p_charges text[], p_statuses text[])
RETURNS TABLE (place bigint, verdict text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM audit_put(NULL, NULL, 'charge.refund', 'charge:' || s.charge, lower(r.status))
    FROM unnest(p_charges, p_statuses) r(charge, status)
    JOIN stray_charges s ON s.charge = r.charge AND s.status IS DISTINCT FROM r.status
    WHERE r.status = 'REFUNDED';
    -- What the gateway knows nothing of was not proved.
    UPDATE stray_charges s SET status = r.status, proven = s.proven OR r.status <> 'UNKNOWN'
    FROM unnest(p_charges, p_statuses) r(charge, status) WHERE s.charge = r.charge;
    RETURN QUERY SELECT r.place, 'applied'::text FROM unnest(p_charges) WITH ORDINALITY r(charge, place);
END
$$;
SELECT grant_execute('stray_charges_settle', 'worker');
