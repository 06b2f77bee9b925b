# weir_jwt_dpop: nonces of the server (RFC 9449 section 8), the bound of the proofs that are
# remembered, TLS and HTTP/2, and what a reload keeps.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Proof;
use Scene;
use Test::More;
use Weir::Processes;

plan skip_all => 'has a TLS server of its own' if in_world('tls', 'http2');

spit("$dir/keys.jwks", start_proofs($dir));
start_upstream(sub { answer('200 OK', [], 'fresh') });

open my $stderr, '>&', \*STDERR;
open STDERR, '>', "$dir/openssl.log";
system('openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=localhost',
    '-keyout', "$dir/server.key", '-out', "$dir/server.crt", '-days', 2) == 0 or die 'openssl';
open STDERR, '>&', $stderr;

my $tls = free_port();
start_edge(<<"HTTP", <<'SERVER', workers => 2);
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks keys.jwks; }
    weir_jwt_dpop_zone 64k;
    weir_cache_zone nonces 8m redis=main;
    server {
        listen 127.0.0.1:$tls ssl http2;
        server_name localhost;
        ssl_certificate $dir/server.crt;
        ssl_certificate_key $dir/server.key;
        location / { weir_jwt main bound=dpop; proxy_pass http://UPSTREAM; }
    }
HTTP
    server_name 127.0.0.1;
    weir_jwt main bound=dpop;
    location / { weir_jwt_dpop nonce=1m; proxy_pass http://UPSTREAM; }
    location /soon { weir_jwt_dpop nonce=1s; proxy_pass http://UPSTREAM; }
    location /plain { proxy_pass http://UPSTREAM; }
    location /cached {
        weir_jwt_dpop nonce=1s;
        weir_cache nonces;
        weir_cache_valid any 1h;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
SERVER

my $edge  = 'http://127.0.0.1:' . port_of_edge();
my $token = bound_token('ES256');

sub with_nonce {
    my ($path, $nonce) = @_;
    return get($path, dpop($token, proof(htu => "$edge$path", token => $token,
        payload => defined $nonce ? { nonce => $nonce } : {})));
}

subtest 'a nonce of the server' => sub {
    my $response = with_nonce('/', undef);
    is $response->{status}, 401, 'none';
    like $response->{headers}{'www-authenticate'}, qr/^DPoP .*error="use_dpop_nonce", algs=/,
        '... the challenge';
    my $nonce = $response->{headers}{'dpop-nonce'};
    like $nonce, qr/^[\w-]{32}$/, '... has a nonce';
    for my $time (1, 2, 3) {
        $response = with_nonce('/', $nonce);
        is $response->{status}, 200, "time $time with it";
        is $response->{headers}{'dpop-nonce'}, undef, '... and none is sent while it is new';
    }
    for my $bad ('', 'x', 'A' x 32, substr($nonce, 0, 31), "${nonce}A", lc $nonce) {
        $response = with_nonce('/', $bad);
        is $response->{status}, 401, "another: $bad";
        ok $response->{headers}{'dpop-nonce'}, '... gets one';
    }
    is with_nonce('/', 7)->{status}, 401, 'a number';
    is with_nonce('/plain', $nonce)->{status}, 200, 'where none is needed it is ignored';
};

subtest 'an old nonce' => sub {
    my $first = with_nonce('/soon', undef)->{headers}{'dpop-nonce'};
    my ($response, $next);
    until_true('the nonce is old', sub {
        $response = with_nonce('/soon', $first);
        $next //= $response->{headers}{'dpop-nonce'} if $response->{status} == 200;
        return $response->{status} == 401;
    });
    ok $next, 'a response brings the next one before';
    is $response->{headers}{'www-authenticate'} =~ /use_dpop_nonce/, 1, 'it is asked for another';
    is with_nonce('/soon', $response->{headers}{'dpop-nonce'})->{status}, 200, '... which is good';
};

subtest 'a nonce is not stored' => sub {
    my $nonce = with_nonce('/cached', undef)->{headers}{'dpop-nonce'};
    my ($with, $hit) = (0, undef);
    until_true('a response with a nonce', sub {
        my $response = with_nonce('/cached', $nonce);
        $with++ if $response->{status} == 200 && $response->{headers}{'dpop-nonce'};
        $nonce = $response->{headers}{'dpop-nonce'} if $response->{status} == 401;
        return $with;
    });
    $nonce = with_nonce('/cached', undef)->{headers}{'dpop-nonce'};
    until_true('a hit', sub {
        $hit = with_nonce('/cached', $nonce);
        $nonce = $hit->{headers}{'dpop-nonce'} if $hit->{status} == 401;
        return $hit->{status} == 200 && cache_status($hit) =~ /; hit/
            && !$hit->{headers}{'dpop-nonce'};
    });
    pass 'a hit has none of another response';
};

# The status of a request over TLS.
sub by_tls {
    my ($host, $htu, @more) = @_;
    my $made = proof(htu => $htu, token => $token);
    open my $curl, '-|', 'curl', '-sk', '-o', "$dir/out", '-w', '%{http_code}', @more,
        '--resolve', "$host:$tls:127.0.0.1", '-H', "Authorization: DPoP $token", '-H',
        "DPoP: $made", "https://$host:$tls/" or die $!;
    return scalar <$curl>;
}

for my $version ('--http1.1', '--http2') {
    subtest "TLS, $version" => sub {
        is by_tls('localhost', "https://localhost:$tls/", $version), 200, 'its own URL';
        is by_tls('localhost', "http://localhost:$tls/", $version), 401, 'another scheme';
        is by_tls('localhost', 'https://localhost/', $version), 401, 'without the port';
        is by_tls('evil.example', "https://evil.example:$tls/", $version), 401, 'another host';
    };
}

subtest 'a reload forgets no proof' => sub {
    my $made = proof(htu => "$edge/plain", token => $token);
    my $nonce = with_nonce('/', undef)->{headers}{'dpop-nonce'};
    is get('/plain', dpop($token, $made))->{status}, 200, 'before';
    my $old = slurp("$dir/pid");
    kill HUP => $pid{edge};
    until_true('it has reloaded', sub { logged('gracefully shutting down') });
    is get('/plain', dpop($token, $made))->{status}, 401, 'used before';
    is with_nonce('/', $nonce)->{status}, 200, 'a nonce is good as before';
};

# 64k have room for some 2,000 proofs, of which one key has half.
subtest 'more proofs than there is room for' => sub {
    my ($many, %status) = (bound_token('EdDSA'));
    my $response;
    for (1 .. 3000) {
        $response = get('/plain', dpop($many, proof(key => 'EdDSA', htu => "$edge/plain",
            token => $many)));
        $status{ $response->{status} }++;
        last if $response->{status} == 503;
    }
    is join(' ', sort keys %status), '200 503', 'one key: no other status';
    cmp_ok $status{200}, '>', 100, '... after many';
    is $response->{headers}{'retry-after'}, 1, '... with a time';
    my $good = grep { with_nonce('/plain', undef)->{status} == 200 } 1 .. 10;
    is $good, 10, 'another key is served';
    ok scalar(logged(qr/too many proofs are remembered/)), 'the log says so';
};

is_deeply [logged('exited on signal|\[(?:alert|crit|emerg)\]')], [], 'the workers live';
done_testing;
