# weir_flags_ofrep reads a body however the client has cut it; flags that were deleted long ago take
# no room.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache", "$Bin/../../lib";
use IO::Socket::INET;
use JSON::PP;
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Http2;
use Weir::Processes;
use Weir::Redis qw(redis_server redis_users);

$Scene::redis_address = my $redis = free_port();
my $h2 = free_port();
spawn('redis', [redis_server(), redis_users($dir), '--port', $redis, '--save', '', '--dir', $dir]);
until_true('Redis listens', sub { listens($redis) });

sub definition { sprintf '{"state":"ENABLED","variants":{"a":"%s"},"defaultVariant":"a"}', shift }
sub set { redis('XADD', 'weir:flags', '*', 'name', $_[0], 'flag', definition($_[1])) }
set('early', 'first');
for my $i (1 .. 300) {
    redis('XADD', 'weir:flags', '*', 'name', "old$i", 'deleted', 1);
}
set('late', 'there');

start_edge(<<"HTTP", <<'SERVER');
    weir_flags redis=main;
    server {
        listen 127.0.0.1:$h2 http2;
        location /ofrep/ { weir_flags_ofrep; }
    }
HTTP
    location /ofrep/ { weir_flags_ofrep; }
SERVER

my $path = '/ofrep/v1/evaluate/flags';
sub value {
    my ($name) = @_;
    my $r = request('POST', "$path/$name", {}, '{}');
    return $r->{status} == 200 ? decode_json($r->{content})->{value} : $r->{status};
}
until_true('the flags are there', sub { value('early') eq 'first' });
is value('late'), 'there',
    'flags that were deleted take no room in what an edge reads at its start';

my $answer = chunked('{"context":', '{"targetingKey":"x"}', '}');
like $answer, qr/ 200 .*"value":"first"/s, 'a body in several chunks is read';

my $client = Weir::Http2->new($h2);
my $stream = $client->open('POST', "$path/early", 0);
for my $part ('{"context":', '{"targetingKey":"x"}') {
    $client->data($stream, $part);
    sleep 0.05;
}
$client->data($stream, '}', 1);
my $status = $client->answer($stream)->{status};
is $status, 200, '... and one in several frames of HTTP/2';

sub chunked {
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port_of_edge())
        or die $!;
    print $socket "POST $path/early HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n";
    for my $part (@_) {
        printf $socket "%x\r\n%s\r\n", length $part, $part;
        $socket->flush;
        sleep 0.02;
    }
    print $socket "0\r\n\r\n";
    local $/;
    return <$socket>;
}

done_testing;
