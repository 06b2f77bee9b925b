# weir_identity: what the upstream gets is verified with another implementation.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use IPC::Open2;
use JSON::PP 'decode_json';
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Token;
use Weir::Processes;

my $folder = `$Bin/../../../../scripts/test/jose.sh 2>$dir/jose.log`;
plan skip_all => 'no jose: ' . ((split /\n/, slurp("$dir/jose.log"))[-1] // '') if $? != 0;
chomp $folder;

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
sub make_key {
    my ($name, @type) = @_;
    system('openssl', 'genpkey', '-out', "$dir/$name.pem", '-quiet', @type) == 0 or die;
    chmod 0600, "$dir/$name.pem";
}
make_key($_, '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256') for qw(ec next old);
make_key('ed', '-algorithm', 'ed25519');
system("openssl pkey -in $dir/old.pem -pubout -out $dir/old.pub") == 0 or die;
my @alg = ('ES256', 'EdDSA');

# What the upstream got: path, method, and the lines of the identity.
my $fails = 0;
start_upstream(sub {
    my ($path, $request) = @_;
    my @lines = $request =~ /^(Weir[-_.]Identity: .*?)\r$/gmi;
    my ($method, $uri) = $request =~ /\A(\S+) (\S+)/;
    return answer('503 Service Unavailable', [], '') if $fails-- > 0;
    return answer('200 OK', ['Cache-Control: max-age=1'], join "\n", "$method $uri", @lines);
});

# The keys are in a file of their own, which the worlds do not translate.
sub sign_with { spit("$dir/keys.conf", "weir_identity @_ audience=shop issuer=edge-1 ttl=40s;\n") }
sign_with('key=ec.pem next_key=next.pem old_key=old.pub');

start_edge(<<"HTTP", <<"SERVER");
    underscores_in_headers on;
    ignore_invalid_headers off;
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    include $dir/keys.conf;
    weir_cache_zone api 1m;
HTTP
    weir_jwt main optional;
    location /ec/ { proxy_pass http://UPSTREAM; }
    location /ed/ {
        weir_identity key=ed.pem audience=shop issuer=edge-1;
        proxy_pass http://UPSTREAM;
    }
    location /off/ { weir_identity off; proxy_pass http://UPSTREAM; }
    location /named/ {
        weir_identity key=ec.pem audience=shop issuer=edge-1 header=X-Who-Is;
        proxy_set_header Weir-Identity \$http_x_who_is;
        proxy_pass http://UPSTREAM;
    }
    location /from/ { proxy_pass http://UPSTREAM/to/; }
    location /query/ { proxy_pass http://UPSTREAM/to?path=; }
    location /query/below/ {
        weir_identity key=ec.pem audience=shop issuer=edge-1 bind=location;
        proxy_pass http://UPSTREAM/to?path=;
    }
    location /rewritten/ { rewrite ^/rewritten/(.*) "/a b/\$1" break; proxy_pass http://UPSTREAM; }
    location /given/ {
        weir_identity key=ec.pem audience=shop issuer=edge-1 path=/x\$uri;
        proxy_pass http://UPSTREAM/x\$uri;
    }
    location /below/ {
        weir_identity key=ec.pem audience=shop issuer=edge-1 bind=location;
        proxy_pass http://UPSTREAM;
        location /below/to/ { proxy_pass http://UPSTREAM/there/; }
        location ~ /below/re/ { proxy_pass http://UPSTREAM; }
    }
    location /request/ {
        weir_trace on;
        weir_trace_context propagate;
        weir_identity key=ec.pem audience=shop issuer=edge-1 bind=request;
        proxy_pass http://UPSTREAM;
    }
    location /cached/ { weir_cache api; weir_cache_use_stale updating; proxy_pass http://UPSTREAM; }
    location /gone/ { weir_jwt main; error_page 418 = \@gone; return 418; }
    location \@gone { weir_jwt off; proxy_pass http://UPSTREAM; }
    location /ssi/ { ssi on; ssi_types *; alias $dir/ssi/; }
    location /if/ { if (\$arg_x) { set \$y 1; } proxy_pass http://UPSTREAM; }
    location = /.well-known/jwks.json { weir_identity_keys; }
SERVER
mkdir "$dir/ssi";
spit("$dir/ssi/page", '<!--#include virtual="/ec/sub" -->');

my $is = get('/.well-known/jwks.json');
my $set = $is->{content};
is $is->{status}, 200, 'the keys';
is $is->{headers}{'content-type'}, 'application/jwk-set+json', '... their type';
is $is->{headers}{'cache-control'}, 'public, max-age=60', '... may be cached';
is scalar @{ decode_json($set)->{keys} }, 4, '... of all files, each once';
unlike $set, qr/"d"/, '... without their private parts';
is request('HEAD', '/.well-known/jwks.json')->{status}, 200, '... HEAD';
is request('POST', '/.well-known/jwks.json')->{status}, 405, '... POST';

# The claims of tokens, as jose sees them.
sub verified {
    my $pid = open2(my $out, my $in, 'node', "$Bin/identity.js", $folder, 'edge-1', 'shop');
    print {$in} map { "$_\n" } $set, @_;
    close $in;
    my @claims = map { decode_json($_) } <$out>;
    waitpid $pid, 0;
    return @claims;
}

# The answer's parts: what was asked, and the only token.
sub sent {
    my ($asked, @lines) = split /\n/, shift->{content};
    is scalar @lines, 1, "one line for $asked";
    return ($asked, ($lines[0] // '') =~ s/.*: //r);
}

sub one { (verified((sent(@_))[1]))[0] }

my $alice = token(sub => 'alice', scope => 'read write');

for my $n (0, 1) {
    my $path = ('/ec/', '/ed/')[$n];
    my $claims = one(get("${path}a%20b/c?d=e", bearer($alice)));
    is $claims->{error}, undef, "$path is verified";
    is $claims->{header}{alg}, $alg[$n], '... alg';
    is $claims->{sub}, 'alice', '... sub';
    is $claims->{sub_iss}, 'https://issuer.example', '... its issuer';
    is $claims->{scope}, 'read write', '... scope';
    is_deeply $claims->{act}, { sub => 'edge-1' }, '... act';
    is $claims->{htm}, 'GET', '... method';
    is $claims->{path}, "${path}a%20b/c", '... path as sent, without query';
    is $claims->{exp} - $claims->{iat}, (40, 30)[$n], '... ttl';
    is $claims->{trace_id}, undef, '... no trace';
    $claims = one(request('POST', $path, undef, 'body'));
    is $claims->{sub}, 'anonymous', '... nobody';
    is $claims->{sub_iss}, undef, '... has no issuer';
    is $claims->{scope}, undef, '... and no scope';
    is $claims->{htm}, 'POST', '... of a POST';
}

# --- callers ---

is one(get('/ec/', bearer(token(sub => 'a', scope => ['x', 'y z', 5, 'w']))))->{scope}, 'x w',
    'scopes of an array, but what is no scope';
is one(get('/ec/', bearer(token(sub => 'a', scp => 'x'))))->{scope}, 'x', 'scp';
is one(get('/ec/', bearer(token(scope => 'admin'))))->{sub}, 'anonymous', 'no subject';
is one(get('/ec/', bearer(token(scope => 'admin'))))->{scope}, undef, '... has no scope';
my $odd = one(get('/ec/', bearer(token(sub => qq(a"\\\n\xc3\xa9","scope":"admin)))));
is $odd->{sub}, qq(a"\\\n\x{e9}","scope":"admin), 'a subject is quoted';
is $odd->{scope}, '', '... and stays one';
is one(get('/gone/', bearer($alice)))->{sub}, 'anonymous',
    'a location without weir_jwt knows nobody';
is one(get('/ssi/page', bearer($alice)))->{sub}, 'alice', 'a subrequest has the caller';
is one(get('/ssi/page', bearer($alice)))->{path}, '/ec/sub', '... and its own path';
my $big = token(sub => 'b', scope => 's' x 2600);
is length one(get('/ec/', bearer($big)))->{scope}, 2600, 'a large token, which is not kept';

# --- what clients send ---

my @forged = ('Weir-Identity' => 'forged', 'weir_identity' => 'forged', 'X-Who_Is' => 'forged',
    'WEIR.Identity' => 'forged', 'x.Who.Is' => 'forged');
is one(get('/ec/', { @forged }))->{sub}, 'anonymous', "the client's own lines do not pass";
is get('/off/', { @forged })->{content}, 'GET /off/', '... also where it is off';
is one(get('/named/', { @forged }))->{sub}, 'anonymous', 'a header of another name';

# --- paths ---

is one(get('/from/x%2Fy'))->{path}, '/to/x/y', 'proxy_pass with a path';
my ($asked, $with_query) = sent(get('/query/x?y'));
is $asked, 'GET /to?path=x?y', 'proxy_pass with a query';
is +(verified($with_query))[0]{path}, '/to', '... is no part of the path';
is one(get('/query/below/x'))->{path}, '/to', '... nor with bind=location';
for my $path ('/from/x', '/from/a%20b', '/rewritten/c', '/given/d', '/if/e', '/if/e?x=1',
    '/ec//f/../g') {
    my ($asked, $token) = sent(get($path));
    my ($claims) = verified($token);
    is $claims->{htm} . ' ' . ($claims->{path} // $claims->{error}), $asked =~ s/\?.*//r,
        "$path: the path that the upstream sees";
}
is one(get('/below/x'))->{prefix}, '/below/', 'bind=location';
is one(get('/below/x'))->{path}, undef, '... and no path';
is one(get('/below/to/x'))->{prefix}, '/there/', '... with a path of proxy_pass';
is one(get('/below/re/x'))->{path}, '/below/re/x', '... in a regular expression';
is one(get('/ec/*'))->{path}, '/ec/*', 'a path that looks like a pattern';

# --- one signature for many requests, and of other ones ---

sub token_of { (sent(shift))[1] }
sub second { until_true('a new second', sub { my $t = time; sleep 0.005; time != $t }) }

my ($first, $again);
until_true('two requests in one second', sub {
    my $now = time;
    ($first, $again) = map { (get('/ec/same', bearer($alice))->{content} =~ /: (\S+)/)[0] } 1, 2;
    $now == time;
});
is $again, $first, 'one token for a second';
my %jti = map { $_->{jti} => 1 } verified($first, map { token_of($_) }
    get('/ec/same', bearer(token(sub => 'alice', scope => 'read'))), get('/ec/same'),
    get('/ec/other', bearer($alice)), request('POST', '/ec/same', bearer($alice), ''));
is scalar keys %jti, 5, 'another scope, caller, path, method: another token';
isnt token_of(get('/request/')), token_of(get('/request/')), 'bind=request: a token each';
my $traced = one(get('/request/', { traceparent => '00-' . 'ab' x 16 . '-' . 'cd' x 8 . '-01' }));
is $traced->{trace_id}, 'ab' x 16, '... with the trace';

# --- the cache ---

get('/cached/x');
is one(get('/cached/x'))->{path}, '/cached/x', 'what the cache has stored';

# --- worker processes and keys that change ---

my $before = token_of(get('/ec/z'));
sign_with('key=next.pem old_key=ec.pem');
kill HUP => $pid{edge};
my %kid = map { $_->{kid} => 1 } @{ decode_json($set)->{keys} };
my $kid = (verified($before))[0]{header}{kid};
until_true('the new key signs', sub {
    my ($lines) = get('/ec/z')->{content} =~ /: (\S+)/;
    my ($claims) = verified($lines);
    $claims->{header}{kid} ne $kid && $kid{ $claims->{header}{kid} };
});
pass 'a new key signs after a reload, which was shown before';
$set = get('/.well-known/jwks.json')->{content};
is((verified($before))[0]{error}, undef, '... and the old one is still shown');
is_deeply [logged(qr/\[(?:alert|crit|emerg|error)\]/)], [], 'no errors';

done_testing;
