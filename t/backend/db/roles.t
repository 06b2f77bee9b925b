# The roles of the processes in PostgreSQL: each has the rights that
# docs/guides/access/database-roles.md names, and no other. All other tests of the backend run with
# these roles, so a right that is missing makes them fail.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(slurp);
use Weir::Stack qw(wait_for);

my $GUIDE = "$FindBin::Bin/../../../docs/guides/access/database-roles.md";
my $MIGRATE = 'CREATE ROLE weir_migrate NOLOGIN;'
    . ' CREATE ROLE user_migrate LOGIN IN ROLE weir_migrate;';
my @ROLES = map { "weir_$_" } @Weir::Stack::Postgres::ROLES;

# What the guide says: role => { calls => { function => 1 }, tables => { table => 'SELECT, …' } }.
sub of_guide {
    my %of;
    my $text = slurp($GUIDE);
    while ($text =~ /^### `(weir_\w+)`\n(.*?)(?=^#|\z)/msg) {
        my ($role, $section) = ($1, $2);
        my ($calls) = $section =~ /^(Calls .*?)(?:\n\n|\z)/ms;
        my ($has)   = $section =~ /^Has (.*?)(?:\n\n|\z)/ms;
        $of{$role}{calls}{$_} = 1 for $calls =~ /`(\w+)`/g;
        while ($has =~ /((?:[A-Z]+,? )+)on ([^;]*)/gs) {
            my ($privileges, $tables) = ($1, $2);
            $privileges =~ s/ \z//;
            $of{$role}{tables}{$_} = $privileges for $tables =~ /`(\w+)`/g;
        }
    }
    return \%of;
}

# The error of a statement that must fail for that user.
sub refusal {
    my ($s, $user, $sql) = @_;
    my @command = (
        Weir::Stack::Postgres::programs() . '/psql', '-h', $s->pg, '-U', $user, '-d', 'weir',
        '-v', 'ON_ERROR_STOP=1', '-XAtqc', $sql);
    my ($status, $output) = $s->run_command(@command);
    return $status == 0 ? "no error: $output" : $output;
}

my $guide = of_guide();

subtest 'each role has the rights that the guide names, and no other' => sub {
    my $s = Weir::Stack->new(redis => 0);
    is join(' ', sort keys %$guide), join(' ', sort @ROLES), 'the guide has all roles';
    for my $role (@ROLES) {
        my $may = $s->psql(<<"SQL");
SELECT string_agg(p.proname, ' ' ORDER BY p.proname COLLATE "C") FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND has_function_privilege('$role', p.oid, 'EXECUTE')
SQL
        is $may, join(' ', sort keys %{ $guide->{$role}{calls} }), "$role calls";
        my $has = $s->psql(<<"SQL");
SELECT string_agg(t.name || ': ' || t.has, E'\\n' ORDER BY t.name COLLATE "C")
FROM (SELECT c.relname AS name, string_agg(w.what, ', ' ORDER BY w.n) AS has
      FROM pg_class c
      CROSS JOIN unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[])
          WITH ORDINALITY w(what, n)
      WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND (has_table_privilege('$role', c.oid, w.what)
             OR w.n IN (1, 2, 3, 6) AND has_any_column_privilege('$role', c.oid, w.what))
      GROUP BY c.relname) t
SQL
        my $tables = $guide->{$role}{tables};
        is $has, join("\n", map {"$_: $tables->{$_}"} sort keys %$tables), "$role has on tables";
        is $s->psql(<<"SQL"), '0|f|t', "$role has no sequence, and sees the schema";
SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
        AND CASE WHEN c.relkind = 'S'
                 THEN has_sequence_privilege('$role', c.oid, 'USAGE, SELECT, UPDATE') END),
       has_schema_privilege('$role', 'public', 'CREATE'),
       has_schema_privilege('$role', 'public', 'USAGE')
