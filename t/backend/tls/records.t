# Replies of Redis that come together, in several TLS records, are all seen at once: none waits for
# the next one, or for the end of the connection.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port listens spew wait_for);
use Weir::Stack::Secure;

my $s = Weir::Stack::Secure->new;

# In front of Redis' socket; it sends each byte of a reply in a record of its own, and all of them
# in one segment.
my $program = <<'PERL';
my ($from, $to, $keys) = @ARGV;
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1:$from") or die "$!\n";
$SIG{CHLD} = 'IGNORE';
my $parent = $$;
while (my $client = $listener->accept) {
    next if fork;
    my $server = IO::Socket::UNIX->new(Peer => $to) or exit;
    IO::Socket::SSL->start_SSL($client, SSL_server => 1, SSL_ca_file => "$keys/ca.crt",
        SSL_cert_file => "$keys/tls.crt", SSL_key_file => "$keys/tls.key",
        SSL_verify_mode => SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT) or exit;
    my $select = IO::Select->new($client, $server);
    while (getppid == $parent) {
        my @ready = $client->pending ? ($client) : $select->can_read(1);
        for my $ready (@ready) {
            sysread($ready, my $bytes, 16384) or exit;
            if ($ready == $client) { syswrite $server, $bytes; next }
            setsockopt $client, IPPROTO_TCP, TCP_CORK, 1;
            syswrite $client, $_ for split //, $bytes;
            setsockopt $client, IPPROTO_TCP, TCP_CORK, 0;
        }
    }
    exit;
}
PERL
my $port = free_port();
my @modules = ('-MIO::Socket::SSL', '-MIO::Socket::INET', '-MIO::Socket::UNIX', '-MIO::Select',
    '-MSocket=:all');
spew($s->dir . '/records.pl', $program);
$s->start_process('records', [$^X, @modules, $s->dir . '/records.pl', $port,
    $s->dir . '/redis/redis.sock', "$s->{keys}/redis"]);
$s->wait_started('records' => sub { listens($port) });

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
