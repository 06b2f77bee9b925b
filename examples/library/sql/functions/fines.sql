-- The group fines: the fines of members for late returns.
CREATE OR REPLACE FUNCTION fines_apply(events outbox[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO fines (loan_id, member_id, cents)
    SELECT (e.data->>'loanId')::uuid, (e.data->>'memberId')::uuid, (e.data->>'cents')::int FROM unnest(events) e
    ON CONFLICT (loan_id) DO NOTHING
$$;
