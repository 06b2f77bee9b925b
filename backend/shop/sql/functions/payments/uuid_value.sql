-- The UUID that a text means, however it is written (RFC 9562 section 4: upper case is read as lower case; also
-- urn:uuid:, braces, no hyphens), or NULL when it means none.
CREATE OR REPLACE FUNCTION uuid_value(p_text text) RETURNS uuid
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN t.digits ~ '^[0-9a-f]{32}$' THEN t.digits::uuid END
    FROM (SELECT translate(regexp_replace(lower(btrim(p_text)), '^urn:uuid:', ''), '{}-', '') AS digits) t
$$;
