# The dashboard of ./weir up in a browser: the edge's numbers, the backend's groups and outbox
# beside them, and a whole trace. t/edge/dashboard/browser.t looks at the page closer.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Base qw(slurp);
use Weir::Operator;

my $log = "/tmp/weir-browser.$$.log";
my $folder = `scripts/test/browser.sh 2>$log`;
my $failed = $?;
my $why = (split /\n/, slurp($log))[-1];
unlink $log;
plan skip_all => "no browser: $why" if $failed;
chomp $folder;

my $said = up();
my $dashboard = 'http://127.0.0.1:' . ($port + 7);
like $said, qr{in a browser what .*/weir dashboard prints}, 'up says where the dashboard is';
my ($code, $enter) = weir('dashboard');
like $enter, qr{^\Q$dashboard\E/enter\?token=\S+$}, '... which ./weir dashboard prints';
chomp $enter;

for my $name (1 .. 5) {
    my $new = { email => "page$name\@example.com", displayName => 'Page' };
    is ask('POST', '/signup', $new)->{status}, 201, "signup $name";
    get('/products');
}

my $listed =
    comes_true(60, sub { curl("$dashboard/traces?limit=10&sort=slow") =~ m{POST /signup} });
my $http = HTTP::Tiny->new(timeout => 20);
is $http->get("$dashboard$_")->{status}, 401, "nobody sees $_" for qw(/ /traces /status /metrics);
ok $listed, 'the traces of the signups are kept';
is `curl -s -o /dev/null -w '%{http_code}' -H 'Host: evil.example' $dashboard/`, 421,
    'another name of the host gets nothing';

open my $browser, '-|', 'timeout', 60, 'node', "$FindBin::Bin/dashboard.js", $folder, $dashboard,
    $enter
    or die $!;
while (my $line = <$browser>) {
    chomp $line;
    if ($line =~ /^(not )?ok - (.*)/) { ok !$1, $2 }
    else { diag $line }
}
ok close $browser, 'the browser ends';

done_testing;
