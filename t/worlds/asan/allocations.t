# Whichever single allocation of the module fails, and also when all fail from one on: the worker
# lives, the client gets the right answer, an error, or its connection is closed, and the next
# request is served rightly and waits for nobody: what a request had (pins, flights, leases, places
# among Redis' replies) is given back, and nothing wrong was stored.
#
# Each path is gone through with its first allocation failing, with its second, and so on until none
# was left that fails. WEIR_ALLOCATIONS=PATTERN takes the paths that match alone;
# WEIR_ALLOCATIONS_SITES=FILE lists the places in the module where an allocation has failed.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../edge/cache", "$Bin/../../lib";
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw(sleep time);

BEGIN {
    plan skip_all => 'for ./weir test --world asan alone' if ($ENV{WEIR_WORLD} // '') ne 'asan';
}
use Crowd;
use Weir::Collector qw(collector_port received_spans start_collector);
use Weir::Edge::Nginx qw(http2_directives make_certificate);
use Weir::Http2;
use Weir::Processes qw(listens spawn spit);
use Weir::Redis qw(redis_cli_command redis_command redis_connect redis_login redis_server
    redis_users);

my $LOCK_TIMEOUT = 5;    # seconds; a request that waits so long waits for somebody who is gone
my $SOON = 2.5;
$ENV{WEIR_ALLOCATIONS} //= '.';
my $MANY = 400;          # allocations of one path: more are a loop without an end

# --- the upstream: what it answers is in the path, and the same each time ---

my $long = join '', map { "line $_ of a long body\n" } 1 .. 1000;
my %answers = (
    plain => sub { (200,
        ['Cache-Control: max-age=600', 'ETag: "plain"',
            'Last-Modified: Sun, 01 Nov 2026 00:00:00 GMT', 'Cache-Tag: a, b' . $_[0]]) },
    untagged => sub { (200, ['Cache-Control: max-age=600']) },
    private => sub { (200, ['Cache-Control: no-store']) },
    vary => sub { (200, ['Cache-Control: max-age=600', 'Vary: Accept-Language, X-Other']) },
    # stale when it comes, as others have kept it for longer than it was fresh
    stale => sub { (200, ['Cache-Control: max-age=10, stale-while-revalidate=600', 'Age: 20']) },
    validate => sub { $_[1] =~ /^If-None-Match: "v"/mi
        ? (304, ['Cache-Control: max-age=10', 'ETag: "v"', 'X-Renewed: 1'])
        : (200, ['Cache-Control: max-age=10', 'Age: 20', 'ETag: "v"', 'Cache-Tag: v']) },
    error => sub { $_[2] > 1 ? (500, [], 'broken')
        : (200, ['Cache-Control: max-age=10, stale-if-error=600', 'Age: 20']) },
    tagging => sub { (200,
        ['Cache-Control: no-store', 'Weir-Invalidate: t' . $_[0] =~ s/tagging/tagged/r]) },
    tagged => sub { (200, ['Cache-Control: max-age=600', 'Cache-Tag: t' . $_[0]]) },
    large => sub { (200, ['Cache-Control: max-age=600'], $long x 60) },
    hidden => sub { (200, ['Cache-Control: no-store', 'X-Accel-Redirect: /plain/behind' . $_[0]]) },
    fails => sub { (500, [], 'broken') },
    post => sub {
        my ($path, $request) = @_;
        my $changed = "$dir/changed" . $path =~ s{/}{-}gr;
        my @kept = $path =~ /stored/ ? ("Content-Location: $path", 'Cache-Control: max-age=600')
            : ('Content-Location: ../beside/./it?a#b');
        spit($changed, '') if $request =~ /^POST/;
        return (200, ['Cache-Control: max-age=600', 'Cache-Tag: t' . $path],
            -e $changed ? "new $path" : "old $path")
            if $request !~ /^POST/;
        return (200, ["Weir-Invalidate: t$path, other", "Location: $path", @kept], "new $path");
    },
    part => sub { $_[1] =~ /^Range: bytes=0-99/mi
        ? (206, ['Cache-Control: max-age=600', 'Content-Range: bytes 0-99/23893'], substr $long, 0,
            100)
        : (200, ['Cache-Control: max-age=600'], $long) },
    accel => sub { (200,
        ['Cache-Control: max-age=600', 'X-Accel-Redirect: /plain/behind' . $_[0]]) },
    problem => sub { (404, []) },
);
sub body_of { "body of $_[0]" }

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($kind) = $path =~ m{^/(\w+)/};
    return sub {
        waiting('upstream') if $path =~ /gate/;
        return "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nConnection: close\r\n\r\n$long"
            if $kind eq 'growing';
        my ($status, $fields, $body) = $answers{$kind}->($path, $request, $n);
        return "HTTP/1.1 304 Not Modified\r\n" . join('', map { "$_\r\n" } @$fields) . "\r\n"
            if $status == 304;
        return answer("$status Said", ['Content-Type: text/plain', @$fields],
            $body // body_of($path));
    };
});

