# Requests are counted by the route of their location, which weir_route names.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Families;
use JSON::PP;
use Scene;
use Test::More;
use Weir::Processes;

start_upstream(sub {
    my ($path) = @_;
    return answer('500 Oops', [], 'oops') if $path =~ m{broken};
    return '' if $path =~ m{silent/closes};
    return sub { until_true('the client has left', sub { -e "$dir/left" }); '' }
        if $path =~ m{silent/waits};
    return answer('200 OK', ['Cache-Control: max-age=600'], 'x');
});
my $dead = free_port();
my $named = free_port();

start_edge(<<"HTTP", <<'SERVER');
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; }
    weir_cache_zone memory 1m;
    upstream tried { server 127.0.0.1:$dead; server UPSTREAM backup; }
    server {
        listen 127.0.0.1:$named;
        weir_route shop;
        location / { return 204; }
        location /own { weir_route own; return 204; location /own/inner { return 204; } }
    }
HTTP
    location /prefix/     { return 204; }
    location = /exact     { return 204; }
    location ^~ /first/   { return 204; }
    location ~ ^/regex    { return 204; }
    location ~*\.php$     { return 204; }
    location "/blank here" { return 204; }
    location /to-named    { error_page 418 = @named; return 418; }
    location @named       { return 204; }
    location /if/ {
        if ($arg_a) { return 201; }
        if ($arg_b) { weir_route "b's if"; return 201; }
        return 204;
    }
    location /odd         { weir_route "a \"quote\", a \\ and
a line"; return 204; }
    location /versions/   { weir_version shop; weir_cache memory; proxy_pass http://UPSTREAM; }
    location /tried/      { proxy_pass http://tried; }
    location /broken      { proxy_pass http://UPSTREAM; }
    location /silent/     { proxy_pass http://UPSTREAM; }
    location /led         { error_page 404 = /prefix/; return 404; }
    location = /metrics   { weir_metrics; }
    location = /status    { weir_status; }
SERVER

sub counted { families(text => get('/metrics')->{content}) }
sub requests { total($_[0], 'http_server_request_duration_seconds_count', @_[1 .. $#_]) }
sub tries { total($_[0], 'http_client_request_duration_seconds_count', @_[1 .. $#_]) }

# Bytes that are no request.
sub garbage {
    my $socket = listens(port_of_edge()) or die;
    print $socket "GARBAGE\r\n\r\n";
    local $/;
    return <$socket>;
}


# --- names -------------------------------------------------------------------------------------

get($_) for qw(/prefix/a /prefix/b /exact /first/x /regex /x.PHP /to-named /blank%20here/x
    /if/ /if/?a=1 /if/?b=1 /odd /nowhere);
like garbage(), qr/400 Bad Request/, 'a request without a location';
get("http://127.0.0.1:$named$_") for qw(/x /own /own/inner);

my $m = counted();
for my $case (
    ['/prefix/' => 2],
    ['= /exact' => 1],
    ['^~ /first/' => 1],
    ['~ ^/regex' => 1],
    ['~*\.php$' => 1],
    ['/blank here' => 1],
    ['@named' => 1],
    ['/to-named' => 0],
    ['/if/' => 2],
    ["b's if" => 1],
    ["a \"quote\", a \\ and\na line" => 1],
    ['shop' => 1],
    ['own' => 2],
    ['_other' => 2],
) {
    my ($route, $number) = @$case;
    is requests($m, http_route => $route), $number, 'route ' . encode_json([$route]);
}
is requests($m, http_route => '_other', http_response_status_code => 400), 1,
    'a request that is none is of _other';

my $status = decode_json(get('/status')->{content});
is $status->{routes}{"a \"quote\", a \\ and\na line"}{'1m'}{requests}, 1,
    'weir_status has the odd name, too';


# --- labels ------------------------------------------------------------------------------------

get('/versions/a') for 1 .. 3;
get('/versions/a', { Accept => 'application/vnd.shop.v1+json' });
request('POST', '/versions/a', {}, 'x');
request('DELETE', '/prefix/a');
request('BREW', '/prefix/a');
get('/led');
request('POST', '/led', {}, '');
get('/broken');

$m = counted();
my @versions = (http_route => '/versions/', http_response_status_code => 200);
is requests($m, @versions, weir_version => 2), 4, 'the negotiated version';
is requests($m, @versions, weir_version => 1), 1, '... and the other one';
is requests($m, @versions, weir_cache_status => 'HIT'), 2, 'hits';
is requests($m, @versions, weir_cache_status => 'MISS'), 2, 'misses';
is requests($m, @versions, weir_cache_status => 'BYPASS', http_request_method => 'POST'), 1,
    'requests that the cache has nothing for';
is requests($m, http_route => '/prefix/', http_request_method => 'DELETE'), 1, 'a known method';
is requests($m, http_route => '/prefix/', http_request_method => '_OTHER'), 1, 'an unknown one';
is requests($m, http_route => '/prefix/', http_request_method => 'POST'), 1,
    'the method is that of the client where an error_page has changed it';
is requests($m, http_route => '/broken', error_type => 500), 1, 'error.type of a server';
is requests($m, url_scheme => 'http') + requests($m, url_scheme => 'https'), requests($m),
    'each has a scheme';

my ($host, $port) = split /:/, Weir::Upstream::upstream();
is tries($m, server_address => $host, server_port => $port, http_route => '/broken',
    http_response_status_code => 500, error_type => 500), 1, 'a request to an upstream';
is tries($m, http_route => '/versions/'), 3, 'none for a hit';

get('/tried/a');
$m = counted();
is tries($m, server_address => 'tried'), 2, 'each server that was tried is a request';
is tries($m, server_address => 'tried', error_type => '_OTHER'), 1, '... also without an answer';
is tries($m, server_address => 'tried', http_response_status_code => 200), 1,
    '... to the upstream that the configuration names';

# Without an answer nginx has a status of its own, or none.
get('/silent/closes');
my $client = listens(port_of_edge()) or die $!;
print $client "GET /silent/waits HTTP/1.1\r\nHost: a\r\n\r\n";
until_true('the upstream was asked', sub { asked('/silent/waits') });
close $client;
until_true('the request has ended', sub {
    requests($m = counted(), http_route => '/silent/') == 2;
});
spit("$dir/left", '');
is tries($m, http_route => '/silent/', error_type => '_OTHER'), 2,
    'tries without an answer are one series';

cmp_ok total($m, 'weir_http_server_received_bytes_total', http_route => '/prefix/'), '>', 100,
    'bytes of requests';
cmp_ok total($m, 'weir_http_server_sent_bytes_total', http_route => '/prefix/'), '>', 300,
    'bytes of responses';
cmp_ok total($m, 'weir_http_client_received_bytes_total', server_address => 'tried'), '>', 50,
    'bytes of upstreams';
cmp_ok total($m, 'weir_http_client_sent_bytes_total', server_address => 'tried'), '>', 50,
    'bytes to upstreams';

$status = decode_json(get('/status')->{content});
is $status->{routes}{'/versions/'}{versions}{1}{'15m'}{requests}, 1, 'weir_status has versions';
is $status->{routes}{'/versions/'}{'1h'}{requests}, 5, '... and their sum';
is $status->{upstreams}{tried}{'1m'}{requests}, 2, '... and upstreams';
is $status->{upstreams}{"$host:$port"}{'1m'}{requests}, 6, '... also those of a proxy_pass';


# --- phases ------------------------------------------------------------------------------------

my $phases = total($m, 'weir_request_phase_seconds_total', http_route => '/versions/');
my $sum = total($m, 'http_server_request_duration_seconds_sum', http_route => '/versions/');
cmp_ok abs($phases - $sum), '<', 1e-6, "the phases of a route add up to its time";

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
