# The comparison of two builds: its options, the CPU time of processes, the ratios of the report.
use strict;
use warnings;

use File::Temp 'tempdir';
use FindBin '$Bin';
use JSON::PP;
use Test::More;

my $root = "$Bin/../..";
my $dir = tempdir('/tmp/weir-bench.XXXXXX', CLEANUP => 1);
chdir $root or die $!;

sub output {
    my $text = `@_ 2>&1`;
    return ($? >> 8, $text);
}

for my $bench (qw(edge write)) {
    my ($code, $said) = output("bench/$bench.sh --against $dir");
    is $code, 2, "$bench: a folder without Weir is refused";
    like $said, qr/^bench: --against names "\Q$dir\E"; it must be a checkout of Weir$/m, 'by name';
    ($code, $said) = output("bench/$bench.sh --against . --rounds 4");
    is $code, 2, "$bench: four rounds are refused";
    like $said, qr/^bench: --rounds is "4"; --against needs at least 5$/m, 'with the number';
}
my ($code, $said) = output('bench/edge.sh --against . --only varnish');
is $code, 2, 'a contestant that is not of Weir is refused';
like $said, qr/^bench: --only names no contestant of Weir to compare$/m, 'with the reason';

# A shell whose child has used CPU time itself.
my $cpu = 'usage() { :; }; . bench/lib/machine.sh; bench_cpu $$; bench_cpu_of_all $$';
my ($own, $all) = split ' ', `bash -c '(for ((i = 0; i < 300000; i++)); do :; done); $cpu'`;
cmp_ok $all, '>=', $own + 50_000, 'the CPU time of all has that of a child that has ended';

# report ROUND...: the rows by name. A round is [what, build, round, CPU time, requests, errors].
sub report {
    open my $lines, '>', "$dir/lines" or die $!;
    my @names = qw(what build round cpu_us requests errors);
    for my $round (@_) {
        my %line;
        @line{@names} = @$round;
        print $lines encode_json(\%line), "\n";
    }
    close $lines;
    my $report = `jq -s --argjson facts '{}' -f bench/report/against.jq $dir/lines`;
    return map { $_->{what} => $_ } @{ decode_json($report)->{results} };
}

my %row = report(
    ['reads', 'this', 1, 100, 10, 0], ['reads', 'other', 1, 200, 10, 0],
    ['reads', 'other', 2, 400, 10, 0], ['reads', 'this', 2, 600, 10, 0],
    ['reads', 'this', 3, 300, 30, 0], ['reads', 'other', 3, 100, 10, 0],
    ['writes', 'this', 1, 100, 10, 0], ['writes', 'other', 1, 100, 10, 1],
    ['writes', 'this', 2, 150, 10, 0], ['writes', 'other', 2, 100, 10, 0],
);
is $row{reads}{ratio}, 1, 'the ratio is the median of the ratios within the rounds';
is $row{reads}{lowest}, 0.5, 'the lowest is there';
is $row{reads}{highest}, 1.5, 'and the highest';
is $row{reads}{this_us}, 10, 'CPU time is per request';
is $row{reads}{good_rounds}, 3, 'rounds are counted';
is $row{writes}{ratio}, 1.5, 'a round with errors does not count';
is $row{writes}{good_rounds}, 1, 'and is not among the good ones';

done_testing;
