# Migrations of several folders: a database of the time when all of them were a single line gets the
# schema of a new one; the engine works without the shop; a database of another domain or of a later
# version is refused.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Basename qw(basename dirname);
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(wait_for);

my $root = "$FindBin::Bin/../../..";
my @ENGINE = map { "backend/$_/sql" } qw(db audit events http outbound);
my $s = Weir::Stack->new(redis => 0, migrate => 0);
my $folders = dirname($s->{binary}) . '/migrate-folders';

# What the one folder had: the numbered files of today's, but for those that came after it.
my %LATER = ('042_payments_dropped.sql' => 1, '061_outbox_age.sql' => 1);
my %old = map { basename($_) => $_ } glob "$root/backend/*/sql/0*.sql";
delete $old{$_} for grep { $LATER{$_} || /^(\d+)/ && $1 > 60 } keys %old;

# What 022 did at that time besides what it does now.
my $OUTBOX_AGE = 'CREATE INDEX outbox_age ON outbox USING brin (created_at)'
    . ' WITH (pages_per_range = 16, autosummarize = on)';

# Rows that must still be there, by the migration behind which they are written.
my %ROWS = (
    '003' => <<'SQL',
INSERT INTO users (id, email, display_name)
VALUES ('01900000-0000-7000-8000-0000000000aa', 'a@example.org', 'A');
INSERT INTO outbox (event_id, partition, position, type, aggregate, data)
SELECT gen_random_uuid(), 3, nullif(n, 3), 'UserCreated', 'user:' || n, '{}'
FROM generate_series(1, 3) n;
UPDATE partitions SET position = 2 WHERE partition = 3;
INSERT INTO consumer_partitions (group_name, partition, handled) VALUES ('email', 3, 1);
INSERT INTO retries VALUES ('email', 3, 2, 1, now(), 'e');
INSERT INTO dead_letters (group_name, partition, position, attempts, error)
VALUES ('email', 3, 1, 8, 'e');
INSERT INTO billing_profiles
VALUES ('01900000-0000-7000-8000-0000000000aa', 'a@example.org', gen_random_uuid());
SQL
    '020' => q{INSERT INTO idempotency_keys VALUES ('', 'k', 'f', '{"place":1}');},
    '021' => <<'SQL',
INSERT INTO payments (id, order_id, user_id, amount, currency)
VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 1, 'EUR');
INSERT INTO stray_charges (charge, key) VALUES ('ch_1', 'key');
SQL
);

