# Full disks: PostgreSQL's data, its log (where it gives up), and the backend's own log. What was
# acknowledged is done, once, and all but a PostgreSQL that has given up comes back by itself.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use POSIX ();
use Test::More;

# In a mount namespace of its own: nothing is left mounted, however this ends.
BEGIN {
    if ($> != 0) {
        plan skip_all => 'small file systems are mounted by root only';
    } elsif (!$ENV{WEIR_TEST_UNSHARED}) {
        plan skip_all => 'this system allows no mount'
            if system('unshare -m mount -t tmpfs none /mnt 2>/dev/null') != 0;
        $ENV{WEIR_TEST_UNSHARED} = 1;
        exec 'unshare', '-m', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
    }
    delete $ENV{WEIR_TEST_UNSHARED};
}

use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(postgres => 0, conf =>
        { groups => 'email,billing,analytics,flags', retry_base => '20ms', retry_max => '200ms' });

my @mounted;

# A file system of that size at this place in the stack's folder.
sub small {
    my ($place, $size) = @_;
    my $dir = $s->dir . "/$place";
    mkdir $dir;
    system('mount', '-t', 'tmpfs', '-o', "size=$size", 'none', $dir) == 0 or die("mount $dir");
    push @mounted, $dir;
    return $dir;
}

END { system('umount', '-l', $_) for @mounted }

sub fill {
    my ($dir) = @_;
    system("cat /dev/zero >$dir/filler 2>/dev/null");
    return -s "$dir/filler";
}
sub free { my ($dir) = @_; unlink "$dir/filler" or die $! }

my ($data, $wal, $logs) = (small('pg', '140m'), small('wal', '48m'), small('logs', '1m'));
Weir::Stack::Postgres::hand_over($data, $wal);
$s->start_postgres;
$s->stop_postgres;
system(   "cp -a $data/data/pg_wal $wal/ && rm -rf $data/data/pg_wal && ln -s $wal/pg_wal"
        . " $data/data/pg_wal") == 0
    or die('pg_wal');
$s->start_postgres;
$s->psql_as('postgres', 'postgres', $_)
    for "ALTER SYSTEM SET max_wal_size = '32MB'", "ALTER SYSTEM SET min_wal_size = '32MB'",
    'SELECT pg_reload_conf()';
$s->migrate;
my $e = Weir::Events->new($s);
$e->count_effects;
$s->start_smtp;
symlink "$logs/all.log", $s->dir . '/all.log' or die $!;
$s->start_backend('all');

my ($n, %told, %status) = (0);
# Signs up a user with a long name, and returns the status.
sub signup {
    my $email = 'full' . ++$n . '@example.org';
    my $r = eval { $s->post('/signup', { email => $email, displayName => 'x' x 60 }) } // {};
    my $status = $r->{status} // 0;
    $told{$email} = 1 if $status == 201;
    $status{$status}++;
    return $status;
}

sub all_is_well {
    my ($name) = @_;
    wait_for('a signup' => sub { signup() == 201 });
    $e->wait_handled;
    my %known = map { $_ => 1 } split /\n/, $s->psql('SELECT email FROM users');
    is join(' ', grep { !$known{$_} } sort keys %told), '',
        "$name: every acknowledged user is there";
    $e->{users} = keys %known;
    is $e->complaints, '', "$name: each effect once";
    is $e->repeated_mails, 0, "$name: no mail twice";
}

signup() for 1 .. 20;
all_is_well('before');

ok fill($data), "the disk of PostgreSQL's data is full";
%status = ();
wait_for('a refusal' => sub { signup() for 1 .. 20; $status{503} });
is join(' ', grep { $_ != 201 && $_ != 503 } keys %status), '', 'requests are done or answered 503';
like $s->log_of('all'), qr/No space left on device/, 'the log says why';
free($data);
all_is_well('with space again');
is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no event was given up';

ok fill($wal), "the disk of PostgreSQL's log is full";
# It writes what it has room for, and then gives up.
for (1 .. 100) {
    last if $s->has_ended('postgres');
    Weir::Stack::Postgres::succeeds($s->pg, 'postgres', 'weir', 'SELECT pg_switch_wal()');
    signup();
}
wait_for('PostgreSQL to refuse' => sub { signup() != 201 });
is join(' ', grep { $_ != 201 && $_ != 503 } keys %status), '', 'requests are done or answered 503';
free($wal);
if ($s->has_ended('postgres')) {
    $s->start_postgres;
} else {
    wait_for('PostgreSQL' => sub { Weir::Stack::Postgres::answers($s->pg) });
}
all_is_well('with room for the log again');

ok fill($logs), "the disk of the backend's own log is full";
my $written = length $s->log_of('all');
$e->create(20);
signup() for 1 .. 20;
all_is_well('without a log');
cmp_ok length($s->log_of('all')) - $written, '<', 4096,
    'it could write no more than the rest of a page';
free($logs);
signup();
wait_for('the log' => sub { length $s->log_of('all') > $written });
my @lines = split /\n/, substr $s->log_of('all'), $written;
like $lines[-1], qr/^\{.*\}$/, 'it writes again';

is $s->stop_backend('all'), 0, 'stops';
$s->stop_postgres;
$s->stop_smtp;

done_testing;
