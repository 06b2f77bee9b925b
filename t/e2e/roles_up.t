# ./weir up: each part of the backend logs in to PostgreSQL as a user of its own, with a password
# that nobody else can read. A stack of an earlier version, in which all are one user, gets that.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Base qw(output_of slurp spew wait_for);
use Weir::Operator;

# psql as that user, with that file of passwords; returns its exit code and what it printed.
sub psql_as {
    my ($user, $passfile, @arguments) = @_;
    my ($psql) = sort { $b cmp $a } glob '/usr/lib/postgresql/*/bin/psql';
    local $ENV{PGPASSFILE} = $passfile;
    return output_of($psql, '-w', '-h', "$run/pg", '-U', $user, '-d', 'weir', '-XAtq', @arguments);
}

# With passwords first; at the end with certificates.
@ENV{qw(WEIR_TLS WEIR_IDENTITY)} = (0, 0);
my $emails = 0;
sub signs_up {
    my $user = { email => $emails++ . '@example.com', displayName => 'A' };
    return ask('POST', '/signup', $user)->{status};
}

up();
wait_for('the first signup' => sub { signs_up() == 201 });
my $admin = "$run/postgres-passwords";
my ($code, $text) = psql_as('postgres', $admin, '-c',
    "SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename) FROM pg_stat_activity"
        . " WHERE application_name LIKE 'weir-%'");
is $text, "stack_api stack_relay stack_worker\n", 'each part is a user of its own';
is slurp("$run/postgres/pg_hba.conf"), "local all all scram-sha-256\n", 'all need a password';
for my $user (qw(postgres weir stack_api stack_operator)) {
    ($code, $text) = psql_as($user, '/dev/null', '-c', 'SELECT 1');
    is $code, 2, "$user has no way in without it";
}
for my $file ($admin, glob "$run/database/*") {
    is sprintf('%03o', (stat $file)[2] & 07777), '600', "$file is its owner's alone";
}
is sprintf('%03o', (stat "$run/pg")[2] & 07777), $> == 0 ? '750' : '700',
    "PostgreSQL's socket is for the services";
if ($> == 0) {
    my %is;
    for my $service (qw(postgres redis smtp payments traces backend nginx)) {
        my ($pid) = slurp("$run/pids/$service") =~ /^(\d+)/;
        $is{$service} = getpwuid((stat "/proc/$pid")[4]);
    }
    is_deeply \%is, {
        postgres => 'postgres', nginx => 'root',
        map({ $_ => 'weir' } qw(redis smtp payments traces backend)) },
        'root drops to accounts without rights; only the master of nginx stays';
}
($code, $text) = psql_as('stack_api', "$run/database/api", '-c', 'DELETE FROM outbox');
like $text, qr/permission denied for table outbox/, 'a password gives the rights of its part';
($code, $text) = psql_as('weir', $admin, '-c', 'CREATE TABLE mine (); DROP TABLE mine');
is $code, 0, './weir psql may change all' or diag $text;

my @passwords = map { /:(\w+)$/mg } map { slurp($_) } $admin, glob "$run/database/*";
is scalar(@passwords), 6, 'six passwords';
my $secret = join '|', @passwords;
my @leaks = grep { -f && slurp($_) =~ /$secret/ } glob "$run/logs/* $run/*.conf $run/pids/*";
is "@leaks", '', 'are in no log and no configuration';
@leaks = grep { slurp($_) =~ /$secret/ } glob '/proc/[0-9]*/cmdline /proc/[0-9]*/environ';
is "@leaks", '', 'and in the arguments and the environment of no process';

$text = up();
like $text, qr/postgres +running.*backend +running/s, 'another up changes nothing';
is((weir('ctl', 'groups', 'pause', 'email'))[0], 0, './weir ctl may act');

# New passwords, without a restart.
rename "$run/database/api", "$run/old-api" or die $!;
$text = up();
like $text, qr/postgres +running.*backend +running/s, 'a password that was removed is made again';
is((psql_as('stack_api', "$run/old-api", '-c', 'SELECT 1'))[0], 2, 'the old one is refused');
is((psql_as('stack_api', "$run/database/api", '-c', 'SELECT 1'))[0], 0, 'the new one is good');
psql_as('postgres', $admin, '-c',
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'stack_api'");
ok comes_true(20, sub { signs_up() == 201 }), 'also for new sessions of the API';

# As an earlier version has left it.
($code, $text) = psql_as('postgres', $admin, '-c', <<'SQL');
REASSIGN OWNED BY weir_migrate TO weir;
ALTER DATABASE weir OWNER TO weir;
DROP OWNED BY stack_api, stack_relay, stack_worker, stack_operator;
DROP OWNED BY weir_api, weir_relay, weir_worker, weir_ctl, weir_operator;
SQL
is $code, 0, 'one user owns all' or diag $text;
is((weir('down'))[0], 0, 'down');
unlink $admin or die $!;
up();
wait_for('signups' => sub { signs_up() == 201 });
($code, $text) = psql_as('postgres', $admin, '-c',
    "SELECT string_agg(DISTINCT tableowner, ' ') FROM pg_tables WHERE schemaname = 'public'");
is $text, "weir_migrate\n", 'has an owner that nobody logs in as';
is slurp("$run/postgres/pg_hba.conf"), "local all all scram-sha-256\n", 'and passwords again';
($code, $text) = psql_as('weir', $admin, '-c', 'SELECT count(*) FROM users');
is $code, 0, 'which are new ones' or diag $text;

# An earlier version, which has made no keys and no users of Redis, may be running: up changes it.
sub redis_as_admin {
    local $ENV{REDISCLI_AUTH} = slurp("$run/redis-password");
    return output_of('redis-cli', '--user', 'admin', '-s', "$run/redis-socket/redis.sock", @_);
}
is((redis_as_admin('ACL', 'DELUSER', 'admin'))[1], "1\n", 'Redis without users is running');
output_of('rm', '-r', "$run/keys");
@ENV{qw(WEIR_TLS WEIR_IDENTITY)} = (1, 1);
$ENV{PGPORT} = $port + 9;
up();
wait_for('signups' => sub { signs_up() == 201 });
($code, $text) = psql_as('postgres', $admin, '-c',
    "SELECT string_agg(DISTINCT usename, ' ' ORDER BY usename) FROM pg_stat_activity"
        . " JOIN pg_stat_ssl USING (pid) WHERE application_name LIKE 'weir-%' AND ssl");
is $text, "stack_api stack_relay stack_worker\n", 'with certificates they are the same users';
unlike slurp("$run/weir-backend.conf"), qr/^database(?!_migrate).*passfile/m, 'without passwords';
like slurp("$run/postgres/pg_hba.conf"),
    qr/\Alocal all all scram-sha-256\nhostssl \S+ \S+ \S+ cert map=\w+\n\z/,
    'nobody gets in otherwise';

done_testing;
