# The listeners with TLS: who is let in and who is not, and what a peer can do that is slow, silent,
# or comes in great numbers.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(time);
use Weir::Base qw(free_port wait_for);
use Weir::Tls::Certificates;
use Weir::Stack;
use Weir::Tls::Client qw(curl tls_connect tls_request);

my $s = Weir::Stack->new(postgres => 0, redis => 0);
my $pki = Weir::Tls::Certificates->new($s->dir . '/pki');
my $operators = free_port();

$pki->authority($_) for qw(ca stranger);
$pki->issue('server', dns => ['localhost'], ip => ['127.0.0.1'], use => 'serverAuth');
my %client = (
    edge => { uri => ['spiffe://weir.test/edge'] },
    below => { uri => ['spiffe://weir.test/ops/prometheus/1'] },
    dns => { dns => ['Edge.Weir.Test'] },
    later_dns => { dns => ['other.test', 'edge.weir.test'] },
    one_uri_and_dns => { uri => ['spiffe://other.test/edge'], dns => ['edge.weir.test'] },
);
my %refused = (
    'another path' => { uri => ['spiffe://weir.test/worker'] },
    'a longer path' => { uri => ['spiffe://weir.test/edge/1'] },
    'a path that begins the same' => { uri => ['spiffe://weir.test/edgeware'] },
    'the prefix itself' => { uri => ['spiffe://weir.test/ops'] },
    'a segment that begins as the prefix' => { uri => ['spiffe://weir.test/opsy/a'] },
    'another trust domain' => { uri => ['spiffe://weir.test.evil.test/edge'] },
    'a dot segment' => { uri => ['spiffe://weir.test/ops/../edge'] },
    'two URIs' => { uri => ['spiffe://weir.test/edge', 'spiffe://weir.test/worker'] },
    'another scheme' => { uri => ['https://weir.test/edge'] },
    'a wildcard' => { dns => ['*.weir.test'] },
    'a subdomain' => { dns => ['a.edge.weir.test'] },
    'its common name only' => { cn => 'edge.weir.test' },
    'no name' => {},
);
my %wrong = (
    'another authority' => { ca => 'stranger', uri => ['spiffe://weir.test/edge'] },
    'expired' => { ago => 10, days => -1, uri => ['spiffe://weir.test/edge'] },
    'not valid yet' => { ago => -1, days => 3, uri => ['spiffe://weir.test/edge'] },
    'for servers only' => { use => 'serverAuth', uri => ['spiffe://weir.test/edge'] },
);
sub name_of { my ($text) = @_; return $text =~ s/\W+/-/gr }
$pki->issue($_, %{ $client{$_} }) for sort keys %client;
$pki->issue(name_of($_), %{ $refused{$_} }) for sort keys %refused;
$pki->issue(name_of($_), %{ $wrong{$_} })   for sort keys %wrong;

my %conf = (
    database => 'host=/nowhere',
    tls_certificate => $pki->file('server.crt'),
    tls_key => $pki->file('server.key'),
    tls_client_ca => $pki->file('ca.crt'),
    tls_allowed_names => 'spiffe://weir.test/edge, edge.weir.test spiffe://weir.test/ops/*',
    tls_metrics_names => 'spiffe://weir.test/ops/*',
    metrics_listen => "127.0.0.1:$operators",
    listen => "127.0.0.1:$s->{port}",
);
$s->start_backend('api', conf => \%conf);

