# Requests over HTTP/3 have one server span and are counted once each, however they end.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Edge::Nginx 'make_certificate';
use Weir::Processes;

plan skip_all => 'this nginx has no HTTP/3'
    if `$ENV{TEST_NGINX_BINARY} -V 2>&1` !~ /--with-http_v3_module/;
plan skip_all => 'this curl has no HTTP/3' if `curl --version` !~ /\bHTTP3\b/;

my $quic = free_port();
make_certificate('localhost');
start_upstream(sub {
    my ($path) = @_;
    return sub { sleep 60; '' } if $path eq '/silent';
    return answer('200 OK', ['Cache-Control: max-age=600'], 'hello');
});
start_traced('weir_cache_zone api 1m; client_max_body_size 1k;', <<"SERVER");
        listen 127.0.0.1:$quic quic;
        ssl_certificate $dir/certificate;
        ssl_certificate_key $dir/key;
        weir_trace on;
        weir_trace_context extract;
        location = /static { return 204; }
        location = /proxied { proxy_pass http://UPSTREAM; }
        location = /silent { proxy_pass http://UPSTREAM; }
        location = /cached { weir_cache api; proxy_pass http://UPSTREAM; }
        location = /metrics { weir_trace off; weir_metrics; }
SERVER

# Status of a request over HTTP/3, 000 without an answer.
sub h3 {
    my ($path, @arguments) = @_;
    open my $curl, '-|', 'curl', '-sk', '--http3-only', '-m', '20', '-o', "$dir/body",
        '-w', '%{http_version} %{http_code}', @arguments, "https://127.0.0.1:$quic$path" or die $!;
    return join '', <$curl>;
}

sub spans_of {
    my ($what, $path) = @_;
    my @spans = spans_until($what, sub {
        $_->{kind} == 2 && ($_->{attributes}{'url.path'} // '') eq $path
    });
    my $servers = grep { $_->{kind} == 2 } @spans;
    is $servers, 1, "$what: one server span";
    my ($server) = grep { $_->{kind} == 2 } @spans;
    is $server->{attributes}{'network.protocol.version'}, '3', '... of HTTP/3';
    return ($server, @spans);
}

my $trace = '1' x 32;
for my $case (
    # what, path, status, arguments of curl
    ['without an upstream', '/static', 204],
    ['proxied', '/proxied', 200],
    ['of a client with a context', '/proxied', 200,
        '-H', "traceparent: 00-$trace-2222222222222222-01"],
    ['a miss', '/cached', 200],
    ['a hit', '/cached', 200],
    ['not found', '/none', 404],
    ['too large a body', '/proxied', 413, '-d', 'x' x 2000],
) {
    my ($what, $path, $status, @arguments) = @$case;
    is h3($path, @arguments), "3 $status", "$what: answered";
    my ($server, @spans) = spans_of($what, $path);
    is $server->{attributes}{'http.response.status_code'}, $status, '... with its status';
    is scalar(grep { $_->{kind} == 3 } @spans), $what =~ /proxied|context|miss/ ? 1 : 0,
        '... and spans of its upstream';
    is $server->{parent}, '2222222222222222', '... below its client' if $what =~ /context/;
}

like h3('/silent', '-m', '1'), qr/ 000$/, 'a client that leaves';
my ($left) = spans_of('a client that leaves', '/silent');
is $left->{attributes}{'http.response.status_code'}, 499, '... with 499';

my (%counted, $page);
$page = get('/metrics')->{content};
while ($page =~ /^http_server_request_duration_seconds_count\{(.*)\} (\d+)/mg) {
    my ($labels, $n) = ($1, $2);
    $counted{join ' ', $labels =~ /(?:scheme|status_code)="(\w+)"/g} += $n;
}
delete $counted{$_} for grep { !/^https/ } keys %counted;
is_deeply \%counted,
    { 'https 204' => 1, 'https 200' => 4, 'https 404' => 1, 'https 413' => 1, 'https 499' => 1 },
    'all are counted once';
is scalar(logged(qr/\[(?:alert|emerg|crit)\]/)), 0, 'nothing is logged';

done_testing;
