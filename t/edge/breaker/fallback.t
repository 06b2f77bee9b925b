# weir_breaker_fallback: what requests get while the breaker is open.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Fleet;
use JSON::PP;
use Test::More;
use Weir::Edge::Nginx 'configuration_said';
use Weir::Processes 'temp_paths';

my %fields = (
    plain    => ['Cache-Control: max-age=0', 'ETag: "1"'],
    must     => ['Cache-Control: max-age=0, must-revalidate', 'ETag: "1"'],
    shared   => ['Cache-Control: s-maxage=0', 'ETag: "1"'],
    no_store => ['Cache-Control: no-store'],
);
start_redis();
start_upstream(sub {
    my ($path) = @_;
    return answer('500 Internal Server Error', [], 'broken') if -e "$dir/down";
    my ($kind) = $path =~ m{^/cached/(\w+)};
    return answer('200 OK', $kind ? $fields{$kind} : ['Cache-Control: no-store'], "good $path");
});
start_edge($_, <<'HTTP', <<'SERVER') for 'left', 'right';
    weir_cache_zone fallback 1m redis=main;
    weir_breaker_zone opens 1m;
HTTP
    location /cached/ {
        weir_cache fallback;
        weir_breaker zone=opens key=cached failures=1 open=1h;
        weir_breaker_fallback stale;
        proxy_pass http://UPSTREAM;
    }
    location /plain/ {
        weir_breaker zone=opens key=plain failures=1 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /named/ {
        weir_breaker zone=opens key=named failures=1 open=1h;
        weir_breaker_fallback @busy;
        proxy_pass http://UPSTREAM;
        location /named/503/ { weir_breaker_fallback 503; proxy_pass http://UPSTREAM; }
    }
    location /loop/ {
        weir_breaker zone=opens key=named failures=1 open=1h;
        weir_breaker_fallback @loop;
        proxy_pass http://UPSTREAM;
    }
    location @busy {
        add_header X-State $weir_breaker_state always;
        return 200 "busy $request_uri";
    }
    location @loop {
        weir_breaker zone=opens key=named failures=1 open=1h;
        weir_breaker_fallback @loop;
        proxy_pass http://UPSTREAM;
    }
SERVER

sub says { my $r = get(@_); "$r->{status} $r->{content}" }

is says('left', "/cached/$_"), "200 good /cached/$_", "a response: $_" for sort keys %fields;
until_true('they are in Redis', sub { @{ redis('KEYS', 'weir:cache:fallback:*') } >= 1 });
spit("$dir/down", '');
for my $edge ('left', 'right') {
    is get($edge, '/cached/new')->{status}, 500, "$edge: the upstream is down, the breaker opens";
    is says($edge, '/cached/plain'), '200 good /cached/plain',
        'a stored response is served stale from ' . ($edge eq 'left' ? 'memory' : 'Redis');
    my $r = get($edge, '/cached/plain');
    like cache_status($r), qr/fwd=stale; detail=stale-if-error/, '... which Cache-Status says';
    is get($edge, "/cached/$_")->{status}, 503, "not one with $_" for qw(must shared no_store);
    my $new = get($edge, '/cached/new');
    is $new->{status}, 503, 'what is not stored is refused';
    is $new->{headers}{'content-type'}, 'application/problem+json', '... with a problem document';
    like $new->{headers}{'retry-after'}, qr/^3[56]\d\d$/, '... and the time that is left';
}

is get('left', '/plain/x')->{status}, 500, 'without a fallback the breaker opens';
is get('left', '/plain/x')->{status}, 503, '... and refuses';

is get('left', '/named/x')->{status}, 500, 'with a location the breaker opens';
is says('left', '/named/x?a=1'), '200 busy /named/x?a=1', '... and it answers';
is request('left', 'POST', '/named/x', {}, 'body')->{content}, 'busy /named/x', 'a POST, too';
is get('left', '/named/503/x')->{status}, 503, 'a location inside may have 503 again';
is get('left', '/loop/x')->{status}, 500, 'a location that leads to itself is an error';
is says('left', '/named/x'), '200 busy /named/x', '... and the edge lives';

# --- the configuration -----------------------------------------------------------------------
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $root = "$dir/said";
mkdir $_ for $root, "$root/logs";
sub said {
    my $server = shift;
    my $temp = temp_paths($root);
    spit("$root/nginx.conf", <<"CONF");
error_log $root/logs/error.log;
pid $root/pid;
load_module $module;
events {}
http {
$temp
    weir_breaker_zone z 1m;
    server {
$server
    }
}
CONF
    return configuration_said($root);
}
my $pass = 'weir_breaker zone=z; proxy_pass http://127.0.0.1:1;';
like said("location / { $pass weir_breaker_fallback \@none; }"),
    qr/\[emerg\] .*"weir_breaker_fallback" names the location "\@none", which .* in \S+:\d+/,
    'a location that does not exist is refused';
like said("location / { $pass weir_breaker_fallback 404; }"),
    qr/\[emerg\] .*invalid value "404" in "weir_breaker_fallback"; it must be 503, stale or/,
    'and what is no fallback';
like said("location / { $pass weir_breaker_fallback 503; weir_breaker_fallback stale; }"),
    qr/\[emerg\] .*directive is duplicate/, 'and two';
like said("location / { weir_breaker_fallback 503; proxy_pass http://127.0.0.1:1; }"),
    qr/\[warn\] .*"weir_breaker_fallback" has no effect in location/,
    'one without a breaker: a warning';

done_testing;
