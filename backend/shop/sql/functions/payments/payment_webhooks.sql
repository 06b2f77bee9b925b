-- The payment that a charge under this key is about: the one whose id is the key, else the one that is known to have
-- the charge; NULL when there is none.
CREATE OR REPLACE FUNCTION payment_of_charge(p_charge text, p_key text) RETURNS uuid
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT p.id FROM payments p WHERE p.id = uuid_value(p_key)),
                    (SELECT p.id FROM payments p WHERE p.charge = p_charge ORDER BY p.id LIMIT 1))
$$;

-- Takes messages of the gateway, each once by its id. verdict as of payment_step(); repeated, too, for a
-- message that was taken before; unknown for a charge of no payment, or beside one: stray_charge_put() sees to it.
-- A payment's id is the key of its charge. A message with another key that names the charge of a payment all the same
-- (the id in another form) is unsure: the gateway will be asked by both keys.
CREATE OR REPLACE FUNCTION payment_webhooks_take(p_ids text[], p_keys text[], p_news text[], p_charges text[],
                                                 p_amounts bigint[], p_currencies text[], p_reasons text[],
                                                 p_traceparents text[])
RETURNS TABLE (place bigint, verdict text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r       record;
    payment uuid;
BEGIN
    DELETE FROM payment_webhooks w WHERE w.ctid = ANY (ARRAY(
        SELECT e.ctid FROM payment_webhooks e WHERE e.received_at < now() - interval '30 days'
        ORDER BY e.received_at LIMIT 100 FOR UPDATE SKIP LOCKED));

    FOR r IN SELECT * FROM unnest(p_ids, p_keys, p_news, p_charges, p_amounts, p_currencies, p_reasons,
                                  p_traceparents)
                 WITH ORDINALITY AS u(id, key, news, charge, amount, currency, reason, traceparent, place)
             ORDER BY u.key, u.id, u.place
    LOOP
        place := r.place;
        payment := uuid_value(r.key);
        INSERT INTO payment_webhooks AS w (id, payment_id, news, verdict) VALUES (r.id, payment, r.news, 'taken')
        ON CONFLICT (id) DO NOTHING;
        IF NOT FOUND THEN
            verdict := 'repeated';
            RETURN NEXT;
            CONTINUE;
        END IF;

        verdict := CASE WHEN payment::text = r.key
                        THEN payment_step(payment, r.news, r.charge, r.amount, r.currency, r.reason, false,
                                          r.traceparent)
                        ELSE 'unknown' END;
        IF verdict IN ('unknown', 'stray') THEN
            verdict := CASE WHEN payment_of_charge(r.charge, r.key) IS NULL OR verdict = 'stray' THEN 'unknown'
                            ELSE 'unsure' END;
            PERFORM stray_charge_put(r.charge, r.key, r.news, false, r.traceparent);
        END IF;
        UPDATE payment_webhooks w SET verdict = payment_webhooks_take.verdict WHERE w.id = r.id;
        RETURN NEXT;
    END LOOP;
END
$$;
SELECT grant_execute('payment_webhooks_take', 'api');
