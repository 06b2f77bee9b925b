# weir_jwt beside what nginx has: satisfy any, auth_basic, auth_request, error pages, internal
# redirects, subrequests; and a new JWK Set by a reload.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Token;
use Weir::Processes;

new_key($_, $dir) for qw(main next);
spit("$dir/main.jwks", jwks('main'));
spit("$dir/users", 'x:{PLAIN}y' . "\n");

start_upstream(sub {
    my ($path, $request) = @_;
    return answer('401 Unauthorized', ['WWW-Authenticate: Upstream'], '') if $path =~ /refuses/;
    return answer('204 No Content', [], '') if $request =~ /^X-Pass: yes\r$/mi;
    return answer('403 Forbidden', [], '') if $path eq '/asked';
    my ($who) = $request =~ /^X-Who: (\w+)\r$/mi;
    return answer('200 OK', [], 'for ' . ($who // 'anyone'));
});

start_edge(<<'HTTP', <<"SERVER");
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    proxy_set_header X-Who $weir_jwt_subject;
HTTP
    location /any {
        satisfy any;
        auth_basic basic;
        auth_basic_user_file users;
        weir_jwt main header=X-Token;
        proxy_pass http://UPSTREAM;
        location /any/scope { weir_jwt_require scope=read; proxy_pass http://UPSTREAM; }
        location /any/optional {
            weir_jwt main optional header=X-Token;
            proxy_pass http://UPSTREAM;
        }
        location /any/problem { weir_problem_pages on; proxy_pass http://UPSTREAM; }
    }
    location /all {
        auth_basic basic;
        auth_basic_user_file users;
        weir_jwt main header=X-Token;
        proxy_pass http://UPSTREAM;
    }
    location /request { auth_request /asked; weir_jwt main; proxy_pass http://UPSTREAM; }
    location = /asked { internal; proxy_pass http://UPSTREAM; }
    location /from { weir_jwt main; error_page 404 /inner; alias $dir/none; }
    location /from/200 { weir_jwt main; error_page 404 =200 /inner; alias $dir/none; }
    location = /inner {
        internal;
        weir_jwt main;
        weir_jwt_require scope=inner;
        proxy_pass http://UPSTREAM;
    }
    location /rewritten { weir_jwt main; rewrite ^ /inner2 last; }
    location = /inner2 { weir_jwt main; weir_jwt_require scope=inner; proxy_pass http://UPSTREAM; }
    location /loop { weir_jwt main; error_page 401 /loop/page; proxy_pass http://UPSTREAM; }
    location /ssi { weir_jwt main; ssi on; ssi_types *; alias $dir/ssi; }
    location /sub { proxy_pass http://UPSTREAM; }
    location = /status { weir_jwt main; weir_status; }
SERVER
mkdir "$dir/ssi";
spit("$dir/ssi/page", '<!--#include virtual="/sub" -->, <!--#echo var="weir_jwt_subject" -->');

my %basic = (Authorization => 'Basic eDp5');
my $token = token(sub => 'alice');
my %good  = ('X-Token' => $token);
my $bearer = 'Bearer realm="main"';

# The challenges of a response, sorted.
sub challenges {
    my $value = shift->{headers}{'www-authenticate'};
    return join ', ', sort ref $value ? @$value : $value // ();
}

# --- satisfy any, satisfy all ---

my $is = get('/any', \%good);
is "$is->{status} $is->{content}", '200 for alice', 'satisfy any: a token';
is challenges($is), '', '... no challenge';
$is = get('/any', \%basic);
is "$is->{status} $is->{content}", '200 for anyone', '... or a password';
is challenges($is), '', '... no challenge';
is get('/any', { %basic, 'X-Token' => 'bad' })->{status}, 200, '... also beside a bad token';
$is = get('/any/refuses', \%basic);
is challenges($is), 'Upstream', "the upstream's own 401 has its own challenge";
$is = get('/any');
is $is->{status}, 401, '... neither';
is challenges($is), "Basic realm=\"basic\", $bearer", '... has both challenges';
$is = get('/any/problem');
is "$is->{status} $is->{headers}{'content-type'}", '401 application/problem+json',
    '... a problem with weir_problem_pages';
is get('/any/scope', \%good)->{status}, 401, 'a token without the scope, and no password';
is get('/any/scope', { %good, %basic })->{status}, 200, '... and a password';
is get('/any/optional')->{status}, 401, 'an optional token that is missing admits nobody';
is get('/any/optional', \%good)->{status}, 200, '... a good one does';
is get('/any/optional', \%basic)->{status}, 200, '... and a password does';

is get('/all', { %good, %basic })->{status}, 200, 'satisfy all: token and password';
is get('/all', \%good)->{status}, 401, '... no password';
is get('/all', \%basic)->{status}, 401, '... no token';

is get('/request', { %{ bearer($token) }, 'X-Pass' => 'yes' })->{status}, 204, 'auth_request';
is get('/request', bearer($token))->{status}, 403, '... refuses';
is get('/request', { 'X-Pass' => 'yes' })->{status}, 401, '... does not replace the token';

# --- redirects and subrequests ---

is get($_, bearer($token))->{status}, 403, "behind an error_page of $_ another scope is required"
    for qw(/from /from/200);
$is = get('/from', bearer(token(scope => 'inner')));
is "$is->{status} $is->{content}", '404 for anyone', '... and given';
is get('/rewritten', bearer($token))->{status}, 403, 'behind a rewrite';
is get('/rewritten', bearer(token(scope => 'inner')))->{status}, 200, '... and given';
is get('/rewritten')->{status}, 401, '... without a token';
$is = get('/loop');
is $is->{status}, 401, 'an error_page that is protected, too';
is challenges($is), $bearer, '... has one challenge';
is get('/ssi/page', bearer($token))->{content}, 'for alice, alice',
    'a subrequest has the claims of the request';
is get('/ssi/page')->{status}, 401, '... which needs its token';
is get('/status')->{status}, 401, 'weir_status';
is get('/status', bearer($token))->{status}, 200, '... with a token';

# --- a new JWK Set ---

sub reload {
    my ($keys) = @_;
    spit("$dir/main.jwks", jwks(@$keys));
    kill HUP => $pid{edge};
}
sub by { sign($_[0], "{\"alg\":\"RS256\",\"kid\":\"$_[0]\"}", JSON::PP::encode_json(claims())) }
my ($old, $new) = (by('main'), by('next'));
is(get("/all", { %basic, "X-Token" => $_->[0] })->{status}, $_->[1], "before a reload")
    for [$old, 200], [$old, 200], [$new, 401];
reload([qw(main next)]);
until_true('the next key is known', sub {
    get('/all', { %basic, 'X-Token' => $new })->{status} == 200;
});
is get('/all', { %basic, 'X-Token' => $old })->{status}, 200, 'a key in both sets';
reload(['next']);
until_true('the old key is forgotten, with the tokens that were remembered', sub {
    get('/all', { %basic, 'X-Token' => $old })->{status} == 401;
});
is get('/all', { %basic, 'X-Token' => $new })->{status}, 200, 'the key that is left';
reload([]);
until_true('nginx refuses a set without keys', sub { logged('it has no key for signatures') });
is get('/all', { %basic, 'X-Token' => $new })->{status}, 200, '... and keeps the last good one';

done_testing();
