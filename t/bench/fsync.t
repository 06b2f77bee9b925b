# bench-fsync tells how long the disk takes, until it is told to end, and leaves nothing behind.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Temp 'tempdir';
use JSON::PP;
use Test::More;
use Weir::Base qw(slurp spew wait_for);

my $dir = tempdir('/tmp/weir-bench.XXXXXX', CLEANUP => 1);

my $pid = open my $out, '-|', 'build/bench-fsync', "$dir/file" or die $!;
# When the file has its size it measures; at least once before it ends.
wait_for('the file' => sub { (-s "$dir/file" // 0) >= 256 * 8192 });
kill 'TERM', $pid;
my $figures = decode_json(join '', <$out>);
close $out;
is $?, 0, 'it ends well';
cmp_ok $figures->{count}, '>', 0, 'it has measured';
cmp_ok $figures->{p50_ms}, '<=', $figures->{p99_ms}, 'percentiles are in order';
cmp_ok $figures->{p99_ms}, '<=', $figures->{max_ms}, 'up to the longest';
ok !-e "$dir/file", 'the file is gone';

spew("$dir/taken", '');
is system("build/bench-fsync $dir/taken 2>$dir/said") >> 8, 1, 'a file that is there is refused';
is slurp("$dir/said"), "bench-fsync: $dir/taken: File exists\n", 'with its name';

done_testing;
