# Responses for a key that cannot be stored are remembered, and requests for the key do not wait.
# The record ends when a response can be stored, and a request's own fields do not cause it. A
# record caused by credentials applies to requests with the same kinds of credentials.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;
use Time::HiRes qw(sleep time);

# Answers wait while the gate of their name is closed.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($gate) = $path =~ m{^/([\w-]+)};
    return sub {
        Crowd::waiting($gate);
        answer('200 OK', ['Cache-Control: private, max-age=600'], "answer $n for you");
    } if $gate =~ /^mixed/ && $request =~ /^(?:Cookie|Authorization):/mi;
    my $fresh = $gate =~ /^open|^shared|^asked|^mixed|^page|^led|^many/ || -e "$dir/storable-$gate";
    my $conditions = join ' ', $request =~ /^(If-[\w-]+):/mgi;
    my @fields = $fresh ? ('Cache-Control: max-age=600', "X-Conditions: $conditions")
        : $gate =~ /^cookie/ ? ('Cache-Control: max-age=600', 'Set-Cookie: a=b')
        : ();
    push @fields, map { "X-$_: 1" } 1 .. 130 if $gate eq 'many';
    push @fields, 'X-Accel-Redirect: /elsewhere' if $gate eq 'led';
    return answer('200 OK', ['X-Accel-Redirect: /within/a', 'Cache-Control: private'], '')
        if $gate eq 'checked';
    push @fields, 'Cache-Control: max-age=600', $fresh ? () : 'X-Own: 1'
        if $gate =~ /^(?:named|mapped|within|wished)/;
    my $status = $gate =~ /^error/ ? '503 Busy' : $gate =~ /^page/ ? '404 Not Found' : '200 OK';
    return sub { Crowd::waiting($gate); answer($status, \@fields, "answer $n") };
});
start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone main 1m;
    map $upstream_http_x_own $own { default $upstream_http_x_own; }
