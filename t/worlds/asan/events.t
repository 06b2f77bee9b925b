# With poll and select nginx keeps a table of connections by their descriptors. The exporter has a
# connection without a socket, which must leave no trace there: of a worker that ends for a reload,
# and of one that ends with nginx.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use Test::More;
use Weir::Collector;
use Weir::Processes;

BEGIN { plan skip_all => 'for ./weir test --world asan alone'
    if ($ENV{WEIR_WORLD} // '') ne 'asan' }

start_collector('c');
my $url = 'http://127.0.0.1:' . collector_port('c');

for my $method ('poll', 'select') {
    start_exporter(name => $method, workers => 2, exporter => "otlp $url interval=1ms",
        events => "use $method;");
    like slurp("$dir/$method/logs/error.log"), qr/using the "$method" event method/,
        "nginx uses $method";
    probe("n=5&name=$method", $method);
    until_settled("with $method", $method);

    my @old = workers($method);
    kill 'HUP', $pid{$method};
    until_true('the old workers are gone', sub {
        my %now = map { $_ => 1 } workers($method);
        %now && !grep { $now{$_} } @old;
    });
    probe("n=5&name=$method-reloaded", $method);
    until_settled("reloaded with $method", $method);
    stop($method, 'QUIT');
    is scalar(grep { $_->{name} =~ /^$method/ } received_spans('c')), 10, 'all spans were sent';
    is logged(qr/exited on signal|exited with code [1-9]|\[alert\]/, $method), 0,
        'each worker has ended without an error';
}
done_testing;
