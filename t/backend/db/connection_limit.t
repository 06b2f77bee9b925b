# A role that may have one session less than a worker wants: groups that have theirs go on.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => { groups => 'email,flags' });
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

done_testing;
