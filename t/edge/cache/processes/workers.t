# Workers that are killed at any time, under load and in the middle of a change of the zone: the
# zone serves correct responses, and none of its memory is lost for ever.
#
# WEIR_KILL_SECONDS is the time for which workers are killed under load (15).
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $sanitize = $ENV{WEIR_VALGRIND_LOGS};    # everything takes longer there
my $seconds = $ENV{WEIR_KILL_SECONDS} // 15;

# A body that contains its path, and in which any mixed-in byte is detected.
sub body_of {
    my $path = shift;
    my ($n, $size) = $path =~ m{/(\d+)/(\d+)};
    my $line = sprintf "%s|%08x|", $path, $n * 2654435761 % 2**32;
    return substr $line x (1 + $size / length $line), 0, $size;
}

start_upstream(sub {
    my ($path) = @_;
    return answer('200 OK',
        ['Cache-Control: max-age=600', "X-Path: $path",
            $path =~ /vary/ ? 'Vary: Accept-Language' : ()],
        body_of($path));
});

my @edge = (<<'HTTP', <<'SERVER', workers => 4);
    weir_cache_zone crowd 4m;
    weir_cache_zone tiny 128k;
HTTP
    weir_cache crowd;
    location /     { proxy_pass http://UPSTREAM; }
    location /tiny { weir_cache tiny; proxy_pass http://UPSTREAM; }
SERVER
start_edge(@edge);
until_true('all workers are there', sub { workers() == 4 });

sub right { my ($r, $path) = @_; $r->{status} == 200 && $r->{content} eq body_of($path) }

# --- killed with the mutex, at the worst of times ---

my $sent = '/held/1/300000';

# Kills one worker in that way while another one probably sends a pinned entry to a client that
# has read a part of it. Returns whether it was another one, and the bytes that the client
# received.
sub kill_beside_a_pin {
    my $how = shift;
    get($sent);
    my ($client) = clients([$sent]);
    sysread $client, my $start, 1 or die;
    until_true('an entry is pinned', sub { probe('crowd')->{pins} });
    my $before = probe('crowd');
    get("/$how/1/50000") for 1, 2;
    until_true("a worker has died $how", sub { probe('crowd', "die=$how")->{status} == 0 });
    my $p;
    until_true('the zone answers again', sub { ($p = probe('crowd'))->{status} == 200 });
    is $p->{wrong}, 'nothing', "killed with the mutex in hand, $how: all agrees";
    my $lost = $how ne 'locked' || 0;
    is $p->{recovered} - $before->{recovered} > 0 ? 1 : 0, $lost,
        $lost ? '... as the zone was emptied' : '... and nothing was lost';
    is cache_status(get("/$how/1/50000")) =~ /hit/ ? 1 : 0, 1 - $lost,
        $lost ? '... and serves nothing of before' : '... and it serves what it had';
    my $path = "/$how/2/3000";
    ok right(get($path), $path), '... and it serves' for 1, 2;
    like cache_status(get($path)), qr/hit/, '... from memory';

    # new entries must not overwrite the pinned one
    get("/$how/$_/50000") for 10 .. 99;
    my ($r) = answers($client);
    return length $r->{raw} > 200_000 ? Crowd::parse($start . $r->{raw}) : undef;
}

for my $how ('locked', 'begun', 'recording') {
    my $r;
    for (1 .. 20) { $r = kill_beside_a_pin($how) and last }
    ok $r && right($r, $sent), "killed $how: the client of another worker is served to the end";
}

# --- killed while it works the zone, again and again ---

my $deaths = $sanitize ? 10 : 150;
my $recovered_before = probe('tiny')->{recovered};
my ($recovered, $wrong, $killed) = ($recovered_before, 0, 0);
my $others = fork // die $!;
if (!$others) {
    # another worker works the zone too, if it lives
    while (getppid != 1) {
        probe('tiny', 'hammer=' . ($sanitize ? 200 : 2000) . '&seed=' . int rand 1e9);
    }
    POSIX::_exit(0);
}
# until it has happened in the middle of a change too
for (my $n = 1; $n <= $deaths || $recovered == $recovered_before && $n < 1000; $n++) {
    my $delay = 1 + int rand($sanitize ? 200_000 : 8_000);
    my $p = probe('tiny', "seed=$n&killed=$delay&hammer=100000000");
    $killed++ if $p->{status} == 0;
    until_true('the zone answers', sub { ($p = probe('tiny'))->{status} == 200 });
    $wrong++ if $p->{wrong} ne 'nothing' and diag $p->{wrong};
    $recovered = $p->{recovered};
}
kill 'KILL', $others;
waitpid $others, 0;
cmp_ok $killed, '>=', $deaths, "$killed workers were killed while they worked a zone";
is $wrong, 0, '... and all agreed each time';
ok $recovered > $recovered_before, "... though $recovered of them were in the middle of a change";
my $p = at_rest('tiny');
is "$p->{wrong} $p->{orphans}", 'nothing 0', 'nothing is pinned by the dead';
probe('tiny', 'seed=7&hammer=' . ($sanitize ? 2000 : 200000));
is probe('tiny')->{wrong}, 'nothing', 'and the zone works on';

# --- four workers, clients of many kinds, and a killer ---

my $end = time + $seconds;
my @kinds = (
    # fast: any of many keys, some of which vary, and of all sizes
    (sub {
        my ($round, $failed) = @_;
        my $path = sprintf '/%s/%d/%d', ('f', 'vary')[rand 2], rand 300,
            (10, 900, 5000, 40000)[rand 4];
        one($path, $failed);
    }) x 3,
    # the tiny zone is always full
    sub {
        my ($round, $failed) = @_;
        one(sprintf('/tiny/%d/%d', rand 200, 10 + rand 300), $failed);
    },
    # slow: reads the beginning, and the rest when it has pinned the entry for a while
    sub {
        my ($round, $failed) = @_;
        my $path = sprintf '/slow/%d/300000', rand 6;
        my ($s) = clients([$path]);
        sysread $s, my $start, 1000 or return;
        sleep 0.2 + rand 0.5;
        my ($r) = answers($s);
        my $whole = Crowd::parse(($start // '') . $r->{raw});
        check($whole, $path, $failed);
    },
    # leaves in the middle of it
    sub {
        my ($s) = clients([sprintf '/slow/%d/300000', rand 6]);
        sysread $s, my $start, 100;
        close $s;
    },
    # several requests on one connection
    sub {
        my ($round, $failed) = @_;
        my $s = connection() or return;
        local $SIG{PIPE} = 'IGNORE';
        for (1 .. 5) {
            my $path = sprintf '/f/%d/%d', rand 300, (10, 900, 5000)[rand 3];
            print $s "GET $path HTTP/1.1\r\nHost: crowd\r\n\r\n" or return;
            my $head = '';
            while (defined(my $line = readline $s)) { $head .= $line; last if $line eq "\r\n" }
            my ($length) = $head =~ /Content-Length: (\d+)/ or return;
            my $got = 0; my $body = '';
            while ($got < $length) {
                my $n = read $s, $body, $length - $got, $got or return;
                $got += $n;
            }
            $$failed++ if $body ne body_of($path);
        }
    },
);

# A connection that breaks is the killer's; a whole answer must be right.
sub check {
    my ($r, $path, $failed) = @_;
    my $length = $r->{headers}{'content-length'};
    return if $r->{status} == 0 || !defined $length || length $r->{content} < $length;
    $$failed++
        if $r->{status} != 200 || $r->{content} ne body_of($path)
            || $r->{headers}{'x-path'} ne $path;
}
sub one {
    my ($path, $failed) = @_;
    check(get($path, $path =~ /vary/ ? { 'Accept-Language' => ('de', 'en', 'fr')[rand 3] } : {}),
        $path, $failed);
}

my @children;
for my $kind (@kinds) {
    my $child = fork // die $!;
    if (!$child) {
        srand $$;
        my ($failed, $round) = (0, 0);
        $kind->($round++, \$failed) while time < $end;
        POSIX::_exit($failed ? 1 : $round ? 0 : 2);
    }
    push @children, $child;
}
my $kills = 0;
while (time < $end) {
    sleep 0.05 + rand 0.3;
    my @workers = workers() or next;
    $kills++ if kill 'KILL', $workers[rand @workers];
}
my @failed = grep { waitpid $_, 0; $? } @children;
is scalar(@failed), 0,
    "no client has read anything wrong while $kills workers were killed in $seconds s";

until_true('all workers are there again', sub { workers() == 4 });
for my $zone ('crowd', 'tiny') {
    $p = at_rest($zone);
    is $p->{wrong}, 'nothing', "zone $zone: what is used is what the entries take";
    is "$p->{pins} $p->{orphans}", '0 0', '... and nothing is pinned any more';
    until_true('those who came last have taken the tables of the dead', sub {
        probe($zone)->{tables} == 4;
    });
}
for my $path ('/after/1/1000', '/tiny/9999/100') {
    ok right(get($path), $path) && right(my $r = get($path), $path), 'the zone serves on';
    like cache_status($r), qr/hit/, '... from memory';
}

is scalar(logged(qr/probe: /)), 0, 'the probe has read nothing wrong';
is_deeply [alarms()], [], 'no other alarm was logged, and no other process died';
done_testing;
