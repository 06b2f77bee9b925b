# Workers are killed at any moment, while they store, serve, invalidate and follow:
# an old answer stays behind nowhere, and the edge goes on.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

my $rounds = $ENV{WEIR_KILL_ROUNDS} // 40;
my @names = map { "n$_" } 1 .. 20;

start_redis();
start_upstream(sub {
    my ($path) = @_;
    my ($name) = $path =~ m{^/(\w+)} or return answer('404 Not Found', [], '');
    return answer('200 OK', ['Cache-Control: max-age=600', "Cache-Tag: $name, every"],
        slurp("$dir/data-$name"));
});
start_edge($_, 'weir_cache_zone killed 1m redis=main;',
    <<'SERVER', workers => 2) for 'left', 'right';
    weir_cache killed;
    location / { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER

spit("$dir/data-$_", 'version 0') for @names;

# Other clients that read and purge all the time, without a pause.
my @others;
for my $n (1 .. 3) {
    my $child = fork // die $!;
    if (!$child) {
        srand $n;
        while (getppid() != 1) {
            my $edge = rand() < 0.5 ? 'left' : 'right';
            my $name = $names[rand @names];
            rand() < 0.2
                ? request($edge, 'PURGE', '/', { 'Cache-Tag' => "$name, other" . int rand 1000 })
                : get($edge, "/$name");
        }
        POSIX::_exit(0);
    }
    push @others, $child;
}

srand 1234;
for my $i (1 .. $rounds) {
    my $name = $names[rand @names];
    my $edge = $i % 2 ? 'left' : 'right';
    my @workers = children($edge);
    my $killer = fork // die $!;
    if (!$killer) {
        sleep rand 0.01;
        kill 'KILL', $workers[rand @workers];
        POSIX::_exit(0);
    }
    sleep rand 0.01;
    spit("$dir/data-$name", "version $i");
    my $position = invalidate(tags => $name);
    waitpid $killer, 0;
    for my $at ('left', 'right') {
        until_true("$at has version $i of $name", sub {
            get($at, "/$name")->{content} eq "version $i";
        });
        for (1 .. 5) {
            my $r = get($at, "/$name");
            $r->{status} == 599 || $r->{content} eq "version $i"
                or fail("version $i of $name stays on $at: $r->{content}");
        }
    }
    until_true("$edge has two workers", sub { my @now = children($edge); @now == 2 });
}
pass "$rounds workers were killed, and no old answer stayed";

kill 'KILL', @others;
waitpid $_, 0 for @others;

for my $edge ('left', 'right') {
    my @alarms = logged($edge, qr/\[(alert|emerg|crit)\]/);
    is join("\n", grep { !/exited on signal 9|sharedzone|shared memory/ } @alarms), '',
        "$edge has nothing else alarming in its log";
    note scalar(logged($edge, qr/a worker was killed while it recorded/)), ' tables, ',
        scalar(logged($edge, qr/was emptied/)), ' zones were emptied on ', $edge;
}
done_testing;
