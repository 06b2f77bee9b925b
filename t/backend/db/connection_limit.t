# A role that may have one session less than a worker wants: groups that have theirs go on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(roles => 0, conf => { groups => 'email,flags' });
my $e = Weir::Events->new($s, groups => ['email', 'flags']);

# The superuser's sessions do not count.
my $super = sub { $s->psql_as('postgres', 'weir', $_[0]) };
{
    no warnings qw(once redefine);
    *Weir::Stack::psql = sub { $super->($_[1]) };
}

$s->start_smtp;
$s->start_backend('relay worker');
$e->create(10);
$e->wait_handled;

# The group flags loses its session, and gets no other one.
my $sessions = $super->("SELECT count(*) FROM pg_stat_activity WHERE usename = 'weir'");
$super->('ALTER ROLE weir CONNECTION LIMIT ' . ($sessions - 1));
$super->("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'weir-worker-flags'");
wait_for('the leases to run out', sub {
    $super->("SELECT bool_and(expires_at < clock_timestamp()) FROM consumer_partitions
        WHERE group_name = 'flags'") eq 't' });
like $s->log_of('relay worker'), qr/too many connections/, 'the log says why';

$e->create(10);
$e->wait_handled('email');
pass 'the other group goes on';
ok !Weir::Events::are_handled($s, 'flags'), 'events of this one wait';

$super->('ALTER ROLE weir CONNECTION LIMIT -1');
$e->wait_handled;
pass 'and go on with its session';
is scalar(() = $s->mails), 20, 'each mail was sent once';
is $s->stop_backend('relay worker'), 0, 'stops';

# A worker begins, and its group flags has lost its session before the answer to the first
# heartbeat, which names all groups. The heartbeats wait for this lock.
my $taken = $super->("SELECT sum(epoch) FROM consumer_partitions WHERE group_name = 'flags'");
my $lock = $s->session('SELECT pg_advisory_lock(2003134834, 2);');
$s->start_backend('worker');
wait_for('its sessions', sub {
    $super->("SELECT count(*) FROM pg_stat_activity WHERE application_name
        IN ('weir-worker', 'weir-worker-email', 'weir-worker-flags', 'weir-email')") == 4 });
$sessions = $super->("SELECT count(*) FROM pg_stat_activity WHERE usename = 'weir'");
$super->('ALTER ROLE weir CONNECTION LIMIT ' . ($sessions - 1));
$super->("SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'weir-worker-flags'");
wait_for('the refusal', sub { $s->log_of('worker') =~ /too many connections/ });
print $lock "SELECT pg_advisory_unlock(2003134834, 2);\n";
wait_for('its partitions of email', sub {
    $super->("SELECT count(owner) FROM consumer_partitions WHERE group_name = 'email'") == 8 });
wait_for('those of flags to be released', sub {
    $super->("SELECT count(owner) = 0 AND sum(epoch) > $taken FROM consumer_partitions
        WHERE group_name = 'flags'") eq 't' });
pass 'partitions of a group without a session are left to other workers';
$super->('ALTER ROLE weir CONNECTION LIMIT -1');
wait_for('them with a session', sub {
    $super->("SELECT count(owner) FROM consumer_partitions WHERE group_name = 'flags'") == 8 });
is $s->stop_backend('worker'), 0, 'and got when it has one; stops';
close $lock or die "psql: $!\n";

done_testing;
