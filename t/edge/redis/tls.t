# The Redis client over TLS: trusted and untrusted certificates, and a server that is killed or
# hangs in the middle.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use POSIX ();
use Test::More;
use Weir::Edge::Nginx 'start_nginx';
use Weir::Processes;
use Weir::Redis 'redis_server';

mkdir "$dir/logs";

# --- certificates: an authority, another one, the server's and the client's ---

sub openssl { system("openssl @_ 2>$dir/openssl.log") == 0 or die "openssl @_" }

for my $who ('authority', 'stranger') {
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who"
        . " -keyout $dir/$who.key -out $dir/$who.crt");
}
spit("$dir/names", "subjectAltName=DNS:redis.example,IP:127.0.0.1\n");
for my $who ('server', 'client') {
    openssl("req -newkey rsa:2048 -nodes -subj /CN=$who -keyout $dir/$who.key -out $dir/$who.csr");
    openssl("x509 -req -days 2 -in $dir/$who.csr -CA $dir/authority.crt"
        . " -CAkey $dir/authority.key -CAcreateserial -extfile $dir/names -out $dir/$who.crt");
}

# The client's, at other times.
spit("$dir/index.txt", '');
spit("$dir/serial", "1000\n");
spit("$dir/ca.conf", <<"CONF");
[ca]
default_ca = here
[here]
database = $dir/index.txt
serial = $dir/serial
new_certs_dir = $dir
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
CONF
sub at { return POSIX::strftime('%Y%m%d%H%M%SZ', gmtime(time + $_[0] * 86400)) }
for (['expired', -9, -1], ['early', 1, 9]) {
    my ($name, $from, $to) = @$_;
    openssl("ca -batch -notext -config $dir/ca.conf -in $dir/client.csr -cert $dir/authority.crt"
        . " -keyfile $dir/authority.key -startdate " . at($from) . ' -enddate ' . at($to)
        . " -out $dir/$name.crt");
}

system("cp $dir/client.crt $dir/ours.crt && cp $dir/client.key $dir/ours.key"
    . " && cp $dir/authority.crt $dir/theirs.crt && chmod 644 $dir/*.key && chmod 755 $dir") == 0
    or die 'copies';

# --- Redis, with TLS only, and one that wants the client's certificate ---

my %port = map { $_ => free_port() } 'open', 'strict';
sub start_redis {
    my $name = shift;
    spawn($name, [redis_server(), '--port', 0, '--tls-port', $port{$name},
        '--bind', '127.0.0.1', '--dir', $dir, '--save', '',
        '--tls-cert-file', "$dir/server.crt", '--tls-key-file', "$dir/server.key",
        '--tls-ca-cert-file', "$dir/authority.crt",
        '--tls-auth-clients', $name eq 'strict' ? 'yes' : 'no', '--requirepass', 'secret']);
    until_true("Redis $name listens", sub { listens($port{$name}) });
}
start_redis($_) for 'open', 'strict';

# takes connections, says nothing
my $silent = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0');

