# The page of weir_dashboard in a real browser: what it shows, that it works by keyboard, on a phone
# and in the dark, that axe-core finds nothing, and that it shows a reload and a lost Redis.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use Scene;
use Test::More;
use Weir::Processes;
use Weir::Redis qw(redis_answers redis_server redis_users redis_watch);

plan skip_all => 'the browser speaks for itself' if $ENV{WEIR_WORLD} || $ENV{WEIR_NGINX};

my $folder = `$Bin/../../../scripts/test/browser.sh 2>$dir/browser.log`;
plan skip_all => 'no browser: ' . (split /\n/, slurp("$dir/browser.log"))[-1] if $? != 0;
chomp $folder;

my $hostile = q(<script>alert("x")</script><img src=x onerror=alert(1)>);
my ($page, $redis) = (free_port(), free_port());

# What the backend and the receiver of spans answer. The real ones are in t/e2e/dashboard.t.
my ($label, $id) = ($hostile, '0af7651916cd43dd8448eb211c80319c');
$label =~ s/"/\\"/g;
mkdir "$dir/html";
spit("$dir/html/metrics", <<"METRICS");
# TYPE weir_group_lag_events gauge
weir_group_lag_events{group="$label"} 3
weir_group_oldest_age_seconds{group="$label"} 41.5
weir_group_retries_pending{group="$label"} 1
weir_group_dead_letters{group="$label"} 2
weir_group_paused{group="$label"} 0
weir_outbox_waiting_events 1
weir_outbox_oldest_age_seconds 0.5
weir_relay_active 1
METRICS

sub span {
    my ($name, $span, $parent, $from, $to, %more) = @_;
    return { traceId => $id, spanId => $span, parentSpanId => $parent, name => $name,
        startTimeUnixNano => "179600000000${from}000000",
        endTimeUnixNano => "179600000000${to}000000", %more };
}

sub service {
    my ($name, @spans) = @_;
    my $attribute = { key => 'service.name', value => { stringValue => $name } };
    return { resource => { attributes => [$attribute] }, scopeSpans => [{ spans => \@spans }] };
}
spit("$dir/html/trace", encode_json({ resourceSpans => [
    service('api', span($hostile, 'd', 'a', 60, 80, status => { code => 2 }),
        span('POST', 'c', 'b', 12, 58)),
    service('edge', span('GET', 'b', 'a', 10, 59), span('GET /checkout', 'a', '', 10, 94)),
] }));

start_upstream(sub {
    my ($path) = @_;
    return answer('500 Oops', [], 'no') if $path =~ m{^/fails};
    return answer('200 OK', ['Cache-Control: max-age=600', 'Cache-Tag: t'], 'yes');
});
spawn('redis', [redis_server(), '--port', $redis, '--bind', '127.0.0.1', '--save', '', '--dir',
    $dir, redis_users($dir)]);
until_true('Redis answers', sub { redis_answers($redis) });
redis_watch($redis);

{
    no warnings 'once';
    $Scene::redis_address = $redis;
}
start_edge(<<"HTTP", <<"SERVER", workers => 2);
    weir_cache_zone answers 1m redis=main;
    weir_exporter otlp http://127.0.0.1:9;
    weir_trace on;
    weir_trace_context propagate;
    weir_breaker_zone upstreams 1m;
    weir_api shop { media_type application/vnd.shop; versions 1 2; }
    server {
        listen 127.0.0.1:$page;
        location = / { weir_dashboard backend=/backend traces=/traces; }
        location = /once { return 204; }
        location = /backend { alias $dir/html/metrics; }
        location /traces/ {
            root $dir/html;
            default_type application/json;
            rewrite ^ /trace break;
        }
    }
HTTP
    location = /fast { weir_cache answers; proxy_pass http://UPSTREAM; }
    location = /twice { proxy_pass http://127.0.0.1:$page/once; }
    location = /hostile { weir_route '$hostile'; return 204; }
    location = /versions { weir_version shop; proxy_pass http://UPSTREAM; }
    location = /fails {
        weir_breaker zone=upstreams 'key=$hostile' failures=5 open=10m;
        proxy_pass http://UPSTREAM;
    }
SERVER

my %given = (page => "http://127.0.0.1:$page/", edge => 'http://127.0.0.1:' . port_of_edge(),
    nginx => $pid{edge}, redis => $pid{redis});
open my $browser, '-|', 'timeout', 240, 'node', "$Bin/browser.js", $folder, encode_json(\%given)
    or die $!;
while (my $line = <$browser>) {
    chomp $line;
    if ($line =~ /^(not )?ok - (.*)/) { ok !$1, $2 }
    else { diag $line }
}
ok close $browser, 'the browser ends';
is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
