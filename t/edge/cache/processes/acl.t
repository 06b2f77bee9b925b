# Edges as the Redis user of "weirctl redis users": all that they do works, and Redis refuses them
# nothing.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use IO::Socket::INET;
use Test::More;

start_redis();

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $changed = $request =~ /^HEAD/ ? 'ETag: "2"' : 'ETag: "1"';
    return answer('200 OK', ['Cache-Control: max-age=600', 'Weir-Invalidate: red'], 'done')
        if $request =~ /^POST/;
    return answer('200 OK', ['Cache-Control: no-store'], "answer $n") if $path =~ /private/;
    return answer('206 Partial Content',
        ['Cache-Control: max-age=600', 'Content-Range: bytes 0-3/10'], 'part')
        if $path =~ /part/;
    return answer('200 OK',
        ['Cache-Control: max-age=' . ($path =~ /stale/ ? 0 : 600), 'Cache-Tag: red', $changed,
            $path =~ /vary/ ? 'Vary: X-A' : ()],
        $request =~ /^HEAD/ ? '' : "answer $n");
});
start_edge($_, 'weir_cache_zone fleet 1m redis=main;',
    <<'SERVER') for 'left', 'right';
    weir_cache fleet;
    weir_cache_purge on;
    location / { proxy_pass http://UPSTREAM; }
SERVER

sub status { Fleet::cache_status(get(@_)) }

like status('left', '/page'), qr/stored$/, 'an answer is stored';
until_true('it is in Redis', sub { @{ redis('KEYS', 'weir:cache:fleet:*') } });
like status('right', '/page'), qr/; hit;.*detail=redis/, 'another edge has it from Redis';
is scalar(@{ redis('KEYS', 'weir:fill:*') }), 0, 'behind the lease it was moved to its place';
until_true('the lease is let go', sub { !@{ redis('KEYS', 'weir:lease:*') } });

get('left', '/vary', { 'X-A' => 1 });
until_true('a variant is in Redis', sub { like_hit('right', '/vary', { 'X-A' => 1 }) });
sub like_hit { status(@_) =~ /; hit;/ }

get('left', '/private');
until_true('who gets what cannot be stored says so', sub {
    grep { (redis('GET', $_) // '') eq 'pass' } @{ redis('KEYS', 'weir:lease:*') };
});
get('left', '/part', { Range => 'bytes=0-3' });
get('left', '/stale');
request('left', 'HEAD', '/stale');

for (
    ['Weir-Invalidate', sub { request('left', 'POST', '/other', {}, 'x=1') }],
    ['a PURGE of the URI', sub { request('left', 'PURGE', '/page') }],
    ['a PURGE of a tag', sub { request('left', 'PURGE', '/', { 'Cache-Tag' => 'red' }) }],
    ['a message', sub { redis('XADD', 'weir:invalidate', '*', 'tags', 'red') }],
) {
    my ($name, $act) = @$_;
    my $before = asked('/page');
    get('right', '/page');
    $act->();
    until_true("$name reaches the other edge", sub {
        get('right', '/page')->{content} eq 'answer ' . ($before + 1) || asked('/page') > $before;
    });
    pass("$name reaches the other edge");
}

my @refused = @{ redis('ACL', 'LOG') };
is_deeply [map {
    my %entry = @$_;
    "$entry{reason} $entry{context} $entry{object}";
} @refused], [], 'Redis has refused the edges nothing';
my $complaint = qr/NOPERM|NOAUTH|WRONGPASS|weir redis.*(?:down|fail)/;
is_deeply [map { logged($_, $complaint) } 'left', 'right'], [],
    '... and their logs have no complaint';

# that the log would have told

my ($port) = port_of_redis();
my $connection = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
print $connection 'AUTH weir-edge secret-of-weir-edge', "\r\n$_\r\n" for 'FLUSHALL';
my @replies = map { scalar readline $connection } 1 .. 2;
like $replies[1], qr/^-NOPERM/, 'what is not in the rules is refused';
is scalar @{ redis('ACL', 'LOG') }, 1, '... and in the log';
redis('ACL', 'LOG', 'RESET');

done_testing;
