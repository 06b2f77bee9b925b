# A reload whose master has too few descriptors to wake workers: it goes on, and workers look
# themselves.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use Limit;
use Test::More;
use Weir::Processes;

my $upstream = held();
my $locations = <<"EOC";
location / {
    weir_limit zone=slots concurrent=1 queue=9 wait=10s key=one;
    proxy_pass http://$upstream;
}
EOC
start_limited($locations, workers => 1);
sub status_of { answer_of(shift) =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }

my $old = ask('/');
held_requests(1);
my %before = map { $_ => 1 } workers();

my $used = () = glob "/proc/$pid{nginx}/fd/*";
my $limit = $used + 60;
system('prlimit', "--pid=$pid{nginx}", "--nofile=$limit:$limit") == 0 or die 'prlimit failed';
spit("$dir/nginx.conf", slurp("$dir/nginx.conf") =~ s/worker_processes 1;/worker_processes 20;/r);
kill 'HUP', $pid{nginx};
until_true('20 new workers', sub { 20 == grep { !$before{$_} } workers() });
ok log_lines("$dir/logs/error.log", qr/eventfd\(\) failed for "weir_limit": processes without/),
    'the master says that it has too few descriptors, and lives';

my @new = map { ask('/') } 1 .. 9;
until_in_queue('one', 9);
release();
is status_of($old), 200, 'the old worker gives back its slot';
for (@new) {
    release();
}
is "@{[ map { status_of($_) } @new ]}", '200 ' x 8 . '200',
    '... for which workers look that nobody can wake';
all_free();

done_testing;
