-- A new UUID of version 7 (RFC 9562 section 5.7): milliseconds, then random bits.
CREATE OR REPLACE FUNCTION uuid7() RETURNS uuid
LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_byte(overlay(uuid_send(gen_random_uuid())
                                   PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                                   FROM 1 FOR 6),
                           6, get_byte(uuid_send(gen_random_uuid()), 6) & 15 | 112), 'hex')::uuid
$$;
