# bound=dpop of weir_jwt: a token that is bound to a key needs a proof of it for each request (RFC
# 9449). Proofs are made by another implementation, which refuses the same hostile ones.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Proof;
use Scene;
use Test::More;
use Weir::Processes;

plan skip_all => 'compares URLs of the edge itself' if in_world('tls', 'http2');

spit("$dir/keys.jwks", start_proofs($dir));
start_upstream(sub { answer('200 OK', [], 'fresh') });
start_edge(<<'HTTP', <<'SERVER', workers => 2);
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks keys.jwks; }
    large_client_header_buffers 4 32k;
HTTP
    server_name 127.0.0.1 api.example.com *.wild.example;
    location / { weir_jwt main bound=dpop; proxy_pass http://UPSTREAM; }
    location /mixed { weir_jwt main bound=dpop_or_none; proxy_pass http://UPSTREAM; }
    location /optional { weir_jwt main optional bound=dpop; proxy_pass http://UPSTREAM; }
    location /any { satisfy any; deny all; weir_jwt main bound=dpop; proxy_pass http://UPSTREAM; }
    location /ignore { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /scope {
        weir_jwt main bound=dpop;
        weir_jwt_require scope=write;
        proxy_pass http://UPSTREAM;
    }
    location /few {
        weir_jwt main bound=dpop;
        weir_jwt_dpop algorithms=ES384,EdDSA;
        proxy_pass http://UPSTREAM;
    }
    location /origin {
        weir_jwt main bound=dpop;
        weir_jwt_dpop origin=https://public.example origin=https://other.example:8443;
        proxy_pass http://UPSTREAM;
    }
    location /short {
        weir_jwt main bound=dpop;
        weir_jwt_dpop window=5s;
        proxy_pass http://UPSTREAM;
    }
    location /redirected { weir_jwt main bound=dpop; error_page 418 = /inside; return 418; }
    location /inside { weir_jwt main bound=dpop; proxy_pass http://UPSTREAM; }
    location /subject {
        set $who $weir_jwt_subject;
        weir_jwt main bound=dpop;
        add_header X-Who $who;
        proxy_pass http://UPSTREAM;
    }
SERVER

my $edge  = 'http://127.0.0.1:' . port_of_edge();
my $token = bound_token('ES256');
my $free  = bound_token(undef);
my $mtls  = bound_token(undef, cnf => { 'x5t#S256' => 'A' x 43 });

sub status { get(@_)->{status} }

# What another server would take too, for all of them.
sub good {
    my ($name, $path, %line) = @_;
    my ($made, $refused) = proof_and_verdict(htu => "$edge$path", token => $token, %line);
    is $refused, undef, "$name: jose accepts the proof";
    is status($path, dpop($line{token} // $token, $made)), 200, "$name: accepted";
}

subtest 'good proofs of ten types of keys' => sub {
    for my $alg (qw(RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA)) {
        good($alg, '/', key => $alg, token => bound_token($alg)) for 1, 2;
    }
    my $type = proof(htu => "$edge/", token => $token, header => { typ => 'application/dpop+jwt' });
    is status('/', dpop($token, $type)), 200, 'typ with application/ is the same (RFC 7515)';
    my $lower = { %{ dpop($token, proof(htu => "$edge/", token => $token)) },
        Authorization => "dpop  $token" };
    is status('/', $lower), 200, 'the scheme in lower case';
};

my %hostile = (
    'htm: another method'         => [payload => { htm => 'POST' }],
    'htm: lower case'             => [payload => { htm => 'get' }],
    'htm: none'                   => [payload => { htm => undef }],
    'htm: no text'                => [payload => { htm => 1 }],
    'htm: a list'                 => [payload => { htm => ['GET'] }],
    'htu: another path'           => [payload => { htu => "$edge/other" }],
    'htu: a longer path'          => [payload => { htu => "$edge/x" }],
    'htu: another host'           => [payload => { htu => 'http://evil.example/' }],
    'htu: another port'           => [payload => { htu => 'http://127.0.0.1:1/' }],
    'htu: another scheme'         => [payload => { htu => "https" . substr "$edge/", 4 }],
    'htu: no scheme'              => [payload => { htu => substr "$edge/", 7 }],
    'htu: a path only'            => [payload => { htu => '/' }],
    'htu: user information'       => [payload => { htu => "$edge/" =~ s{//}{//a\@}r }],
    'htu: none'                   => [payload => { htu => undef }],
    'htu: no text'                => [payload => { htu => 7 }],
    'htu: empty'                  => [payload => { htu => '' }],
    'iat: long ago'               => [payload => { iat => '-130' }],
    'iat: far ahead'              => [payload => { iat => '+130' }],
    'iat: none'                   => [payload => { iat => undef }],
    'iat: a text'                 => [payload => { iat => 'now' }],
    'iat: huge'                   => [payload => { iat => 1e300 }],
    'iat: negative'               => [payload => { iat => -5 }],
    'jti: none'                   => [payload => { jti => undef }],
    'jti: empty'                  => [payload => { jti => '' }],
    'jti: a number'               => [payload => { jti => 12 }],
    'ath: none'                   => [payload => { ath => undef }],
    'ath: of another token'       => [payload => { ath => 'A' x 43 }],
    'ath: the token'              => [payload => { ath => $token }],
    'ath: padded'                 => [payload => { ath => 'A' x 43 . '=' }],
    'typ: JWT'                    => [header => { typ => 'JWT' }],
    'typ: none'                   => [header => { typ => undef }],
    'typ: of a token'             => [header => { typ => 'at+jwt' }],
    'alg: none'                   => [alg => 'none'],
    'alg: a shared secret'        => [alg => 'HS256', header => { jwk => 'oct' }],
    'alg: HMAC with a public key' => [alg => 'HS256'],
    'alg: of another curve'       => [header => { alg => 'ES384' }, alg => 'ES256'],
    'alg: unknown'                => [header => { alg => 'XX256' }, alg => 'ES256'],
    'alg: in lower case'          => [header => { alg => 'es256' }, alg => 'ES256'],
    'jwk: none'                   => [header => { jwk => undef }],
    'jwk: with its private part'  => [header => { jwk => 'private' }],
    'jwk: of another type'        => [header => { jwk => { kty => 'oct', k => 'c2VjcmV0' } }],
    'jwk: a text'                 => [header => { jwk => 'key' }],
    'jwk: empty'                  => [header => { jwk => {} }],
    'jwk: no point of its curve'  =>
        [header => { jwk => { kty => 'EC', crv => 'P-256', x => 'A' x 43, y => 'A' x 43 } }],
    'jwk: another than the token' => [key => 'other', holder => 'ES256'],
    'jwk: ours, another signs'    => [sign => 'other'],
    'jku beside it'               => [header => { jku => 'https://evil.example/jwks' }],
    'x5c beside it'               => [header => { x5c => ['AAAA'] }],
    'crit'                        => [header => { crit => ['x'], x => 1 }],
    'signature: none'             => [raw => 'no signature'],
    'signature: zeros'            => [raw => 'other signature'],
    'signature: its last bit'     => [raw => 'last bit'],
    'two parts'                   => [raw => 'two parts'],
    'four parts'                  => [raw => 'four parts'],
    'padding'                     => [raw => 'padded'],
    'quotes'                      => [raw => 'quoted'],
    'a scheme before it'          => [raw => 'with a scheme'],
    'the JSON form'               => [raw => 'json'],
    'empty'                       => [raw => 'empty'],
    'two in one line'             => [raw => 'twice in one line'],
    'too long'                    => [raw => 'long'],
    'header: no object'           => [text => { header => '[]' }],
    'header: a member twice'      =>
        [text => { header => '{"typ":"dpop+jwt","typ":"dpop+jwt","alg":"ES256"}' }],
    'payload: no object'          => [text => { payload => '7' }],
);

# What jose ignores, or decodes all the same.
my %lax = map { $_ => 1 } 'htu: user information', 'jku beside it', 'x5c beside it', 'padding';

subtest 'hostile proofs' => sub {
    cmp_ok scalar keys %hostile, '>=', 60, 'there are many';
    for my $name (sort keys %hostile) {
        my ($made, $refused) =
            proof_and_verdict(htu => "$edge/", token => $token, @{ $hostile{$name} });
        ok defined $refused || $lax{$name}, "$name: jose refuses it";
        my $response = get('/', dpop($token, $made));
        is $response->{status}, 401, "$name: refused";
        like $response->{headers}{'www-authenticate'},
            qr/^DPoP realm="main", error="invalid_dpop_proof", algs="RS256 .*EdDSA"$/,
            "$name: the challenge";
        is status('/optional', dpop($token, $made)), 401, "$name: not where it is optional";
        isnt status('/any', dpop($token, $made)), 200, "$name: not with satisfy any";
    }
};

subtest 'a proof is good once' => sub {
    my $made = proof(htu => "$edge/", token => $token);
    is status('/', dpop($token, $made)), 200, 'the first time';
    is status('/', dpop($token, $made)), 401, '... the second' for 1 .. 6;
    my $jti = proof(htu => "$edge/", token => $token, payload => { jti => 'mine' });
    is status('/', dpop($token, $jti)), 200, 'a jti';
    $jti = proof(htu => "$edge/", token => $token, payload => { jti => 'mine' });
    is status('/', dpop($token, $jti)), 401, '... in another proof of the same key';
    my $other = bound_token('other');
    $jti = proof(htu => "$edge/", token => $other, key => 'other', payload => { jti => 'mine' });
    is status('/', dpop($other, $jti)), 200, '... of another key is another';
    ok scalar(logged(qr/the proof was used before/)), 'the log says so';
};

subtest 'without a proof' => sub {
    my $response = get('/', { Authorization => "DPoP $token" });
    is $response->{status}, 401, 'no proof';
    like $response->{headers}{'www-authenticate'}, qr/^DPoP .*error="invalid_dpop_proof"/,
        '... the challenge';
    my $made = proof(htu => "$edge/", token => $token);
    is status('/', { Authorization => "DPoP $token", DPoP => [$made, $made] }), 401, 'two headers';
    is status('/', { Authorization => "Bearer $token" }), 401, 'a bound token as a Bearer';
    is status('/', { Authorization => "Bearer $token", DPoP => $made }), 401, '... with a proof';
    is status('/', { Authorization => $token, DPoP => $made }), 401, 'no scheme';
    is status('/', { Authorization => "DPoP$token", DPoP => $made }), 401, 'no space';
    is status('/', dpop($free, proof(htu => "$edge/", token => $free))), 401,
        'a token that is bound to nothing';
    is status('/', { Authorization => "Bearer $free" }), 401, '... as a Bearer';
    is status('/', dpop($mtls, proof(htu => "$edge/", token => $mtls))), 401,
        'a token that is bound to a certificate';
    $response = get('/');
    is $response->{status}, 401, 'no token';
    like $response->{headers}{'www-authenticate'}, qr/^DPoP realm="main", algs="[^"]+"$/,
        '... the challenge';
    is status('/optional'), 200, '... where it is optional';
    is status('/ignore', { Authorization => "Bearer $token" }), 200,
        'without bound= nothing is asked';
};

subtest 'bound=dpop_or_none' => sub {
    my $url = "$edge/mixed";
    is status('/mixed', { Authorization => "Bearer $free" }), 200, 'an ordinary token';
    is status('/mixed', dpop($token, proof(htu => $url, token => $token))), 200, 'a bound one';
    my $response = get('/mixed', { Authorization => "Bearer $token" });
    is $response->{status}, 401, '... as a Bearer';
    like $response->{headers}{'www-authenticate'}, qr/^Bearer realm="main", error="invalid_token"$/,
        '... the challenge';
    is status('/mixed', dpop($free, proof(htu => $url, token => $free))), 401,
        'an ordinary one as DPoP';
    is status('/mixed', { Authorization => "Bearer $mtls" }), 401, 'one of a certificate';
    like get('/mixed')->{headers}{'www-authenticate'},
        qr/^Bearer realm="main", DPoP realm="main", algs="[^"]+"$/, 'both schemes are offered';
};

subtest 'URLs that are the same' => sub {
    my $port = port_of_edge();
    good('a query', '/?a=b', want => "$edge/");
    good('a query of the request only', '/?x=1', htu => "$edge/", want => "$edge/");
    for my $case (
        ['/a/b', "http://127.0.0.1:$port/a/b?c#d"],
        ['/a/b', "HTTP://127.0.0.1:$port/a/b"],
        ['/a/b', "http://127.0.0.1:0$port/a/b"],
        ['/a/b', "http://127.0.0.1:$port/a/c/../b"],
        ['/a/b', "http://127.0.0.1:$port/a/./b"],
        ['/a/~b', "http://127.0.0.1:$port/a/%7eb"],
        ['/a/%7Eb', "http://127.0.0.1:$port/a/~b"],
        ['/a%2fb', "http://127.0.0.1:$port/a%2Fb"],
        ['/', "http://127.0.0.1:$port"],
    ) {
        my ($path, $htu) = @$case;
        is status($path, dpop($token, proof(htu => $htu, token => $token))), 200, "$path is $htu";
    }
    for my $case (
        ['/a%2Fb', "http://127.0.0.1:$port/a/b"],
        ['/a//b', "http://127.0.0.1:$port/a/b"],
        ['/A', "http://127.0.0.1:$port/a"],
        ['/a/', "http://127.0.0.1:$port/a"],
        ['/a', "http://127.0.0.1:$port/a%00"],
        ['/a', "http://127.0.0.1:$port/a%"],
        ['/a', "http://127.0.0.1:$port\@evil.example/a"],
        ['/a', "ftp://127.0.0.1:$port/a"],
    ) {
        my ($path, $htu) = @$case;
        is status($path, dpop($token, proof(htu => $htu, token => $token))), 401,
            "$path isn't $htu";
    }
};

# The headers of a request in which Host is that one.
sub by_host {
    my ($host, $target, $htu) = @_;
    my $made = proof(htu => $htu, token => $token);
    my $socket = listens(port_of_edge());
    print {$socket} "GET $target HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n",
        "Authorization: DPoP $token\r\nDPoP: $made\r\n\r\n";
    my ($status) = <$socket> =~ m{^HTTP/1.1 (\d+)};
    return $status;
}

subtest 'the host is a name of the server' => sub {
    is by_host('api.example.com', '/', 'http://api.example.com/'), 200, 'its name';
    is by_host('API.example.com', '/', 'http://api.EXAMPLE.com:80/'), 200, '... in capitals';
    is by_host('api.example.com.', '/', 'http://api.example.com/'), 200, '... with a dot behind';
    is by_host('api.example.com:8080', '/', 'http://api.example.com:8080/'), 200, '... a port';
    is by_host('api.example.com:8080', '/', 'http://api.example.com/'), 401, '... another';
    is by_host('a.wild.example', '/', 'http://a.wild.example/'), 200, 'by a wildcard';
    is by_host('wild.example', '/', 'http://wild.example/'), 401, '... which needs a label';
    is by_host('evilwild.example', '/', 'http://evilwild.example/'), 401, '... and a dot';
    is by_host('evil.example', '/', 'http://evil.example/'), 401,
        'a proof for another server is refused, whatever Host says';
    is by_host('evil.example', 'http://api.example.com/', 'http://api.example.com/'), 200,
        'the target counts';
    is by_host('api.example.com', 'http://api.example.com:81/', 'http://api.example.com:81/'), 200,
        '... with its port';
    is by_host('api.example.com', 'http://evil.example/', 'http://evil.example/'), 401,
        '... another';
};

subtest 'weir_jwt_dpop' => sub {
    is status('/few', dpop($token, proof(htu => "$edge/few", token => $token))), 401,
        'an algorithm that is not accepted';
    my $ed = bound_token('EdDSA');
    is status('/few', dpop($ed, proof(key => 'EdDSA', htu => "$edge/few", token => $ed))), 200,
        '... one that is';
    like get('/few')->{headers}{'www-authenticate'}, qr/algs="ES384 EdDSA"$/, '... the challenge';
    for my $origin ('https://public.example', 'https://PUBLIC.example:443',
        'https://other.example:8443')
    {
        is status('/origin', dpop($token, proof(htu => "$origin/origin", token => $token))), 200,
            "$origin";
    }
    is status('/origin', dpop($token, proof(htu => "$edge/origin", token => $token))), 401,
        '... and no other';
    my @ago = (htu => "$edge/short", token => $token);
    is status('/short', dpop($token, proof(@ago, payload => { iat => '-12' }))), 401, 'a window';
    is status('/short', dpop($token, proof(@ago, payload => { iat => '-1' }))), 200, '... within';
    is status('/', dpop($token, proof(htu => "$edge/", token => $token,
        payload => { iat => '-12' }))), 200, '... elsewhere it is longer';
};

subtest 'other parts of nginx' => sub {
    my $response = get('/scope', dpop($token, proof(htu => "$edge/scope", token => $token)));
    is $response->{status}, 403, 'a scope is missing';
    like $response->{headers}{'www-authenticate'},
        qr/^DPoP realm="main", error="insufficient_scope", scope="write", algs=/,
        '... the challenge';
    is status('/any', dpop($token, proof(htu => "$edge/any", token => $token))), 200, 'satisfy any';
    is status('/redirected', dpop($token, proof(htu => "$edge/redirected", token => $token))), 200,
        'an internal redirect uses the proof again';
    my $made = proof(htm => 'POST', htu => "$edge/redirected", token => $token);
    is request('POST', '/redirected', dpop($token, $made), 'x')->{status}, 200,
        '... with the method of the client';
    is request('POST', '/redirected', dpop($token, $made), 'x')->{status}, 401, '... once';
    for my $method (qw(PUT DELETE PATCH HEAD)) {
        $made = proof(htm => $method, htu => "$edge/", token => $token);
        is request($method, '/', dpop($token, $made))->{status}, 200, $method;
    }
    for my $time (1, 2) {
        my $new = bound_token('ES256', sub => 'carol');
        $response = get('/subject', dpop($new, proof(htu => "$edge/subject", token => $new)));
        is $response->{headers}{'x-who'}, 'carol', 'a variable before the access phase';
    }
    is get('/subject', dpop($token, 'x'))->{headers}{'x-who'}, undef, '... without a good proof';
};

is_deeply [logged('exited on signal|\[(?:alert|crit|emerg)\]')], [], 'the workers live';
done_testing;