sub psql {
    my ($database, $sql) = @_;
    local $ENV{PGOPTIONS} = '-c client_min_messages=warning';
    return $s->psql_as('weir', $database, $sql);
}
sub create {
    my ($database, $template) = @_;
    $s->psql_as('postgres', 'postgres',
        "CREATE DATABASE $database OWNER weir TEMPLATE " . ($template // 'template0'));
}
sub conninfo { my ($database) = @_; return $s->database =~ s/dbname=\w+/dbname=$database/r }

sub migrate {
    my ($database) = @_;
    return $s->run_command($s->{binary}, '-c', $s->write_conf(database => conninfo($database)),
        'migrate');
}

sub migrate_folders {
    my ($database, @folders) = @_;
    return $s->run_command('/usr/bin/env', '-C', $root, $folders, conninfo($database), @folders);
}

# PostgreSQL's own description of the schema, without a token that is another each time.
sub schema_of {
    my ($database) = @_;
    open my $dump, '-|', Weir::Stack::Postgres::programs() . '/pg_dump', '-h', $s->pg, '-U', 'weir',
        '--schema-only', $database
        or die "pg_dump: $!";
    my $text = join '', grep { !/^\\(?:un)?restrict / } <$dump>;
    close $dump or die "pg_dump failed\n";
    return $text;
}

sub records_of {
    my ($database) = @_;
    return psql($database, "SELECT string_agg(line || '/' || name, ' ' ORDER BY line, version)"
            . " FROM schema_migrations");
}

# The columns of each table, but of those that migrations fill.
sub columns_of {
    my ($database) = @_;
    return split /\n/, psql($database, <<'SQL');
SELECT format('%I (%s)', c.relname, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum))
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
  AND c.relname NOT IN ('schema_migrations', 'payment_transitions', 'payments_checked',
                        'relay_term', 'audit_floor')
GROUP BY c.relname ORDER BY c.relname
SQL
}

# What is in these columns: a line for each row.
sub rows_of {
    my ($database, @columns) = @_;
    my @queries;
    for (@columns) {
        my ($table, $names) = /(\w+) \((.*)\)/;
        push @queries, "SELECT '$table ' || t::text FROM (SELECT $names FROM $table) t";
    }
    my @rows = split /\n/, psql($database, join ' UNION ALL ', @queries);
    return join "\n", sort @rows;
}

sub records_are_old {
    my ($database) = @_;
    return psql($database,
              "SELECT count(*) FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass"
            . " AND attname = 'line'") == 0;
}

# Makes the next step of the one line.
sub old_step {
    my ($database, $name) = @_;
    my $text = slurp($old{$name});
    if ($text =~ /^-- outside a transaction/) {
        psql($database, $_) for split /\n\n/, $text;
    } else {
        psql($database, $text);
    }
    my ($number) = $name =~ /^(\d+)/;
    psql($database, $OUTBOX_AGE) if $number eq '022';
    psql($database, "INSERT INTO schema_migrations (version, name, applied_at)"
            . " VALUES ($number, '$name', '2026-11-28')");
    psql($database, $ROWS{$number}) if $ROWS{$number};
}

my ($status, $output) = migrate('weir');
is $status, 0, 'a new database' or diag $output;
my ($schema, $records) = (schema_of('weir'), records_of('weir'));
like $schema, qr/CREATE INDEX outbox_age/, 'has the index of 022';

create('history');
psql(     'history', 'CREATE TABLE schema_migrations (version int PRIMARY KEY, name text NOT NULL,'
        . ' applied_at timestamptz NOT NULL DEFAULT now())');

subtest 'a database of each point of the single line gets the new schema' => sub {
    is scalar(keys %old), 18, 'so many migrations it had';
    for my $name (sort keys %old) {
        old_step('history', $name);
        my ($number) = $name =~ /^(\d+)/;
        create("at_$number", 'history');
        my @columns = columns_of("at_$number");
        my $before = rows_of("at_$number", @columns);
        ($status, $output) = migrate("at_$number");
        is $status, 0, "$number: migrates" or diag $output;
        is schema_of("at_$number"), $schema, "$number: the schema is that of a new database";
        is records_of("at_$number"), $records, "$number: and so are the records";
        is psql("at_$number",
            "SELECT count(*) FROM schema_migrations WHERE applied_at = '2026-11-28'"),
            psql('history', 'SELECT count(*) FROM schema_migrations'),
            "$number: what was recorded stayed";
        is rows_of("at_$number", @columns), $before, "$number: no row is lost";
        like $before, qr/UserCreated/, 'and there were some' if $number >= 3;
    }
};

subtest 'a database with a record of what is a part of 040 now is accepted' => sub {
    create('at_042', 'history');
    psql(     'at_042', "INSERT INTO schema_migrations (version, name)"
            . " VALUES (42, '042_payments_dropped.sql')");
    ($status, $output) = migrate('at_042');
    is $status, 0, 'migrates' or diag $output;
    is schema_of('at_042'), $schema, 'to the same schema';
    is records_of('at_042'), $records, 'and records';
};

subtest 'a second run changes nothing' => sub {
    my @columns = columns_of('at_060');
    my $before = rows_of('at_060', @columns);
    ($status, $output) = migrate('at_060');
    is $status, 0, 'it runs' or diag $output;
    unlike $output, qr/migration applied/, 'and applies none';
    is schema_of('at_060'), $schema, 'the schema is the same';
    is rows_of('at_060', @columns), $before, 'and so is each row';
};

subtest 'the records wait for their lock as migrations do' => sub {
    create('locked', 'history');
    open my $reader, '|-', "exec psql -h " . $s->pg . " -U weir -d locked -XAtq >/dev/null"
        or die "psql: $!";
    $reader->autoflush(1);
    print $reader "BEGIN; SELECT FROM schema_migrations;\n";
    wait_for('the reader' => sub {
        psql('locked',
                  "SELECT count(*) FROM pg_locks WHERE relation = 'schema_migrations'::regclass"
                . " AND mode = 'AccessShareLock'");
    });
    $s->start_process('waits',
        [$s->{binary}, '-c', $s->write_conf(database => conninfo('locked')), 'migrate']);
    wait_for('it to say so' =>
            sub { $s->log_of('waits') =~ /a transaction holds a lock that the migration needs/ });
    is psql('locked', "SET lock_timeout = '20s'; SELECT count(*) FROM schema_migrations"), 18,
        'others read meanwhile';
    close $reader;
    is $s->stop_process('waits', 'CONT'), 0, 'it goes on when the lock is free';
    is records_of('locked'), $records, 'and has done all';
};

subtest 'the engine works without the shop' => sub {
    create('engine');
    ($status, $output) = migrate_folders('engine', @ENGINE);
    is $status, 0, 'on an empty database' or diag $output;
    cmp_ok psql('engine', 'SELECT max(version) FROM schema_migrations'), '>', 60,
        "migrate of that time, which looks at this, refuses it";

    # Nothing of the engine may name what is the shop's.
    my $objects = q{
        SELECT relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
        UNION SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace};
    my %engines = map { ($_ => 1) } split /\n/, psql('engine', $objects);
    my @shops = grep { !$engines{$_} } split /\n/, psql('weir', $objects);
    cmp_ok scalar(@shops), '>', 40, 'the shop has tables and functions';
    my $names = join '|', @shops;
    for my $file (map { glob "$root/$_/*.sql $root/$_/functions/*.sql" } @ENGINE) {
        my $code = slurp($file) =~ s/--.*//gr;
        unlike $code, qr/\b(?:$names)\b/, basename($file) . " names nothing of the shop's";
    }
};

subtest 'a database of another domain is refused' => sub {
    my $toys = $s->dir . '/toys/sql';
    mkdir $_ for dirname($toys), $toys, "$toys/functions", "$toys/functions/shelf";
    # The number is one that the engine has, too.
    spew("$toys/002_toys.sql", "CREATE TABLE toys (toy text PRIMARY KEY);\n");
    spew("$toys/functions/shelf/toys.sql", <<'SQL');
CREATE OR REPLACE FUNCTION toy_put(p_toy text) RETURNS void
LANGUAGE sql AS $$ SELECT outbox_put(uuid7(), 'ToyMade', 'toy:' || p_toy, '{}', NULL) $$;

CREATE OR REPLACE FUNCTION toys_apply(events outbox[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO toys SELECT e.aggregate FROM unnest(events) e;
END
$$;
SQL
    ($status, $output) = migrate_folders('engine', @ENGINE, $toys);
    is $status, 0, 'on the engine' or diag $output;
    is psql('engine', "SELECT version || name FROM schema_migrations WHERE line = 'toys'"),
        '2002_toys.sql', 'has records of its own';

    spew("$toys/functions/once.sql",
        'CREATE OR REPLACE FUNCTION once() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;');
    ($status, $output) = migrate_folders('engine', @ENGINE, $toys);
    is $status, 1, 'which has a function of the name of one of the engine';
    like $output,
        qr{toys/sql/functions/once\.sql: .*folder before this one has a function once\(\) already},
        'is refused';
    is psql('engine', "SELECT count(*) FROM pg_proc WHERE proname = 'once'"), 1,
        'and the engine has its own';
    unlink "$toys/functions/once.sql";

    # From the command to a dead letter, and back: what the processes ask of the database.
    psql('engine', "SELECT toy_put('top'); SELECT toy_put('top')");
    my $partition = psql('engine', "SELECT outbox_partition('toy:top')");
    is psql('engine', "SELECT count(*) FROM relay_give(10, ARRAY[$partition]::smallint[])"), 2,
        'the relay gives positions';
    psql('engine', "SELECT worker_step('w', '{toys}', 10000)") for 1, 2;
    psql('engine',
              "UPDATE consumer_partitions SET handled = 0, owner = 'w', epoch = 7, expires_at ="
            . " now() + interval '10 s' WHERE partition = $partition");
    my $consume = sub {
        my ($position) = @_;
        return psql('engine', <<"SQL");
SELECT string_agg(r_outcome, ' ' ORDER BY r_position)
FROM consume('toys', ${partition}::smallint, 7, 'toys_apply', '{ToyMade}', '{}', ARRAY[$position],
    ARRAY[NULL], ARRAY[false], ARRAY[false], ARRAY[0], 1, 1, 1, 10000)
SQL
    };
    is $consume->(1), 'done handled', 'a consumer has its effect';
    is $consume->(2), 'dead handled', 'or fails, for the toy is there already';
    is psql('engine', 'SELECT toy FROM toys'), 'toy:top', 'the effect';
    psql('engine', 'DELETE FROM toys');
    is psql('engine', "SELECT count(*) FROM dead_replay('toys', NULL, NULL)"), 1,
        'the dead letter is an event again';
    is psql('engine', <<'SQL'), 'new', 'idempotency keys work';
SELECT verdict
FROM once(ARRAY['SELECT 1 AS place, toy_put($1[1]), $2, $3, $4, $5, $6, $7, $8'], '{c}', '{k}',
    '{f}', ARRAY['["ball"]'::jsonb])
SQL

    create('shop', 'history');
    my $why = 'the database belongs to another domain';
    for (
        ['the shop', 'engine', sub { migrate('engine') }, 'toys/002_toys.sql'],
        [
            'the engine alone', 'engine', sub { migrate_folders('engine', @ENGINE) },
            'toys/002_toys.sql'],
        [
            'another domain on a shop of the one line', 'shop',
            sub { migrate_folders('shop', @ENGINE, $toys) }, '059_payments_age.sql'],
        [
            'another domain on a shop', 'at_060',
            sub { migrate_folders('at_060', @ENGINE, $toys) }, 'shop/059_payments_age.sql'])
    {
        my ($name, $database, $migrate, $migration) = @$_;
        my $before = schema_of($database);
        ($status, $output) = $migrate->();
        is $status, 1, "$name: refused";
        like $output, qr/has migration (?:$migration), which this weir-backend does not know: $why/,
            "$name: says why";
        is schema_of($database), $before, "$name: and has changed nothing";
    }
    ok records_are_old('shop'), 'the records are still of that time';
};

subtest 'a database of a later version is refused' => sub {
    my $why = 'the database belongs to a later version of weir-backend';
    for (['events', 'backend/events/sql', '\d{3}'], ['shop', 'backend/shop/sql', '\d{3}']) {
        my ($line, $folder, $known) = @$_;
        my $columns = '(line, version, name)';
        psql('at_060',
            "INSERT INTO schema_migrations $columns VALUES ('$line', 900, '900_later.sql')");
        ($status, $output) = migrate('at_060');
        is $status, 1, "$line: refused";
        like $output, qr{has migration 900, but the newest in $folder is $known: $why}, 'says why';
        psql('at_060', 'DELETE FROM schema_migrations WHERE version = 900');
    }
};

subtest 'the key "sql" of older configurations is accepted' => sub {
    ($status, $output) =
        $s->run_command($s->{binary}, '-c', $s->write_conf(sql => '/nowhere'), 'migrate');
    is $status, 0, 'does no harm' or diag $output;
    like $output, qr/the key \\"sql\\" has no effect and can be removed/, 'and may go';
};

done_testing;
