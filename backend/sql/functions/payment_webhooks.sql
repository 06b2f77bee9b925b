-- Takes messages of the gateway, each once by its id. verdict as of payment_step(); repeated, too, for a
-- message that was taken before; unknown for a charge of no payment, or beside one: stray_charge_put() sees to it.
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
        payment := CASE WHEN r.key ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN r.key::uuid END;
        INSERT INTO payment_webhooks AS w (id, payment_id, news, verdict) VALUES (r.id, payment, r.news, 'taken')
        ON CONFLICT (id) DO NOTHING;
        IF NOT FOUND THEN
            verdict := 'repeated';
            RETURN NEXT;
            CONTINUE;
        END IF;

        verdict := payment_step(payment, r.news, r.charge, r.amount, r.currency, r.reason, false, r.traceparent);
        IF verdict IN ('unknown', 'stray') THEN
            verdict := 'unknown';
            PERFORM stray_charge_put(r.charge, r.key, r.news, r.traceparent);
        END IF;
        UPDATE payment_webhooks w SET verdict = payment_webhooks_take.verdict WHERE w.id = r.id;
        RETURN NEXT;
    END LOOP;
END
$$;
