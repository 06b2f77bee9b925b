# Migrations of one folder: in order, once, each whole or not at all. migrate_lines.t has those of
# several.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Basename qw(dirname);
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0, migrate => 0);
my $sql = $stack->dir . '/one/sql';
mkdir $_ for $stack->dir . '/one', $sql, "$sql/functions";

sub file { my ($name, $text) = @_; spew("$sql/$name", $text) }

my @MIGRATE = (dirname($stack->{binary}) . '/migrate-folders', $stack->database, $sql);

sub migrate { return $stack->run_command(@MIGRATE) }

sub refused {
    my ($message, $name) = @_;
    my ($status, $output) = migrate();
    is $status, 1, "$name: refused";
    like $output, $message, 'says why';
}

subtest 'files are applied in order and once' => sub {
    file('001_one.sql', 'CREATE TABLE one (x int); INSERT INTO one VALUES (1);');
    file('002_two.sql', "-- it's two\nALTER TABLE one ADD y int DEFAULT 2;");
    file('.hidden.sql', 'nonsense');
    file('readme.txt', 'nonsense');
    file('functions/b.sql',
        'CREATE OR REPLACE FUNCTION b() RETURNS int LANGUAGE sql AS $$ SELECT c() $$;');
    file('functions/c.sql',
        'CREATE OR REPLACE FUNCTION c() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$;');
    for (1, 2) {
        my ($status, $output) = migrate();
        is $status, 0, "run $_" or diag $output;
        is $stack->psql('SELECT x, y, b() FROM one'), '1|2|1',
            'the schema, and functions that use each other';
        like $output, qr/"the schema is up to date".*"migrations":2/,
            'says so, also when there was nothing to do';
    }
    is $stack->psql(
        'SELECT string_agg(version || name, \' \' ORDER BY version) FROM schema_migrations'),
        '1001_one.sql 2002_two.sql', 'are recorded';
    file('functions/c.sql',
        'CREATE OR REPLACE FUNCTION c() RETURNS int LANGUAGE sql AS $$ SELECT 3 $$;');
    is +(migrate())[0], 0, 'a function has changed';
    is $stack->psql('SELECT b()'), 3, 'and is made again';
};

subtest 'a migration that fails leaves nothing' => sub {
    file('003_three.sql', 'CREATE TABLE three (x int); INSERT INTO nowhere VALUES (1);');
    file('004_four.sql', 'CREATE TABLE four (x int);');
    refused(qr/003_three\.sql.*"nowhere" does not exist/, 'a mistake');
    is $stack->psql("SELECT to_regclass('three') IS NULL AND to_regclass('four') IS NULL,"
            . " max(version) FROM schema_migrations"), 't|2', 'nothing of it, nothing after it';
    file('003_three.sql', 'CREATE TABLE three (x int);');
    is +(migrate())[0], 0, 'mended';
    is $stack->psql('SELECT max(version) FROM schema_migrations'), 4, 'all are applied';
};

subtest 'functions are all made, or none' => sub {
    file('functions/c.sql',
        'CREATE OR REPLACE FUNCTION c() RETURNS int LANGUAGE sql AS $$ SELECT 4 $$;');
    file('functions/d.sql',
        'CREATE OR REPLACE FUNCTION d() RETURNS int LANGUAGE sql AS $$ SELECT nowhere() $$;');
    refused(qr{functions/d\.sql.*nowhere\(\) does not exist}, 'a mistake in a body');
    is $stack->psql('SELECT b()'), 3, 'the others are as they were';
    unlink "$sql/functions/d.sql";
};

