# The rules for Prometheus in conf/prometheus/: valid, right by promtool's own tests, about metrics
# that the reference documents, and with a section of docs/guides/alerts.md for each alert.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use Test::More;
use Weir::Docs qw($root slurp);

chdir $root or die "$root: $!";

my @rules = sort glob 'conf/prometheus/*.rules.yml';
cmp_ok scalar @rules, '>', 0, 'there are rules';

my %documented;
for my $page (glob 'docs/reference/*metrics.md') {
    my $text = slurp($page);

    while ($text =~ /^\| `([a-z_]+)` \| (\w+)/mg) {
        my ($name, $type) = ($1, $2);
        $documented{$name} = 1;
        $documented{"${name}_$_"} = 1 for $type eq 'histogram' ? qw(bucket count sum)
            : $type eq 'summary' ? qw(count sum) : ();
    }
}

my %sections = map { $_ => 1 } slurp('docs/guides/alerts.md') =~ /^### (\w+)$/mg;
my %alerts;

for my $rules (@rules) {
    my $text = slurp($rules);

    my $checked = `promtool check rules '$rules' 2>&1`;
    is $?, 0, "$rules is valid" or diag $checked;

    (my $test = $rules) =~ s{.*/(.*)\.rules\.yml}{t/docs/rules/$1.test.yml};
    my $tested = `promtool test rules '$test' 2>&1`;
    is $?, 0, "$test passes" or diag $tested;

    my $tests = slurp($test);
    for my $alert ($text =~ /- alert: (\w+)/g) {
        $alerts{$alert} = 1;
        ok $tests =~ /alertname(?:: |=")$alert\b/, "$test has $alert";
        ok $text =~ /alerts\.md#\L$alert\E$/m, "$alert names its section";
    }

    $text =~ s/^\s*#.*|\bby \([^)]*\)//mg;
    my @unknown = grep { !$documented{$_} } $text =~ /(?<![\w:])((?:weir|http|db)_\w+)(?=[{\[ )])/g;
    is "@unknown", '', "the reference documents each metric of $rules";
}

is_deeply \%sections, \%alerts, 'docs/guides/alerts.md has a section for each alert';

done_testing;
