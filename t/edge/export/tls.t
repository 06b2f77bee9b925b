# The collector over TLS: trusted and untrusted certificates, our own, and a server that never
# shakes hands.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use Test::More;
use Weir::Collector;
use Weir::Processes;

sub openssl { system("openssl @_ 2>$dir/openssl.log") == 0 or die "openssl @_" }

for my $who ('authority', 'stranger') {
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who"
        . " -keyout $dir/$who.key -out $dir/$who.crt");
}
spit("$dir/names", "subjectAltName=DNS:collector.example,IP:127.0.0.1\n");
openssl('req -newkey rsa:2048 -nodes -subj /CN=server'
    . " -keyout $dir/server.key -out $dir/server.csr");
openssl("x509 -req -days 2 -in $dir/server.csr -CA $dir/authority.crt -CAkey $dir/authority.key"
    . " -CAcreateserial -extfile $dir/names -out $dir/server.crt");

start_collector('c', "$dir/server.crt", "$dir/server.key");
start_collector('without_tls');
my $silent = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;

my $url = 'https://127.0.0.1:' . collector_port('c');
my $trusted = "ssl_trusted_certificate=$dir/authority.crt";
my %accepted = (
    address => "$url $trusted",
    name => "$url $trusted ssl_name=collector.example",
    unverified => "$url ssl_verify=off",
);
for my $name (sort keys %accepted) {
    start_exporter(name => $name, exporter => "otlp $accepted{$name} interval=1ms timeout=5s");
    probe('n=3', $name);
    is until_settled($name, $name)->{sent}, 3, "spans go over TLS: $name";
    my $connections = (received('c'))[-1]{connection};
    probe("n=400&pad=10000&name=$name", $name);
    until_settled("many, $name", $name);
    is scalar(grep { $_->{name} eq $name } received_spans('c')), 400, '... many of them';
    is +(received('c'))[-1]{connection}, $connections, '... over one connection';
    is_deeply [logged(qr/\[(?:warn|error|crit|alert|emerg)\]/, $name)], [], '... without a word';
    stop($name, 'QUIT');
}

my $unknown =
    qr/certificate is refused: (?:unable to (?:get local issuer|verify the first)|self.signed)/i;
my %refused = (
    wrong_name => ["$url $trusted ssl_name=other.example",
        qr/its certificate is refused: hostname mismatch/i],
    stranger => ["$url ssl_trusted_certificate=$dir/stranger.crt",
        $unknown],
    system => [$url,
        $unknown],
    plain => ['https://127.0.0.1:' . collector_port('without_tls') . " $trusted",
        qr/the TLS handshake failed/],
    silent => ['https://127.0.0.1:' . $silent->sockport . " $trusted", qr/timeout passed/],
);
my $before = () = received('c');
for my $name (sort keys %refused) {
    my ($arguments, $reason) = @{ $refused{$name} };
    start_exporter(name => $name, exporter => "otlp $arguments interval=1ms timeout=1s");
    probe('n=3', $name);
    until_true("$name is refused", sub { logged(qr/is away: .*$reason/, $name) });
    is counts($name)->{queued}, 3, "no span goes to a server that is not trusted: $name";
    until_true('it is tried again', sub { counts($name)->{failures} > 2 });
    is scalar(logged(qr/is away/, $name)), 1, '... and logged once';
    cmp_ok scalar(logged(qr/SSL_do_handshake/, $name)), '<=', 1, '... by nginx, too';
    is_settled(counts($name), $name);
}
is scalar(received('c')), $before, 'nothing was sent';

# It dies and comes back.
start_exporter(name => 'again', exporter => "otlp $accepted{address} interval=1ms timeout=5s");
probe('n=3', 'again');
until_settled('before', 'again');
stop('c', 'KILL');
probe('n=3', 'again');
until_true('it is away', sub { logged(qr/is away/, 'again') });
start_collector('c', "$dir/server.crt", "$dir/server.key");
is until_settled('after', 'again')->{sent}, 6, 'a server that comes back gets all';
kill 'HUP', $pid{again};
until_true('the old worker is gone', sub { logged(qr/exited with code 0/, 'again') });
probe('n=3', 'again');
is until_settled('reloaded', 'again')->{sent}, 9, 'a reload, too';
is scalar(logged(qr/open socket|\[alert\]/, 'again')), 0, 'no connection is left behind';

done_testing;
