# Whichever allocation of the exporter fails, and also when all fail from one on: the worker lives,
# no span is lost, and spans are sent as soon as there is memory again.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Weir::Edge::Nginx 'make_certificate';
use Weir::Processes;

BEGIN {
    plan skip_all => 'for ./weir test --world asan alone' if ($ENV{WEIR_WORLD} // '') ne 'asan';
}
use Weir::Collector;

my $MOST = 60; # allocations of one request: more are a loop without an end

make_certificate('collector');
start_collector('plain');
start_collector('secure', "$dir/certificate", "$dir/key");
my ($plain, $secure) = map { collector_port($_) } 'plain', 'secure';
my $dns = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1:0');
spawn('dns', sub {
    while ($dns->recv(my $query, 512)) {
        my ($id, $question) = unpack 'a2x10a*', $query;
        $dns->send($id . pack('n5', 0x8180, 1, 1, 0, 0) . $question
            . pack('n n n N n C4', 0xc00c, 1, 1, 60, 4, 127, 0, 0, 1));
    }
});
my $resolver = 'resolver 127.0.0.1:' . $dns->sockport . ' ipv6=off;';

my %edge = (
    kept => ['plain', "otlp http://127.0.0.1:$plain"],
    new => ['plain', "otlp http://127.0.0.1:$plain gzip=on", { close => 1 }],
    tls => ['secure', "otlp https://127.0.0.1:$secure ssl_verify=off", { close => 1 }],
    name => ['plain', "zipkin http://collector.test:$plain", { close => 1 }, $resolver],
);
my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);

# Lets the allocation NTH from now on fail, none with 0; how many there were and failed before.
sub fail {
    my ($edge, $nth, $onward) = @_;
    my $port = port_of_edge($edge);
    my $r = $http->get("http://127.0.0.1:$port/memory?fail=$nth&onward=" . ($onward // 0));
    return { $r->{content} =~ /(\w+)=(\d+)/g };
}

for my $edge (sort keys %edge) {
    my ($collector, $exporter, $behaviour, $directives) = @{ $edge{$edge} };
    start_exporter(name => $edge, exporter => "$exporter interval=1ms timeout=5s",
        http => 'weir_cache_zone z 2m;' . ($directives // ''),
        server => 'location = /memory { weir_cache z; weir_cache_probe on; }');
    behave($collector, $behaviour // {});
    probe('n=3', $edge);
    until_settled("$edge: memory", $edge);
    my ($pid) = workers($edge);
    my ($ended, $tried) = (3, 0);
    for my $onward (0, 1) {
        for my $nth (1 .. $MOST) {
            my $before = counts($edge);
            fail($edge, $nth, $onward);
            probe('n=3', $edge);
            $ended += 3;
            until_true("$edge: allocation $nth: an end", sub {
                my $n = counts($edge);
                $n->{queued} == 0 || $n->{failures} > $before->{failures}
                    || logged(qr/allocation $nth fails/, $edge);
            });
            my $failed = fail($edge, 0)->{failed};
            my $n = until_settled("$edge: allocation $nth" . ($onward ? ' and all that follow' : ''),
                $edge);
            $tried += $failed ? 1 : 0;
            is $n->{sent}, $ended, '... all were sent' or last;
            last if !$failed;
        }
    }
    cmp_ok $tried, '>', 2, "$edge: allocations have failed";
    is((workers($edge))[0], $pid, '... and the worker lives');
    my %known = map { $_->{id} => 1 } received_spans($collector);
    is_deeply [logged(qr/\[(?:alert|crit|emerg)\]/, $edge)], [], '... nothing is alarming';
    stop($edge, 'QUIT');
    is_deeply [logged(qr/open socket/, $edge)], [], '... and no connection is left';
}

done_testing;
