# Two edges with one Redis: however many clients miss one key on both, the upstream is asked once.
# A holder of the lease that dies, hangs or gets an uncacheable response delays no request for
# ever.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

start_redis();
start_upstream(sub {
    my ($path, $request, $n) = @_;
    sleep 0.3 if $path =~ /slow/;
    sleep 5 if $path =~ /hang/ && $n == 1;
    return answer('200 OK', ['Cache-Control: no-store'], "answer $n")
        if $path =~ /private/ || $path =~ /mixed/ && $request =~ /^Cookie:/mi;
    return answer('200 OK', ['Cache-Control: max-age=600', 'Vary: Accept-Language'],
        "answer $n in " . ($request =~ /^Accept-Language: (\w+)/mi)[0])
        if $path =~ /vary/;
    return answer('200 OK', ['Cache-Control: max-age=600'], "answer $n of $path");
});
for my $edge ('left', 'right') {
    start_edge($edge, 'weir_cache_zone fleet 1m redis=main;', <<'SERVER', workers => 2);
        weir_cache fleet;
        location /     { proxy_pass http://UPSTREAM; }
        location /soon { weir_cache_lock_timeout 500ms; proxy_pass http://UPSTREAM; }
SERVER
}

# Sends one request from each of n clients to each edge, then reads all answers.
sub clients {
    my ($n, $path, $headers) = @_;
    my @sockets;
    for (1 .. $n) {
        for my $edge ('left', 'right') {
            my ($address) = url_of($edge, '') =~ m{//(.*)};
            push @sockets, IO::Socket::INET->new(PeerAddr => $address) // die $!;
        }
    }
    for my $i (0 .. $#sockets) {
        my $fields = ref $headers eq 'CODE' ? $headers->($i) : '';
        $sockets[$i]->print("GET $path HTTP/1.1\r\nHost: fleet\r\n"
            . "Connection: close\r\n$fields\r\n");
    }
    return @sockets;
}

# the zones' first look at the stream
get($_, '/warm') for 'left', 'right';

my @r = answers(clients(40, '/slow'));
is scalar(grep { $_->{body} eq 'answer 1 of /slow' } @r), 80,
    '80 clients of two edges get the same answer';
is asked('/slow'), 1, 'the upstream was asked once';
is scalar(grep { $_->{head} =~ /fwd=uri-miss; fwd-status=200; stored/ } @r), 1,
    'one of them was forwarded';
is scalar(grep { $_->{head} =~ /; collapsed;/ } @r), 79, 'the others say that they waited for it';

@r = answers(clients(20, '/vary-slow',
    sub { 'Accept-Language: ' . ('de', 'en')[$_[0] / 2 % 2] . "\r\n" }));
my %bodies;
$bodies{$_->{body} =~ s/answer \d+ //r}++ for @r;
is_deeply \%bodies, { 'in de' => 20, 'in en' => 20 }, 'each gets its own variant';
cmp_ok asked('/vary-slow'), '<=', 3,
    'each variant is fetched once, after one look at what it varies by';

@r = answers(clients(20, '/private-slow'));
is scalar(grep { $_->{head} =~ m{^HTTP/1.1 200} } @r), 40, 'an answer that can not be stored';
is asked('/private-slow'), 40, '... is not handed on';
is redis('KEYS', 'weir:lease:*')
    && scalar(grep { redis('GET', $_) !~ /^pass/ } @{ redis('KEYS', 'weir:lease:*') }),
    0, 'no lease is held any more';

# A response that cannot be stored because of the holder's cookie does not affect requests without
# a cookie; requests with one do not wait.
@r = answers(clients(20, '/mixed-slow', sub { $_[0] % 4 < 2 ? "Cookie: a=b\r\n" : '' }));
is scalar(grep { $_->{head} =~ m{^HTTP/1.1 200} } @r), 40,
    'clients with and without cookies are answered';
cmp_ok scalar(grep { $_->{head} =~ /; hit;/ } @r), '>=', 18,
    '... those without a cookie by one request of each edge';

# The client of the holder leaves, and its request with it.
my ($left) = url_of('left', '') =~ m{//(.*)};
my $first = IO::Socket::INET->new(PeerAddr => $left) // die $!;
$first->print("GET /hang-1 HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\n\r\n");
until_true('the upstream is asked', sub { asked('/hang-1') == 1 });
my @waiting = clients(3, '/hang-1');
close $first;
my %given = map { $_->{body} => 1 } answers(@waiting);
is join(',', keys %given), 'answer 2 of /hang-1',
    "the holder's client leaves: another takes its place, once for all who wait";

# The holder's edge is killed: its lease runs out.
my @killed = clients(1, '/soon/hang-2');
until_true('the upstream is asked', sub { asked('/soon/hang-2') == 1 });
my $holder = redis('KEYS', 'weir:lease:fleet:*');
is scalar(grep { redis('GET', $_) !~ /^pass/ } @$holder), 1, 'one lease is held';
kill 'KILL', children('left'), children('right');
until_true('an edge answers again', sub { (get('left', '/warm')->{status} // 0) == 200 });
is get('left', '/soon/hang-2')->{content}, 'answer 2 of /soon/hang-2',
    'a holder that died delays others by the lease at most';

# A holder whose lease another edge has taken meanwhile.
my $late = IO::Socket::INET->new(PeerAddr => $left) // die $!;
until_true('no edge holds a lease', sub {
    !grep { (redis('GET', $_) // 'pass') !~ /^pass/ } @{ redis('KEYS', 'weir:lease:*') };
});
my %before = map { $_ => 1 } @{ redis('KEYS', 'weir:lease:*') };
my $entries = @{ redis('KEYS', 'weir:cache:*') };
$late->print("GET /slow-late HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\n\r\n");
until_true('the upstream is asked', sub { asked('/slow-late') == 1 });
my ($lease) = grep { !$before{$_} } @{ redis('KEYS', 'weir:lease:*') };
redis('SET', $lease, 'somebody else', 'PX', 60000);
is((answers($late))[0]{body}, 'answer 1 of /slow-late', 'a holder that is late answers its client');
until_true('Redis has got what it wanted to store', sub {
    redis('INFO', 'commandstats') =~ /cmdstat_unlink/;
});
is scalar(@{ redis('KEYS', 'weir:cache:*') }), $entries, '... but does not store it';
redis('DEL', $lease);
is scalar(@{ redis('KEYS', 'weir:fill:*') }), 0, 'nothing is left on the way to its place';

# A quick upstream: one edge may have stored the answer and let the lease go between
# the other's look-up and its own taking of the lease.
my $quick = 200;
for my $n (1 .. $quick) { answers(clients(2, "/quick-$n")) }
is eval {
    my $sum = 0;
    $sum += asked("/quick-$_") for 1 .. $quick;
    $sum;
}, $quick, "$quick keys that both edges miss at once cost as many requests";

# Redis grants the lease after its request has ended: the client has left, or the deadline has
# passed.
sub leases { grep { (redis('GET', $_) // 'pass') !~ /^pass/ } @{ redis('KEYS', 'weir:lease:*') } }
for my $edge (['patient', '20s'], ['hasty', '500ms']) {
    start_edge($edge->[0], 'weir_cache_zone fleet 1m redis=main;',
        <<'SERVER', timeout => $edge->[1]);
        weir_cache fleet;
        weir_cache_lock_timeout 600s;
        location /     { proxy_pass http://UPSTREAM; }
SERVER
    get($edge->[0], '/warm');
}
until_true('no edge holds a lease', sub { !leases() });
redis('CLIENT', 'PAUSE', 60000, 'WRITE');
my ($patient) = url_of('patient', '') =~ m{//(.*)};
my $leaving = IO::Socket::INET->new(PeerAddr => $patient) // die $!;
$leaving->print("GET /leaves HTTP/1.1\r\nHost: fleet\r\nConnection: close\r\n\r\n");
until_true('the lease is asked for', sub { redis('CLIENT', 'LIST') =~ /cmd=set / });
close $leaving;
until_true('it is gone', sub { logged('patient', qr/client prematurely closed connection/) });
redis('CLIENT', 'UNPAUSE');
request('patient', 'HEAD', '/behind');    # behind all of it, and takes no lease
is scalar(leases()), 0, 'who leaves before the lease is his lets it go';
is asked('/leaves'), 0, '... and has asked for nothing';

redis('CLIENT', 'PAUSE', 60000, 'WRITE');
is get('hasty', '/late')->{content}, 'answer 1 of /late',
    'a lease whose answer is late is not waited for';
redis('CLIENT', 'UNPAUSE');
request('hasty', 'HEAD', '/behind');    # behind all of it
is scalar(leases()), 0, '... and let go, too';
stop($_, 'QUIT') for 'patient', 'hasty';

# Redis hangs: each edge asks the upstream itself, and no request waits long.
kill_process('STOP', 'redis');
@r = answers(clients(5, '/slow-without'));
kill_process('CONT', 'redis');
is scalar(grep { $_->{head} =~ m{^HTTP/1.1 200} } @r), 10, 'while Redis hangs all are answered';
cmp_ok asked('/slow-without'), '<=', 2, '... by one request of each box';

is scalar(logged($_, qr/\[(?:alert|crit|emerg)\]/)),
    $_ eq 'none' ? 0 : scalar(logged($_, qr/exited on signal 9/)), "$_ logged nothing alarming"
    for 'left', 'right';
done_testing;