subtest 'an upgrade changes what CREATE OR REPLACE cannot' => sub {
    file('functions/typed.sql', <<'SQL');
CREATE OR REPLACE FUNCTION typed(a int) RETURNS TABLE (x int) LANGUAGE sql AS $$ SELECT a $$;
CREATE OR REPLACE FUNCTION user_of_typed() RETURNS bigint LANGUAGE sql
AS $$ SELECT sum(x) FROM typed(2) $$;
SQL
    is +(migrate())[0], 0, 'the old functions';
    $stack->psql(<<'SQL');
CREATE FUNCTION of_others(a int) RETURNS int LANGUAGE sql AS 'SELECT 7';
CREATE FUNCTION c(a text, b text) RETURNS int LANGUAGE sql AS 'SELECT 8';
CREATE TABLE watched (x int);
SQL
    file('functions/typed.sql', <<'SQL');
CREATE OR REPLACE FUNCTION typed(other int, more int DEFAULT 1) RETURNS TABLE (x int, y text)
LANGUAGE sql AS $$ SELECT other + more, 'new' $$;
CREATE OR REPLACE FUNCTION user_of_typed() RETURNS text LANGUAGE sql
AS $$ SELECT x || y FROM typed(2) $$;
SQL
    my ($status, $output) = migrate();
    is $status, 0, 'other results, other parameters' or diag $output;
    is $stack->psql('SELECT user_of_typed()'), '3new', 'they are the new ones';
    is $stack->psql("SELECT count(*) FROM pg_proc WHERE proname IN ('typed', 'c')"), 2,
        'and no old one is beside them';
    is $stack->psql('SELECT of_others(1)'), 7, 'a function that no file has stays';

    file('functions/watch.sql',
              'CREATE OR REPLACE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql'
            . ' AS $$ BEGIN NEW.x = 1; RETURN NEW; END $$;');
    is +(migrate())[0], 0, "a trigger's function";
    $stack->psql(
        'CREATE TRIGGER watch BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION watch()');
    file('functions/watch.sql',
              'CREATE OR REPLACE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql'
            . ' AS $$ BEGIN NEW.x = 2; RETURN NEW; END $$;');
    is +(migrate())[0], 0, 'is replaced under it';
    is $stack->psql('INSERT INTO watched VALUES (0) RETURNING x'), 2,
        'and the trigger has the new one';

    file('functions/typed.sql',
              'CREATE OR REPLACE FUNCTION typed(a int) RETURNS int LANGUAGE sql AS $$'
            . ' SELECT nowhere() $$;');
    refused(qr{functions/typed\.sql.*nowhere\(\) does not exist}, 'a mistake in an upgrade');
    is $stack->psql('SELECT user_of_typed()'), '3new', 'nothing was dropped';
    file('functions/typed.sql',
              'CREATE OR REPLACE FUNCTION "Typed"(a int) RETURNS int LANGUAGE sql AS $$'
            . ' SELECT 1 $$;');
    refused(
        qr{functions/typed\.sql: a function's name must be .*"CREATE OR REPLACE FUNCTION \\?"Typed},
        'a name that would not be found again');
    unlink "$sql/functions/typed.sql";
};

subtest 'a wrong name and a repeated number are refused' => sub {
    file('005.sql', '');
    refused(qr{sql/005\.sql: the name of a migration must be NNN_name\.sql}, 'a name');
    unlink "$sql/005.sql";
    file('004_again.sql', '');
    refused(qr/two migrations have the number 004/, 'a number twice');
    unlink "$sql/004_again.sql";
};

subtest 'a later database is refused' => sub {
    $stack->psql("INSERT INTO schema_migrations (line, version, name)"
            . " VALUES ('one', 9, '009_later.sql')");
    refused(qr/has migration 009, but the newest in .* is 004: .* belongs to a later version/,
        'a later one');
    $stack->psql('DELETE FROM schema_migrations WHERE version = 9');
};

subtest 'two at a time wait for each other' => sub {
    file('005_slow.sql', 'SELECT pg_sleep(0.3); CREATE TABLE five (x int);');
    $stack->start_process($_, \@MIGRATE) for qw(a b c);
    is $stack->stop_process($_, 'CONT'), 0, "$_ is done" for qw(a b c);
    is $stack->psql('SELECT count(*) FROM schema_migrations WHERE version = 5'), 1, 'applied once';
};

subtest 'statements that are not in a transaction' => sub {
    file('006_index.sql',
              "-- outside a transaction\n-- of one\nDROP INDEX CONCURRENTLY IF EXISTS"
            . " by_x;\n\nCREATE INDEX CONCURRENTLY by_x ON one (x);\n\nCREATE INDEX"
            . " CONCURRENTLY by_z ON one (z);\n");
    refused(qr/006_index\.sql.*"z" does not exist/, 'a mistake in the last one');
    is $stack->psql("SELECT to_regclass('by_x') IS NOT NULL, count(*) FROM schema_migrations"
            . " WHERE version = 6"), 't|0', 'what was done stays, and is not recorded';
    file('006_index.sql', slurp("$sql/006_index.sql") =~ s/\(z\)/(y)/r);
    $stack->start_process($_, \@MIGRATE) for qw(a b c);
    is $stack->stop_process($_, 'CONT'), 0, "$_ is done, beside others" for qw(a b c);
    is $stack->psql("SELECT bool_and(indisvalid), count(*) FROM pg_index"
            . " WHERE indexrelid IN ('by_x'::regclass, 'by_z'::regclass)"), 't|2',
        'mended, all is done';
};

subtest 'a migration that waits for a lock holds up no other session' => sub {
    file('007_seven.sql', 'ALTER TABLE one ADD seven int;');
    my $reader = $stack->session('BEGIN; SELECT FROM one;');
    $stack->start_process('waits', \@MIGRATE);
    wait_for(
        'it to say so' =>
            sub { $stack->log_of('waits') =~ /a transaction holds a lock that the migration needs/ }
    );
    is $stack->psql("SET lock_timeout = '20s'; SELECT count(*) FROM one"), 1,
        'others read the table'
        for 1 .. 3;
    close $reader;
    is $stack->stop_process('waits', 'CONT'), 0, 'it goes on when the lock is free';
    is scalar(() = $stack->log_of('waits') =~ /holds a lock/g), 1, 'and has said it once';
    is $stack->psql('SELECT count(*) FROM one WHERE seven IS NULL'), 1, 'done';
};

subtest 'a database that is not in UTF-8 is refused' => sub {
    $stack->psql_as('postgres', 'postgres', "CREATE DATABASE latin OWNER weir ENCODING 'LATIN1'"
        . " LOCALE 'C' TEMPLATE template0");
    my $conf = $stack->write_conf(database => 'host=' . $stack->pg . ' dbname=latin user=weir');
    my ($status, $output) = $stack->run_command($stack->{binary}, '-c', $conf, 'migrate');
    is $status, 1, 'exit code';
    like $output, qr/the database's encoding is LATIN1; it must be UTF8/, 'says why';
    is $stack->psql_as('weir', 'latin', "SELECT to_regclass('schema_migrations') IS NULL"), 't',
        'and nothing was made';
};

subtest 'a database that is away is an error, and is named' => sub {
    $stack->stop_postgres;
    refused(qr/connection to server .* failed/, 'away');
};

done_testing;
