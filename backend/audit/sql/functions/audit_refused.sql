-- Records of refused requests (common/audit/refused.h), which no transaction of their own belongs to: an array of objects
-- with outcome, object, subject, actor, address and trace_id, all of them text, and count, if a record is of so many
-- requests. Returns their number.
CREATE OR REPLACE FUNCTION audit_put_refused(p_rows jsonb) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    written bigint;
BEGIN
    INSERT INTO audit_records (operation, object, outcome, subject, actor, address, trace_id, detail)
    SELECT 'refused', left(coalesce(r.row->>'object', ''), 500), left(coalesce(r.row->>'outcome', 'unknown'), 100),
           left(coalesce(r.row->>'subject', 'anonymous'), 256),
           left(coalesce(nullif(r.row->>'actor', ''), nullif(current_setting('application_name'), ''), 'unknown'), 256),
           left(nullif(r.row->>'address', ''), 64), left(nullif(r.row->>'trace_id', ''), 32),
           CASE WHEN r.row ? 'count' THEN jsonb_build_object('count', r.row->'count')::text END
    FROM jsonb_array_elements(p_rows) WITH ORDINALITY r("row", place)
    ORDER BY r.place;
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END
$$;
SELECT grant_execute('audit_put_refused', 'api');

-- The same for entries of the stream weir:refused up to that position.
CREATE OR REPLACE FUNCTION audit_take_refused(p_rows jsonb, p_position text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE audit_refused_from SET position = p_position;
    RETURN audit_put_refused(p_rows);
END
$$;
SELECT grant_execute('audit_take_refused', 'relay');

-- The position of the last entry that was taken.
CREATE OR REPLACE FUNCTION audit_refused_position() RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT position FROM audit_refused_from
$$;
SELECT grant_execute('audit_refused_position', 'relay');
