# All keys of the stack of ./weir up are replaced while 500 requests a second go through it: the
# authority, certificates, the edge's key of identities, that of clients' tokens, and the secret of
# webhooks. Not one request fails, every order is paid, and no webhook is refused.
#
# A step is a name and what it does: more of them belong into @steps.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP;
use POSIX ();
use Test::More;
use Weir::Base qw(slurp spew wait_for);
use Weir::Operator;

my $RATE = 500; # requests a second
my $CLIENTS = 16; # each waits for its answers
my $PRODUCT = '01900000-0000-7000-8000-000000000001';

up();
my $user =
    ask('POST', '/signup', { email => 'ada@example.com', displayName => 'Ada' })->{json}{id};
my $tokens = "$run/load.tokens";

# What clients send from now on: a user's token and an operator's.
sub give_tokens {
    my $mine = token($user, 'shop:users shop:orders');
    spew($tokens, encode_json({ user => $mine, operator => token() }));
}
give_tokens();

# --- the load, in processes of their own until the file "enough" is there -------------------------

# Requests at a rate, each on a connection of its own: a reload of nginx closes idle ones. A line
# for each: its status and what it was.
my $program = <<'PERL';
my ($port, $rate, $base, $number, $user, $product) = @ARGV;
open my $lines, '>>', "$base.$number" or die "$!\n";
$lines->autoflush(1);

# The status of the answer, and all of it.
sub ask {
    my ($method, $path, $body, @headers) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 30)
        or return (0, "connect: $!");
    push @headers, 'Content-Type: application/json', 'Content-Length: ' . length $body
        if defined $body;
    syswrite $socket, join("\r\n", "$method $path HTTP/1.1", 'Host: localhost',
        'Connection: close', @headers, '', $body // '') or return (0, "write: $!");
    my $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    return $answer =~ m{\AHTTP/1\.1 (\d+) } ? ($1, $answer) : (0, "no answer: $answer");
}

my $order = encode_json({ userId => $user, items => [{ productId => $product, quantity => 1 }] });
my ($n, $read, $token) = (0, 0);
for (my $due = time; !-e "$base.enough"; $due += 1 / $rate) {
    my $early = $due - time;
    sleep $early if $early > 0;
    if (time - $read > 0.5) {
        open my $in, '<', "$base.tokens" or die "$!\n";
        ($token, $read) = (decode_json(join '', <$in>), time);
    }
    my $kind = $n++ % 10;
    my @mine = ("Authorization: Bearer $token->{user}");
    my @request = $kind < 6 ? ('GET', "/products/$product")
        : $kind == 6 ? ('POST', '/signup',
            encode_json({ email => "r-$number-$n\@example.com", displayName => 'R' }))
        : $kind == 7 ? ('GET', "/users/$user", undef, @mine)
        : $kind == 8 && $n % 100 == 9
        ? ('POST', '/checkout', $order, @mine, "Idempotency-Key: \"key-$number-$n-of-$$\"")
        : $kind == 8 ? ('POST', '/orders', $order, @mine)
        : ('GET', '/dashboard/daily-orders', undef, "Authorization: Bearer $token->{operator}");
    my ($status, $answer) = ask(@request);
    my $why = $status =~ /^2/ ? '' : $answer =~ s/\s+/ /gr;
    print $lines "$status $request[0] $request[1] $why\n";
}
PERL
spew("$run/load.pl", $program);
my $load = "$run/load";
my @modules = ('-MIO::Socket::INET', '-MJSON::PP', '-MTime::HiRes=sleep,time');
my @clients;
for my $n (1 .. $CLIENTS) {
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        exec $^X, @modules, "$run/load.pl", $port, $RATE / $CLIENTS, $load, $n, $user, $PRODUCT
            or POSIX::_exit(127);
    }
    push @clients, $pid;
}
my $test = $$;
END {
    local $?;
    kill 'TERM', @clients if @clients && $$ == $test;
}
sub answers { return map { split /\n/, slurp("$load.$_") } 1 .. $CLIENTS }
sub failures { return grep { !/^2/ } answers() }

# Lets as many requests pass as come in a second.
sub go_on {
    my $n = () = answers();
    wait_for("more requests" => sub { answers() >= $n + $RATE }, 60);
}

# --- steps ----------------------------------------------------------------------------------------

sub rotate {
    my ($what) = @_;
    my ($code, $text) = weir('keys', 'rotate', $what, '--wait', '3s');
    is $code, 0, "weirctl keys rotate $what" or diag $text;
    give_tokens();
}

my @steps = (
    ['certificates' => sub { rotate('certificates') }],
    ['the authority' => sub { rotate('ca') }],
    ["the edge's key of identities" => sub { rotate('identity') }],
    ["the key of clients' tokens" => sub { rotate('issuer') }],
    ['the secret of webhooks' => sub { rotate('webhook') }],
    ['all at once' => sub { rotate('all') }],
);

sub states {
    my ($code, $text) = weir('keys', 'list', '--json');
    return grep { $_->{state} !~ /certificate/ } @{ decode_json($text) };
}

my $began = time;
go_on();
is_deeply [failures()], [], 'before the first change no request fails';
for my $step (@steps) {
    my ($name, $do) = @$step;
    $do->();
    go_on();
    my @failed = failures();
    is scalar(@failed), 0, "$name: no request has failed" or diag join "\n", @failed[0 .. 4];
}
spew("$load.enough", '');
waitpid $_, 0 for @clients;
@clients = ();
my %count;
$count{ (split)[0] }++ for answers();
diag join(', ', map { "$count{$_} with $_" } sort keys %count), ' in ', time - $began, ' s';
is scalar(grep { !/^2/ } keys %count), 0, 'no status but of success';

# --- what the requests have caused ----------------------------------------------------------------

my $checkouts = grep { m{^202 POST /checkout} } answers();
cmp_ok $checkouts, '>', 5, 'there were checkouts';
sub sql {
    my ($code, $text) = weir('psql', '-qAtX', '-c', $_[0]);
    chomp $text;
    return $text;
}
ok comes_true(90, sub { sql(q{SELECT count(*) FROM orders WHERE status = 'PENDING'}) == 0 }),
    'every checkout has ended';
is sql(q{SELECT count(*) FROM orders WHERE status = 'FAILED'}), 0, '... paid';
unlike slurp("$run/logs/backend.log"), qr/a webhook is refused/, 'no webhook was refused';
is sql('SELECT count(*) FROM dead_letters'), 0, 'there is no dead letter';

my %now;
$now{ $_->{name} }{ $_->{state} }++ for states();
is $now{$_}{current}, 1, "$_ has one current key" for qw(ca identity issuer webhook);
cmp_ok $now{ca}{old}, '>=', 1, 'the old authorities count for a while';
ok !(grep { $_->{next} } values %now), 'nothing is half done';
my ($recorded) = sql(q{SELECT count(*) FROM audit_records WHERE operation = 'key.rotate'});
cmp_ok $recorded, '>=', 8, 'rotations are in the audit log';
my $logs = join '', map { slurp($_) } glob "$run/logs/*.log";
unlike $logs, qr/PRIVATE KEY|whsec_/, 'no log has a key';

done_testing;