HTTP
    weir_cache main;
    weir_cache_lock_timeout 1h;
    weir_cache_purge on;
    location / { proxy_pass http://UPSTREAM; }
    location /page { proxy_intercept_errors on; proxy_pass http://UPSTREAM; }
    location /page-named {
        proxy_intercept_errors on;
        error_page 404 @named;
        proxy_pass http://UPSTREAM;
    }
    location /page-location {
        proxy_intercept_errors on;
        error_page 404 /elsewhere;
        proxy_pass http://UPSTREAM;
    }
    location /page-url {
        proxy_intercept_errors on;
        error_page 404 http://elsewhere.example/;
        proxy_pass http://UPSTREAM;
    }
    location @named { return 404 "not here\n"; }
    location /elsewhere { return 200 "elsewhere\n"; }
    location /within { internal; proxy_pass http://UPSTREAM; }
    location /named { weir_cache_no_store $upstream_http_x_own; proxy_pass http://UPSTREAM; }
    location /mapped { weir_cache_no_store $http_x_none $own; proxy_pass http://UPSTREAM; }
    location /wished { weir_cache_no_store $http_x_mine; proxy_pass http://UPSTREAM; }
SERVER

sub storable { open my $out, '>', "$dir/storable-$_[0]" or die $! }

# More than the second that chance is remembered for.
sub two_seconds { my $end = time + 2; until_true('two seconds have passed', sub { time > $end }) }

# How many of n clients are at the upstream at the same time, when as many as can be are.
sub together {
    my ($n, $name, $headers) = @_;
    my $before = asked("/$name");
    hold($name);
    my @c = clients(map { ["/$name", $headers // {}] } 1 .. $n);
    until_true("$n requests are in hand", sub { busy() >= $n });
    my $end = time + 1;
    until_true('all ask, or some wait', sub { asked("/$name") - $before == $n || time > $end });
    my $together = asked("/$name") - $before;
    let_go($name);
    answers(@c);
    return $together;
}

for my $name ('nothing', 'cookie') {
    get("/$name");
    two_seconds();
    is together(8, $name), 8, "$name: no request waits for what is known not to be storable";
    two_seconds();
    is together(8, $name), 8, '... for as long as it is asked for';
    storable($name);
    get("/$name") if $name eq 'nothing';
}

like cache_status(get('/nothing')), qr/; hit;/, 'a response that can be stored is';
request('PURGE', '/nothing');
is together(8, 'nothing'), 1, '... and then requests wait for one again';

# weir_cache_no_store
for my $name ('named', 'mapped') {
    get("/$name");
    unlike cache_status(get("/$name")), qr/hit|stored/, "$name: weir_cache_no_store";
    two_seconds();
    is together(8, $name), 8, '... and no request waits for what it refuses by the response';
    storable($name);
    get("/$name");
    like cache_status(get("/$name")), qr/; hit;/, '... until the response can be stored';
}
my %mine = ('X-Mine' => 1);
is together(8, 'wished', \%mine), 8, 'those whose own request it refuses do not wait';
two_seconds();
is together(8, 'wished'), 1, '... and change nothing for others';

# What an answer that is private leads to is never stored.
hold('within');
my @led = clients(map { ['/checked'] } 1 .. 8);
until_true('all are in hand', sub { busy() >= 8 });
my $deadline = time + 2;
until_true('all ask, or some wait', sub { asked('/within/a') == 8 || time > $deadline });
is asked('/within/a'), 8, 'no request waits for what a private answer leads to';
let_go('within');
answers(@led);

get('/many');
two_seconds();
is together(8, 'many'), 8, 'no request waits for a response with too many fields';

for my $name ('page-named', 'page-location', 'page-url', 'led') {
    get("/$name");
    two_seconds();
    is together(8, $name), 8,
        "no request waits for an answer that nginx replaces by another ($name)";
}
get('/page');
like cache_status(get('/page')), qr/; hit;/, '... without an error_page it is sent, and stored';

get('/error');
two_seconds();
is together(8, 'error'), 1, 'an error is remembered for a second only';

for (['shared', { Authorization => 'Basic eDp5' }], ['asked', { 'Cache-Control' => 'no-store' }]) {
    my ($name, $headers) = @$_;
    get("/$name", $headers) for 1 .. 3;
    is together(8, $name), 1,
        "what a request's own fields bring about ($name) changes nothing for others";
}
is together(8, 'shared2', { Authorization => 'Basic eDp5' }), 8,
    'requests with credentials wait for none';

my %cookie = (Cookie => 'session=1');
my %both = (%cookie, Authorization => 'Basic eDp5');

# They must not be stored for all, nor be remembered for all.
for (['cookie', \%cookie], ['Authorization', { Authorization => 'Basic eDp5' }], ['both', \%both]) {
    my ($name, $headers) = @$_;
    my $path = "/mixed-$name";
    get($path, $headers) for 1 .. 3;
    is get($path, { 'If-None-Match' => '"x"' })->{headers}{'x-conditions'}, '',
        "after answers for one client's $name others' are asked for without their conditions";
    like cache_status(get($path)), qr/; hit;/, '... and stored';
    get("$path-crowd", $headers) for 1 .. 3;
    is together(8, "mixed-$name-crowd"), 1, '... and others wait for one of them';
}
get('/mixed-many', \%cookie);
two_seconds();
is together(8, 'mixed-many', \%cookie), 8,
    'those with cookies do not wait when their answers can\'t be stored';
is together(1, 'mixed-many', \%both), 1,
    '... and of those who send Authorization, too, nothing is known';

# One with a cookie is first; others of both kinds come while it is at the upstream.
hold('mixed-first');
my @first = clients(['/mixed-first', \%cookie]);
until_true('the first is at the upstream', sub { asked('/mixed-first') });
my @later = clients(map { (['/mixed-first', \%cookie], ['/mixed-first', {}]) } 1 .. 4);
until_true('all are in hand', sub { busy() >= 9 });
let_go('mixed-first');
my @r = answers(@first, @later);
is scalar(grep { $_->{status} == 200 } @r), 9, 'all are answered';
is scalar(grep { $_->{content} =~ /for you/ } @r),
    scalar(grep { $_->{headers}{'cache-status'} !~ /hit|stored/ } @r),
    '... what is private goes to its own client';
cmp_ok asked('/mixed-first'), '<=', 6, '... those without a cookie by one request';

is scalar(alarms()), 0, 'no alarm';
done_testing;
