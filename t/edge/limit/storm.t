# More requests than slots, from clients that come and leave, with a worker that is killed: the
# upstream never has more requests than slots, other endpoints notice nothing, and afterwards all
# slots are free.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use Limit;
use Test::More;
use Weir::Processes;

my $own = free_port();
start_limited(<<"EOC", workers => 3, http => 'weir_limit_zone clients 128k;');
location /slow {
    weir_limit zone=slots concurrent=20 queue=10 wait=200ms key=slow;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://@{[held()]};
}
location /fast {
    weir_limit zone=slots concurrent=5 queue=0 key=fast;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://127.0.0.1:$own;
}
location /any {
    weir_limit zone=clients concurrent=1 queue=1 key=\$arg_key;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://127.0.0.1:$own;
}
EOC

my $listener = IO::Socket::INET->new(Listen => 1024, LocalAddr => "127.0.0.1:$own") or die $!;
spawn('fast', sub {
    while (my $client = $listener->accept) {
        while (my $line = <$client>) { last if $line eq "\r\n" }
        print $client "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfast\n";
        close $client;
    }
    exit 0;
});
close $listener;

srand 16;
my ($most, $slower, @asking) = (0, 0);
for my $step (1 .. 600) {
    my $what = rand;
    if ($what < 0.6) { push @asking, ask('/slow') }
    elsif ($what < 0.75 && @asking) { close splice @asking, rand @asking, 1 }
    elsif (held_now()) { release() }
    my $now = held_now();
    $most = $now if $now > $most;
    next if $step % 20;
    $slower++ if answer_of(ask('/fast')) !~ / 200 .*^X-Limit: passed\r$/ms;
    kill_one() if $step == 300;
}
is $most, 20, 'the upstream has as many requests as slots, and never more';
is $slower, 0, 'another endpoint has its own slots';
my $slow = key_of('slow');
cmp_ok $slow->{refused}{full} + $slow->{refused}{shed} + $slow->{refused}{expired}, '>', 0,
    'it was a storm';
close $_ for @asking;
until_true('the upstream has no request', sub { held_now() == 0 });
all_free();
is key_of('slow')->{in_use}, 0, 'all slots are free after the storm';
cmp_ok zone_of()->{reclaimed}, '>', 0, 'some were those of a killed worker';

# --- keys that clients make ---
my %status;
for my $n (1 .. 1500) {
    my ($status) = answer_of(ask("/any?key=k$n")) =~ /^X-Limit: (\w+)/m;
    $status{ $status // 'none' }++;
}
is_deeply \%status, { passed => 1500 }, 'more keys than a zone has room for refuse nobody';

done_testing;

# The upstream loses the requests of a worker that is killed; a new one takes its place.
sub kill_one {
    my ($worker) = workers();
    kill 'KILL', $worker;
    until_true('another worker', sub {
        my @now = workers();
        return @now == 3 && !grep { $_ == $worker } @now;
    });
}