SQL
    }
    is $s->psql(<<'SQL'), '0|0', 'PUBLIC has no function and no table';
SELECT (SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
        AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0))),
       (SELECT count(*) FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a
        WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0)
SQL
    is $s->psql(<<'SQL'), 'once rfc3339', 'these work with the rights of their callers';
SELECT string_agg(DISTINCT p.proname, ' ' ORDER BY p.proname)
FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) a
WHERE p.pronamespace = 'public'::regnamespace AND a.grantee <> p.proowner AND NOT p.prosecdef
SQL
    is $s->psql(<<'SQL'), '', 'others have a path of their own, and a role calls each';
SELECT string_agg(p.proname, ' ') FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace AND p.prosecdef
  AND (NOT EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee <> p.proowner)
       OR 'search_path=public, pg_temp' <> ALL (p.proconfig))
SQL
    is $s->psql("SELECT count(*) FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace"
            . ' AND p.prosecdef AND has_function_privilege(\'weir_api\', p.oid, \'EXECUTE\')'), 15,
        'the API has fifteen';
};

# By the text of the statements: a process whose test runs as the owner would not show it.
subtest 'a role may call each function that a program calls' => sub {
    my $s = Weir::Stack->new(redis => 0);
    my %granted = map { %{ $_->{calls} } } values %$guide;
    my $find = "find '$FindBin::Bin/../../../backend' -name '*.c' -not -path '*/migrate/*'";
    my @sources = split ' ', `$find`;
    my $programs = join "\n", map { slurp($_) } @sources;
    my %called = map { $_ => 1 } $programs =~ /\b(?:SELECT|FROM)[ ]+(?:\w+\()*?(\w+)\((?:\$\d|\))/g;
    my @functions = split /\n/, $s->psql("SELECT DISTINCT p.proname FROM pg_proc p"
            . " WHERE p.pronamespace = 'public'::regnamespace");
    my @of_programs = grep { $called{$_} } @functions;
    cmp_ok @of_programs, '>', 30, 'functions are found';
    is join(' ', grep { !$granted{$_} } sort @of_programs), '', 'all are granted';
    is $s->psql_as('user_operator', 'weir',
        q(SELECT audit_put_ctl('{"subject":"os:a"}', 'key.make', 'key:x', '{}'))), '1',
        'an operator records what weirctl does';
};

subtest 'what they do not need is refused' => sub {
    my $s = Weir::Stack->new(redis => 0);
    my %tried = (
        user_api => [
            'SELECT * FROM outbox', 'SELECT * FROM users', 'INSERT INTO users DEFAULT VALUES',
            'SELECT * FROM audit_records', 'UPDATE payments SET status = $$SUCCEEDED$$',
            'SELECT * FROM idempotency_keys', 'DELETE FROM idempotency_keys',
            'SELECT group_delete($$email$$, true)',
            'SELECT outbox_put(NULL, NULL, NULL, NULL, NULL)',
        ],
        user_relay => [
            'UPDATE outbox SET data = $$[]$$', 'DELETE FROM outbox', 'DELETE FROM audit_records',
            'UPDATE audit_heads SET head = $$$$', 'INSERT INTO audit_records DEFAULT VALUES',
            'SELECT audit_add_partition($$x$$, $$DEFAULT$$)', 'TRUNCATE audit_seals',
        ],
        user_worker => [
            'UPDATE outbox SET position = NULL', 'INSERT INTO outbox DEFAULT VALUES',
            'DELETE FROM dead_letters', 'UPDATE audit_records SET subject = $$x$$',
            'DELETE FROM users', 'SELECT email_apply(NULL)', 'SELECT relay_rebase(1)',
        ],
        user_ctl => [
            'SELECT * FROM users', 'SELECT * FROM idempotency_keys', 'DELETE FROM dead_letters',
            'SELECT dead_drop($$a$$, 0::smallint, 1, NULL)', 'SELECT group_pause($$email$$)',
        ],
        user_operator => [
            'DELETE FROM dead_letters', 'UPDATE partitions SET halted = NULL',
            'DELETE FROM audit_records', 'SELECT signup(NULL, NULL, NULL, NULL, NULL)',
            'SELECT audit_put(NULL, NULL, $$user.delete$$, $$user:1$$, $$accepted$$)',
            map({"SELECT audit_put_ctl($_)"}
                '$${"subject":"os:a"}$$, $$user.delete$$, $$user:1$$, NULL',
                '$${"subject":"os:a"}$$, $$key.make$$, $$user:1$$, NULL',
                '$${"subject":"os:a"}$$, $$key.make x$$, $$key:x$$, NULL',
                '$${"subject":"sub:a"}$$, $$key.make$$, $$key:x$$, NULL',
                '$${}$$, $$key.make$$, $$key:x$$, NULL', 'NULL, $$key.make$$, $$key:x$$, NULL',
                '$${"subject":"os:a"}$$, NULL, NULL, NULL'),
        ],
    );
    for my $user (sort keys %tried) {
        my @all = (
            @{ $tried{$user} },
            'CREATE TABLE public.mine ()', 'DROP TABLE consumed', 'SET ROLE weir',
            'ALTER FUNCTION rfc3339(timestamptz) RENAME TO x',
            'ALTER TABLE outbox DISABLE TRIGGER ALL',
            'CREATE FUNCTION public.f() RETURNS int LANGUAGE sql RETURN 1',
            'GRANT SELECT ON outbox TO user_worker');
        like refusal($s, $user, $_),
            qr/permission denied|must be owner|no privileges were granted/, "$user: $_"
            for @all;
    }
};

subtest 'who may only look sees all that weirctl shows' => sub {
    my $s = Weir::Stack->new;
    $s->{conf}{database_ctl} = $s->database =~ s/user=weir/user=user_ctl/r;
    $s->psql("INSERT INTO consumer_partitions (group_name, partition, handled) VALUES ('g', 0, 0);"
            . ' INSERT INTO dead_letters (group_name, partition, position, attempts, error)'
            . " VALUES ('g', 0, 1, 1, 'e');"
            . " SELECT audit_put(NULL, NULL, 'user.delete', 'user:1', 'accepted')");
    for my $command (
        'groups --interval 0', 'outbox', 'relay', 'dead list', 'dead show g 0/1',
        'audit list', 'audit show 1') {
        my ($status, $out, $err) = $s->weirctl(split ' ', $command);
        is $status, 0, $command or diag $err;
    }
};

subtest 'functions lend nothing to statements, tables or functions of their callers' => sub {
    my $s = Weir::Stack->new(redis => 0);
    my $once = sub {
        my ($key, $sql) = @_;
        return "SELECT * FROM once(ARRAY['$sql'], '{a}', '{$key}', '{c}', ARRAY['[]'::jsonb])";
    };
    is $s->psql_as('user_api', 'weir', $once->('b', 'SELECT 1 AS place')), '1|new|{"place":1}',
        'a statement of once()';
    like refusal($s, 'user_api', $once->('d', 'SELECT count(*) AS place FROM users')),
        qr/permission denied for table users/, 'has the rights of the API';

    $s->psql('INSERT INTO consumer_partitions (group_name, partition, handled, owner)'
            . " SELECT 'g', 0, 0, 'w';"
            . ' INSERT INTO outbox (event_id, partition, position, type, aggregate, data)'
            . " SELECT gen_random_uuid(), 0, n, 'T', 'a:' || n, '{}' FROM generate_series(1, 3) n;"
            . ' UPDATE partitions SET position = 3 WHERE partition = 0');
    my $position = 0;
    my $consume = sub {
        $position++;
        return "SELECT * FROM consume('g', 0::smallint, 0, '$_[0]', '{T}', '{}', '{$position}',"
            . " '{NULL}', '{f}', '{f}', '{0}', 1, 1, 1, 1000)";
    };
    for my $function ('group_delete', 'audit_prepare', 'evil') {
        my $made = $function ne 'evil' ? ''
            : 'CREATE FUNCTION pg_temp.evil(public.outbox[]) RETURNS void LANGUAGE sql AS'
            . ' $$ DELETE FROM public.audit_heads $$; ';
        my $said = refusal($s, 'user_worker', 'SET search_path = pg_temp, public; ' . $made
                . $consume->($function));
        like $said, qr/function $function\((?:public\.)?outbox\[\]\) does not exist/,
            "consume() calls no $function()";
    }
    my $said = $s->psql_as('user_relay', 'weir',
        'CREATE TEMP TABLE outbox (position bigint, created_at timestamptz);'
            . ' SET search_path = pg_temp, public; INSERT INTO outbox VALUES (NULL, now());'
            . ' SELECT waiting FROM public.readings_outbox()');
    is $said, 0, 'a temporary table is not the outbox';
};

subtest 'an installation of one user goes on, and takes the roles when they are there' => sub {
    my $s = Weir::Stack->new(roles => 0, conf => { groups => 'flags' });
    my $open = 'SELECT count(*) FILTER (WHERE p.prosecdef),'
        . " count(*) FILTER (WHERE p.proacl IS NOT NULL) FROM pg_proc p"
        . " WHERE p.pronamespace = 'public'::regnamespace";
    is $s->psql($open), '0|0', 'without the roles no right is given or taken';
    $s->psql_as('postgres', 'weir',
        'CREATE FUNCTION of_another() RETURNS int LANGUAGE sql RETURN 1');
    $s->start_backend('all');
    my $sign_up = sub {
        $s->post('/signup', { email => "$_[0]\@example.com", displayName => 'A' })->{status};
    };
    is $sign_up->('one'), 201, 'it works';

    $s->psql_as('postgres', 'postgres', 'CREATE ROLE weir_api NOLOGIN');
    my ($status, $output) = $s->run_backend('migrate');
    is $status, 1, 'some of the roles';
    like $output, qr/weir_relay, weir_worker, weir_ctl, weir_operator; create all of them, or none/,
        'are refused by name';
    is $s->psql($open), '0|0', 'and nothing has changed';
    $s->psql_as('postgres', 'postgres', 'DROP ROLE weir_api');

    $s->make_roles;
    is +($s->run_backend('migrate'))[0], 0, 'all of them';
    isnt $s->psql($open), '0|0', 'get their rights';
    is $s->psql_as('user_ctl', 'weir', 'SELECT of_another()'), 1, 'functions of others stay theirs';
    is $sign_up->('two'), 201, 'the process of the owner goes on';
    is $s->stop_backend('all'), 0, 'and stops';
    $s->{roles} = 1;
    $s->start_backend('all');
    is $sign_up->('three'), 201, 'with the roles, too';
    is $s->psql("SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename) FROM pg_stat_activity"
            . " WHERE application_name LIKE 'weir-%'"), 'user_api user_relay user_worker',
        'each part as its own user';

    $s->psql_as('postgres', 'weir', "$MIGRATE REASSIGN OWNED BY weir TO weir_migrate");
    $s->{conf}{database_migrate} = $s->database =~ s/user=weir/user=user_migrate/r;
    ($status, $output) = $s->run_backend('migrate');
    is $status, 0, 'migrate under another owner' or diag $output;
    is $sign_up->('four'), 201, 'and all goes on';
    is $s->psql_as('postgres', 'weir', <<'SQL'), 'weir_migrate', 'one role owns all';
SELECT string_agg(DISTINCT o.owner::regrole::text, ' ')
FROM (SELECT relowner AS owner FROM pg_class WHERE relnamespace = 'public'::regnamespace
      UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = 'public'::regnamespace) o
WHERE o.owner <> 'postgres'::regrole
SQL
    is $s->psql_as('postgres', 'weir',
        'SELECT count(*) FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a'
            . " WHERE c.relname ~ '^audit_(records|seals|heads)' AND c.relkind IN ('r', 'p')"
            . " AND a.privilege_type IN ('UPDATE', 'DELETE', 'TRUNCATE')"), 0,
        'which may not change the audit log either';
    is $s->stop_backend('all'), 0, 'stops';
};

subtest 'a database that weir_migrate makes belongs to it' => sub {
    my $s = Weir::Stack->new(redis => 0, migrate => 0);
    $s->psql_as('postgres', 'weir', "$MIGRATE ALTER DATABASE weir OWNER TO weir_migrate");
    $s->{conf}{database_migrate} = $s->database =~ s/user=weir/user=user_migrate/r;
    is +($s->run_backend('migrate'))[0], 0, 'migrated';
    is $s->psql_as('postgres', 'weir', "SELECT string_agg(DISTINCT tableowner, ' ') FROM pg_tables"
            . " WHERE schemaname = 'public'"), 'weir_migrate', 'the role owns it, not its member';
};

subtest 'the statements of the guide' => sub {
    my $s = Weir::Stack->new(redis => 0, migrate => 0, roles => 0);
    my ($make, $give) = slurp($GUIDE) =~ /```sql\n(.*?)```/sg;
    $s->psql_as('postgres', 'postgres', $_) for split /;\n\s*/, $make;
    my $login = sub { 'host=' . $s->pg . " dbname=shop user=shop_$_[0]" };
    local $s->{conf}{database} = $login->('migrate');
    is +($s->run_backend('migrate'))[0], 0, 'migrated';
    is $s->psql_as('postgres', 'shop', "SELECT string_agg(DISTINCT tableowner, ' ') FROM pg_tables"
            . " WHERE schemaname = 'public'"), 'weir_migrate', 'as the owner';
    my $by_id = "SELECT place FROM users_by_id('{00000000-0000-7000-8000-000000000000}')";
    is Weir::Stack::Postgres::query($s->pg, 'shop_api', 'shop', $by_id), 1, 'the API may ask';
    my $outsider = Weir::Stack::Postgres::succeeds($s->pg, 'weir', 'shop', 'SELECT 1');
    ok !$outsider, 'another user may not connect';
    $s->psql_as('postgres', 'shop', 'CREATE ROLE shop; CREATE TABLE of_shop ()');
    $s->psql_as('postgres', 'shop', 'ALTER TABLE of_shop OWNER TO shop');
    $s->psql_as('postgres', 'shop', $give);
    is $s->psql_as('postgres', 'shop',
        "SELECT tableowner FROM pg_tables WHERE tablename = 'of_shop'"), 'weir_migrate',
        'what one user owns is given to the role';
};

subtest 'a grant that was forgotten is named' => sub {
    my $s = Weir::Stack->new;
    $s->start_backend('api');
    $s->psql('REVOKE EXECUTE ON FUNCTION signup FROM weir_api');
    my $r = $s->post('/signup', { email => 'a@example.com', displayName => 'A' });
    is $r->{status}, 503, 'the request is not answered';
    my ($line) = grep { ($_->{advice} // '') =~ /grant_execute\(\)/ } $s->log_lines('api');
    like $line->{error} // '', qr/permission denied for function signup/, 'the log names it';
    $s->psql('INSERT INTO consumer_partitions (group_name, partition, handled)'
            . " VALUES ('email', 0, 0)");
    my ($status, $out, $err) = do {
        local $s->{conf}{database_ctl} = $s->database =~ s/user=weir/user=user_ctl/r;
        $s->weirctl('groups', 'pause', 'email');
    };
    is $status, 3, 'weirctl of a user who may only look';
    like $err, qr/permission denied for function group_pause.*database-roles\.md/, 'says so';
};

done_testing;
