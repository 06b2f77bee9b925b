# PostgreSQL over a network: a host that says nothing, and clients whose machine is gone.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use IO::Socket::INET;
use Test::More;
use Weir::Stack qw(free_port);

my $port = $ENV{PGPORT} = free_port();
my $s = Weir::Stack->new(redis => 0);
$s->stop_postgres;
$s->start_server('postgres', $s->pg, settings => ['listen_addresses=127.0.0.1']);

# The kernel takes connections for it, and nobody answers, as with a server that stands still.
my $silent = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1') or die $!;

$s->start_backend('api', conf => { database => 'host=127.0.0.1,127.0.0.1 dbname=weir user=weir'
    . ' target_session_attrs=read-write port=' . $silent->sockport . ",$port" });
pass 'the first host says nothing: the second one is used';

# Columns of /proc/net/tcp: addresses, state (01: established), queues, timer and when it ends (in
# 1/100 s). The server asks soon whether a silent client is there: timer 02 is the keepalive's.
sub keepalives {
    my $local = sprintf ':%04X', $port;
    open my $tcp, '<', '/proc/net/tcp' or die $!;
    return map { /^ *\d+: \S+$local \S+ 01 \S+ 02:([0-9A-F]+) / ? hex $1 : () } <$tcp>;
}

my @keepalives = keepalives();
cmp_ok scalar(@keepalives), '>', 0, 'the server watches its sessions';
is scalar(grep { $_ > 1100 } @keepalives), 0, 'and misses a client within half a minute'
    or diag "@keepalives";
is $s->stop_backend('api'), 0, 'stops';

done_testing;
