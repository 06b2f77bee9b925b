# Replies of Redis that come together, each in a TLS record of its own, are all seen at once: none
# waits for the next one, or for the end of the connection.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port listens spew wait_for);
use Weir::Stack::Secure;

my $s = Weir::Stack::Secure->new;

# A network that gathers for a tenth of a second what Redis sends.
my $program = <<'PERL';
my ($from, $to) = @ARGV;
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1:$from") or die "$!\n";
$SIG{CHLD} = 'IGNORE';
my $parent = $$;
while (my $client = $listener->accept) {
    next if fork;
    my $server = IO::Socket::INET->new("127.0.0.1:$to") or exit;
    my ($gathered, $since) = ('', 0);
    my $select = IO::Select->new($client, $server);
    while (getppid == $parent) {
        for my $ready ($select->can_read(0.02)) {
            sysread($ready, my $bytes, 65536) or exit;
            if ($ready == $client) { syswrite $server, $bytes; next }
            $since = time if $gathered eq '';
            $gathered .= $bytes;
        }
        next if $gathered eq '' || time - $since < 0.1;
        syswrite $client, $gathered;
        $gathered = '';
    }
    exit;
}
PERL
my $port = free_port();
spew($s->dir . '/gather.pl', $program);
$s->start_process('gather', [$^X, '-MIO::Socket::INET', '-MIO::Select', '-MTime::HiRes=time',
    $s->dir . '/gather.pl', $port, $s->{redis_port}]);
$s->wait_started('gather' => sub { listens($port) });

$s->start_smtp_ledger;
$s->start_backend('all', conf => { redis => $s->redis_url($port) });
my $user = $s->post('/signup', { email => 'a@example.com', displayName => 'A' });
is $user->{status}, 201, 'a signup';
wait_for('its effects' =>
    sub { $s->get("/users/$user->{json}{id}")->{json}{status} eq 'ACTIVE' });
is_deeply [map { $_->{error} } $s->logged('all', qr/^Redis connection lost/)], [],
    'no connection has waited in vain';
is $s->stop_backend('all'), 0, 'a clean end';

done_testing;
