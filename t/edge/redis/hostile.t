# A server that is not Redis, or is controlled by an attacker: whatever it sends costs the edge a
# connection, and memory in proportion to the bytes sent.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use Test::More;
use Weir::Edge::PlayedRedis;
use Weir::Processes;

play_redis('1s');

# The resident memory of the worker, and its most so far, KiB.
my $master = until_true('there is a pid file', sub { slurp("$dir/pid") =~ /(\d+)\n/ && $1 });
chomp(my $worker = until_true('there is a worker', sub { `pgrep -P $master` }));
sub most_memory { (slurp("/proc/$worker/status") =~ /VmHWM:\s*(\d+)/)[0] }

is body(answered_with("+OK\r\n")), "+OK\n", 'the edge asks this server';
my $before = most_memory();

# --- what only RESP3 has -------------------------------------------------------

my @resp3 = ("_\r\n", ",1.5\r\n", "#t\r\n", "(12345678901234567890\r\n", "%1\r\n+a\r\n+b\r\n",
    "~1\r\n+a\r\n",
    ">1\r\n+a\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n", "|1\r\n+a\r\n+b\r\n");
for my $reply (@resp3, map { "*1\r\n$_" } @resp3) {
    (my $shown = $reply) =~ s/\r\n/ /g;
    is body(answered_with($reply)), "lost\n", "\"$shown\" ends the connection";
    in_step_again();
}

# --- more than is believed ----------------------------------------------------

is body(answered_with($$_[0])), "lost\n", "$$_[1] end the connection" and in_step_again()
    for ["*50000000\r\n", 'fifty million elements'], ["*1\r\n" x 7 . ":1\r\n", 'seven levels'],
    ["*1000000\r\n*1000000\r\n", 'two million elements in all'];

is body(answered_with('+' . 'x' x 16_000 . "\r\n")), '+' . 'x' x 16_000 . "\n",
    'a long line is taken';
is body(answered_with("$_" . 'x' x 17_000)), "lost\n",
    'a line that does not end ends the connection'
    and in_step_again() for '+', "*2\r\n:1\r\n-", '$1';

# The limit is 64 MB.
is body(answered_with("\$67108865\r\n")), "lost\n",
    'the announcement of a string of more than 64 MB ends the connection'
    and in_step_again();

# --- what is announced and does not come ---------------------------------------

# Each waits for the announced bytes until its deadline.
for my $announced ("\$400000000\r\n", "*1000000\r\n", "*1\r\n\$400000000\r\n",
    '*2' . "\r\n*400000" x 4 . "\r\n") {
    (my $shown = $announced) =~ s/\r\n/ /g;
    my $client = answered_with($announced);
    like body($client), qr/^(?:timeout|lost)$/, "\"$shown\" alone is no reply";
    in_step_again();
}

cmp_ok most_memory() - $before, '<', 8192,
    'none of it made the worker take the memory that was announced';

# --- more than the limit does come ----------------------------------------------

like body(answered_with("*70\r\n" . ("\$1000000\r\n" . 'x' x 1_000_000 . "\r\n") x 70)),
    qr/^(?:timeout|lost)$/,
    'an array of 70 MB ends the connection';
in_step_again();

# --- texts ----------------------------------------------------------------------

is body(answered_with("-ERR a\tb\x1b[2J\r\n")), "-ERR a b [2J\n",
    'control characters of an error become blanks';
# hiredis 1.1 refuses it, earlier ones do not.
like body(answered_with("-ERR a\nb\r\n")), qr/\A(?:-ERR a b|lost)\n\z/,
    'an error with a line feed is one line, or ends the connection';

chomp(my $still = `pgrep -P $master`);
is $still, $worker, 'it is the same worker all the time';

done_testing;