sub get {
    my ($name, %option) = @_;
    my $port = $option{port} // $s->{port};
    return curl($pki, $name, 'https://127.0.0.1:' . $port . ($option{path} // '/health'));
}

# The value of a counter of handshakes, as the listener for operators says.
sub handshakes {
    my ($use, $result) = @_;
    my $r = get('below', port => $operators, path => '/metrics');
    die "no metrics: $r->{error}\n" if $r->{status} != 200;
    my ($n) =
        $r->{body} =~ /^weir_tls_handshakes_total\{use="$use",result="$result"\} (\d+)$/m;
    return $n // die "no counter of $use, $result in\n$r->{body}\n";
}

# --- who -------------------------------------------------------------------------------------

subtest 'clients with an allowed name' => sub {
    for my $name (sort keys %client) {
        my $r = get($name);
        is $r->{status}, 200, $name or diag $r->{error};
    }
    is handshakes('listen', 'ok'), scalar(keys %client), 'are counted';
};

subtest 'clients with another name' => sub {
    my $before = handshakes('listen', 'refused_name');
    for my $name (sort keys %refused) {
        my $r = get(name_of($name));
        is $r->{status}, 0, $name;
        like $r->{error}, qr/alert/i, 'by an alert of TLS' or diag $r->{error};
    }
    is handshakes('listen', 'refused_name') - $before, scalar(keys %refused), 'are counted';
    my @lines = $s->logged('api', "a client's TLS handshake was refused");
    is scalar(@lines), 1, 'one line is logged, not one for each';
    is_deeply [@{ $lines[0] }{qw(level use result name)}],
        ['warn', 'listen', 'refused_name', 'spiffe://weir.test/ops/../edge'],
        'with the name that was refused';
};

subtest 'certificates that prove nothing' => sub {
    my $before = handshakes('listen', 'refused_certificate');
    is get(name_of($_))->{status}, 0, $_ for sort keys %wrong;
    is handshakes('listen', 'refused_certificate') - $before, scalar(keys %wrong), 'are counted';
    is get(undef)->{status}, 0, 'none at all';
    is handshakes('listen', 'no_certificate'), 1, 'is counted, too';
};

subtest 'the listener for operators has its own names' => sub {
    is get('below', port => $operators, path => '/livez')->{status}, 200, 'its client';
    is get('edge', port => $operators, path => '/livez')->{status}, 0, 'the other one\'s client';
};

subtest 'without TLS, and with an older version' => sub {
    my $before = handshakes('listen', 'failed');
    my $socket = $s->send_raw("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
    unlike $s->read_raw($socket), qr/HTTP/, 'no answer in the clear';
    is curl($pki, 'edge', "https://127.0.0.1:$s->{port}/health", '--tls-max', '1.2')->{status}, 0,
        'no TLS 1.2';
    is handshakes('listen', 'failed') - $before, 2, 'counted as failed';
};

# --- bytes -----------------------------------------------------------------------------------

subtest 'requests over a kept connection' => sub {
    my $c = tls_connect($pki, 'edge', $s->{port});
    for my $n (1 .. 3) {
        like tls_request($c, '/health'), qr/\AHTTP\/1\.1 200 .*"ok"/s, "request $n";
    }
    print $c "GET /health HTTP/1.1\r\nHost: a\r\n\r\n" x 5
        . "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    my $all = do { local $/; <$c> };
    is scalar(() = $all =~ /"ok"/g), 6, 'six at once, in one record, get six answers';
};

subtest 'a request in many pieces, and a large body' => sub {
    my $c = tls_connect($pki, 'edge', $s->{port});
    for my $byte (split //, "GET /health HTTP/1.1\r\nHost: a\r\n\r\n") {
        syswrite $c, $byte;
    }
    like tls_request($c, undef), qr/\AHTTP\/1\.1 200 /, 'a record for each byte';
    my $body = 'x' x 60_000;
    print $c "POST /signup HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n"
        . "Expect: 100-continue\r\n\r\n";
    like tls_request($c, undef), qr/\AHTTP\/1\.1 100 /, 'the client is asked for the body';
    print $c $body;
    like tls_request($c, undef), qr/\AHTTP\/1\.1 4\d\d /, '60 KB are read, and answered';
    is get('edge', path => '/openapi.json')->{status}, 200, 'a large answer';
    cmp_ok length get('edge', path => '/openapi.json')->{body}, '>', 17_000, '... is whole';
};

# --- peers that are slow, silent, or many ------------------------------------------------------

subtest 'a client that says nothing, and one that stops in the middle' => sub {
    my @silent = map { $s->send_raw($_) } '', "\x16\x03\x01";
    my $before = handshakes('listen', 'timed_out');
    is get('edge')->{status}, 200, 'others are served meanwhile';
    for my $socket (@silent) {
        is $s->read_raw($socket), '', 'are closed';
    }
    wait_for('both to be counted' => sub { handshakes('listen', 'timed_out') - $before == 2 });
    pass 'and counted';
};

subtest 'more handshakes under way than there may be' => sub {
    my $before = handshakes('listen', 'crowded');
    my @half_open;
    for (1 .. 300) {
        push @half_open, $s->send_raw("\x16\x03\x01\x02\x00\x01") // die "connect: $!\n";
    }
    wait_for('the oldest to be closed' => sub { handshakes('listen', 'crowded') - $before >= 44 });
    is get('edge')->{status}, 200, 'a client that shakes hands is served';
    my @closed = grep { IO::Select->new($_)->can_read(0) } @half_open[0 .. 43];
    is scalar(@closed), 44, 'the oldest ones made room';
};

is $s->stop_backend('api'), 0, 'it stops cleanly';

done_testing;
