# gRPC answers 200 to calls that have failed; its own status is in the header of an answer without
# a message, else in the trailers.  on= says which statuses are failures.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Crowd;
use Test::More;
use Weir::Processes;

my $grpc = free_port();
start_upstream(sub { answer('200 OK', ['grpc-status: 14'], 'ok') });

my %status = (
    ok => 0, cancelled => 1, unknown => 2, deadline => 4, exhausted => 8, internal => 13,
    unavailable => 14, loss => 15, unauthenticated => 16, huge => '99999999999999999999',
    negative => '-1', words => 'UNAVAILABLE',
);
my %on = (deadline => 'grpc_deadline_exceeded', exhausted => 'grpc_resource_exhausted',
    internal => 'grpc_internal', unavailable => 'grpc_unavailable', loss => 'grpc_data_loss');
my $all = join ',', 'error', 'grpc_unknown', sort values %on;

sub location {
    my ($name, $path, $on) = @_;
    return <<"SERVER";
    location = /$name {
        weir_breaker zone=breakers key=$name failures=2 open=1h on=$on;
        rewrite ^ $path break;
        grpc_pass grpc://127.0.0.1:$grpc;
    }
SERVER
}

start_edge(<<"HTTP", join '', <<'PLAIN',
    weir_breaker_zone breakers 1m;
    server {
        listen 127.0.0.1:$grpc http2;
        default_type application/grpc;
        @{[ map { <<"UPSTREAM" } sort keys %status ]}
        location = /header/$_ { add_header grpc-status "$status{$_}"; return 200; }
        location = /trailers/$_ { add_trailer grpc-status "$status{$_}"; return 200 message; }
UPSTREAM
        location = /neither { return 200 message; }
        location = /missing { add_header grpc-status 12; return 404; }
    }
HTTP
    location = /http {
        weir_breaker zone=breakers key=http failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
PLAIN
    (map { my $where = $_; map { location("$where-$_", "/$where/$_", $all) } sort keys %status }
        qw(header trailers)),
    (map { location("only-$_", "/header/$_", $on{$_}) } sort keys %on),
    location('other', '/header/unavailable', 'grpc_internal'),
    location('unasked', '/header/unavailable', 'error,timeout,http_5xx'),
    location('neither', '/neither', $all),
    location('missing', '/missing', $all));

# The statuses of three requests.
sub ask {
    my ($name) = @_;
    return [map { get("/$name")->{status} } 1 .. 3];
}

for my $where (qw(header trailers)) {
    for (qw(unknown deadline exhausted internal unavailable loss huge negative words)) {
        my $codes = ask("$where-$_");
        my $code = $status{$_} =~ /^\d\d?$/ ? $status{$_} : 2;
        is_deeply $codes, [200, 200, 503], "$status{$_} in the $where opens it";
        like join('', logged(qr/weir_breaker "$where-$_"/)), qr/is open.*last: gRPC status $code\b/,
            '... for that reason';
    }
    for (qw(ok cancelled unauthenticated)) {
        my $codes = ask("$where-$_");
        is_deeply $codes, [200, 200, 200], "$status{$_} in the $where does not";
    }
}
for (sort keys %on) {
    my $codes = ask("only-$_");
    is_deeply $codes, [200, 200, 503], "$on{$_} is $status{$_}";
}
my $codes = ask('other');
is_deeply $codes, [200, 200, 200], 'a status that on= has not is none';
$codes = ask('unasked');
is_deeply $codes, [200, 200, 200], '... and so are all without grpc_';
$codes = ask('neither');
is_deeply $codes, [200, 200, 200], 'an answer without a status is none';
$codes = ask('missing');
is_deeply $codes, [404, 404, 404], 'nor is a call that the server does not know';
$codes = ask('http');
is_deeply $codes, [200, 200, 200], 'nor is the line in an answer over HTTP, by default';
done_testing;
