# Replies as the network may cut them.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use Test::More;
use Time::HiRes 'sleep';
use Weir::Edge::PlayedRedis;

play_redis('5s');

# --- cut anywhere ------------------------------------------------------------

my $replies = "\$5\r\nhello\r\n+OK\r\n\$-1\r\n\$0\r\n\r\n*2\r\n\$1\r\na\r\n:1\r\n:7\r\n"
    . "\$12\r\nwith\r\nbreaks\r\n\$4\r\nlast\r\n";
my $answer = "\$hello\n+OK\n_\n\$\n*\$a :1 \n:7\n\$with\r\nbreaks\n\$last\n";
my @wrong;

for my $cut (1 .. length($replies) - 1) {
    my $client = ask(map { "ECHO+$_" } 1 .. 8);
    read_until(qr/\$4\r\nECHO\r\n\$1\r\n8\r\n/);
    send_all(substr $replies, 0, $cut);
    sleep 0.003;    # that the edge reads the parts apart; if not the test is only weaker
    send_all(substr $replies, $cut);
    my $got = body($client);
    push @wrong, "after byte $cut: $got" if $got ne $answer;
}
is_deeply \@wrong, [], 'replies cut in two after any byte are read alike';

my $client = ask(map { "ECHO+$_" } 1 .. 8);
read_until(qr/\r\n8\r\n/);
for (split //, $replies) {
    send_all($_);
    sleep 0.001;
}
is body($client), $answer, 'and byte by byte';

# --- longer than the command wants ----------------------------------------------

my $long = "*1\r\n+a\r\n\$9\r\nninebytes\r\n\$8\r\n8 bytes.\r\n";
@wrong = ();
for my $cut (0 .. length($long) - 1) {
    $client = ask('ECHO+1', '=ECHO+2', '=ECHO+3');
    read_until(qr/\r\n3\r\n/);
    send_all(substr $long, 0, $cut);
    sleep 0.003;
    send_all(substr $long, $cut);
    my $got = body($client);
    push @wrong, "after byte $cut: $got" if $got ne "*+a \n\$\n\$8 bytes.\n";
}
is_deeply \@wrong, [],
    'a string that is longer than its command wants comes as an empty one, wherever it is cut';

# --- larger than any buffer, and followed at once -----------------------------

my $large = join '', map { sprintf '%08d', $_ } 1 .. 60_000;
$client = ask(map { "ECHO+$_" } 1 .. 6);
read_until(qr/\r\n6\r\n/);
send_all(join '', map { '$' . length($_) . "\r\n$_\r\n" } $large, 'a', $large, $large, '', 'z');
ok body($client) eq "\$$large\n\$a\n\$$large\n\$$large\n\$\n\$z\n",
    'large and small strings in one go';

$large = join '', map { sprintf '%08d', $_ } 1 .. 700_000;    # is given memory piece by piece
$client = ask(map { "ECHO+$_" } 1 .. 2);
read_until(qr/\r\n2\r\n/);
send_all('$' . length($large) . "\r\n" . substr $large, 0, 3_000_000);
send_all(substr($large, 3_000_000) . "\r\n\$1\r\nz\r\n");
ok body($client) eq "\$$large\n\$z\n", 'a string of several megabytes';

# --- given up in the middle ---------------------------------------------------

$client = ask('ECHO+1', 'ECHO+2');
read_until(qr/\r\n2\r\n/);
send_all('$' . length($large) . "\r\n" . substr $large, 0, 100_000);
is body($client), "timeout\ntimeout\n", 'a string that is not complete in time is a timeout';

$client = ask('ECHO+3');
read_until(qr/\r\n3\r\n/);
send_all(substr($large, 100_000) . "\r\n\$6\r\nsecond\r\n\$5\r\nthird\r\n");
is body($client), "\$third\n", 'the rest of it, if it comes later, goes to no request';

# --- not what the protocol says ----------------------------------------------

for my $nonsense ("\$3\r\nabcdef\r\n", "\$3x\r\nabc\r\n", "\$99999999999999999999999\r\n",
    "\$-3\r\n") {
    (my $shown = $nonsense) =~ s/\r\n/ /g;
    is body(answered_with($nonsense)), "lost\n", "\"$shown\" ends the connection";
    in_step_again();
}

done_testing;
