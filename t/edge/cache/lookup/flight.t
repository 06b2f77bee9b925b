# Single flight on one edge: however many clients miss one key, on however many workers, the
# upstream is asked once; and no request waits for a response that it cannot use.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;
use Time::HiRes 'sleep';

my $crowd = $ENV{WEIR_VALGRIND_LOGS} ? 60 : 200;
my @fresh = 'Cache-Control: max-age=600';

# /name/...: the answer waits while the gate "name" is closed.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($gate) = $path =~ m{^/([\w-]+)};
    my ($language) = $request =~ /^Accept-Language: (\w+)/mi;
    my $held = sub { my $bytes = shift; sub { Crowd::waiting($gate); $bytes } };

    if ($gate =~ /^private/) {
        return $held->(answer('200 OK', ['Cache-Control: no-store'], "answer $n"));
    }
    if ($gate =~ /^error/) {
        return $held->($n <= 1 ? '' : answer('200 OK', [@fresh], "answer $n"));
    }
    if ($gate =~ /^busy/) { return $held->(answer('503 Busy', [], "answer $n")) }
    if ($gate =~ /^sent-(\w+)/) { return answer('200 OK', [@fresh, "X-Accel-Redirect: /$1"], '') }
    if ($gate =~ /^led/) { return answer('503 Busy', [], 'busy') }
    if ($gate =~ /^large/) {
        return $held->(answer('200 OK', [@fresh], "answer $n " . 'x' x 200_000));
    }
    if ($gate =~ /^vary/) {
        return $held->(answer('200 OK', [@fresh, 'Vary: Accept-Language'],
            'answer in ' . ($language // 'none')));
    }
    if ($gate =~ /^swr/ && $n == 1) {
        my @stale = ('Age: 20', 'Cache-Control: max-age=10, stale-while-revalidate=600');
        return answer('200 OK', \@stale, 'old');
    }
    if ($gate =~ /^second/) {
        my $answer = answer('200 OK', [@fresh], "answer $n");
        return $held->($answer) if $n > 1;
        return sub { Crowd::waiting('second-first'); $answer };
    }
    return $held->(answer('200 OK', [@fresh], "answer $n"));
});

my ($http, $server) = (<<'HTTP', <<'SERVER');
    weir_cache_zone flight 1m;
    weir_cache_zone few 96k;
HTTP
    weir_cache flight;
    weir_cache_lock_timeout 1h;
    location /       { proxy_pass http://UPSTREAM; }
    location /second { weir_cache_lock_timeout 300ms; proxy_pass http://UPSTREAM; }
    location /none   { weir_cache_lock_timeout 0; proxy_pass http://UPSTREAM; }
    location /inside { internal; proxy_pass http://UPSTREAM; }
    location /aside  { internal; weir_cache off; proxy_pass http://UPSTREAM; }
    location /led {
        proxy_intercept_errors on;
        error_page 503 = /aside;
        proxy_pass http://UPSTREAM;
    }
    location /few    { weir_cache few; proxy_pass http://UPSTREAM; }
    location /private-few { weir_cache few; proxy_pass http://UPSTREAM; }
SERVER
start_edge($http, $server);

# n clients with the request, after all have arrived; fewer if some may be answered at once.
sub arrive {
    my ($n, $path, $headers) = @_;
    $headers //= {};
    my @c = clients(map { [$path, ref $headers eq 'CODE' ? $headers->($_) : $headers] } 1 .. $n);
    until_true("$n requests are in hand", sub { busy() >= $n });
    return @c;
}

# Whether n clients of something that can't be stored are at the upstream at the
# same time.  That is remembered for a second: a machine so slow that they come
# later gets another try.
sub all_at_once {
    my ($n, $name) = @_;
    for (1 .. 20) {
        hold($name);
        my $before = asked("/$name");
        my @c = arrive($n, "/$name");
        for (1 .. 50) { last if asked("/$name") - $before == $n; sleep 0.05 }
        my $all = asked("/$name") - $before == $n;
        let_go($name);
        answers(@c);
        return 1 if $all;
    }
    return 0;
}

sub bodies { my %n; $n{"$_->{status} $_->{content}"}++ for @_; return \%n }
sub held { my ($path) = @_; until_true("the upstream is asked for $path", sub { asked($path) }) }

# The worker that has the other end of the client's connection.
sub worker_of {
    my $socket = shift;
    my @ends = map { sprintf '0100007F:%04X', $_ } Crowd::port(), $socket->sockport;
    my @connections = map { [split] } split /\n/, slurp('/proc/net/tcp');
    my ($inode) = map { $_->[9] } grep { "@$_[1, 2]" eq "@ends" } @connections;
    for my $pid (workers()) {
        readlink($_) eq "socket:[$inode]" and return $pid for glob "/proc/$pid/fd/*";
    }
    die 'no worker has the connection';
}

for my $workers (1, 4) {
    reload($http, $server, workers => $workers, spread => 1) if $workers > 1;
    until_true("$workers workers are there", sub { workers() == $workers });
    my $w = "with $workers worker" . ($workers > 1 ? 's' : '');

    # --- one flight ---

    hold("cold$workers");
    my @c = arrive($crowd, "/cold$workers");
    held("/cold$workers");
    let_go("cold$workers");
    my @r = answers(@c);
    is_deeply bodies(@r), { '200 answer 1' => $crowd },
        "$w: $crowd clients of a cold key get one answer";
    is asked("/cold$workers"), 1, '... for which the upstream was asked once';
    is scalar(grep { cache_status($_) =~ /fwd=uri-miss; fwd-status=200; stored/ } @r), 1,
        '... by one of them';
    is scalar(grep { cache_status($_) =~ /hit;.*collapsed/ } @r), $crowd - 1,
        '... the others say that they waited for it';

    # --- variants ---

    hold("vary$workers");
    @c = arrive($crowd, "/vary$workers",
        sub { { 'Accept-Language' => ('de', 'en', 'fr')[$_[0] % 3] } });
    held("/vary$workers");
    let_go("vary$workers");
    @r = answers(@c);
    my $i = 0;
    is scalar(grep {
        my $l = ('de', 'en', 'fr')[++$i % 3];
        $_->{content} ne "answer in $l";
    } @r), 0, "$w: each gets its own variant";
    is asked("/vary$workers"), 3, '... of which each was asked for once';

    # --- what can't be stored ---

    hold("private$workers");
    @c = arrive($crowd, "/private$workers");
    held("/private$workers");
    is asked("/private$workers"), 1, "$w: one asks first";
    let_go("private$workers");
    @r = answers(@c);
    is scalar(keys %{ bodies(@r) }), $crowd,
        '... and when its answer can not be stored all others get one of their own';
    ok all_at_once(20, "private$workers"), '... which they ask for at the same time';

    # --- a response larger than the zone takes: no request can wait for that ---

    hold("large$workers");
    @c = arrive(20, "/large$workers");
    held("/large$workers");
    let_go("large$workers");
    @r = answers(@c);
    is scalar(grep { length $_->{content} > 200_000 } @r), 20,
        "$w: a response that is too large for the zone is served";
    unlike cache_status($r[0]), qr/stored/, '... and is not said to be stored';
    ok all_at_once(20, "large$workers"), '... nor waited for by others';

    # --- the upstream fails ---

    hold("error$workers");
    @c = arrive(20, "/error$workers");
    held("/error$workers");
    let_go("error$workers");
    @r = answers(@c);
    is scalar(grep { $_->{status} == 502 } @r), 1,
        "$w: the one that asked an upstream that broke off gets 502";
    is scalar(grep { $_->{status} == 200 } @r), 19, '... the others ask for themselves';
    hold("busy$workers");
    @c = arrive(20, "/busy$workers");
    held("/busy$workers");
    let_go("busy$workers");
    is scalar(grep { $_->{status} == 503 } answers(@c)), 20, '... as they do after a 503';

    # --- the holder's client leaves ---

    hold("left$workers");
    my ($holder) = arrive(1, "/left$workers");
    held("/left$workers");
    @c = arrive(20, "/left$workers");
    is asked("/left$workers"), 1, "$w: 20 clients wait for one";
    close $holder;
    until_true('another has taken over', sub { asked("/left$workers") == 2 });
    let_go("left$workers");
    is_deeply bodies(answers(@c)), { '200 answer 2' => 20 },
        '... and when that one leaves they get the answer of the next';

    # --- stale-while-revalidate ---

    get("/swr$workers");
    hold("swr$workers");
    @c = clients(map { ["/swr$workers"] } 1 .. $crowd);
    @r = answers(@c);
    is_deeply bodies(@r), { '200 old' => $crowd },
        "$w: $crowd clients of a stale response get it at once";
    until_true('the refresh is under way', sub { asked("/swr$workers") == 2 });
    is_deeply bodies(answers(clients(map { ["/swr$workers"] } 1 .. 20))), { '200 old' => 20 },
        '... also those who come while it is refreshed';
    let_go("swr$workers");
    until_true('it is there', sub { get("/swr$workers")->{content} eq 'answer 2' });
    is asked("/swr$workers"), 2, '... and one refresh is made for all of them';
}

# --- the holder's worker is killed ---

for my $n (1 .. 5) {
    my $path = "/killed$n";
    hold("killed$n");
    my ($holder) = arrive(1, $path);
    held($path);
    my @c = arrive(40, $path);
    is asked($path), 1, "40 clients wait for one on any of 4 workers";
    kill 'KILL', worker_of($holder);
    until_true('another has taken over', sub { asked($path) == 2 });
    let_go("killed$n");
    my @r = grep { $_->{status} } answers(@c);
    is_deeply bodies(@r), @r ? { '200 answer 2' => scalar @r } : {},
        '... when its worker is killed one of the others asks, and all get that answer';
    is asked($path), 2, '... and the upstream is asked no third time';
    until_true('4 workers are there', sub { workers() == 4 });
}

# --- a worker is killed while it changes the zone, which is emptied ---

hold('anew');
my @c = arrive(20, '/anew');
held('/anew');
until_true('a worker has died', sub { probe('flight', 'die=begun')->{status} == 0 });
until_true('those who wait see that the flight is forgotten', sub { asked('/anew') == 2 });
let_go('anew');
my @r = grep { $_->{status} } answers(@c);
is scalar(grep { $_->{status} == 200 } @r), scalar @r,
    'when the zone is emptied, those that waited get an answer';
is asked('/anew'), 2, '... for which one of them has asked';
like cache_status(get('/anew')), qr/hit/, '... and which is kept';

# --- a reload ---

hold('reload');
my ($early) = arrive(1, '/reload');
held('/reload');
my %old = map { $_ => 1 } workers();
kill 'HUP', edge_pid();
until_true('new workers serve', sub {
    my $p = probe('flight');
    $p->{status} == 200 && !$old{ $p->{pid} };
});
@c = arrive(20, '/reload');
is asked('/reload'), 1, 'clients of new workers wait for one of an old worker';
let_go('reload');
is_deeply bodies(answers($early, @c)), { '200 answer 1' => 21 }, '... and get its answer';
until_true('the old workers are gone', sub { !grep { $old{$_} } workers() });

# --- weir_cache_lock_timeout ---

hold('second');
hold('second-first');
@c = arrive(1, '/second');
held('/second');
push @c, arrive(10, '/second');
until_true('those who have waited long enough ask too', sub { asked('/second') == 11 });
let_go('second');
let_go('second-first');
is scalar(grep { $_->{status} == 200 } answers(@c)), 11,
    'weir_cache_lock_timeout: a request that has waited so long asks for itself';

hold('none');
@c = arrive(10, '/none');
until_true('all ask at once', sub { asked('/none') == 10 });
let_go('none');
is scalar(grep { $_->{status} == 200 } answers(@c)), 10, 'with 0 no request waits';

# --- who is led to another place waits neither for itself nor keeps others waiting ---

@c = clients(['/sent-inside']);
until_true('it is asked for there', sub { asked('/inside') == 1 });
is +(answers(@c))[0]{content}, 'answer 1', 'X-Accel-Redirect to where the same key is cached';
for my $path ('/sent-aside', '/led') {
    my $before = asked('/aside');
    hold('aside');
    @c = arrive(5, $path);
    until_true('all are there', sub { asked('/aside') == $before + 5 });
    let_go('aside');
    is scalar(grep { $_->{status} == 200 } answers(@c)), 5,
        "$path: no request waits for one that is elsewhere now";
}

# --- a table that is full of the memories of uncacheable answers ---

get("/private-few/$_") for 1 .. 40;
hold('few');
@c = arrive(20, '/few');
held('/few');
is asked('/few'), 1, 'what is remembered of uncacheable answers leaves room for flights';
let_go('few');
answers(@c);

# --- who can't share a flight does not wait either ---

hold('alone');
my ($holder) = arrive(1, '/alone');
held('/alone');
for (['Authorization', 'Basic eDp5'], ['Cache-Control', 'no-store']) {
    my $before = asked('/alone');
    push @c, clients(['/alone', { $_->[0] => $_->[1] }]);
    until_true("$_->[0]: asks for itself", sub { asked('/alone') > $before });
}
my ($waits, $only) = clients(['/alone'], ['/alone', { 'Cache-Control' => 'only-if-cached' }]);
is +(answers($only))[0]{status}, 504, 'only-if-cached does not wait';
close $waits;    # and one that leaves while it waits is no harm
let_go('alone');
answers($holder);

is at_rest($_)->{wrong}, 'nothing', "zone $_ agrees" for 'flight', 'few';
is_deeply [alarms()], [], 'nothing alarming was logged';
done_testing;
