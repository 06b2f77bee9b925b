-- The group fines: what members owe for copies that came late.
CREATE OR REPLACE FUNCTION fines_apply(events outbox[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fines (loan_id, member_id, cents)
    SELECT (e.data->>'loanId')::uuid, (e.data->>'memberId')::uuid, (e.data->>'cents')::int FROM unnest(events) e
    ON CONFLICT (loan_id) DO NOTHING
$$;
