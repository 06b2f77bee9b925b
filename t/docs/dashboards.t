# The dashboards in conf/grafana/: as conf/grafana/generate.py writes them, with a panel for each
# metric that the reference documents, and expressions that Prometheus can read.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use File::Temp 'tempdir';
use JSON::PP;
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Docs qw($root);

chdir $root or die "$root: $!";

my $dir = tempdir(CLEANUP => 1);
is system('/usr/bin/python3', 'conf/grafana/generate.py', $dir), 0, 'the dashboards are generated';

for my $name (qw(edge backend)) {
    my $file = "conf/grafana/weir-$name.json";
    my $text = slurp($file);
    ok $text eq slurp("$dir/weir-$name.json"),
        "$file is what conf/grafana/generate.py writes; run it after a change of the reference";
    my $board  = decode_json($text);
    my @panels = grep { $_->{type} ne 'row' } @{ $board->{panels} };

    my $page = slurp('docs/reference/' . ($name eq 'edge' ? '' : 'backend-') . 'metrics.md');
    my %of   = $page =~ /^\| `([a-z_]+)` \| (counter|gauge|histogram)\b/mg;
    my %has  = map { $_->{title} => 1 } @panels;
    is_deeply [ grep { !$has{$_} } sort keys %of ], [], "$file has each metric of its page";
    my %expr = map { $_->{title} => $_->{targets}[0]{expr} } @panels;
    my (%by, @adds);
    for my $metric (keys %of) {
        my ($labels) = $expr{$metric} =~ /by \((.*?)\)/;
        $by{$metric}{$_} = 1 for split /, /, $labels;
    }
    while ($page =~ /^\| `([a-z_]+)` \| \w+ \| .*?(?:by|label) (?:label )?`(\w+)`/mg) {
        push @adds, "$1 over $2" unless $by{$1}{$2};
    }
    is_deeply \@adds, [], 'no panel adds up what the reference tells apart by a label';
    is_deeply [ grep { /percentile|per_thousand/ && $expr{$_} =~ /^sum/ } sort keys %of ], [],
        'nor means and percentiles';
    my %known = map { $_ => 1, "${_}_bucket" => 1, "${_}_count" => 1 } keys %of;

    my %ids;
    $ids{ $_->{id} }++ for @{ $board->{panels} };
    is_deeply [ grep { $_ > 1 } values %ids ], [], 'each panel has an id of its own';
    my (%places, @overlap);
    for my $panel (@{ $board->{panels} }) {
        my ($x, $y) = @{ $panel->{gridPos} }{qw(x y)};
        push @overlap, $panel->{title} if $places{"$x,$y"}++;
    }
    is "@overlap", '', 'and a place of its own';

    my @rules = ('groups: [{name: dashboard, rules: [');
    for my $target (map { @{ $_->{targets} } } @panels) {
        my $expr = $target->{expr} =~ s/\$__rate_interval/5m/gr;
        my @unknown = grep { !$known{$_} } $expr =~ /([a-z_]+)\{/g;
        is "@unknown", '', "$expr: documented metrics only" if @unknown;
        push @rules, "{record: 'x:" . @rules . "', expr: "
            . JSON::PP->new->allow_nonref->utf8->encode($expr) . '},';
    }
    spew("$dir/$name.rules.yml", join "\n", @rules, ']}]');
    my $checked = `promtool check rules '$dir/$name.rules.yml' 2>&1`;
    like $checked, qr/SUCCESS: \d+ rules found/, "Prometheus can read the expressions of $file"
        or diag $checked;
    unlike $checked, qr/could not parse|error/i, 'all of them';
}

done_testing;
