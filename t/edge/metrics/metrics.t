# weir_metrics: Prometheus' own parsers read it, and it says what weir_status says.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache";
use Families;
use JSON::PP;
use Scene;
use Test::More;

my $OPENMETRICS = 'application/openmetrics-text';

start_upstream(sub {
    my ($path) = @_;
    return answer('500 Oops', ['Cache-Control: no-store'], 'oops') if $path =~ m{^/broken};
    return answer('200 OK', ['Cache-Control: max-age=600'], 'x' x 1000);
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone "a \"zone\" \\" 1m redis=main;
    weir_cache_zone alone 1m;
    weir_breaker_zone breakers 1m;
    weir_breaker_zone unused 1m;
    gzip_types text/plain application/openmetrics-text;
    gzip_min_length 1;
    weir_api shop { media_type application/vnd.shop; versions 1 2; }
HTTP
    weir_cache "a \"zone\" \\";
    location /       { proxy_pass http://UPSTREAM; }
    location /alone  { weir_cache alone; proxy_pass http://UPSTREAM; }
    location /broken {
        weir_cache off;
        weir_breaker zone=breakers key=named failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /broken/client {
        weir_cache off;
        weir_breaker zone=breakers key=$arg_key failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location = /status  { weir_status; }
    location = /metrics { weir_metrics; }
    location = /packed  { gzip on; weir_metrics; }
    location = /chosen  {
        weir_version shop;
        if ($arg_pass) { proxy_pass http://UPSTREAM; }
        if ($arg_by)   { set $by $arg_by; }
        weir_metrics;
    }
SERVER

# --- both formats ------------------------------------------------------------------------------

my $zone = 'a "zone" \\';
get('/a') for 1 .. 3;
get('/alone') for 1, 2;
get('/broken') for 1 .. 4;
get("/broken/client?key=client$_") for 1 .. 3;

my $text = get('/metrics');
is "$text->{status} $text->{headers}{'content-type'}",
    '200 text/plain; version=0.0.4; charset=utf-8', 'by default the text format';
my $open = get('/metrics', { Accept => "$OPENMETRICS;version=1.0.0,text/plain;q=0.5" });
is $open->{headers}{'content-type'}, "$OPENMETRICS; version=1.0.0; charset=utf-8",
    'OpenMetrics to those that ask for it';

my %read = (
    text        => families(text        => $text->{content}),
    openmetrics => families(openmetrics => $open->{content}),
);
is_deeply [sort map { s/_(total|info)$//r } keys %{ $read{text} }],
    [sort keys %{ $read{openmetrics} }], 'both have the same families';
is $read{openmetrics}{weir_invalidation_lag_seconds}{unit}, 'seconds', 'units are said';

my @bad = grep { !/^weir_[a-z_]+$/ && !/^http_(?:server|client)_request_duration_seconds$/ }
    keys %{ $read{openmetrics} };
is "@bad", '', 'all names are of the conventions or begin with weir_';
my @labels = map { keys %{ $_->[1] } } map { @{ $_->{samples} } } values %{ $read{openmetrics} };
is_deeply [sort keys %{ { map { $_ => 1 } @labels } }],
    [qw(by error_type http_request_method http_response_status_code http_route key le level
        percentile phase reason server_address server_port state url_scheme version
        weir_cache_status window zone)],
    'only labels of the configuration and of the conventions';


# --- the values --------------------------------------------------------------------------------

for my $format (sort keys %read) {
    my $m = $read{$format};
    my @memory = (level => 'memory', zone => $zone);

    like $text->{content}, qr/^weir_build_info\{version="[0-9.]+"\} 1$/m, "$format: the version";
    is value($m, 'weir_cache_hits_total', @memory), 2, "$format: hits";
    is value($m, 'weir_cache_forwarded_total', zone => $zone, reason => 'uri-miss'), 1,
        "$format: forwarded requests";
    is value($m, 'weir_cache_entries', zone => 'alone'), 1, "$format: entries";
    is value($m, 'weir_invalidation_lag_seconds', zone => 'alone'), undef,
        "$format: no lag without Redis";

    my @named = (zone => 'breakers', key => 'named');
    is value($m, 'weir_breaker_state', @named, state => 'open'), 1, "$format: an open breaker";
    is value($m, 'weir_breaker_state', @named, state => 'closed'), 0, "$format: ... is not closed";
    is value($m, 'weir_breaker_openings_total', @named), 1, "$format: its openings";
    is value($m, 'weir_breaker_refused_total', @named), 2, "$format: its refusals";
    is value($m, 'weir_breakers', zone => 'breakers'), 4, "$format: all breakers of the zone";
}
unlike $text->{content}, qr/client1/, 'a key that a client has chosen is no label';

my $status = decode_json(get('/status')->{content});
my $cache = $status->{caches}{$zone};
my $now = families(text => get('/metrics')->{content});
for my $pair (
    [entries => 'weir_cache_entries'],
    [bytes   => 'weir_cache_used_bytes'],
    [size    => 'weir_cache_size_bytes'],
    [stored  => 'weir_cache_stored_total'],
) {
    my ($field, $name) = @$pair;
    is value($now, $name, zone => $zone), $cache->{$field}, "$name is $field of weir_status";
}


# --- requests ----------------------------------------------------------------------------------

is request('POST', '/metrics', {}, 'x')->{status}, 405, 'only GET and HEAD';
my $head = request('HEAD', '/metrics');
is "$head->{status} $head->{content}", '200 ', '... both';
my $packed = get('/packed', { 'Accept-Encoding' => 'gzip', Accept => $OPENMETRICS });
is $packed->{headers}{'content-encoding'}, 'gzip', 'gzip_types knows the type without parameters';

# An API's versions are of what the upstream answers.
for my $path ('/chosen', '/chosen?by=prometheus') {
    my $r = get($path, { Accept => "$OPENMETRICS;version=1.0.0" });
    is "$r->{status} $r->{headers}{'content-type'}",
        "200 $OPENMETRICS; version=1.0.0; charset=utf-8", "$path has no version";
    is $r->{headers}{vary}, undef, '... and does not vary with it';
}
is get('/chosen?pass=1', { Accept => $OPENMETRICS })->{status}, 406,
    'what an if block passes to an upstream has one';

done_testing;
