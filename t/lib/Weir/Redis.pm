# Redis' programs, its users, and its protocol as far as tests need it.
#
# Redis servers of tests have the users of "weirctl redis users", and no default user. So a test
# fails when a process of Weir uses a right that its user does not have; when Redis has refused
# one and the test did not notice, the test fails at its end. The tests' own commands are those of
# the user "tests", who may do everything.
package Weir::Redis;
use strict;
use warnings;

use Cwd 'abs_path';
use Exporter 'import';
use File::Basename 'dirname';
use IO::Socket::INET;
use IO::Socket::UNIX;
use Weir::Base qw(slurp spew);

our @EXPORT_OK = qw(
    redis_answers redis_cli redis_cli_command redis_command redis_connect redis_expects_refusals
    redis_login redis_parameters redis_rules redis_server redis_users redis_watch
);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');

# The programs: WEIR_REDIS_SERVER names another server, such as valkey-server,
# and its client is named likewise.
sub redis_server { $ENV{WEIR_REDIS_SERVER} || 'redis-server' }
sub redis_cli    { redis_server() =~ s/-server\z/-cli/r }

# redis-cli as the user of tests, with these arguments.
sub redis_cli_command {
    return ('env', 'REDISCLI_AUTH=secret-of-tests', redis_cli(), '--user', 'tests',
        '--no-auth-warning', @_);
}

# --- users ---

my @USERS = qw(weir-edge weir-api weir-relay weir-worker weir-backend weir-ctl app);

# Writes the users into files in the folder, and returns the arguments of a server that has them.
# The passwords are in redis-passwords/USER.
sub redis_users {
    my ($dir) = @_;
    my $passwords = "$dir/redis-passwords";
    my $file = "$dir/redis-users.acl";
    my $build = $ENV{WEIR_BUILD} // "$ROOT/build";
    if (!-f $file) {
        mkdir $passwords;
        spew("$passwords/$_", "secret-of-$_\n") for @USERS, 'tests';
        my $users = `'$build/weirctl' redis users --passwords '$passwords'`;
        $users =~ /^user app /m or die "weirctl redis users has failed\n";
        spew($file, $users . "user tests on >secret-of-tests ~* &* +\@all\n");
    }
    return ('--aclfile', $file);
}

# The rules of a user there, a word or a selector each, without those commands.
sub redis_rules {
    my ($dir, $user, @without) = @_;
    my ($rules) = slurp("$dir/redis-users.acl") =~ /^user \Q$user\E (.*)$/m or die "no $user";
    $rules =~ s/ \+\Q$_\E(?:\|\w+)?(?=[ )]|$)//g for @without;
    $rules =~ s/ \([^+()]*\)//g;
    return ('reset', $rules =~ /\([^)]*\)|\S+/g);
}

# What a URL has before the host, for that user.
sub redis_login {
    my ($user) = @_;
    $user //= 'weir-edge';
    return "$user:secret-of-$user";
}

# The same as parameters of weir_redis; dir is that of redis_users().
sub redis_parameters {
    my ($dir, $user) = @_;
    $user //= 'weir-edge';
    return "user=$user password_file=$dir/redis-passwords/$user";
}

# --- what was refused ---

my (%watched, $expected, $has_failed);

# Looks at the end of the test whether that server, at a port or a socket, has refused something.
sub redis_watch { $watched{ $_[0] } = 1; return }

# This test is about refusals.
sub redis_expects_refusals { $expected = 1; return }

sub _refusals {
    my ($address) = @_;
    local $SIG{ALRM} = sub { die "Redis is silent\n" };
    local $@;
    my @refused = eval {
        alarm 3;
        my $socket = redis_connect($address);
        my $log = redis_command($socket, 'ACL', 'LOG', 128);
        redis_command($socket, 'ACL', 'LOG', 'RESET');
        map { "$_->{username}: $_->{object} ($_->{reason}, $_->{context})" }
            grep { $_->{reason} ne 'auth' } map { +{@$_} } @$log;
    };
    alarm 0;
    return @refused;
}

# Fails the test if a server that is watched has refused something. Called before servers end.
sub redis_check {
    return if !%watched;
    local $?;
    my @refused = map { _refusals($_) } keys %watched;
    %watched = ();
    return if $expected || !@refused;
    print STDERR "# Redis refused what a process of Weir wanted; its right is missing in"
        . " backend/ctl/redis/users.c:\n", map { "#   $_\n" } @refused;
    $has_failed = 1;
    return;
}

my $test = $$;
END {
    if ($$ == $test) {
        redis_check();
        $? ||= 1 if $has_failed;
    }
}

# --- the protocol ---

# A connection to a port of loopback or a socket, as the user of tests; undef if nothing listens.
sub redis_connect {
    my ($address) = @_;
    my $socket =
        $address =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $address)
        : IO::Socket::INET->new(PeerAddr => "127.0.0.1:$address");
    return if !$socket;
    binmode $socket;
    redis_command($socket, 'AUTH', 'tests', 'secret-of-tests');
    return $socket;
}

# Whether a server answers there.
sub redis_answers {
    my ($address) = @_;
    local $@;
    return eval { redis_command(redis_connect($address), 'PING') eq 'PONG' };
}

# One command over a connection; the reply as string, number, list or undef.
sub redis_command {
    my ($socket, @words) = @_;
    print $socket '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    return read_reply($socket);
}

sub read_reply {
    my $socket = shift;
    my ($kind, $rest) = (readline($socket) // '') =~ /^(.)(.*)\r\n/s or die 'Redis said nothing';
    return [map { read_reply($socket) } 1 .. $rest] if $kind eq '*';
    die "Redis: $rest"                              if $kind eq '-';
    return $rest                                    if $kind ne '$';
    return undef                                    if $rest < 0;
    read $socket, my $bytes, $rest + 2;
    return substr $bytes, 0, -2;
}

1;
