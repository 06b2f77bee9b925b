# The Redis client when its server is killed, hangs, comes back, or is reached
# by a worker that is about to leave.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use Test::More;
use Weir::Edge::Nginx 'start_nginx';
use Weir::Processes;
use Weir::Redis qw(redis_answers redis_cli_command redis_login redis_server redis_users);

mkdir "$dir/logs";

my ($edge, $port) = (free_port(), free_port());

sub start_redis {
    spawn('redis', [redis_server(), '--port', $port, '--bind', '127.0.0.1', '--dir', $dir,
        '--save', '', '--appendonly', 'no', redis_users($dir)]);
    until_true('Redis answers', sub { redis_answers($port) });
}

my $http = HTTP::Tiny->new(timeout => 10, keep_alive => 0);
sub ask {
    my $r = $http->get("http://127.0.0.1:$edge/?" . join '&', @_);
    $r->{status} == 200 ? $r->{content} : $r->{status};
}
sub logged { log_lines("$dir/logs/error.log", shift) }

start_redis();
my $login = redis_login('tests');    # the probe sends any command
start_nginx($dir, $edge, http => <<"HTTP");
    weir_redis main redis://$login\@127.0.0.1:$port timeout=500ms connect_timeout=500ms;
    weir_redis gone unix:$dir/none.sock;
    server {
        listen 127.0.0.1:$edge;
        location / { weir_redis_probe main; }
        location /gone { weir_redis_probe gone; }
    }
HTTP
is ask('SET+a+1', 'GET+a'), "+OK\n\$1\n", 'the server answers';
ok $http->get("http://127.0.0.1:$edge/gone?PING")->{success}, 'another one is away from the start';

stop('redis', 'KILL');
until_true('commands are declined', sub { ask('PING') eq "declined\n" });
is ask(('PING') x 3), "declined\n" x 3, 'no request waits for a server that is gone';
is scalar(logged(qr/weir_redis "main" at .* is down/)), 1, 'one line says that it is down';

start_redis();
until_true('the server is found again', sub { ask('PING') eq "+PONG\n" });
is ask('GET+a'), "_\n", 'it came back empty';
is scalar(logged(qr/weir_redis "main" is up again/)), 1, 'one line says that it is up';

# The server's own end of an idle connection is no failure.
ask('SET+b+2');
system join ' ', redis_cli_command('-p', $port, qw(client kill type normal >/dev/null));
is ask('GET+b'), "\$2\n", 'a connection closed while idle is made again at once';
is scalar(logged(qr/"main" at .* is down/)), 1, 'and is not called a failure';

# Half-open: it accepts and says nothing.
kill 'STOP', $pid{redis};
is ask('GET+b', 'GET+b'), "timeout\ntimeout\n", 'a silent server is a timeout';
until_true('it is given up', sub { ask('GET+b') eq "declined\n" });
is scalar(logged(qr/is down: does not answer/)), 1, 'with its reason';
kill 'CONT', $pid{redis};
until_true('the server answers again', sub { ask('GET+b') eq "\$2\n" });

# A reply that arrives after its deadline is dropped.
is ask('XREAD+BLOCK+700+STREAMS+none+0', 'XINFO+STREAM+none'), "timeout\ntimeout\n",
    'a command behind one that blocks is given up';
until_true('a command is answered again', sub { ask('ECHO+again') eq "\$again\n" });
is scalar(logged(qr/answered a command with/)), 0,
    'an error in a late reply is not logged: the command has failed before';

my $late = ask('DEBUG+SLEEP+0.7', 'ECHO+late');
SKIP: {
    skip 'DEBUG is not allowed here', 2 if $late =~ /^-/;
    is $late, "timeout\ntimeout\n", 'both get their answer at the deadline';
    until_true('the server is free again', sub { ask('PING') eq "+PONG\n" });
    is ask('ECHO+mine'), "\$mine\n", 'a late reply goes to no other request';
}

# A reload: the old worker leaves, though its connection is open.
kill 'HUP', $pid{edge};
until_true('the old worker is gone', sub { logged(qr/exited with code 0/) });
is ask('GET+b'), "\$2\n", 'the new worker has its own connection';
is scalar(logged(qr/open socket .* left in connection/)), 0, 'no connection was left behind';

# connect() to a socket that is not there fails at once, at each of the many attempts since.
my %attempts;
$attempts{ /(\d+)#/ ? $1 : '' }++ for logged(qr/none\.sock failed/);
is_deeply [ grep { $_ > 1 } values %attempts ], [], "nginx's own line comes once for each worker";
ok scalar(keys %attempts), 'and is there';

done_testing;
