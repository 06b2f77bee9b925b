# weir_jwt_audit: refused requests come to the stream weir:refused, the first ones one by one, the
# others as a number; without Redis they are dropped, counted, and cost no request anything.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use List::Util 'sum0';
use Scene;
use Test::More;
use Token;
use Weir::Processes;
use Weir::Redis qw(redis_answers redis_server redis_users redis_watch);

plan skip_all => 'sends a flood of its own' if in_world('tls', 'http2');

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
start_upstream(sub { answer('200 OK', [], 'fresh') });

$Scene::redis_address = my $redis = free_port();

sub start_redis {
    spawn('redis',
        [redis_server(), redis_users($dir), '--port', $redis, '--save', '', '--dir', $dir]);
    until_true('Redis answers', sub { redis_answers($redis) });
    redis_watch($redis);
}
start_redis();

start_edge(<<'HTTP', <<'SERVER');
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    weir_jwt_audit redis=main;
HTTP
    location /api/ { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /write { weir_jwt main; weir_jwt_require scope=write; proxy_pass http://UPSTREAM; }
    location /any { satisfy any; allow all; weir_jwt main; proxy_pass http://UPSTREAM; }
    location /open { weir_jwt main optional; proxy_pass http://UPSTREAM; }
    location /metrics { weir_metrics; }
SERVER

sub entries {
    return map { decode_json($_->[1][1]) } @{ redis('XRANGE', 'weir:refused', '-', '+') };
}
sub requests { sum0(map { $_->{count} // 1 } grep { $_->{outcome} eq $_[0] } entries()) }
sub metric {
    my ($result) = @_;
    my ($n) = get('/metrics')->{content} =~ /^weir_jwt_audit_total\{result="$result"\} (\d+)/m;
    return $n;
}

subtest 'what is told' => sub {
    is get('/api/secret@example.com?x=y')->{status}, 401, 'no token';
    is get('/api/', bearer('x'))->{status}, 401, 'a malformed token';
    is request('POST', '/write', bearer(token(sub => 'alice')))->{status}, 403, 'without the scope';
    is get('/any')->{status}, 200, 'admitted by another module';
    is get('/open')->{status}, 200, 'where a token is optional';
    is get('/api/', bearer(token(sub => 'alice')))->{status}, 200, 'a good one';
    until_true('the entries', sub { entries() >= 3 });
    my ($host) = map { chomp; $_ } `hostname`;
    my %all = (actor => "edge:$host", address => '127.0.0.1');
    is_deeply [entries()], [
        { %all, outcome => 'no_token', object => 'GET /api/', subject => 'anonymous' },
        { %all, outcome => 'not_compact', object => 'GET /api/', subject => 'anonymous' },
        { %all, outcome => 'insufficient_scope', object => 'POST /write', subject => 'sub:alice' },
    ], 'the entries have no path, and say who';
};

# Sends as many requests without a token; the number of those that got 401.
sub flood {
    my ($n) = @_;
    my $socket = listens(port_of_edge());
    my ($answers, $buffer) = (0, '');
    for (1 .. $n / 100) {
        print {$socket} "GET /api/ HTTP/1.1\r\nHost: x\r\n\r\n" x 100;
        my $end = $answers + 100;
        while ($answers < $end) {
            if ($buffer =~ s{^.*?HTTP/1.1 401 }{}s) { $answers++; next }
            sysread $socket, $buffer, 65536, length $buffer or die "read: $!";
        }
        # nginx closes a connection after 1000 requests
        $socket = listens(port_of_edge()) if $end % 1000 == 0;
    }
    return $answers;
}

subtest 'a flood of 10,000' => sub {
    is flood(10_000), 10_000, 'all are refused';
    until_true('the sum', sub { requests('no_token') >= 10_001 });
    is requests('no_token'), 10_001, 'the entries have all of them';
    cmp_ok scalar(entries()), '<=', 40, '... and are few';
    is metric('dropped'), 0, 'none is dropped';
};

subtest 'without Redis' => sub {
    stop('redis', 'KILL');
    is flood(1000), 1000, 'all are refused, and none waits';
    until_true('they are dropped', sub { flood(100); metric('dropped') > 0 });
    pass 'they are counted';
    start_redis();
    until_true('later ones come', sub { flood(100); entries() > 0 });
    pass 'when it is there again';
};

is_deeply [logged('exited on signal|\[(?:alert|crit|emerg)\]')], [], 'the worker lives';
done_testing;
