# The fill race: an invalidation arrives while the upstream still computes from old data. The old
# response may be sent to its client, but is not stored: not on its edge, not in Redis, not on
# another edge.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use POSIX ();
use Test::More;
use Time::HiRes 'sleep';

my $rounds = $ENV{WEIR_RACE_ROUNDS} // 300;

# The upstream's response is in a file, which is read before the delay of the query.
start_redis();
start_upstream(sub {
    my ($path) = @_;
    my ($name, $delay) = $path =~ m{^/(\w+)\?delay=([\d.]+)}
        or return answer('404 Not Found', [], '');
    my $value = slurp("$dir/data-$name");
    spit("$dir/read-$name-$$", '') if $name eq 'slow';
    sleep $delay;
    return answer('200 OK', ['Cache-Control: max-age=600', "Cache-Tag: $name"], $value);
});
my ($http, $server) = ('weir_cache_zone race 4m redis=main;', <<'SERVER');
    weir_cache race;
    weir_cache_key $uri;
    location / { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER
start_edge($_, $http, $server, workers => 2) for 'left', 'right';

# Requests in processes of their own, which end by themselves.
sub in_background {
    my @paths = @_;
    my @children;
    for my $ask (@paths) {
        my $child = fork // die $!;
        if (!$child) { get(@$ask); POSIX::_exit(0) }
        push @children, $child;
    }
    return @children;
}

my %kinds = (
    tag => sub { invalidate(tags => $_[0]) },
    key => sub { invalidate(keys => "/$_[0]") },
    prefix => sub { invalidate(prefix => "/$_[0]") },
    all => sub { invalidate(all => 1) },
    purge => sub { request('left', 'PURGE', "/$_[0]"); undef },
    'purge of a tag' => sub { request('right', 'PURGE', '/', { 'Cache-Tag' => $_[0] }); undef },
);
my @kinds = sort keys %kinds;

srand 4711;
my (@left_behind, @revived);
my $served_old = 0;

for my $i (1 .. $rounds) {
    my $name = "r$i";
    my $kind = $kinds[$i % @kinds];
    spit("$dir/data-$name", 'old');

    # one or both edges ask, at about the time of the write
    my @asks = ['left', "/$name?delay=" . sprintf('%.4f', rand 0.012)];
    push @asks, ['right', "/$name?delay=" . sprintf('%.4f', rand 0.012)] if $i % 3 == 0;
    my @children = in_background(@asks);
    sleep rand 0.012;

    spit("$dir/data-$name", 'new');
    my $position = $kinds{$kind}->($name);

    waitpid $_, 0 for @children;

    # the edges must come to the new answer, and stay there
    for my $edge ('left', 'right') {
        my $n = 0;
        until_true("$edge serves the new answer of $name ($kind)", sub {
            my $content = get($edge, "/$name?delay=0")->{content};
            $served_old++ if $content eq 'old';
            return $content eq 'new' || $n++ > 300 && push @left_behind, "$name on $edge";
        });
    }
    for (1 .. 3) {
        for my $edge ('left', 'right') {
            push @revived, "$name on $edge ($kind)"
                if get($edge, "/$name?delay=0")->{content} ne 'new';
        }
    }
}

is "@left_behind", '', "in $rounds races no old answer stays";
is "@revived", '', 'and none comes back to life';
note "$served_old answers were old until the message was read";

# Finally the entries in Redis, read through an edge that has just been started.
start_edge('late', $http, $server);
my @old = grep { get('late', "/r$_?delay=0")->{content} ne 'new' } 1 .. $rounds;
is "@old", '', 'none is left in Redis for an edge that comes later';

# The same deterministically: invalidated in the middle of a slow answer.
spit("$dir/data-slow", 'old');
my ($child) = in_background(['left', '/slow?delay=0.5']);
until_true('the upstream has read its data', sub { glob "$dir/read-slow-*" });
spit("$dir/data-slow", 'new');
my $position = invalidate(tags => 'slow');
waitpid $child, 0;
is get($_, '/slow?delay=0', { 'Weir-Position' => $position })->{content}, 'new',
    "$_ has the new answer after a slow old one"
    for 'left', 'right';
is get($_, '/slow?delay=0')->{content}, 'new', "also for a client without a position, on $_"
    for 'left', 'right';

is scalar(logged($_, qr/\[(alert|emerg|crit)\]|exited on signal/)), 0,
    "$_ has nothing alarming in its log"
    for 'left', 'right', 'late';
done_testing;
