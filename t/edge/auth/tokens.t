# weir_jwt: which requests pass, what the others get, and what is known of those that pass.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use JSON::PP 'decode_json';
use Scene;
use Test::More;
use Token;
use Weir::Processes;

new_key($_, $dir) for qw(main other stranger);
spit("$dir/main.jwks", jwks('main'));
spit("$dir/other.jwks", jwks('other'));

start_upstream(sub {
    my ($path, $request) = @_;
    my ($seen) = $request =~ /^X-Seen: (.*?)\r$/mi;
    return answer('200 OK', [], 'seen: ' . ($seen // 'nothing'));
});

start_edge(<<'HTTP', <<"SERVER");
    weir_jwt_issuer main {
        issuer   https://issuer.example;
        audience api "other api";
        jwks     main.jwks;
    }
    weir_jwt_issuer other {
        issuer     other;
        audience   off;
        algorithms PS256 RS256;
        jwks       other.jwks;
        leeway     0;
        type       at+jwt;
        max_age    10m;
    }
    proxy_set_header X-Seen "$weir_jwt_subject|$weir_jwt_claim_tenant|$weir_jwt_claim_roles";
HTTP
    location / { weir_jwt main; proxy_pass http://UPSTREAM; }
    location /both { weir_jwt main other; proxy_pass http://UPSTREAM; }
    location /optional {
        weir_jwt main optional;
        proxy_pass http://UPSTREAM;
        location /optional/scope { weir_jwt_require scope=read; proxy_pass http://UPSTREAM; }
        location /optional/off { weir_jwt off; proxy_pass http://UPSTREAM; }
    }
    location /cookie { weir_jwt main cookie=session; proxy_pass http://UPSTREAM; }
    location /header { weir_jwt main header=X-Token; proxy_pass http://UPSTREAM; }
    location /scope {
        weir_jwt main;
        weir_jwt_require scope=read scope=write;
        proxy_pass http://UPSTREAM;
    }
    location /claim {
        weir_jwt main;
        weir_jwt_require claim=tenant;
        weir_jwt_require claim=role=admin|editor;
        proxy_pass http://UPSTREAM;
        location /claim/any { weir_jwt_require off; proxy_pass http://UPSTREAM; }
        location /claim/number { weir_jwt_require claim=level=7; proxy_pass http://UPSTREAM; }
    }
    location /early {
        set \$early "\$weir_jwt_subject";
        weir_jwt main;
        return 200 "early: \$early";
    }
    location /page { weir_jwt main; error_page 401 /login; proxy_pass http://UPSTREAM; }
    location /login { return 200 "log in"; }
    location /open { proxy_pass http://UPSTREAM; }
    location /files/ { weir_jwt main; alias $dir/; }
SERVER

sub is_refused {
    my ($response, $status, $challenge, $title, $what) = @_;
    is $response->{status}, $status, $what;
    is $response->{headers}{'www-authenticate'}, $challenge, '... with its challenge';
    is $response->{headers}{'content-type'}, 'application/problem+json', '... as a problem';
    is eval { decode_json($response->{content})->{title} }, $title, '... that has a title';
}

my $invalid = 'Bearer realm="main", error="invalid_token"';
my $expired = "$invalid, error_description=\"The token has expired\"";

# --- with and without a token ---

my $good = token(sub => 'alice', Tenant => 'acme', roles => ['a b', 'c']);
my $is = get('/', bearer($good));
is $is->{status}, 200, 'a good token passes';
is $is->{content}, 'seen: alice|acme|["a b","c"]', 'its claims are variables';
ok !exists $is->{headers}{'www-authenticate'}, 'the response has no challenge';
is get('/', bearer($good))->{content}, $is->{content}, 'a second time as well';
is get('/', { Authorization => "bearer  $good" })->{status}, 200,
    'the scheme has no case, and spaces behind it';

is_refused(get('/'), 401, 'Bearer realm="main"', 'Token required', 'no token');
for (['another scheme', "Basic $good"], ['another scheme that begins alike', "Bearers $good"],
    ['no scheme', $good]) {
    is_refused(get('/', { Authorization => $_->[1] }), 401, 'Bearer realm="main"',
        'Token required', "$_->[0] is no token");
}
is_refused(get('/', { Authorization => [("Bearer $good") x 2] }), 400,
    'Bearer realm="main", error="invalid_request"', 'Several tokens', 'two tokens')
    if get('/open', { Authorization => [("Bearer $good") x 2] })->{status} == 200;
for my $behind ("\t", ',', '"', '/') {
    for my $path ('/', '/optional') {
        is_refused(get($path, { Authorization => "Bearer$behind$good" }), 401, $invalid,
            'Invalid token', "'$behind' behind the scheme, at $path");
    }
}
is_refused(get('/', bearer('')), 401, $invalid, 'Invalid token', 'an empty token');
is_refused(get('/', bearer("$good, $good")), 401, $invalid, 'Invalid token',
    'two tokens in one field');
is_refused(get('/', bearer(token(exp => time - 100))), 401, $expired, 'Invalid token',
    'a token that has expired');
is get('/', bearer(token(exp => time - 10)))->{status}, 200, '... within the leeway it passes';
is_refused(get('/', bearer(token(aud => 'another'))), 401, $invalid, 'Invalid token',
    'a token for another audience');
is get('/', bearer(token(aud => ['another', 'other api'])))->{status}, 200,
    'the second audience among others';
is_refused(get('/', bearer(sign('stranger', '{"alg":"RS256"}', JSON::PP::encode_json(claims())))),
    401, $invalid, 'Invalid token', 'a token that a stranger has signed');
is_refused(get('/', bearer($good . 'A')), 401, $invalid, 'Invalid token', 'a changed signature');
ok logged('weir_jwt refused the request: the signature of the token is wrong'),
    'the log says why';
is get('/files/main.jwks')->{status}, 401, 'files are protected, too';
is get('/files/main.jwks', bearer($good))->{status}, 200, '... and are served with a token';

# --- two issuers ---

my $type = '{"alg":"RS256","typ":"at+jwt"}';
my %other = (iss => 'other', aud => 'whoever', sub => 'bob');
sub of_other { sign('other', $_[0], JSON::PP::encode_json(claims(%other, @_[1 .. $#_]))) }
is get('/both', bearer($good))->{content}, 'seen: alice|acme|["a b","c"]', 'the first issuer';
is get('/both', bearer(of_other($type)))->{content}, 'seen: bob||', 'the second one';
is get('/both', bearer(of_other('{"alg":"RS256"}')))->{status}, 401, '... whose type is needed';
is get('/both', bearer(of_other($type, iat => time - 700)))->{status}, 401,
    '... whose tokens have a greatest age';
is get('/both', bearer(of_other($type, exp => time - 1)))->{status}, 401,
    '... whose leeway is another';
is get('/both', bearer(of_other($type, iss => 'https://issuer.example', aud => 'api')))->{status},
    401, 'one issuer cannot sign for the other';
is get('/', bearer(of_other($type)))->{status}, 401, 'an issuer that the location does not name';

# --- where the token is ---

is get('/optional')->{content}, 'seen: ||', 'where it is optional, a request needs no token';
is get('/optional', bearer($good))->{content}, 'seen: alice|acme|["a b","c"]',
    '... it may have one';
is get('/optional', bearer("$good."))->{status}, 401, '... but no bad one';
is get('/optional', { Authorization => 'Basic eDp5' })->{status}, 200, '... another scheme is none';
is get('/optional/scope')->{status}, 401, 'what is required of a token requires one';
is get('/optional/off', bearer($good))->{content}, 'seen: ||', 'weir_jwt off';
is get('/cookie', { Cookie => "a=b; session=$good; c=d" })->{content},
    'seen: alice|acme|["a b","c"]', 'a cookie';
is get('/cookie', bearer($good))->{status}, 401, '... and no other place';
for ("session=$good; session=x", "Session=; session=$good", "session=; a=b;session=$good") {
    is get('/cookie', { Cookie => $_ })->{status}, 400, 'two cookies of that name';
}
is get('/cookie', { Cookie => "xsession=a; session=$good; sessions=b" })->{status}, 200,
    '... others begin or end alike';
is get('/header', { 'X-Token' => $good })->{status}, 200, 'a header';
is get('/header', { 'x-token' => "Bearer $good" })->{status}, 200, '... also with the scheme';
is get('/header', { 'X-Token' => [$good, $good] })->{status}, 400, '... once';
is get('/header', { 'X-Token' => '' })->{status}, 401, '... not empty';
is get('/header', bearer($good))->{status}, 401, '... and no other place';

# --- what is required ---

my $scope = 'Bearer realm="main", error="insufficient_scope"';
is get('/scope', bearer(token(scope => 'write x read')))->{status}, 200, 'both scopes';
is_refused(get('/scope', bearer(token(scope => 'read'))), 403, "$scope, scope=\"read write\"",
    'Insufficient scope', 'one of two scopes');
is_refused(get('/scope', bearer($good)), 403, "$scope, scope=\"read write\"",
    'Insufficient scope', 'no scope');
is_refused(get('/claim', bearer($good)), 403, $scope, 'Insufficient scope', 'no such claim');
for (['admin', 200], ['editor', 200], ['admin|editor', 403], ['', 403], [['x', 'editor'], 200],
    ['Admin', 403]) {
    is get('/claim', bearer(token(tenant => 1, role => $_->[0])))->{status}, $_->[1],
        'role ' . JSON::PP->new->allow_nonref->encode($_->[0]);
}
is get('/claim', bearer(token(tenant => undef, role => 'admin')))->{status}, 403,
    'a claim that is null is missing';
is get('/claim/any', bearer($good))->{status}, 200, 'weir_jwt_require off';
is get('/claim/number', bearer(token(level => 7)))->{status}, 200,
    'a location replaces what is required around it';
is get('/claim/number', bearer(token(level => 8)))->{status}, 403, '... by its own';

# --- variables ---

is get('/', bearer(token(sub => "a\r\nX-Evil: 1", tenant => "\x7f")))->{content}, 'seen: ||',
    'text that would end a header line is no value';
is get('/', bearer(token(TENANT => 'a', tenanT => 'b')))->{content}, 'seen: ||',
    'names that differ by case only: none is meant';
is get('/', bearer(token(TENANT => 'a', tenant => 'b')))->{content}, 'seen: |b|',
    '... but the one in lower case';
is get('/early', bearer($good))->{content}, 'early: alice', 'before the access phase as well';
is get('/early', bearer("$good."))->{content}, 'early: ', '... not of a bad token';

my $page = get('/page');
is "$page->{status} $page->{content}", '401 log in', 'an error_page';
is $page->{headers}{'www-authenticate'}, 'Bearer realm="main"', '... has the challenge, too';

done_testing();