my $edge = free_port();
my $trusted = "ssl_trusted_certificate=$dir/authority.crt";
my %server = (
    address => "rediss://:secret\@127.0.0.1:$port{open} $trusted",
    name => "rediss://:secret\@127.0.0.1:$port{open}/1 $trusted ssl_name=redis.example",
    wrong_name => "rediss://:secret\@127.0.0.1:$port{open} $trusted ssl_name=other.example",
    stranger => "rediss://:secret\@127.0.0.1:$port{open} ssl_trusted_certificate=$dir/stranger.crt",
    system => "rediss://:secret\@127.0.0.1:$port{open}",
    unverified => "rediss://:secret\@127.0.0.1:$port{open} ssl_verify=off",
    ours => "rediss://:secret\@127.0.0.1:$port{strict} $trusted"
        . " ssl_certificate=$dir/client.crt ssl_certificate_key=$dir/client.key",
    changing => "rediss://:secret\@127.0.0.1:$port{strict} ssl_trusted_certificate=$dir/theirs.crt"
        . " ssl_certificate=$dir/ours.crt ssl_certificate_key=$dir/ours.key",
    none_of_ours => "rediss://:secret\@127.0.0.1:$port{strict} $trusted",
    silent => 'rediss://127.0.0.1:' . $silent->sockport . " $trusted",
    plain => "redis://:secret\@127.0.0.1:$port{open}",
    patient => "rediss://:secret\@127.0.0.1:$port{open} $trusted",
);
my %timeout = (patient => '30s');
my $servers = join '', map {
    my $timeout = $timeout{$_} // '3s';
    "weir_redis $_ $server{$_} connect_timeout=1s timeout=$timeout;\n";
} sort keys %server;
my $places = join '', map { "location = /$_ { weir_redis_probe $_; }\n" } sort keys %server;
start_nginx($dir, $edge, http => <<"HTTP");
    large_client_header_buffers 4 256k;
    $servers
    server {
        listen 127.0.0.1:$edge;
        $places
        location = /stub { stub_status; }
    }
HTTP

my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub ask {
    my $place = shift;
    my $r = $http->get("http://127.0.0.1:$edge/$place?" . join '&', @_);
    $r->{status} == 200 ? $r->{content} : $r->{status};
}
sub logged { log_lines("$dir/logs/error.log", shift) }

# --- who is trusted ---

is ask($_, 'SET+a+1', 'GET+a'), "+OK\n\$1\n", "commands go over TLS: $_"
    for 'address', 'name', 'unverified', 'ours';
my $value = 'x' x 100_000;
ask('address', "SET+large+$value");
is ask('address', ('GET+large') x 5), "\$$value\n" x 5, 'large values, many records';

# More bytes than the sockets hold wait for a server that does not read; later bytes may move the
# buffer in memory, which TLS must allow.
is ask('patient', 'PING'), "+PONG\n", 'a connection';
kill 'STOP', $pid{open};
my $piece = 'y' x 200_000;
my @clients;
for my $n (1 .. 60) {
    push @clients, listens($edge);
    $clients[-1]->print("GET /patient?SET+piece-$n+$piece HTTP/1.0\r\n\r\n");
    until_true("$n requests wait", sub {
        $http->get("http://127.0.0.1:$edge/stub")->{content} =~ /Writing: (\d+)/ && $1 == $n + 1;
    });
}
kill 'CONT', $pid{open};
is scalar(grep {
    my $client = $_;
    local $/;
    readline($client) =~ /\+OK\n$/;
} @clients), 60, 'a server that stands still for a while gets all that waited';
is scalar(logged(qr/weir_redis "patient" at .* is down/)), 0, '... and its connection stays';

