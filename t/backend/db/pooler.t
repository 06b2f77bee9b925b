# Poolers between weir-backend and PostgreSQL: one that keeps a session for each client
# works; behind one that shares sessions no statement is taken for another, and the log
# says what is wrong.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use Test::More;
use Weir::Base qw(listens);
use Weir::Events;
use Weir::Stack qw(free_port wait_for);
use Weir::Stack::Postgres;

my $pgbouncer = '/usr/sbin/pgbouncer';
plan skip_all => 'there is no PgBouncer' if !-x $pgbouncer;

my $stack = Weir::Stack->new(roles => 0);
my $events = Weir::Events->new($stack);
$events->count_effects;
$stack->start_smtp;

# Returns the connection string of the new pooler.
sub start_pooler {
    my ($mode, $size) = @_;
    my $dir = $stack->dir . "/$mode";
    my $port = free_port();
    mkdir $dir or die "$dir: $!";
    chmod 0777, $dir;
    open my $conf, '>', "$dir/ini" or die $!;
    print $conf <<"INI";
[databases]
weir = host=@{[$stack->pg]} dbname=weir user=weir
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = any
pool_mode = $mode
default_pool_size = $size
ignore_startup_parameters = options, extra_float_digits
logfile = $dir/log
INI
    close $conf;
    $stack->start_process("pooler-$mode", [$pgbouncer, "$dir/ini"],
        user => Weir::Stack::Postgres::user());
    $stack->wait_started("pooler-$mode" => sub { listens($port) });
    return "host=127.0.0.1 port=$port dbname=weir user=weir";
}

$stack->{conf}{database} = start_pooler('session', 40);

$stack->start_backend('all');
$events->create(50);
$events->wait_handled;
is $events->complaints, '', 'pool_mode = session: all is as without a pooler';
is $stack->stop_backend('all'), 0, 'stops';
$stack->stop_process('pooler-session', 'TERM');

# Four sessions for twenty clients.
$stack->{conf}{database} = start_pooler('transaction', 4);
my $before = $stack->psql('SELECT count(*) FROM users');
eval { $stack->start_backend('all') };
$events->create(20);
my $log;
wait_for('the log to tell' => sub {
    ($log) = $stack->log_of('all') =~ /("error":"prepared statement [^}]*pool_mode = session)/;
});
like $log, qr/does not exist \(a pooler must keep one session for each client/,
    'pool_mode = transaction: the log says what is wrong';
unlike $stack->log_of('all'), qr/already exists/, 'no session meets another one\'s statement';
is $stack->psql('SELECT count(*) FROM users') - $before, 20,
    '... and nothing is done that no client asked for';
$stack->stop_backend('all');
$stack->stop_process('pooler-transaction', 'TERM');

delete $stack->{conf}{database};
$stack->start_backend('all');
$events->wait_handled;
is $events->complaints, '', 'without it all goes on';
is $stack->stop_backend('all'), 0, 'stops';

done_testing;
