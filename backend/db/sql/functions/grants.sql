-- Rights of the processes' roles in PostgreSQL: docs/guides/access/database-roles.md. The name of this file
-- sorts before the others' names, because they call these functions.
--
-- The roles are there for the whole server, so an administrator makes them, not a migration. As long
-- as there is none, the functions here do nothing, and all processes work as the owner of the schema.

-- The roles, by the names that grant_execute() takes.
CREATE OR REPLACE FUNCTION grant_roles() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY['api', 'relay', 'worker', 'ctl', 'operator']
$$;

-- The name of such a role in PostgreSQL; NULL: it is not there.
CREATE OR REPLACE FUNCTION grant_role(p_role text) RETURNS regrole
LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF p_role <> ALL (grant_roles()) THEN
        RAISE EXCEPTION 'there is no role "%"; the roles are %', p_role, array_to_string(grant_roles(), ', ');
    END IF;
    RETURN to_regrole('weir_' || p_role);
END
$$;

-- Lets these roles call the function, which then works with the rights of its owner: callers need
-- none of their own. To be called in the file of the function, after it; of overloaded functions
-- none can be granted.
CREATE OR REPLACE FUNCTION grant_execute(p_function text, VARIADIC p_roles text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    called CONSTANT regprocedure := grant_invoke(p_function, VARIADIC p_roles);
BEGIN
    -- With a path of the caller's, names in the function would be those of the caller's objects.
    IF grant_role(p_roles[1]) IS NOT NULL THEN
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', called, current_schema());
    END IF;
END
$$;

-- The same for a function that works with the rights of its caller: one that runs statements which
-- the caller passes. Returns the function.
CREATE OR REPLACE FUNCTION grant_invoke(p_function text, VARIADIC p_roles text[]) RETURNS regprocedure
LANGUAGE plpgsql AS $$
DECLARE
    found CONSTANT regprocedure[] := ARRAY(SELECT p.oid::regprocedure FROM pg_proc p
                                           WHERE p.proname = p_function
                                             AND p.pronamespace = current_schema()::regnamespace);
    role  text;
BEGIN
    IF cardinality(found) <> 1 THEN
        RAISE EXCEPTION 'rights on %() cannot be granted: there are % functions of that name', p_function,
            cardinality(found);
    END IF;
    FOREACH role IN ARRAY p_roles LOOP
        IF grant_role(role) IS NOT NULL THEN
            EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', found[1], grant_role(role));
        END IF;
    END LOOP;
    RETURN found[1];
END
$$;

-- Gives a role these privileges ('SELECT', 'SELECT, DELETE') on tables, where functions do not do.
CREATE OR REPLACE FUNCTION grant_tables(p_role text, p_privileges text, VARIADIC p_tables text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    tables CONSTANT regclass[] := p_tables::regclass[]; -- all of them are there
BEGIN
    IF grant_role(p_role) IS NOT NULL THEN
        EXECUTE format('GRANT %s ON TABLE %s TO %s', p_privileges, array_to_string(tables, ', '), grant_role(p_role));
    END IF;
END
$$;

-- Takes all rights on these objects ('TABLE outbox') from the roles.
CREATE OR REPLACE FUNCTION grant_withdraw(p_objects text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    object text;
BEGIN
    FOREACH object IN ARRAY p_objects LOOP
        EXECUTE format('REVOKE ALL ON %s FROM %s', object,
                       (SELECT string_agg(grant_role(r)::text, ', ') FROM unnest(grant_roles()) r));
    END LOOP;
END
$$;

-- Whether a role is among the grantees.
CREATE OR REPLACE FUNCTION grant_is_in(p_acl aclitem[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM aclexplode(p_acl) a JOIN unnest(grant_roles()) r ON a.grantee = grant_role(r)::oid)
$$;

-- Before the other functions are made: takes the rights on tables from the roles, so that they have
-- those of this version only. All of it is in the transaction of the migration: no session sees it.
CREATE OR REPLACE FUNCTION grant_begin() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    missing CONSTANT text[] := ARRAY(SELECT 'weir_' || r FROM unnest(grant_roles()) r WHERE grant_role(r) IS NULL);
    given   text;
BEGIN
    IF cardinality(missing) = cardinality(grant_roles()) THEN
        RETURN;
    END IF;
    IF cardinality(missing) > 0 THEN
        RAISE EXCEPTION 'of the roles for the processes some are there, but not %; create all of them, or none '
            '(CREATE ROLE % NOLOGIN)', array_to_string(missing, ', '), missing[1];
    END IF;
    PERFORM grant_withdraw(ARRAY(
        SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass FROM pg_class c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
          AND c.relowner = current_user::regrole AND grant_is_in(c.relacl)));
    FOREACH given IN ARRAY grant_roles() LOOP
        IF NOT has_schema_privilege(grant_role(given), current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %s', current_schema(), grant_role(given));
        END IF;
    END LOOP;
END
$$;

-- After all functions are made: takes the rights on functions that this transaction has neither made
-- nor granted, and PUBLIC's on all of this schema and owner. Those of extensions stay as they are.
CREATE OR REPLACE FUNCTION grant_end() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    open regprocedure;
BEGIN
    IF grant_role('api') IS NULL THEN
        RETURN;
    END IF;
    PERFORM grant_withdraw(ARRAY(
        SELECT 'ROUTINE ' || p.oid::regprocedure FROM pg_proc p
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proowner = current_user::regrole
          AND p.xmin <> pg_current_xact_id()::xid AND grant_is_in(p.proacl)));
    FOR open IN SELECT p.oid FROM pg_proc p
                WHERE p.pronamespace = current_schema()::regnamespace AND p.proowner = current_user::regrole
                  AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                                  AND d.deptype = 'e') LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', open);
    END LOOP;
END
$$;

SELECT grant_begin();

-- Each process compares its version with the schema's; before the migration there is no function for it.
DO $$
BEGIN
    IF to_regclass('schema_migrations') IS NOT NULL THEN
        PERFORM grant_tables(r, 'SELECT', 'schema_migrations') FROM unnest(grant_roles()) r;
    END IF;
END
$$;
