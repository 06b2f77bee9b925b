# The users of "weirctl redis users": each may use the commands and keys that are listed here, and
# nothing else. Redis itself judges each of its commands (ACL DRYRUN).
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port slurp spew);
use Weir::Redis qw(redis_answers redis_cli_command redis_command redis_connect
    redis_expects_refusals redis_server redis_users);
use Weir::Stack;

redis_expects_refusals();
my $s = Weir::Stack->new(postgres => 0);
my $port = $s->{redis_port};
my $admin = redis_connect($port) or die 'no Redis';
sub redis { redis_command($admin, @_) }

# --- what each may do ---------------------------------------------------------------------------

my @PING = qw(ping select);
my @BACKEND = (@PING, 'client|setname');
my %kept = ('weir:traces:kept' => ['xread']);
my %relay = (
    'weir:events:7' => [qw(exists xadd xtrim xinfo|stream eval evalsha)],
    'weir:fence:{weir:events:7}' => [qw(get set eval evalsha)],
    'weir:audit:heads' => [qw(xadd xrevrange eval evalsha)],
    'weir:refused' => ['xrange'],
);
my %worker = (
    'weir:events:7' =>
        [qw(xreadgroup xack xgroup|create xgroup|delconsumer xgroup|setid eval evalsha)],
    'weir:dead:email' => ['xadd'],
    'weir:invalidate' => ['xadd'],
);
my @CLIENT = qw(client|id client|unblock);
my %may = (
    'weir-edge' => [
        [@PING, 'info'],
        {
            'weir:cache:z:{d}' => [qw(get set del eval)],
            'weir:lease:z:{d}' => [qw(get set del eval)],
            'weir:fill:z:{d}' => [qw(set expire unlink rename eval)],
            'weir:invalidate' => [qw(xadd xread xtrim xinfo|stream)],
            'weir:era' => [qw(get set)],
            'weir:revoked' => [qw(xread xtrim xsetid xinfo|stream eval)],
            'weir:flags' => [qw(xread xtrim xsetid xinfo|stream eval)],
            'weir:refused' => ['xadd'],
            'weir:breaker' => [qw(xadd xread xtrim xsetid xinfo|stream eval)],
            'weir:breaker:probe:b:{d}' => [qw(eval get set del pttl pexpire)],
            'weir:traces:kept' => ['xadd'],
        }
    ],
    'weir-api' => [\@BACKEND, \%kept],
    'weir-relay' => [\@BACKEND, { %kept, %relay }],
    'weir-worker' => [[@BACKEND, @CLIENT], { %kept, %worker }],
    'weir-backend' => [
        [@BACKEND, @CLIENT],
        {
            %kept, %relay, %worker,
            'weir:events:7' => [@{ $relay{'weir:events:7'} }, @{ $worker{'weir:events:7'} }],
        }
    ],
    'weir-ctl' => [
        ['select'],
        {
            'weir:revoked' => ['xadd'],
            'weir:flags' => [qw(xrange xadd xdel eval)],
            'weir:breaker' => [qw(xadd xrevrange)],
            'weir:events:7' => [qw(del xinfo|stream)],
            'weir:fence:{weir:events:7}' => ['get'],
            'weir:audit:heads' => ['xrange'],
        }
    ],
    app => [[], { 'weir:invalidate' => ['xadd'] }],
);

# Nobody may touch these.
my @OTHER_KEYS = ('', 'other', 'other:weir:cache:z', 'weir', 'weir:', 'weir:other', 'weir:cache',
    'weir:invalidate:2', 'weir:era2', 'weir:revoked:trimmed',
    'weir:breaker:b', 'weir:traces:other', 'weir:events',
    'weir:fence', 'weir:audit:other', 'weir:dead');
my %keys = map { $_ => 1 } @OTHER_KEYS, map { keys %{ $_->[1] } } values %may;

