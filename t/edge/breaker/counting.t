# The failures that open a breaker by default, and how log, response and weir_status report them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Processes;
use Weir::Upstream;

# /ok, /fail, /cut and /hang anywhere in the path select the response.
start_upstream(sub {
    my $path = shift;
    return answer('500 Internal Server Error', [], '') if $path =~ m{/fail};
    return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut" if $path =~ m{/cut};
    return sub { sleep 60; '' } if $path =~ m{/hang};
    return answer('200 OK', [], 'ok');
});

my ($edge, $inherits, $dead) = map { free_port() } 1 .. 3;
mkdir "$dir/edge";
mkdir "$dir/edge/logs";
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = temp_paths("$dir/edge");
my $pass = "proxy_pass http://" . upstream() . ";";
spit("$dir/edge/nginx.conf", <<"EOF");
daemon off;
pid $dir/edge/pid;
error_log $dir/edge/logs/error.log info;
load_module $module;
worker_processes 1;
events { worker_connections 1024; }
http {
    $temp
    access_log off;
    weir_breaker_zone upstreams 1m;
    weir_breaker_zone small 32k;
    weir_breaker_zone inherited 1m;
    server {
        listen 127.0.0.1:$edge;
        location = /status { weir_status; }
        location /few/   { weir_breaker zone=upstreams key=few; $pass }
        location /row/   { weir_breaker zone=upstreams open=1h; $pass }
        location /half/  { weir_breaker zone=upstreams key=half open=1h; $pass }
        location /cut/   { weir_breaker zone=upstreams key=cut open=1h; $pass }
        location /patience/ {
            weir_breaker zone=upstreams key=patience open=1h failures=2 slow=100ms;
            $pass
        }
        location /lazy/ {
            weir_breaker zone=upstreams key=lazy open=1h failures=2 slow=100ms;
            proxy_request_buffering off;
            $pass
        }
        location /first/ { proxy_pass http://127.0.0.1:$dead; error_page 502 504 /behind/hang; }
        location /behind/ { weir_breaker zone=upstreams key=behind open=1h failures=2; $pass }
        location /small/ { weir_breaker zone=small key=\$uri open=1h failures=1; $pass }
        location /any/ { weir_breaker zone=upstreams key=\$arg_key open=1h failures=1; $pass }
    }
    server {
        listen 127.0.0.1:$inherits;
        weir_breaker zone=inherited key=all open=1h failures=1;
        location /api/   { $pass }
        location /if/    { if (\$arg_x) { set \$x 1; } $pass }
        location = /status { weir_status; }
        location = /gif    { empty_gif; }
    }
}
EOF
spawn_nginx('edge', "$dir/edge");
until_true('the edge listens', sub { listens($edge) });

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge$_[0]") }
sub codes { [map { get($_)->{status} } @_] }
sub status { decode_json(get('/status')->{content})->{breakers} }
sub edge_log { my @lines = log_lines("$dir/edge/logs/error.log", $_[0]); @lines }

# --- few failures among many successes -------------------------------------------------------
my @few = map { $_ % 10 ? '/few/ok' : '/few/fail' } 1 .. 100;
is scalar(grep { $_ == 503 } @{ codes(@few) }), 0,
    'ten failures among ninety successes open nothing';

# --- in a row --------------------------------------------------------------------------------
is_deeply codes(('/row/fail') x 4, '/row/ok', ('/row/fail') x 6), [(500) x 4, 200, (500) x 5, 503],
    'five failures in a row open it, and a success ends the row';
my $refusal = get('/row/ok');
is $refusal->{status}, 503, 'the open breaker refuses';
unlike $refusal->{content}, qr/127\.0\.0\.1/, 'the answer to the client names no address';
like decode_json($refusal->{content})->{detail}, qr/Retry-After/, 'but says when to come again';
my @opened = edge_log(qr/weir_breaker .* is open/);
is scalar(@opened), 1, 'opening is one line of the log';
my $breaker = quotemeta '"' . upstream() . '" of zone "upstreams"';
my $reason = '5 calls in a row failed; last: status 500';
like $opened[0], qr/\[error\] .*weir_breaker $breaker is open, was closed: $reason/,
    'an error, with the reason';

# --- half of at least twenty -----------------------------------------------------------------
is_deeply codes((map { $_ % 2 ? '/half/ok' : '/half/fail' } 1 .. 20), '/half/ok'),
    [(map { $_ % 2 ? 200 : 500 } 1 .. 20), 503], 'half of twenty calls opens it, of fewer not';

# --- bodies that break off -------------------------------------------------------------------
is_deeply [map { $http->post("http://127.0.0.1:$edge/cut/x")->{status} } 1 .. 6], [(599) x 5, 503],
    'five bodies in a row that break off open it as well';

# --- clients that leave ----------------------------------------------------------------------
# A client that sends $request, waits until the upstream has it, and for $time, and leaves.
sub leave {
    my ($request, $time) = @_;
    my $gone = qr/client prematurely closed/;
    my $before = edge_log($gone);
    my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$edge") or die $!;
    print $s $request;
    select undef, undef, undef, $time;    # how long a client waits is what is tried
    close $s;
    until_true('the edge has seen the client leave', sub {
        my @now = edge_log($gone);
        @now > $before;
    });
}
leave("GET /patience/hang/quick HTTP/1.1\r\nHost: x\r\n\r\n", 0) for 1 .. 3;
is get('/patience/ok')->{status}, 200, 'clients that leave at once say nothing of the upstream';
leave("GET /patience/hang/slow HTTP/1.1\r\nHost: x\r\n\r\n", 0.4) for 1 .. 2;
is get('/patience/ok')->{status}, 503, 'those that have waited longer than slow= do';
leave("GET /first/x HTTP/1.1\r\nHost: x\r\n\r\n", 0.1) for 1 .. 3;
is get('/behind/ok')->{status}, 200, 'nor do those behind an error_page after a 502 elsewhere';
leave("POST /lazy/hang HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345", 0.4) for 1 .. 2;
is get('/lazy/ok')->{status}, 200, 'but not those that were sending their own body all the time';

# --- keys made by clients --------------------------------------------------------------------
is_deeply codes('/small/fail/mine', '/small/ok', '/small/fail/mine'), [500, 200, 503],
    'a breaker of a small zone is open';
is scalar(grep { get("/small/ok/$_")->{status} != 200 } 1 .. 150), 0, 'others come and go';
is get('/small/fail/mine')->{status}, 503, 'and do not close it';
cmp_ok status()->{small}{forgotten}, '>', 50, 'closed ones gave way';
get("/small/fail/$_") for 1 .. 150;
is get('/small/fail/mine')->{status}, 503, 'nor do others that open';
cmp_ok status()->{small}{uncounted}, '>', 0,
    'when all are open, calls of other keys are not counted';

my $long = 'k' x 300;
is_deeply codes("/any/fail?key=${long}1", "/any/ok?key=${long}1", "/any/ok?key=${long}2"),
    [500, 503, 200],
    'long keys that begin alike are two breakers';

# --- weir_status -----------------------------------------------------------------------------
my $now = status();
my $row = $now->{upstreams}{keys}{ upstream() };
is $row->{state}, 'open', 'weir_status shows the state';
is $row->{reason}, '5 calls in a row failed; last: status 500', 'with its reason';
is $row->{openings}, 1, 'how often it opened';
cmp_ok $row->{refused}, '>=', 2, 'how many calls it refused';
cmp_ok $row->{retry_after_ms}, '>', 0, 'and how long it stays open';
like $now->{upstreams}{keys}{half}{reason}, qr/^ratio 0\.50 of 20 in 10 s; last: status 500/,
    'a ratio is a reason';
like $now->{upstreams}{keys}{cut}{reason}, qr/last: a body that broke off/, 'a body that broke off';
like $now->{upstreams}{keys}{patience}{reason}, qr/last: a client that left/,
    'and a client that left';
is $now->{upstreams}{keys}{few}{state}, 'closed', 'closed ones are there, too';

# --- what has no upstream ----------------------------------------------------------------------
sub inherits { $http->get("http://127.0.0.1:$inherits$_[0]")->{status} }
is_deeply [map { inherits($_) } '/status', '/gif'], [200, 200],
    'locations that inherit a breaker and have no *_pass';
is_deeply status()->{inherited}{keys}, {}, 'make no breaker';
is_deeply [map { inherits($_) } '/api/fail', '/api/ok', '/if/ok', '/if/ok?x=1'],
    [500, 503, 503, 503],
    'those with one share it, also inside if';
is_deeply [map { inherits($_) } '/status', '/gif'], [200, 200],
    'the others are not refused with them';

done_testing;
