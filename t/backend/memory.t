# Processes that get no more memory: each either runs, or ends and says why. What was acknowledged
# is done, once, when the process was started again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Base qw(slurp);
use Weir::Events;
use Weir::Stack qw(wait_for free_port);

my $s = Weir::Stack->new(
    conf => {
        groups => 'email,billing,analytics,flags', retry_base => '20ms', retry_max => '200ms',
        body_limit => '1m' });
my $bin = $s->{binary} =~ s{/[^/]*$}{}r;
my $e = Weir::Events->new($s);
$e->count_effects;
$s->start_smtp;

plan skip_all => 'AddressSanitizer needs more address space than that' if $bin =~ /sanitize/;

sub size_of {
    my ($pid) = @_;
    return (slurp("/proc/$pid/status") =~ /^VmSize:\s+(\d+)/m)[0] // 0;
} # kB

# --- at start ------------------------------------------------------------------------------------

$s->start_backend('all', name => 'measured');
my $needs = size_of($s->pid('measured'));
$s->stop_backend('measured');

my ($runs, @odd, %ends) = (0);
for my $part (1 .. 16) {
    my $limit = int($needs * $part / 14);
    for my $command (
        ['weir-backend', '-c', $s->write_conf(listen => '127.0.0.1:' . free_port()), 'all'],
        ['weirctl', '-c', $s->write_conf, 'groups'],
        ['weir-payments-sim', '-l', '127.0.0.1:' . free_port()])
    {
        my ($program, @arguments) = @$command;
        my $name = 'limited.' . ++$runs;
        $s->start_limited($name, '-v', $limit, "$bin/$program", @arguments);
        wait_for("$program with $limit kB" => sub {
            $s->has_ended($name)
                || $s->log_of($name) =~ /session open|database cannot be reached|answers on/;
        });
        my $status = $s->finish_process($name);
        my $log = $s->log_of($name);
        $ends{ $status == 0 ? 'runs' : 'says why' }++;
        # A loader that cannot map the program is killed by the kernel, or says so itself.
        push @odd, "$program with $limit kB: status $status: $log"
            if $status
            && $log !~ /memory|Cannot allocate|cannot map|failed to map/
            && !($part < 4 && $status >= 127);
    }
}
is_deeply \@odd, [],
    'with any amount of memory each process runs, or ends with an error that says why';
ok $ends{$_}, "some: $_" for 'runs', 'says why';

# --- under load ----------------------------------------------------------------------------------

# Connections that have sent most of a large request each, so that memory is needed for it.
sub fill {
    my ($n) = @_;
    return map {
        my $c = $s->send_raw("POST /signup HTTP/1.1\r\nHost: a\r\nContent-Type:"
                . " application/json\r\nContent-Length: 900000\r\n\r\n");
        if ($c) {
            local $SIG{PIPE} = 'IGNORE';
            $c->blocking(0);
            syswrite $c, 'x' x 65536 for 1 .. 13;
        }
        $c // ();
    } 1 .. $n;
}

my %told;
for my $extra (500, 6000, 12000) { # kB
    $s->start_backend('all');
    my $pid = $s->pid('all');
    system('prlimit', "--pid=$pid", '--as=' . 1024 * (size_of($pid) + $extra)) == 0
        or die('prlimit');
    my @held = fill(40);
    for my $n (1 .. 40) {
        my $r =
            eval { $s->post('/signup', { email => "m$extra-$n\@example.org", displayName => 'M' }) }
            // {};
        $told{"m$extra-$n\@example.org"} = 1 if ($r->{status} // 0) == 201;
    }
    my $ended = $s->has_ended('all');
    if ($ended) {
        isnt delete $s->{status}{all}, 256 + 11,
            "$extra kB more: it has ended, not by an invalid address";
        like $s->log_of('all'), qr/aborted, because memory is exhausted/,
            'and says why';
    } else {
        is $s->stop_backend('all'), 0, "$extra kB more: it has lived";
    }
    @held = ();
}
$s->start_backend('all');
my $r = $s->post('/signup', { email => 'last@example.org', displayName => 'M' });
is $r->{status}, 201, 'after a restart it serves';
$told{'last@example.org'} = 1;
$e->wait_handled;
my %known = map { $_ => 1 } split /\n/, $s->psql('SELECT email FROM users');
is join(' ', grep { !$known{$_} } sort keys %told), '', 'every acknowledged user is there';
$e->{users} = keys %known;
is $e->complaints, '', 'each effect once';
is $s->stop_backend('all'), 0, 'stops';

done_testing;
