# Slots come back, however a request ends; and what does not go to the upstream takes none.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use IO::Select;
use Limit;
use Test::More;
use Weir::Http2;
use Weir::Processes;

my $h2 = free_port();
my $upstream = held();

my $locations = <<"EOC";
location / {
    weir_limit zone=slots concurrent=1 queue=1 wait=10s key=one;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://$upstream;
}
location /cached {
    weir_cache answers;
    weir_cache_use_stale updating breaker;
    weir_limit zone=slots concurrent=1 queue=0 key=cached;
    add_header X-Cache \$weir_cache_status always;
    add_header X-Limit <\$weir_limit_status> always;
    proxy_pass http://$upstream;
}
location /page {
    weir_limit zone=slots concurrent=1 queue=0 key=page;
    proxy_intercept_errors on;
    error_page 500 /other;
    proxy_pass http://$upstream;
}
location /other {
    weir_limit zone=slots concurrent=1 queue=0 key=page;
    proxy_pass http://$upstream;
}
location /local { return 200 "local\\n"; }
location /auth {
    auth_request /check;
    proxy_pass http://$upstream;
}
location = /check {
    internal;
    weir_limit zone=slots concurrent=1 queue=1 key=check;
    proxy_pass http://$upstream;
}
location /mirrored {
    mirror /mirror;
    return 204;
}
location /upgraded {
    weir_limit zone=slots concurrent=1 queue=0 key=upgraded;
    proxy_http_version 1.1;
    proxy_set_header Upgrade websocket;
    proxy_set_header Connection upgrade;
    proxy_pass http://$upstream;
}
location /large {
    weir_limit zone=slots concurrent=1 queue=0 key=large;
    proxy_buffers 8 1m;
    proxy_busy_buffers_size 2m;
    proxy_pass http://$upstream;
}
location /unbuffered {
    weir_limit zone=slots concurrent=1 queue=0 key=unbuffered;
    proxy_buffering off;
    proxy_pass http://$upstream;
}
EOC
my %more = (http => <<"EOC");
weir_cache_zone answers 1m;
server {
    listen 127.0.0.1:$h2 http2;
    location / {
        weir_limit zone=slots concurrent=1 queue=1 wait=10s key=one;
        proxy_pass http://$upstream;
    }
}
EOC
start_limited($locations, %more);

sub status_of { answer_of(shift) =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }
sub in_use { key_of(shift)->{in_use} }

# --- the cache ---
my $fresh = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=%d, "
    . "stale-while-revalidate=60\r\n\r\nfine\n";
my $first = ask('/cached?1');
release(sprintf $fresh, 60);
is status_of($first), 200, 'a response is stored';
my $other = ask('/cached?2');
held_requests(1);
like answer_of(ask('/cached?1')), qr/ 200 .*^X-Cache: HIT\r\nX-Limit: <>\r$/ms,
    'a hit takes no slot';
is status_of(ask('/cached?3')), 503, '... while none is free';
release(sprintf $fresh, 1);
answer_of($other);
all_free();

until_true('a stale response', sub { answer_of(ask('/cached?2')) =~ / 200 .*STALE/s });
pass 'a stale response is served at once';
held_requests(1);
is in_use('cached'), 1, '... and its refresh takes a slot';
like answer_of(ask('/cached?1')), qr/HIT/, '... beside hits';
release(sprintf $fresh, 1);
all_free();
pass 'the refresh gives it back';

$other = ask('/cached?4');
held_requests(1);
until_true('a stale response', sub { answer_of(ask('/cached?2')) =~ / 200 .*STALE/s });
pass 'without a slot the stale response is served';
is held_now(), 1, '... and not refreshed';
release(sprintf $fresh, 60);
answer_of($other);
all_free();

# --- redirects ---
my $page = ask('/page');
release("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
held_requests(1);
is in_use('page'), 1, 'an error_page gives back the slot before it takes another one';
release();
is status_of($page), 500, '... and is answered';
all_free();

$page = ask('/page');
release("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /local\r\n\r\n");
like answer_of($page), qr/local/, 'X-Accel-Redirect';
all_free();
pass '... gives the slot back';

# --- subrequests ---
my $checked = ask('/auth');
held_requests(1);
is in_use('check'), 1, 'a subrequest takes a slot';
is status_of(ask('/auth')), 500, '... and does not wait for one';
release("HTTP/1.1 204 OK\r\n\r\n");
held_requests(1);
is in_use('check'), 0, '... and gives it back before its request ends';
release();
is status_of($checked), 200, '... which is answered';
all_free();

# --- upgraded connections ---
my $socket = ask('/upgraded', 'Upgrade: websocket');
held_requests(1);
my $peer = Limit::held_first();
print $peer "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nhello";
$peer->flush;
my $got = '';
until_true('the upgrade', sub {
    sysread $socket, $got, 1000, length $got if IO::Select->new($socket)->can_read(0);
    $got =~ /hello/;
});
is in_use('upgraded'), 1, 'an upgraded connection holds its slot';
is status_of(ask('/upgraded')), 503, '... so that there is none for another one';
close $socket;
all_free();
pass '... until it is closed';
close $peer;
held_requests(0);

# --- slow clients ---
my $large = 'x' x 6_000_000;
my $slow = ask('/large');
release("HTTP/1.1 200 OK\r\nContent-Length: 6000000\r\n\r\n$large");
all_free();
pass 'a client that does not read holds no slot when the upstream has finished';
close $slow;

$slow = ask('/unbuffered');
release("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n");
all_free();
is status_of($slow), 200, '... nor without buffering';

# --- HTTP/2 ---
my $one = ask('/');
held_requests(1);
my $connection = Weir::Http2->new($h2);
my $stream = $connection->open('GET', '/', 1);
until_in_queue('one', 1);
is status_of(ask('/')), 503, 'a stream waits as a request does';
$connection->reset($stream);
until_in_queue('one', 0);
pass '... and leaves the queue when it is reset';
$stream = $connection->open('GET', '/', 1);
until_in_queue('one', 1);
release();
answer_of($one);
release();
is $connection->answer($stream)->{status}, 200, '... or gets its slot';
all_free();

# --- a request that is refused, or never answered ---
$one = ask('/');
held_requests(1);
Limit::drop();
is status_of($one), 502, 'an upstream that closes';
all_free();
pass '... gives the slot back';

# --- a reload ---
$one = ask('/');
held_requests(1);
my %old = map { $_ => 1 } workers();
kill 'HUP', $pid{nginx};
until_true('new workers', sub { grep { !$old{$_} } workers() });
until_true('they have the old slot', sub { in_use('one') == 1 });
my $new = ask('/');
until_in_queue('one', 1);
is status_of(ask('/')), 503, 'after a reload a request of an old worker has its slot';
release();
is status_of($one), 200, '... until it ends';
held_requests(1);
release();
is status_of($new), 200, '... and its end wakes a request of a new worker';
all_free();

done_testing;