# --- the edge ---

my $secure = free_port();
make_certificate('redis');
spawn('redis', [redis_server(), '--port', 0, '--tls-port', $secure,
    '--bind', '127.0.0.1', '--dir', $dir, '--save', '', redis_users($dir),
    '--tls-cert-file', "$dir/certificate", '--tls-key-file', "$dir/key",
    '--tls-auth-clients', 'no']);
until_true('Redis listens', sub { listens($secure) });

my $http2 = free_port();
my ($listen, $on) = http2_directives();

start_collector('spans');
my $spans = 'http://127.0.0.1:' . collector_port('spans');

spit("$dir/zone.secret", "a secret that nobody knows\n");
chmod 0600, "$dir/zone.secret";
my $login = redis_login();
my $http = <<"HTTP";
    weir_redis main redis://$login\@127.0.0.1:$ENV{TEST_NGINX_REDIS_PORT}/1 timeout=2s connect_timeout=2s;
    weir_redis secure rediss://$login\@127.0.0.1:$secure ssl_verify=off
        timeout=2s connect_timeout=2s;
    weir_cache_zone secure 2m redis=secure;
    weir_api shop { media_type application/vnd.shop; header API-Version; versions 1 2; default 2;
        deprecated 1 since=2026-01-01 sunset=2027-01-01 link=https://api.example.com/; }
    weir_breaker_zone upstreams 1m;
    weir_cache_zone memory 2m;
    weir_cache_zone z 2m redis=main;
    weir_cache_zone signed 2m redis=main secret_file=$dir/zone.secret;
    weir_cache_lock_timeout ${LOCK_TIMEOUT}s;
    weir_problem_pages on;
    weir_exporter otlp $spans interval=1ms gzip=on;
    weir_trace_publish main;
    weir_cost currency=EUR cpu=0.04 redis=0.1 upstream=0.02;
    upstream twice { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }
HTTP
my $server = <<'SERVER' =~ s/LONG/'long' x 60/er;
        LISTEN
        weir_cache z;
        location = /nothing { weir_cache off; return 404; }
        location = /teapot { weir_cache off; return 418; }
        location = /status { weir_status; }
        location = /metrics { weir_metrics; }
        location /dashboard/ { weir_cache off; weir_dashboard; }
        location /kept/ {
            weir_trace ratio=0 errors=on slow=p99;
            weir_cache off;
            proxy_pass http://UPSTREAM/fails/;
        }
        location /traced/ {
            weir_trace on;
            weir_trace_context propagate b3 b3multi;
            add_header X-Trace $weir_trace_id;
            weir_server_timing on;
            weir_cache off;
            proxy_pass http://UPSTREAM/plain/;
        }
        location /retraced/ {
            weir_trace $arg_trace errors=on slow=1h;
            weir_trace_context propagate;
            weir_cache off;
            proxy_next_upstream http_500;
            proxy_intercept_errors on;
            error_page 500 = /traced/page$uri;
            proxy_pass http://twice/fails/;
        }
        location /memory/ {
            weir_cache memory;
            weir_cache_min_uses 1;
            proxy_pass http://UPSTREAM/plain/;
        }
        location /redis/ {
            weir_cache z l1=off;
            weir_cache_key $uri;
            proxy_pass http://UPSTREAM/plain/;
        }
        location /both/ { weir_cache_key $uri; proxy_pass http://UPSTREAM/plain/; }
        location /redis-vary/ { weir_cache z l1=off; proxy_pass http://UPSTREAM/vary/; }
        location /signed-vary/ { weir_cache signed; proxy_pass http://UPSTREAM/vary/; }
        location /paged/ {
            proxy_intercept_errors on;
            error_page 500 = /plain/page$uri;
            proxy_pass http://UPSTREAM/fails/;
        }
        location /large/ {
            weir_cache z l1=off;
            weir_cache_max_size 4m;
            proxy_pass http://UPSTREAM/large/;
        }
        location /secure/ { weir_cache secure l1=off; proxy_pass http://UPSTREAM/plain/; }
        location /signed/ { weir_cache signed l1=off; proxy_pass http://UPSTREAM/plain/; }
        location /version/ {
            add_header X-Said "$weir_version $weir_media_type $weir_version_status";
            add_header X-State "$weir_breaker_state $weir_cache_status";
            weir_version shop;
            weir_cache off;
            proxy_pass http://UPSTREAM/private/;
        }
        location /versions/ {
            weir_version shop;
            proxy_set_header API-Version $weir_version;
            proxy_pass http://UPSTREAM/plain/;
        }
        location /breaker/ {
            weir_cache off;
            weir_breaker zone=upstreams key=$uri failures=1 open=1h;
            proxy_pass http://UPSTREAM/fails/;
        }
        location /guarded/ {
            weir_breaker zone=upstreams key=guarded-LONG-$uri;
            proxy_pass http://UPSTREAM/plain/;
        }
        location /purged/ { weir_cache_purge on; proxy_pass http://UPSTREAM/plain/; }
        location /valid/ {
            weir_cache_bypass $arg_bypass;
            weir_cache_no_store $arg_none;
            weir_cache_tags "$uri,more";
            weir_cache_valid 200 1m;
            proxy_pass http://UPSTREAM/untagged/;
        }
        location / { proxy_pass http://UPSTREAM; }
SERVER
$server =~ s/LISTEN/listen 127.0.0.1:$http2 $listen; $on/;

start_edge($http, $server);
my $redis;
sub redis {
    $redis //= redis_connect($ENV{TEST_NGINX_REDIS_PORT}) // die $!;
    redis_command($redis, @_);
}
redis('SELECT', 1);
redis('FLUSHDB');
until_true('Redis is there', sub { get('/both/warm')->{headers}{'cache-status'} !~ /unavailable/ });

# --- paths ---

# What a client may see when something failed: an error, or a connection that was closed early.
sub is_cut {
    my ($r, $method) = @_;
    return 1 if $r->{raw} eq '';
    return 0 if !$r->{status} || ($method // '') eq 'HEAD';
    return length $r->{content} < $r->{headers}{'content-length'}
        if exists $r->{headers}{'content-length'};
    return $r->{content} !~ /(?:^|\r\n)0\r\n\r\n\z/
        if ($r->{headers}{'transfer-encoding'} // '') eq 'chunked';
    return 0;
}

sub decoded {
    my $r = shift;
    return $r->{content} if ($r->{headers}{'transfer-encoding'} // '') ne 'chunked';
    my ($rest, $body) = ($r->{content}, '');
    while ($rest =~ s/^([0-9a-f]+)\r\n//i && hex $1) {
        $body .= substr $rest, 0, hex $1;
        $rest = substr $rest, 2 + hex $1;
    }
    return $body;
}

sub told { my $r = shift; $r->{raw} eq '' ? 'nothing' : substr $r->{raw}, 0, 600 }

my ($read, $pid) = 0;
sub new_log {
    my $log = slurp("$dir/logs/error.log");
    my $new = substr $log, $read;
    $read = length $log;
    return $new;
}
my %failed_at;

# Redis takes commands again, and both zones know what was invalidated, so that a round does not
# begin with what was left of the last one: a connection that was given up is made again after a
# while.
my $away = 1;
sub until_in_step {
    return if !$away;
    $away = 0;
    until_true('Redis is there, and read', sub {
        my @lags = get('/status')->{content} =~ /"lag[^"]*":\s*(-?\d+)/g;
        cache_status(get('/redis/warm')) !~ /unavailable/ && @lags && !grep { $_ > 1000 } @lags;
    });
}

# at: the start of the URI, to which each round adds something; before: what is done before
# allocations fail; ask: the requests, whose answers it returns (one, of that method and with those
# headers, without); right, right_again: whether an answer is right, then and later; again: what is
# asked later, twice; cached: it is in the cache the second time; holds: what else is wrong; most:
# so many allocations at most.
my %left;
sub round {
    my ($name, $p, $nth, $onward) = @_;
    my $uri = "$p->{at}/$nth" . ($onward ? '-onward' : '') . ($p->{end} // '');
    my $ask = $p->{ask} // sub { request($p->{method} // 'GET', $uri, $p->{headers}) };
    my $kinds = qr{traced|memory|redis|both|signed|secure|versions|guarded|purged};
    my $body = body_of($uri =~ s{^/(?:$kinds)/}{/plain/}r);
    my $right = $p->{right} // sub { $_[0]{status} == 200 && decoded($_[0]) eq $body };
    my $where = "$name, allocation $nth" . ($onward ? ' and all that follow' : '');
    my ($looks, @wrong) = 0;

    until_in_step();
    $p->{before}->($uri) if $p->{before};
    probe('z', "fail=$nth&onward=" . ($onward ? 1 : 0));
    my @answers = $ask->($uri);
    $p->{after}->($uri) if $p->{after};
    until_true("$where: nothing is going on", sub { busy() <= 0 });
    my $count = probe('z', 'fail=0');
    $p->{afterwards}->($uri) if $p->{afterwards};

    for (@answers) {
        push @wrong, 'answered by ' . told($_)
            if !is_cut($_, $p->{method}) && !($_->{status} >= 500 && $_->{status} <= 599)
                && !$right->($_, $uri);
        push @wrong, 'an answer longer than it says'
            if length $_->{content} > ($_->{headers}{'content-length'} // 1e9);
    }
    for my $time (1, 2) {
        my $began = time;
        my $r = ($p->{again} // $ask)->($uri, $time);
        my $took = time - $began;
        push @wrong, 'then answered by ' . told($r)
            if is_cut($r, $p->{method}) || !($p->{right_again} // $right)->($r, $uri);
        push @wrong, sprintf 'then after %.1f s', $took if $took > $SOON;
    }
    if ($p->{cached}) {
        $away = 1;
        until_in_step();
        get($uri, $p->{headers});
        my $r = get($uri, $p->{headers});
        push @wrong, 'and then not served from the cache: ' . cache_status($r)
            if cache_status($r) !~ /; hit/;
    }
    push @wrong, $p->{holds}->($uri) if $p->{holds};
    for my $zone (qw(memory z signed secure)) {
        my $state = until_true("$where: zone $zone is at rest", sub {
            my $s = probe($zone);
            push @wrong, "zone $zone keeps @{[map { qq($_=$s->{$_}) } qw(pins flights commands)]}"
                if ++$looks == 500;
            $s->{status} && ($looks >= 500 || !($s->{pins} || $s->{flights} || $s->{commands}))
                && $s;
        });
        push @wrong, "zone $zone: $state->{wrong}" if $state->{wrong} ne 'nothing';
        push @wrong, 'the worker has ended' if $state->{pid} != $pid;
        $pid = $state->{pid};
    }
    my $log = new_log();
    $away ||= $log =~ /weir_redis .* is down/;
    my $noted = () = $log =~ /\[notice\].*: allocation \d+ fails: .*/g;
    $failed_at{$1}++ while $log =~ /: allocation \d+ fails: (\w+ called at .*)/g;
    push @wrong, "$noted failures in the log, and $count->{failed} counted"
        if $noted != $count->{failed};
    push @wrong, map { "log: $_" } $log =~ /^(.*\[(?:alert|emerg|crit)\](?!.*was locked by).*)/mg;
    return ($count->{failed}, map { "$where: $_" } @wrong);
}

sub path {
    my ($name, %p) = @_;
    return if $name !~ /$ENV{WEIR_ALLOCATIONS}/;
    my ($n, $time, @wrong) = (0, time);
    new_log();
    $pid = probe('z')->{pid};
    for my $onward (0, 1) {
        for my $nth (1 .. $MANY) {
            my ($failed, @found) = round($name, \%p, $nth, $onward);
            push @wrong, @found;
            last if !$failed || @wrong > 20 || $nth == ($p{most} // $MANY);
            $n++ if !$onward;
        }
    }
    is_deeply \@wrong, [], "$name: nothing is wrong when any of $n allocations fails";
    cmp_ok $n, '>', 5, '... have failed';
    note sprintf '%s: %d allocations, %.1f s', $name, $n, time - $time;
}


sub fill { my $headers = shift; sub { get($_[0], $headers) } }
# ... until it is in Redis, for which no request waits
sub keep {
    my $uri = shift;
    until_true("$uri is in Redis", sub { cache_status(get($uri)) =~ /; hit/ });
}
# ... which it can't be while the connection is being made again
sub until_heard {
    my ($method, $headers, $right) = @_;
    return sub {
        my ($uri, $r) = shift;
        for (1 .. 100) { $r = request($method, $uri, $headers); last if $right->($r); sleep 0.02 }
        return $r;
    };
}
sub says { my $body = shift; sub { $_[0]{status} == 200 && $_[0]{content} =~ $body } }

path 'a miss in memory', at => '/memory', cached => 1;
path 'a hit in memory', at => '/memory/hit', before => fill(), cached => 1;
path 'a miss in both levels', at => '/both', cached => 1;
path 'a miss with the default key', at => '/plain', cached => 1;
path 'a miss in Redis', at => '/redis/miss';
path 'a hit in Redis', at => '/redis/hit', before => \&keep;
path 'signed entries', at => '/signed/miss';
path 'a signed hit', at => '/signed/hit', before => \&keep;
path 'signed variants', at => '/signed-vary', headers => { 'Accept-Language' => 'de' },
    right => says(qr{^body of /vary});
path 'a long answer without a length', at => '/growing',
    right => sub { $_[0]{status} == 200 && decoded($_[0]) eq $long }, cached => 1;
path 'what can not be stored', at => '/private';
path 'a bypassed request', at => '/valid/a', end => '?bypass=1&none=1', right => says(qr/^body of/);
path 'tags of a variable', at => '/valid/b', right => says(qr/^body of/);
path 'a response that varies', at => '/vary/miss',
    headers => { 'Accept-Language' => 'de', 'X-Other' => 'a  b' }, cached => 1;
path 'a second variant', at => '/vary/second', before => fill({ 'Accept-Language' => 'en' }),
    headers => { 'Accept-Language' => 'de' }, cached => 1;
path 'a variant in memory', at => '/vary/hit', before => fill({ 'Accept-Language' => 'de' }),
    headers => { 'Accept-Language' => 'de' };
path 'variants in Redis', at => '/redis-vary/hit', before => \&keep,
    right => says(qr{^body of /vary});
path 'a stale response and its refresh', at => '/stale', before => fill();
path 'a revalidation', at => '/validate', before => fill(), cached => 1;
path 'a HEAD that revalidates', at => '/validate/head', before => fill(), method => 'HEAD',
    right => sub { $_[0]{status} == 200 };
path 'stale-if-error', at => '/error', before => fill();
path 'only-if-cached', at => '/plain/only', headers => { 'Cache-Control' => 'only-if-cached' },
    right => sub { $_[0]{status} == 504 };
path 'no-cache', at => '/plain/nocache', before => fill(),
    headers => { 'Cache-Control' => 'no-cache' };
path 'a GET with a body', at => '/plain/body',
    ask => sub { Crowd::talk(Crowd::port(),
        "GET $_[0] HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc") },
    right => sub { $_[0]{status} == 400 };
path 'If-None-Match on a hit', at => '/plain/inm', before => fill(),
    headers => { 'If-None-Match' => '"plain"' }, right => sub { $_[0]{status} == 304 };
path 'If-None-Match on a miss', at => '/plain/inm-miss',
    headers => { 'If-None-Match' => '"plain"' }, right => sub { $_[0]{status} == 304 };
path 'Range on a hit', at => '/plain/range', before => fill(), headers => { Range => 'bytes=0-3' },
    right => sub { $_[0]{status} == 206 && $_[0]{content} eq 'body' };
path 'Range on a miss', at => '/plain/range-miss', headers => { Range => 'bytes=0-3' },
    right => sub { $_[0]{status} == 206 && $_[0]{content} eq 'body' };
path 'a part that is stored', at => '/part', headers => { Range => 'bytes=0-99' },
    right => sub { $_[0]{status} == 206 && $_[0]{content} eq substr $long, 0, 100 };
path 'a stored part', at => '/part/hit', before => fill({ Range => 'bytes=0-99' }),
    headers => { Range => 'bytes=0-3' },
    right => sub { $_[0]{status} == 206 && $_[0]{content} eq 'line' };
path 'X-Accel-Redirect', at => '/accel',
    right => sub { $_[0]{status} == 200 && $_[0]{content} eq body_of("/plain/behind$_[1]") };
path 'an error_page', at => '/paged', right => says(qr{^body of /plain/page});

my $purged_key = says(qr/^\{"invalidated":"key"/);
path 'X-Accel-Redirect of what is private', at => '/hidden',
    right => sub { $_[0]{status} == 200 && $_[0]{content} eq body_of("/plain/behind$_[1]") };
path 'PURGE of a key', at => '/purged/key', before => fill(), method => 'PURGE',
    right => $purged_key, again => until_heard('PURGE', {}, $purged_key);
my ($purged_tags, %tags) =
    (says(qr/^\{"invalidated":"tags"/), 'Cache-Tag' => 'one, two three', 'Weir-Soft' => 1);
path 'PURGE of tags', at => '/purged/tags', method => 'PURGE', headers => \%tags,
    right => $purged_tags, again => until_heard('PURGE', \%tags, $purged_tags);
path 'a malformed PURGE', at => '/purged/wrong', method => 'PURGE', headers => { 'Weir-Soft' => 7 },
    right => sub { $_[0]{status} == 400 };

# What the upstream has changed is not served as it was before, whatever failed while its answer
# came back.
my %post =
    (method => 'POST', before => fill(), right => says(qr/^new/), again => sub { get($_[0]) },
    right_again => sub { $_[0]{status} == 200
        && $_[0]{content} eq (-e "$dir/changed" . $_[1] =~ s{/}{-}gr ? "new $_[1]"
            : "old $_[1]") });
path 'a POST that invalidates', at => '/post', %post;
path 'a POST whose answer is stored', at => '/post/stored', %post;
path 'Weir-Invalidate', at => '/tagging',
    ask => sub { get('/tagging' . $_[0] =~ s{^/tagging}{}r, { 'Cache-Control' => 'no-cache' }) },
    before => sub { get($_[0] =~ s/tagging/tagged/r) },
    again => sub { get($_[0] =~ s/tagging/tagged/r) }, right => says(qr/^body of/),
    holds => sub { asked($_[0]) > 0 && asked($_[0] =~ s/tagging/tagged/r) < 2
        ? 'what the response has invalidated is still served' : () };

path 'version negotiation', at => '/version/v',
    headers => { Accept => 'application/vnd.shop.v1+json, text/html;q=0.1' },
    right => sub { $_[0]{status} == 200 && $_[0]{headers}{deprecation} && $_[0]{headers}{sunset}
        && $_[0]{headers}{'x-said'} =~ m{^1 application/vnd.shop.v1\+json deprecated} };
path 'a version that is not offered', at => '/version/406',
    headers => { Accept => 'application/vnd.shop.v9+json' }, right => sub { $_[0]{status} == 406 };
path 'two versions', at => '/version/400',
    headers => { 'API-Version' => 1, Accept => 'application/vnd.shop.v2+json' },
    right => sub { $_[0]{status} == 400 };
my $two_lines = "Accept: text/html\r\nAccept: application/vnd.shop.v2+json\r\n";
path 'two lines of Accept', at => '/version/lines', ask => sub {
    Crowd::talk(Crowd::port(),
        "GET $_[0] HTTP/1.1\r\nHost: a\r\n${two_lines}Connection: close\r\n\r\n");
},
    right => sub { $_[0]{status} == 200 && $_[0]{headers}{vary} =~ /Accept, API-Version/ };
path 'negotiated and cached', at => '/versions', headers => { 'API-Version' => 1 }, cached => 1;
path 'a breaker that counts', at => '/breaker/count', right => sub { $_[0]{status} == 500 },
    again => sub { get($_[0] . '/again' . $_[1]) };
path 'a breaker that refuses', at => '/breaker/refuse', before => fill(),
    right => sub { $_[0]{status} == 503 };
path 'a breaker that lets pass', at => '/guarded', cached => 1;

# nginx's own page is also an answer when there is no memory for a document.
my $page = sub {
    my $status = shift;
    sub { $_[0]{status} == $status && $_[0]{content} =~ /"title"|<title>|^$/ };
};
my $document = sub {
    my $status = shift;
    sub { $_[0]{status} == $status && $_[0]{content} =~ /"title"/ };
};
path 'a problem page', at => '/nothing?', right => $page->(404), right_again => $document->(404);
path 'a problem page without a text', at => '/teapot?', right => $page->(418),
    right_again => $document->(418);
path 'weir_status', at => '/status?', right => sub {
    $_[0]{status} == 200 && decoded($_[0]) =~ /^\{.*"upstreams":.*\}\s*\z/s;
};
path 'weir_metrics', at => '/metrics?', right => sub {
    $_[0]{status} == 200 && decoded($_[0]) =~ /^weir_metrics_series_dropped_total/m;
};
path 'weir_dashboard', at => '/dashboard', right => says(qr/<!doctype html>/);
path 'the history of weir_dashboard', at => '/dashboard/past', end => '?history', right => sub {
    $_[0]{status} == 200 && decoded($_[0]) =~ /^\{.*"upstreams":.*\}\s*\z/s;
};
# HTTP/1.0 has no chunks. A listener gets its first event at once, and a document later.
my $listen_for = sub {
    my ($uri, $seconds) = @_;
    my ($socket, $raw, $end) = (IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . Crowd::port())
        // die($!), '', time + $seconds);
    print $socket "GET $uri HTTP/1.0\r\nHost: a\r\n\r\n";
    while ($raw !~ /^event: status\n.*\n\n/m && (my $rest = $end - time) > 0) {
        last if IO::Select->new($socket)->can_read($rest)
            && !sysread $socket, $raw, 65536, length $raw;
    }
    my ($status) = $raw =~ /^HTTP\S+ (\d+)/;
    return { status => $status // 0, headers => {}, raw => $raw,
        content => $raw =~ s/.*?\r\n\r\n//sr };
};
path 'a listener of weir_dashboard', at => '/dashboard/events', end => '?events',
    ask => sub { $listen_for->($_[0], 0.3) }, right => says(qr/^event: hello$/m),
    again => sub { $listen_for->($_[0], 2) }, right_again => says(qr/^event: status$/m);
my @context = ('traceparent' => '00-' . '4b' x 16 . '-' . '7c' x 8 . '-01',
    tracestate => 'a=1,b=2');
my $arrived = sub {
    my $n = received_spans('spans');
    until_true('a span arrives', sub { get('/traced/sentinel'); received_spans('spans') > $n });
    return;
};
path 'a traced request', at => '/traced', headers => {@context}, holds => $arrived;
path 'a traced request, and its export', at => '/traced/export', headers => {@context},
    after => sub { sleep 0.1 }, holds => $arrived;
path 'a traced request that fails', at => '/retraced', headers => {@context}, end => '?trace=0.5',
    right => says(qr{^body of /plain/page/retraced});
path 'a trace that is kept late', at => '/kept', right => sub { $_[0]{status} == 500 },
    after => sub { sleep 0.15 };
path 'an upstream error', at => '/problem', right => sub { $_[0]{status} == 404 };

path 'two clients of one key', at => '/plain/gate', before => sub { hold('upstream') }, ask => sub {
    my @clients = clients([$_[0]], [$_[0]]);
    sleep 0.02;
    let_go('upstream');
    answers(@clients);
}, again => sub { get($_[0]) }, cached => 1;

my $large = sub {
    my $r = shift;
    $r->{status} == 200 && ($r->{headers}{'content-length'} // 0) == 60 * length $long;
};
path 'a large answer from Redis', at => '/large', method => 'HEAD', right => $large, before => sub {
    my $uri = shift;
    until_true('the large answer is in Redis', sub {
        cache_status(request('HEAD', $uri)) =~ /; hit/ || get($uri) && 0;
    });
};
path 'a GET whose body may come, over HTTP/2', at => '/plain/http2', ask => sub {
    my $client = Weir::Http2->new($http2);
    my $stream = $client->open('GET', $_[0], 0);
    $client->data($stream, '', 1);
    my $r = $client->answer($stream);
    return { status => $r->{status} // 0, headers => {}, content => $r->{body},
        raw => $r->{status} ? 'HTTP/2' : '' };
};
# A Host that is another than the target's, as it is in the key then.
path 'an absolute target', at => '/plain/absolute',
    ask => sub { Crowd::talk(Crowd::port(),
        "GET http://one$_[0] HTTP/1.1\r\nHost: two\r\nConnection: close\r\n\r\n") };

# The lease's name is found by a request that has it and goes away.
path 'a lease that another edge has', at => '/both/gate-lease', before => sub {
    my $uri = shift;
    my @before = @{ redis('KEYS', 'weir:lease:z:*') };
    hold('upstream');
    my ($client) = clients([$uri]);
    my ($lease) = until_true('it has the lease', sub {
        my %old = map { $_ => 1 } @before;
        my @new = grep { !$old{$_} } @{ redis('KEYS', 'weir:lease:z:*') };
        @new ? $new[0] : undef;
    });
    close $client;
    until_true('it has let it go', sub { !defined redis('GET', $lease) });
    let_go('upstream');
    redis('SET', $lease, '0123456789abcdef', 'PX', 30);
};
sub secure_redis {
    my @words = map { "'$_'" } @_;
    my $client = join ' ', redis_cli_command('--tls', '--insecure', '-p', $secure);
    system("$client @words >$dir/redis-cli.log 2>&1") == 0 or die slurp("$dir/redis-cli.log");
}
sub kill_connections { redis('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes') }
path 'a Redis connection', at => '/both/connection', before => \&kill_connections, cached => 1;
path 'the stream of invalidations', at => '/both/stream', before => fill(), ask => sub {
    redis('XADD', 'weir:invalidate', '*', 'tags', 'b' . $_[0] =~ s/both/plain/r);
    sleep 0.05;
    ();
}, again => sub {
    my ($uri, $began, $r) = ($_[0], time);
    do { $r = get($uri) }
        while (asked($uri =~ s/both/plain/r) < 2 && time - $began < $SOON && sleep 0.02);
    return $r;
},
    holds => sub { asked($_[0] =~ s/both/plain/r) < 2 ? 'the invalidated answer is still served'
        : () };
path 'the stream over another connection', at => '/both/connection-stream', before => sub {
    get($_[0]);
    kill_connections();
}, ask => sub { sleep 0.05; () }, again => sub { get($_[0]) };

path 'a Redis connection over TLS', at => '/secure', before => sub {
    $away = 1;
    get($_[0]);
    secure_redis('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
};

# The zones are new, and Redis takes its time to say what was invalidated.
path 'the first request', at => '/both/first', most => 12, before => sub {
    redis('CLIENT', 'PAUSE', 300, 'ALL');
    stop('edge', 'TERM');
    start_edge($http, $server);
    ($read, $pid) = (0, probe('z')->{pid});
    truncate "$dir/logs/error.log", 0;
};

if ($ENV{WEIR_ALLOCATIONS_SITES}) {
    spit($ENV{WEIR_ALLOCATIONS_SITES}, join '', map { "$failed_at{$_} $_\n" } sort keys %failed_at);
}
done_testing;
