# concurrent=auto before an upstream that works on four requests at a time: nothing is refused while
# it is not known, the limit follows, and requests come through.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use IO::Select;
use Limit;
use Test::More;
use Weir::Processes;

plan skip_all => 'the upstream must be slower than the edge' if in_world('valgrind', 'asan');

my $workers = 4;
my $listener = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1:0') or die $!;
my $upstream = '127.0.0.1:' . $listener->sockport;
for my $n (1 .. $workers) {
    spawn("upstream $n", sub {
        while (my $client = $listener->accept) {
            while (my $line = <$client>) { last if $line eq "\r\n" }
            select undef, undef, undef, 0.01;
            print $client "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n";
            close $client;
        }
        exit 0;
    });
}

start_limited(<<"EOC");
location / {
    weir_limit zone=slots concurrent=auto min=2 max=100 queue=20 wait=1s key=auto;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://$upstream;
}
EOC
is key_of('auto')->{limit}, 2, 'the limit before the first request';

# So many clients ask again and again, until a condition is true or so many answers have come.
sub load {
    my ($clients, $most, $condition) = @_;
    my (%status, $answers);
    my $asking = IO::Select->new(map { ask('/') } 1 .. $clients);
    while (++$answers <= $most && !($answers % 50 == 0 && $condition->())) {
        my ($client) = $asking->can_read(10) or die 'no answer';
        my ($word) = answer_of($client) =~ /^X-Limit: (\w+)/m;
        $status{ $word // 'none' }++;
        $asking->remove($client);
        $asking->add(ask('/'));
    }
    answer_of($_) for $asking->handles;
    return \%status;
}

my $calm = load(2, 600, sub { 0 });
is_deeply [ grep { /full|shed|expired|none/ } keys %$calm ], [],
    'below capacity nothing is refused';

load(60, 20000, sub { key_of('auto')->{limit} <= 12 });
cmp_ok key_of('auto')->{limit}, '<=', 12, 'with more requests the limit falls to what is possible';
all_free();

done_testing;
