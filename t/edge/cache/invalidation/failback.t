# Redis fails over to another server and back, without a restart: a response that was invalidated
# by a message on the other server only is not served again. An invalidation that an edge made
# while Redis was unavailable holds on all edges, even if the edge restarts before Redis is back.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use IO::Socket::INET;
use Test::More;
use Weir::Processes;
use Weir::Redis
    qw(redis_answers redis_command redis_connect redis_server redis_users redis_watch);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('200 OK', ['Weir-Invalidate: ' . ($path =~ m{^/changes/(.*)})[0]], 'changed')
        if $request =~ /^POST/;
    return answer('200 OK', ['Cache-Control: max-age=600', 'Cache-Tag: ' . substr $path, 1],
        "answer $n");
});
my @server = ('weir_cache_zone main 4m redis=main;', <<'SERVER');
    weir_cache main;
    weir_cache_staleness 500ms;
    location / { proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER
my @edges = ('left', 'right');
start_edge($_, @server) for @edges;
my $address = port_of_redis();

# Two servers, and the address that leads to one of them, or to none.
my %port = map { $_ => free_port() } 'A', 'B';
for my $name (keys %port) {
    mkdir "$dir/$name";
    spawn($name,
        [redis_server(), '--port', $port{$name}, '--bind', '127.0.0.1', '--dir', "$dir/$name",
            '--save', '', '--appendonly', 'no', redis_users($dir)]);
    until_true("$name answers", sub { redis_answers($port{$name}) });
    redis_watch($port{$name});
}
sub lead_to {
    my $name = shift;
    stop('link', 'TERM') if $pid{link};
    return if !$name;
    spawn('link', [$^X, "$Bin/../../../lib/link.pl", $address, $port{$name}]);
    until_true("the address leads to $name", sub { listens($address) });
}

sub number { get(@_)->{content} =~ /^answer (\d+)/ ? $1 : 0 }
sub era { get($_[0], '/status')->{content} =~ /"era":"(\w+)"/ ? $1 : '' }
sub in_step {
    my ($edge, $not) = @_;
    until_true("$edge is in step", sub {
        my $s = get($edge, '/status')->{content};
        $s =~ /"lag_ms":(\d+)/ && $1 < 500 && era($edge) !~ /^(?:$not|0*|)$/;
    });
}
sub stored {
    my $path = shift;
    until_true("$path is stored", sub {
        @edges == grep { cache_status(get($_, $path)) =~ /; hit;/ } @edges;
    });
}

# --- A, B, A ---

my %seen;
lead_to('A');
in_step($_, 'none') for @edges;
$seen{era('left')} = 1;
stored($_) for '/t1', '/t2';
my %old = map { $_ => asked($_) } '/t1', '/t2';

lead_to('B');
in_step($_, join '|', keys %seen) for @edges;
ok !$seen{era('left')}++, 'another server is another era';
redis_command(redis_connect($port{B}), 'XADD', 'weir:invalidate',
    '*', 'tags', 't1');

lead_to('A');
in_step($_, join '|', keys %seen) for @edges;
ok !$seen{era('left')}++, 'and the first one, again, another';
for my $edge (@edges) {
    cmp_ok number($edge, $_), '>', $old{$_}, "$edge: $_ of the first era does not come back"
        for '/t1', '/t2';
}

# --- invalidated while Redis is away, and forgotten ---

stored('/t3');
my $before = asked('/t3');
lead_to(undef);
until_true('Redis is missed', sub {
    request('left', 'POST', '/changes/t3', {}, '')->{headers}{'weir-invalidation'};
});
my $era = era('right');
stop('left', 'TERM');
my $new = qr/the zone is new and Redis cannot be reached/;
my $missed = () = logged('left', $new);
start_edge('left', @server);
until_true('the edge misses Redis', sub { (() = logged('left', $new)) > $missed });
lead_to('A');
in_step($_, 'none') for @edges;
for my $edge ('right', 'left') {
    until_true("$edge renews /t3", sub { number($edge, '/t3') > $before });
    cmp_ok number($edge, '/t3'), '>', $before, "$edge: what was invalidated while Redis was away,"
        . ' by an edge that has forgotten it, is not served';
}

is era('right'), $era, '... in the same era, by a message for all';

is scalar(logged($_, qr/\[(?:alert|emerg|crit)\]/)), 0, "$_ logged nothing alarming" for @edges;
done_testing;
