# All passwords of Redis' and PostgreSQL's users of a stack without TLS, which logs in by them, are
# replaced while 500 requests a second go through it. Not one request fails, and no event is lost.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Stack::Load;
use Weir::Operator;

$ENV{WEIR_TLS} = 0;
up();
my $user =
    ask('POST', '/signup', { email => 'ada@example.com', displayName => 'Ada' })->{json}{id};
my $load = Weir::Stack::Load->new(rate => 500, user => $user,
    product => '01900000-0000-7000-8000-000000000001');
$load->give_tokens(token($user, 'shop:users shop:orders'), token());
$load->start;

sub redis {
    my ($code, $text) = weir('redis-cli', @_);
    $code == 0 && $text !~ /^(?:ERR|NOPERM|WRONGPASS)/ or die "redis-cli @_: $text\n";
    return $text;
}
sub sql {
    my ($code, $text) = weir('psql', '-qAtX', '-c', $_[0]);
    chomp $text;
    return $text;
}

# What may not get into a log.
my @secrets;

# With the owner and mode of the file that it replaces.
sub put {
    my ($file, $text) = @_;
    my (undef, undef, $mode, undef, $uid, $gid) = stat $file or die "$file: $!\n";
    spew("$file.new", $text);
    chmod $mode & oct 7777, "$file.new";
    chown $uid, $gid, "$file.new";
    rename "$file.new", $file or die "$file: $!\n";
    return;
}

# Both count, until the file has the new one; connections are ended, so that it is needed.
sub redis_password {
    my ($account) = @_;
    my $file = "$run/redis-users/$account";
    my ($old) = slurp($file) =~ /(\S+)/;
    my $new = join '', map { sprintf '%08x', rand 2**32 } 1 .. 6;
    push @secrets, $old, $new;
    redis('acl', 'setuser', $account, ">$new");
    put($file, $new);
    redis('acl', 'setuser', $account, "<$old");
    redis('client', 'kill', 'user', $account);
    ok comes_true(60, sub { redis('client', 'list') =~ /\buser=\Q$account\E / }),
        "$account connects with the new password";
    return;
}

# Sessions of the API stay, as none of its requests may fail; the others are ended.
sub postgres_passwords {
    my @parts = qw(api relay worker operator);
    push @secrets, map { slurp("$run/database/$_") =~ /:(\w+)$/m } @parts;
    unlink "$run/database/$_" or die "$_: $!\n" for @parts;
    up();
    push @secrets, map { slurp("$run/database/$_") =~ /:(\w+)$/m } @parts;
    my $sessions = sub {
        my ($part) = @_;
        return sql("SELECT string_agg(pid::text, ',') FROM pg_stat_get_activity(NULL) a"
            . " JOIN pg_roles r ON r.oid = a.usesysid WHERE rolname = 'stack_$part'");
    };
    for my $part (qw(relay worker)) {
        my %old = map { $_ => 1 } split /,/, $sessions->($part);
        ok scalar(%old), "the $part has sessions";
        as_superuser("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            . " WHERE usename = 'stack_$part'");
        ok comes_true(60, sub { grep { !$old{$_} } split /,/, $sessions->($part) }),
            "the $part logs in with the new password";
    }
    return;
}

sub as_superuser {
    my ($sql) = @_;
    my ($socket) = slurp("$run/weir-backend.conf") =~ /^database = host=(\S+) port=/m;
    my ($port) = slurp("$run/weir-backend.conf") =~ /^database = host=\S+ port=(\d+)/m;
    local $ENV{PGPASSFILE} = "$run/postgres-passwords";
    system('psql', '-qAtX', '-h', $socket, '-p', $port, '-U', 'postgres', '-d', 'weir', '-o',
        "$run/psql.out", '-c', $sql) == 0
        or die "psql failed\n";
    return;
}

my @steps = (
    ["the edge's password of Redis" => sub { redis_password('weir-edge') }],
    ["the backend's password of Redis" => sub { redis_password('weir-backend') }],
    ['the passwords of PostgreSQL' => \&postgres_passwords],
);

$load->through(@steps);

ok comes_true(90, sub { sql(q{SELECT count(*) FROM orders WHERE status = 'PENDING'}) == 0 }),
    'every checkout has ended';
is sql(q{SELECT count(*) FROM orders WHERE status = 'FAILED'}), 0, '... paid';
is sql('SELECT count(*) FROM dead_letters'), 0, 'there is no dead letter';
my $logs = join '', map { slurp($_) } glob "$run/logs/*.log";
my $known = grep { index($logs, $_) >= 0 } @secrets;
cmp_ok scalar(@secrets), '>=', 8, 'passwords were changed';
is $known, 0, 'no log has one of them';

done_testing;
