# Settings of the role and the database that change what SQL means, or how long a session lives,
# change nothing.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my %HOSTILE = (
    array_nulls => 'off',
    backslash_quote => 'on',
    bytea_output => 'escape',
    client_min_messages => 'error',
    DateStyle => "'SQL, DMY'",
    default_transaction_deferrable => 'on',
    default_transaction_isolation => 'serializable',
    default_transaction_read_only => 'on',
    enable_indexscan => 'off',
    enable_nestloop => 'off',
    exit_on_error => 'on',
    extra_float_digits => -15,
    idle_in_transaction_session_timeout => 1,
    idle_session_timeout => 3000,
    IntervalStyle => 'iso_8601',
    jit => 'on',
    jit_above_cost => 0,
    lc_numeric => "'C.UTF-8'",
    lock_timeout => 1,
    plan_cache_mode => 'force_custom_plan',
    quote_all_identifiers => 'on',
    row_security => 'off',
    search_path => 'elsewhere, pg_catalog',
    standard_conforming_strings => 'off',
    statement_timeout => 1,
    synchronous_commit => 'off',
    TimeZone => "'Asia/Kathmandu'",
    transform_null_equals => 'on',
    xmlbinary => 'hex',
    'plpgsql.extra_errors' => "'all'",
);

my $s =
    Weir::Stack->new(roles => 0,
        conf => { retry_base => '20ms', retry_max => '200ms', retry_attempts => '2' });
my $super = sub { $s->psql_as('postgres', 'weir', $_[0]) };
my $e = Weir::Events->new($s);

# Before the role's settings, which hold for psql as well.
$super->(<<'SQL');
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.users (id int);
GRANT ALL ON SCHEMA elsewhere TO weir;
GRANT ALL ON elsewhere.users TO weir;
CREATE ROLE nobody;
GRANT nobody TO weir
SQL
my $count = sub { $super->("SELECT count(*) FROM public.$_[0]") };
my $handled = sub {
    return $super->(<<'SQL') eq 't';
SELECT (SELECT count(*) FROM public.outbox WHERE position IS NULL) = 0 AND NOT EXISTS (
    SELECT FROM public.consumer_partitions c JOIN public.partitions p USING (partition)
    WHERE c.handled < p.position)
SQL
};
$s->start_smtp;

# Ends all sessions, and waits until as many are open again (or refused, with wait => 0).
my $sessions = sub {
    $super->("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'weir-%' $_[0]");
};
my $reconnect = sub {
    my (%option) = @_;
    my $now = $super->('SELECT clock_timestamp()');
    my $n = $sessions->('');
    $super->("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            . " WHERE application_name LIKE 'weir-%'");
    wait_for(
        'the sessions' => sub { $sessions->("AND backend_start > '$now' AND state = 'idle'") >= $n }
    ) if $option{wait} // 1;
};

my ($users, $open) = (0, 0);
my $sign_up = sub {
    my ($name) = @_;
    my @status = map {
        $s->post('/signup', { email => "$name$_\@example.org", displayName => 'D' })->{status}
    } 1 .. 10;
    $users += 10;
    is "@status", '201 ' x 9 . '201', "$name: signups are answered";
    wait_for('their events', $handled);
    wait_for('all effects' => sub {
        $super->("SELECT count(*) FROM public.users WHERE status = 'ACTIVE'") == $users;
    });
    is $count->('dead_letters'), 0, "$name: no dead letter";
    is $count->('retries'), 0, "$name: nor a retry";
};

subtest 'settings of role and database change no result' => sub {
    # Both ways come with the session.
    for my $name (sort keys %HOSTILE) {
        my $whose =
            $name =~ /^(?:array_nulls|DateStyle|search_path|TimeZone)$/
            ? 'DATABASE weir'
            : 'ROLE weir';
        $super->("ALTER $whose SET $name = $HOSTILE{$name}");
    }
    # libpq compares default_transaction_read_only with it while it connects.
    $ENV{PGTARGETSESSIONATTRS} = 'read-write';
    # Options of the connection string come to Weir's own, not in their place.
    $s->{conf}{database} = $s->database . " options='-c geqo=off -c statement_timeout=29s'";
    my ($status, $said) = $s->run_backend('migrate');
    is $status, 0, 'migrate' or diag $said;
    is $super->('SELECT count(*) FROM pg_class WHERE relnamespace = $$elsewhere$$::regnamespace'),
        1,
        'it has made nothing in the schema that search_path names';
    $s->start_backend('all');
    $sign_up->('all');
    ($status, my $out, my $err) = $s->weirctl('events', 'tail', '-n', '3');
    is "$status $err", '0 ', 'weirctl';
    like $out, qr/UserCreated/, 'weirctl says what it should';

    $open = $sessions->('');
    cmp_ok $open, '>', 10, 'sessions are open';
    is scalar(grep { $_->{msg} =~ /session lost|cannot be reached/ } $s->log_lines('all')), 0,
        'and were not lost';
};

subtest 'a role without rights on the tables is refused by name' => sub {
    $super->("ALTER ROLE weir SET role = 'nobody'");
    $reconnect->();
    $sign_up->('role');
    $super->('ALTER ROLE weir RESET role');
};

subtest 'a setting that only a superuser could correct is refused by name' => sub {
    $super->('ALTER ROLE weir SET session_replication_role = replica');
    $reconnect->(wait => 0);
    wait_for('the log to say so' => sub {
        grep { ($_->{error} // '') =~ /cannot be changed: .*session_replication_role/ }
            $s->log_lines('all');
    });
    is $s->get('/users/00000000-0000-7000-8000-000000000000')->{status}, 503,
        'nothing is done in such a session';
    my ($status, undef, $err) = $s->weirctl('groups', '--interval', '0');
    is $status, 3, 'weirctl refuses, too';
    like $err, qr/session_replication_role/, 'and says why';
    $super->('ALTER ROLE weir RESET session_replication_role');
    wait_for(
        'the api' => sub { $s->get('/users/00000000-0000-7000-8000-000000000000')->{status} == 404 }
    );
    wait_for('all sessions' => sub { $sessions->("AND state = 'idle'") >= $open });
    $sign_up->('after');
};

subtest 'a search_path of the role hides no table' => sub {
    $super->('CREATE SCHEMA second; CREATE TABLE second.outbox (); CREATE TABLE'
            . ' second.schema_migrations ()');
    my ($status, undef, $err) = $s->weirctl('groups', '--interval', '0');
    is $status, 3, 'two schemas with such tables, and neither is named';
    like $err, qr/more than one schema: .*search_path must name one/, 'it says what to do';
    $super->("ALTER ROLE weir SET search_path = public, second");
    $super->('ALTER DATABASE weir RESET search_path');
    ($status) = $s->weirctl('groups', '--interval', '0');
    is $status, 0, 'the first one in search_path is taken';
};

is $s->stop_backend('all'), 0, 'stops gracefully';
done_testing;