# Everybody may log in and leave.
my %free = map { $_ => 1 } qw(auth hello quit reset);
# EVAL takes no key, and then a script can do nothing that needs one.
my %keyless_too = map { $_ => 1 } qw(eval evalsha);

# --- the commands -------------------------------------------------------------------------------

my %number; # of words of each command: exactly, or at least if negative
my %first;  # place of its first key; 0: none, or somewhere else
for my $command (@{ redis('COMMAND') }) {
    my @all = ($command, ref $command->[9] ? @{ $command->[9] } : ());
    ($number{ $_->[0] }, $first{ $_->[0] }) = @$_[1, 3] for @all;
}
cmp_ok scalar(keys %number), '>', 300, 'Redis has told its commands';

# A command with one key, which is where the command has it.
sub words {
    my ($name, $key) = @_;
    return (uc $name, 'x', $key eq 'none' ? 0 : (1, $key)) if $keyless_too{$name};
    return ('XREAD', 'STREAMS', $key, '0') if $name eq 'xread';
    return (qw(XREADGROUP GROUP g c STREAMS), $key, '>') if $name eq 'xreadgroup';
    return ('RENAME', $key, 'weir:cache:z:{d}') if $name eq 'rename';
    my @words = split /\|/, $name;
    my $at = $first{$name};
    push @words, @words == $at ? $key : 'x' while @words < abs $number{$name};
    return @words;
}

sub verdict {
    my ($user, @words) = @_;
    my $said = eval { redis('ACL', 'DRYRUN', $user, @words) } // $@;
    return 'may' if $said eq 'OK';
    return 'may not, for the command' if $said =~ /no permissions to run/;
    return 'may not, for the key' if $said =~ /no permissions to access/;
    return $said;
}