for (['wrong_name', qr/hostname mismatch/i],
    ['stranger', qr/unable to get local issuer certificate|self.signed/i],
    ['system', qr/unable to get local issuer certificate|self.signed/i]) {
    my ($place, $reason) = @$_;
    unlike ask($place, 'PING'), qr/PONG/, "a certificate is refused: $place";
    until_true('it is logged', sub {
        logged(qr/weir_redis "$place" at .* is down: the server's certificate is refused: $reason/);
    });
}
unlike ask('none_of_ours', 'PING'), qr/PONG/, 'a server that wants a certificate of ours gets none';
unlike ask('plain', 'PING'), qr/PONG/, 'without TLS a server that has it only is not understood';
is ask('silent', 'PING'), "lost\n", 'a server that never shakes hands is given up';
is scalar(logged(qr/weir_redis "silent" at .* is down: connect_timeout passed/)), 1,
    '... with its reason';

# --- changed files: ours and the authority's, without a reload ---

# Puts copies of files in the place of others.
sub put {
    my %files = @_;
    for my $to (sort keys %files) {
        system("cp $dir/$files{$to} $dir/put && chmod 644 $dir/put && mv $dir/put $dir/$to") == 0
            or die "$to\n";
    }
    my ($last) = sort keys %files;
    until_true('the files are not that new', sub { time - (stat "$dir/$last")[10] >= 3 });
}

# The next connection to the server that wants certificates.
sub lose_connection {
    stop('strict', 'KILL');
    until_true('commands are declined', sub { ask('changing', 'PING') eq "declined\n" });
    start_redis('strict');
}
sub count { my @lines = logged(shift); return scalar @lines }
my $in_use = qr/changed certificates for "127.0.0.1" are in use/;
my $unusable =
    qr/changed certificates for "127.0.0.1" cannot be used, .*ours.key": key values mismatch/;

is ask('changing', 'PING'), "+PONG\n", 'with the first certificate';
put('ours.key' => 'stranger.key');
for my $n (1, 2) {
    lose_connection();
    until_true('the old pair is in use', sub { ask('changing', 'PING') eq "+PONG\n" });
    is count($unusable), 1, 'a key that does not fit is logged once';
}
put('ours.crt' => 'stranger.crt');
lose_connection();
until_true('the changed pair is in use', sub { ask('changing', 'PING'); count($in_use) == 1 });
unlike ask('changing', 'PING'), qr/PONG/, 'and is refused by the server';
put('ours.crt' => 'client.crt', 'ours.key' => 'client.key', 'theirs.crt' => 'stranger.crt');
until_true('the next one is, too', sub { ask('changing', 'PING'); count($in_use) >= 2 });
unlike ask('changing', 'PING'), qr/PONG/, 'with an authority that did not sign the server';
put('theirs.crt' => 'authority.crt');
until_true('what fits is used again', sub { ask('changing', 'PING') eq "+PONG\n" });

# What could make the worker wait, and certificates that are worse than the one in use.
sub refused {
    my ($file, $reason) = @_;
    lose_connection();
    until_true("$reason: the old file is in use", sub { ask('changing', 'PING') eq "+PONG\n" });
    is count(qr/cannot be used, the old ones stay in use: "\S*\Q$file\E": $reason$/), 1, $reason;
}
unlink "$dir/ours.crt";
POSIX::mkfifo("$dir/ours.crt", 0644) or die "mkfifo: $!";
until_true('it is not that new', sub { time - (stat "$dir/ours.crt")[10] >= 3 });
refused('ours.crt', 'it is no regular file');
put('ours.crt' => 'expired.crt', 'ours.key' => 'client.key');
refused('ours.crt', 'the certificate has expired');
put('ours.crt' => 'early.crt');
refused('ours.crt', 'the certificate is not valid yet');
my $before = count($in_use);
put('ours.crt' => 'client.crt');
lose_connection();
until_true('a good one is used', sub {
    ask('changing', 'PING') eq "+PONG\n" && count($in_use) > $before;
});

# --- it dies and comes back ---

stop('open', 'KILL');
until_true('commands are declined', sub { ask('address', 'PING') eq "declined\n" });
start_redis('open');
until_true('the server is found again', sub { ask('address', 'PING') eq "+PONG\n" });
is scalar(logged(qr/weir_redis "address" is up again/)), 1, 'one line says that it is up';

kill 'HUP', $pid{edge};
until_true('the old worker is gone', sub { logged(qr/exited with code 0/) });
is ask('name', 'PING'), "+PONG\n", 'the new worker has its own connection';
cmp_ok scalar(logged(qr/\[crit\].*certificate required/)), '<=', 2,
    "nginx logs once in each worker's life that the server wants a certificate";
my $alarm = qr/open socket .* left in connection|\[(?:alert|crit|emerg)\]/;
is scalar(grep { !/certificate required|unknown ca/ } logged($alarm)), 0,
    'nothing was left behind, nothing else is alarming';

done_testing;
