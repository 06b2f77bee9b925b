# weir_cache_authorized: what keeps partitions apart beside the values of claims, which callers
# cannot choose; and a token that expires before the cache is asked, or before a stale response.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Crowd;
use Test::More;
use Token;
use Weir::Base 'spew';
use Weir::Processes;

new_key('main', $dir);
spew("$dir/main.jwks", jwks('main'));

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($who) = $request =~ /^X-Who: (\w+)\r$/mi;
    $who //= 'anyone';
    return sub {
        Crowd::waiting($path =~ s{.*/}{}r);
        return answer('204 No Content', [], '') if $path =~ /check/;
        return answer('403 Forbidden', [], 'no') if $who eq 'eve';
        return answer('500 Internal Server Error', [], 'failed') if $path =~ /fails/ && $n > 1;
        my $age = $path =~ /soon/ ? 'max-age=1, stale-while-revalidate=600' : 'max-age=3600';
        $age = 'max-age=1, stale-if-error=600' if $path =~ /fails/;
        return answer('200 OK', ["Cache-Control: $age"], "for $who $n");
    };
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone z 2m;
    weir_jwt_issuer main {
        issuer https://issuer.example; audience api; jwks main.jwks; leeway 0s;
    }
    limit_req_zone $weir_jwt_subject zone=slow:1m rate=20r/m;
    proxy_set_header X-Who $weir_jwt_subject;
HTTP
    weir_cache z;
    weir_cache_lock_timeout 1h;
    location /same    {
        weir_jwt main;
        weir_cache_key same;
        location /same/tenant {
            weir_cache_authorized partition=$weir_jwt_claim_tenant;
            proxy_pass http://UPSTREAM;
        }
        location /same/team {
            weir_cache_authorized partition=$weir_jwt_claim_team;
            proxy_pass http://UPSTREAM;
        }
        location /same/both {
            weir_cache_authorized partition=$weir_jwt_claim_team partition=$weir_jwt_claim_tenant;
            proxy_pass http://UPSTREAM;
        }
        location /same/other {
            weir_cache_authorized partition=$weir_jwt_claim_tenant partition=$weir_jwt_claim_team;
            proxy_pass http://UPSTREAM;
        }
        location /same/subject { weir_cache_authorized subject; proxy_pass http://UPSTREAM; }
        location /same/shared  { weir_cache_authorized shared; proxy_pass http://UPSTREAM; }
    }
    location /subject { weir_jwt main; weir_cache_authorized subject; proxy_pass http://UPSTREAM; }
    location /shared  { weir_jwt main; weir_cache_authorized shared; proxy_pass http://UPSTREAM; }
    location /asks    {
        weir_jwt main;
        auth_request /check/slowly;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
    location /limited {
        weir_jwt main;
        limit_req zone=slow burst=2;
        weir_cache_authorized shared;
        proxy_pass http://UPSTREAM;
    }
    location /check   { internal; proxy_pass http://UPSTREAM; }
SERVER

sub gets {
    my ($path, $headers, $content, $what) = @_;
    my $response = get($path, $headers);
    is $response->{content}, $content, $what;
    return $response;
}

# --- the names of claims ---

my %red = (sub => 'red', team => 'red', tenant => 'red');

sub asks { my ($place, $who, @rest) = @_; gets("/same/$place", $who, @rest) }

asks('tenant', bearer(token(%red)), 'for red 1', 'a tenant');
asks('team', bearer(token(%red, sub => 'blue')), 'for blue 1', '... is no team of that name');
asks('subject', bearer(token(%red, tenant => 'blue')), 'for red 1', '... nor a subject');
is asked("/same/$_"), 1, "... $_" for qw(team subject);
asks('both', bearer(token(%red, sub => 'a', tenant => 'blue')), 'for a 1', 'a team and a tenant');
asks('other', bearer(token(%red, sub => 'b', team => 'blue')), 'for b 1', '... are not exchanged');
asks('shared', bearer(token(%red, sub => 'c')), 'for c 1', 'shared is none of them');
asks('tenant', bearer(token(%red, sub => 'd')), 'for red 1', 'the tenant shares as before');

# --- numbers that JSON's reader rounds ---

my $n = 1;
for my $number ('9007199254740992.0', '9007199254740993.0', '1e3', '[{"a":0.1}]') {
    my $claims = '{"iss":"https://issuer.example","aud":"api","exp":' . (time + 600)
        . ',"sub":"x","tenant":' . $number . '}';
    my $token = bearer(sign('main', '{"alg":"RS256"}', $claims));
    asks('tenant', $token, 'for x ' . ++$n, "the tenant $number has no share");
    asks('tenant', $token, 'for x ' . ++$n, '... also not with itself');
}

# --- one caller's refusal says nothing of others ---

my %of = map { $_ => bearer(token(sub => $_)) } qw(alice bob eve);
gets('/shared/soon', $of{alice}, 'for alice 1', 'a response that expires soon');
my $until = time + 2;
until_true('it has expired', sub { time > $until });
gets('/shared/soon', $of{eve}, 'for alice 1', 'a stale response while eve asks for a new one');
until_true('the upstream has refused her', sub { asked('/shared/soon') == 2 && busy() == 0 });
gets('/shared/soon', $of{bob}, 'for alice 1', 'others get the stale response as before');
until_true('and then a new one', sub { get('/shared/soon', $of{bob})->{content} =~ /bob/ });

# --- a token that expires before the cache is asked ---

gets('/asks/a', $of{alice}, 'for alice 1', 'a response behind auth_request');
hold('slowly');
$until = time + 2;
my @late = clients(['/asks/a', bearer(token(sub => 'bob', exp => $until))]);
until_true('auth_request asks', sub { busy() == 1 });
until_true('the token has expired', sub { time > $until });
let_go('slowly');
is +(answers(@late))[0]{content}, 'for bob 2',
    'a token that expires in the access phase has no share, and the upstream decides';

# The token is known when limit_req delays the request, by some three seconds.
gets('/limited', $of{alice}, 'for alice 1', 'a limit of the rate for each subject');
is get('/limited', bearer(token(sub => 'alice', exp => time + 1)))->{status}, 401,
    '... a token that expires in its queue is refused';

# --- a token that expires while the upstream fails ---

gets('/subject/fails', $of{alice}, 'for alice 1', 'a response that is kept for errors');
until_true('it has expired', sub {
    get('/subject/fails', $of{alice})->{headers}{'cache-status'} =~ /stale-if-error/
});
gets('/subject/fails', $of{alice}, 'for alice 1', '... is sent instead of an error');
hold('fails');
$until = time + 2;
@late = clients(['/subject/fails', bearer(token(sub => 'alice', exp => $until))]);
until_true('the upstream is asked', sub { busy() == 1 });
until_true('the token has expired', sub { time > $until });
let_go('fails');
is +(answers(@late))[0]{status}, 500, '... but not to a token that has expired since';
is_deeply [alarms()], [], 'no alarms';

done_testing();