for my $user (sort keys %may) {
    my ($without, $with) = @{ $may{$user} };
    my %allowed = map { $_ => 1 } @$without, keys %free;
    my %keyed = map { $_ => 1 } map { @$_ } values %$with;
    my @wrong;
    for my $name (sort keys %number) {
        next if $keyed{$name};
        my $expected = $allowed{$name} ? 'may' : 'may not, for the command';
        # A command with subcommands is judged by these.
        next if $name !~ /\|/ && grep { /^\Q$name\E\|/ } keys %number;
        my $verdict = verdict($user, words($name, 'weir:cache:z:{d}'));
        push @wrong, "$name: $verdict, not: $expected" if $verdict ne $expected;
    }
    is join("\n", @wrong), '', "$user: commands that it does not need are refused";

    @wrong = ();
    for my $name (sort keys %keyed) {
        next if !exists $number{$name};
        for my $key (sort keys %keys) {
            my $expected =
                grep({ $_ eq $name } @{ $with->{$key} // [] }) ? 'may' : 'may not, for the key';
            my $verdict = verdict($user, words($name, $key));
            push @wrong, "$name '$key': $verdict, not: $expected" if $verdict ne $expected;
        }
    }
    is join("\n", @wrong), '', "$user: its commands take its keys, and no others";
}
like join(' ', @{ redis('ACL', 'GETUSER', 'default')->[1] }), qr/\boff\b(?!.*nopass)/,
    'default: nobody can be that user';

# Several keys, and reading apart from writing.
for (
    ['weir-edge', 'may', qw(RENAME weir:fill:z:{d} weir:cache:z:{d})],
    ['weir-edge', 'may not, for the key', qw(RENAME weir:cache:z:{d} weir:fill:z:{d})],
    ['weir-edge', 'may not, for the key', qw(RENAME weir:fill:z:{d} weir:lease:z:{d})],
    ['weir-edge', 'may not, for the key', qw(RENAME weir:fill:z:{d} weir:invalidate)],
    ['weir-edge', 'may', qw(EVAL x 3 weir:cache:z:{d} weir:lease:z:{d} weir:fill:z:{d})],
    ['weir-edge', 'may not, for the key', qw(EVAL x 2 weir:cache:z:{d} weir:revoked)],
    ['weir-edge', 'may', qw(SET weir:lease:z:{d} x NX GET PX 1)],
    ['weir-edge', 'may not, for the key', qw(SET weir:fill:z:{d} x GET)],
    ['weir-edge', 'may', qw(XREAD STREAMS weir:invalidate weir:revoked 0 0)],
    ['weir-edge', 'may not, for the key', qw(XREAD STREAMS weir:invalidate other 0 0)],
    ['weir-edge', 'may not, for the key', qw(DEL weir:cache:z:{d} other)],
    ['weir-relay', 'may', qw(EVALSHA x 2 weir:events:7 weir:fence:{weir:events:7})],
    ['weir-relay', 'may not, for the key', qw(EVALSHA x 2 weir:events:7 weir:audit:heads)],
    ['weir-worker', 'may', qw(XREADGROUP GROUP g c STREAMS weir:events:1 weir:events:2 > >)],
    ['weir-worker', 'may not, for the key', qw(XREADGROUP GROUP g c STREAMS weir:events:1 x > >)],
    )
{
    my ($user, $expected, @words) = @$_;
    is verdict($user, @words), $expected, "$user: @words";
}

# --- with connections of theirs -----------------------------------------------------------------

sub said {
    my ($socket, @words) = @_;
    return eval { redis_command($socket, @words) } // $@ =~ s/ at .*//sr;
}
for my $user (sort keys %may) {
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
    is said($socket, 'PING'), 'Redis: NOAUTH Authentication required.', "$user: must log in";
    like said($socket, 'AUTH', $user, 'wrong'), qr/WRONGPASS/, '... with its password';
    is said($socket, 'AUTH', $user, "secret-of-$user"), 'OK', '... which it has';
    my @not = grep { said($socket, @$_) !~ /^Redis: NOPERM/ } (
        ['FLUSHALL'], ['FLUSHDB'], ['SWAPDB', 0, 1], ['CONFIG', 'GET', '*'],
        ['SCRIPT', 'FLUSH'], ['FUNCTION', 'FLUSH'], ['KEYS', '*'], ['SCAN', 0], ['RANDOMKEY'],
        ['ACL', 'LIST'], ['ACL', 'WHOAMI'], ['MONITOR'], ['SHUTDOWN', 'NOSAVE'], ['SAVE'],
        ['REPLICAOF', 'NO', 'ONE'], ['MODULE', 'LIST'], ['CLIENT', 'LIST'], ['CLIENT', 'KILL', 'x'],
        ['PUBLISH', 'c', 'x'], ['SUBSCRIBE', 'c'], ['DBSIZE'], ['COMMAND'], ['WAIT', 0, 0],
        ['GET', 'other'], ['SET', 'other', 1],
    );
    is join("\n", map { "@$_" } @not), '', '... and may not administer';
}
my $edge = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!;
said($edge, 'AUTH', 'weir-edge', 'secret-of-weir-edge');
for my $script (
    "return redis.call('KEYS', '*')", "return redis.call('GET', 'other')",
    "return redis.call('FLUSHALL')", "return redis.call('XADD', 'weir:events:1', '*', 'a', 'b')"
    )
{
    like said($edge, 'EVAL', $script, 1, 'weir:cache:z:{d}'),
        qr/can't (?:run|access)|No permissions|NOPERM/i, "a script may do no more: $script";
}

# --- weirctl ------------------------------------------------------------------------------------

my $folder = "$s->{dir}/passwords";
mkdir $folder;
sub users { return $s->weirctl('redis', 'users', @_) }

my ($status, $out, $err) = users('--passwords', $folder);
is $status, 2, 'a folder without a password is refused';
like $err, qr{^weirctl: \Q$folder\E has no file with the name of a user$}, '... with a message';
spew("$folder/weir-edge", "new\r\n\nold\n");
($status, $out, $err) = users('--passwords', $folder);
is $status, 0, 'a file with two passwords';
my $default = qr/^user default off resetpass ~\* &\* \+\@all\n/;
like $out, qr/${default}user weir-edge on #\w{64} #\w{64} [^\n]*\n\z/,
    '... gives a user with two, whose digests are printed, and no other user';
unlike $out, qr/\bnew\b|\bold\b/, '... and not the passwords';
redis('ACL', 'SETUSER', 'probe', $out =~ /(#\w+) (#\w+)/);
redis('ACL', 'SETUSER', 'probe', 'on');
is said($edge, 'AUTH', 'probe', $_), 'OK', "... with $_ one logs in" for 'new', 'old';

is((users('weir-ctl', '--passwords', $folder))[0], 2, 'a user that is asked for needs its file');
for (['x' x 513, 'more than 512 bytes'], ["a\0b", 'a byte 0'], ["\n\r\n", 'no password'],
    ['x ' x 2049, 'larger than 4096 bytes']) {
    my ($text, $says) = @$_;
    spew("$folder/weir-edge", $text);
    ($status, $out, $err) = users('--passwords', $folder);
    is $status, 2, "a wrong file is refused: $says";
    like $err, qr{^weirctl: \Q$folder\E/weir-edge: it (?:has|is) (?:a password of )?\Q$says\E$},
        '... with the reason';
}
unlink "$folder/weir-edge";
mkdir "$folder/weir-edge";
like((users('--passwords', $folder))[2], qr/weir-edge: it is not a regular file/, 'so is a folder');
like((users('nobody'))[2], qr/there is no user "nobody"/, 'and a user that is unknown');

($status, $out) = users('--keep-default');
like $out, qr/^user default on nopass ~\* &\* \+\@all\n/,
    'the default user stays if one asks for it';
($status, $out) = users('--commands');
unlike $out, qr/default/, 'commands leave it alone';
sub known {
    my @users = grep { !/^user (?:default|tests|probe) / } sort @{ redis('ACL', 'LIST') };
    return join "\n", map { s/^user (\S+) .*? resetchannels/$1/r } @users;
}
my $rules = known();
redis('ACL', 'DELUSER', keys %may);
spew("$s->{dir}/commands", $out);
my @cli = redis_cli_command('-h', '127.0.0.1', '-p', $port);
is scalar(() = `@cli <$s->{dir}/commands` =~ /^OK$/mg), scalar(keys %may), 'redis-cli takes them';
is known(), $rules, '... and they are the same';
is verdict('weir-edge', 'GET', 'weir:era'), 'may', '... users';

# --- a restart ----------------------------------------------------------------------------------

# Redis reads its append-only file as the default user: what a script has written is a transaction
# there, and would be left out without the rights of that user.
my $append = free_port();
sub start_append {
    my $dir = $s->dir . '/append';
    mkdir $dir;
    $s->start_process('append', [redis_server(), '--port', $append, '--bind', '127.0.0.1', '--dir',
        $dir, '--save', '', '--appendonly', 'yes', redis_users($s->dir)]);
    $s->wait_started('append' => sub { redis_answers($append) });
    return redis_connect($append);
}
my $stored = start_append();
redis_command($stored, 'AUTH', 'weir-edge', 'secret-of-weir-edge');
redis_command($stored, 'SET', 'weir:fill:z:{d}:t', 'value');
is redis_command($stored, 'EVAL', <<'LUA', 2, 'weir:fill:z:{d}:t', 'weir:cache:z:{d}'), 1,
redis.call('EXPIRE', KEYS[1], 600)
redis.call('RENAME', KEYS[1], KEYS[2])
return 1
LUA
    'a response is stored';
$s->stop_process('append', 'TERM');
$stored = start_append();
is redis_command($stored, 'GET', 'weir:cache:z:{d}'), 'value', '... and is there after a restart';
is_deeply redis_command($stored, 'ACL', 'LOG'), [], '... during which nothing was refused';

done_testing;
