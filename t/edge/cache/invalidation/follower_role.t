# The role of the follower passes from worker to worker while Redis does not answer; the worker
# with the role follows as soon as Redis answers.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use IO::Select;
use IO::Socket::INET;
use JSON::PP;
use Test::More;

# No time-out passes here: events end all waits.
start_redis();
start_edge('edge', "weir_cache_zone main 1m redis=main;\n",
    <<'SERVER', workers => 2, timeout => '1h');
    location / { weir_cache main; proxy_pass http://127.0.0.1:1; }
    location = /status { weir_status; }
SERVER

# The follower in the edge's status; undef from a worker that is stopped.
sub invalidations {
    my $said = eval {
        local $SIG{ALRM} = sub { die };
        alarm 1;
        my $text = get('edge', '/status')->{content};
        alarm 0;
        decode_json($text)->{caches}{main}{invalidations};
    };
    alarm 0;
    return $said;
}

sub follower { (invalidations() // {})->{follower} // 0 }

until_true('a worker follows', sub {
    my $i = invalidations();
    $i && $i->{follower} && $i->{lag_ms} >= 0;
});
my $first = follower();
my ($second) = grep { $_ != $first } children('edge');

# Something takes Redis' place that accepts and never says a word.
my $port = port_of_redis();
stop('redis', 'KILL');
my $silent = IO::Socket::INET->new(Listen => 16, LocalAddr => "127.0.0.1:$port", ReuseAddr => 1)
    or die $!;
my $line = $silent->accept;
pass 'the follower connects to what is silent';

kill 'STOP', $first;
until_true('the other worker has the role', sub { follower() == $second });
kill 'CONT', $first;
until_true('the first one gives its connection up', sub {
    IO::Select->new($line)->can_read(0.1) && !(sysread $line, my $sent, 4096);
});
kill 'STOP', $second;
until_true('the first one has it again', sub { follower() == $first });
close $line;
close $silent;
start_redis();
until_true('the worker with the role follows the new stream', sub {
    logged('edge', qr/ $first#.* reads the invalidations of era/) == 2;
});
pass 'the worker with the role follows the stream as soon as there is one';

kill 'CONT', $second;
is join("\n", logged('edge', qr/\[(alert|emerg|crit)\]|open socket/)), '',
    'nothing alarming in its log';
done_testing;
