# The story from one end to the other, on a stack of its own that ./weir up
# makes: signups, their events and effects, the cache, versions, a killed
# backend, a lost Redis; then the operator's side: up, status and down.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Path 'remove_tree';
use IO::Socket::INET;
use JSON::PP;
use List::Util qw(sum0);
use POSIX ();
use Test::More;
use Weir::Base qw(free_ports listens slurp spew wait_for);
use Weir::Operator;

my @services = qw(postgres redis smtp payments backend nginx);

sub status {
    my ($code, $text) = weir('status', '--json');
    return ($code, { map { $_->{service} => $_ } @{ decode_json($text) } });
}

sub pids {
    my (undef, $now) = status();
    return { map { $_ => $now->{$_}{pid} } @services };
}

sub sql {
    my ($code, $text) = weir('psql', '-qAtX', '-F', ' ', '-c', $_[0]);
    $code == 0 or die("psql: $text");
    chomp $text;
    return $text;
}

sub alive { slurp("/proc/$_[0]/stat") =~ /.*\) (\w)/ && $1 ne 'Z' }

sub kill_9 {
    my ($service) = @_;
    my $pid = pids()->{$service};
    kill 'KILL', $pid or die("cannot kill $service: $!");
    wait_for("the end of $service" => sub { !alive($pid) });
}

sub sign_up {
    my ($number) = @_;
    my $user = { email => "story-$number\@example.com", displayName => "Story $number" };
    return ask('POST', '/signup', $user)->{status};
}

# Four clients at a time, so that commands meet in batches.
sub sign_up_all {
    my ($from, $to) = @_;
    my @pipes;
    for my $client (0 .. 3) {
        my $child = open(my $pipe, '-|') // die "fork: $!";
        if (!$child) {
            print sign_up($_), "\n" for grep { $_ % 4 == $client } $from .. $to;
            close STDOUT;
            POSIX::_exit(0);
        }
        push @pipes, $pipe;
    }
    my %codes;
    for my $pipe (@pipes) {
        while (<$pipe>) { chomp; $codes{$_}++ }
        close $pipe;
    }
    return \%codes;
}

# The effects of the signups. Mails are counted by recipient, other effects with SQL.
sub effects {
    my %mails;
    for my $mail (map { slurp($_) } glob "$run/mail/new/*") {
        $mails{$1}++ while $mail =~ /^X-RcptTo: (\S+)/mgi;
    }
    my @counts = split ' ', sql(<<'SQL');
        SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM users WHERE status = 'ACTIVE'),
               (SELECT count(*) FROM billing_profiles), (SELECT count(*) FROM analytics_events),
               (SELECT count(DISTINCT user_id) FROM feature_flags),
               (SELECT count(*) FROM dead_letters)
SQL
    my %effects;
    @effects{qw(users active billing analytics flags dead)} = @counts;
    return { %effects, mails => sum0(values %mails), recipients => scalar keys %mails };
}

sub happened_once {
    my ($count, $name) = @_;
    my %want = map { $_ => $count } qw(users active billing analytics flags mails recipients);
    $want{dead} = 0;
    comes_true(60, sub {
        my $is = effects();
        return !grep { $is->{$_} < $want{$_} } keys %want;
    });
    is_deeply effects(), \%want, $name;
}

# What the edge has logged about the requests of one user agent.
sub logged {
    my ($agent) = @_;
    my @lines = map { decode_json($_) } split /\n/, slurp("$run/logs/access.log");
    return grep { $_->{agent} eq $agent } @lines;
}

# The statuses of requests that no cache answers, for users that do not exist.
my $unknown = 0;
sub ask_for_nobody {
    my ($count, $agent) = @_;
    my @paths = map { sprintf '/users/00000000-0000-7000-8000-%012d', ++$unknown } 1 .. $count;
    return map { get($_, 'User-Agent' => $agent)->{status} } @paths;
}

sub through_the_edge { return get('/health')->{status} == 200 }

# --- signups and their events ---------------------------------------------------

up();
my ($code, $now) = status();
is $code, 0, 'up has started everything';
is_deeply [map { $now->{$_}{state} } @services], [('up') x @services], 'and status says so';

is_deeply sign_up_all(1, 100), { 201 => 100 }, '100 signups through the edge';
happened_once(100,
    'each user has an e-mail, a profile, an analytics row and flags, once, and is active');

# --- the cache and the versions --------------------------------------------------

my $user = sql(q{SELECT id FROM users WHERE email = 'story-1@example.com'});
my $product = '/products/01900000-0000-7000-8000-000000000002';
my $first = get($product);
is $first->{status}, 200, 'a product is read';
like $first->{headers}{'cache-status'}, qr/fwd/, 'from the backend';
my $second;
comes_true(10, sub { ($second = get($product))->{headers}{'cache-status'} =~ /hit/ });
like $second->{headers}{'cache-status'}, qr/hit/, 'then from the cache';
is $second->{content}, $first->{content}, 'with the same body';

my ($v1, $v2) = map { get("/users/$user", Accept => "application/vnd.shop.v$_+json") } 1, 2;
my ($body1, $body2) = map { decode_json($_->{content}) } $v1, $v2;
is $body1->{name}, 'Story 1', 'version 1 has the name';
ok !exists $body1->{displayName}, 'as name only';
is $body2->{displayName}, 'Story 1', 'version 2 has it as displayName';
is $body2->{name}, 'Story 1', 'and still as name';
like $v1->{headers}{deprecation}, qr/^@\d+$/, 'version 1 is deprecated';
ok $v1->{headers}{sunset}, 'and will end';
ok !$v2->{headers}{deprecation}, 'version 2 is not';

# --- the backend is killed ---------------------------------------------------------

kill_9('backend');
is +(status())[0], 3, 'status fails when a service is down';
my @opening = ask_for_nobody(20, 'opening');
cmp_ok scalar(grep { $_ != 503 } @opening), '<=', 5, 'at most five requests fail'
    or diag "@opening";
is_deeply [ask_for_nobody(100, 'open')], [(503) x 100], 'then all are refused';
comes_true(10, sub { logged('open') == 100 });
is scalar(grep { $_->{upstream} eq '' } logged('open')), 100,
    'and none of them touches the upstream';

up();
ok comes_true(30, \&through_the_edge), 'the breaker closes by itself when the backend is back';
is_deeply [ask_for_nobody(20, 'closed')], [(404) x 20], 'for good';

# --- Redis is killed, and comes back empty --------------------------------------------

kill_9('redis');
is_deeply sign_up_all(101, 120), { 201 => 20 }, 'signups go on without Redis';
is get("/users/$user")->{status}, 200, 'and so do reads';
# Those that the relay has given a position already may even be handled: workers fetch what Redis
# lacks.
is sql(q{SELECT count(*) FROM outbox WHERE type = 'UserCreated'}), 120,
    'the outbox has their events';
remove_tree("$run/redis");
up();
happened_once(120, 'after Redis came back empty every event arrives, and nothing happens twice');

# --- the operator's side -----------------------------------------------------------------

my $before = pids();
up();
is_deeply pids(), $before, 'a second up leaves everything as it is';

for my $service (@services) {
    kill_9($service);
    up();
    my ($code, $now) = status();
    is $code, 0, "up brings back $service";
    isnt $now->{$service}{pid}, $before->{$service}, 'as a new process';
    my @others = grep { $_ ne $service } @services;
    is_deeply [grep { $now->{$_}{pid} ne $before->{$_} } @others], [], 'and touches no other';
    $before = pids();
}
is effects()->{users}, 120, 'the data are still there';

# --- a checkout: asked for until it is answered, paid once --------------------------------------

my $items = [{ productId => '01900000-0000-7000-8000-000000000001', quantity => 1 }];
my $body = encode_json({ userId => $user, items => $items });
sub check_out { return ask('POST', '/checkout', $body, 'Idempotency-Key' => '"of this checkout"') }

my $accepted;
comes_true(30, sub { ($accepted = check_out())->{status} == 202 });
is $accepted->{status}, 202, 'a checkout through the edge';
my $order = $accepted->{headers}{location} // '';
is check_out()->{headers}{location}, $order, 'the same key is the same order';
comes_true(30, sub { get($order)->{json}{status} eq 'PAID' });
is get($order)->{json}{status}, 'PAID', 'it is paid';

my $has_receipt = sub { grep { slurp($_) =~ /^Subject: Your receipt/m } glob "$run/mail/new/*" };
ok comes_true(30, $has_receipt), 'and the receipt sent';

sub ledger {
    return decode_json(curl('https://127.0.0.1:' . ($port + 4) . '/ledger'));
}
ok comes_true(30, sub { ledger()->{webhooks}{waiting} == 0 }),
    'the gateway\'s webhook came through the edge';
is scalar @{ ledger()->{charges} }, 1, 'one charge';

{
    local $ENV{WEIR_RUN} = "$run-other";
    local $ENV{WEIR_PORT} = free_ports(10);
    my $taken = $ENV{WEIR_PORT} + 1;
    my $listener = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:$taken")
        or die("cannot listen: $!");
    my ($code, $text) = weir('up');
    isnt $code, 0, 'up refuses a port that is taken';
    like $text, qr/port $taken, for backend, is taken by \S+ \(pid $$\)/,
        'names port and holder';
    like $text, qr/WEIR_PORT=\d+ \.\/weir up/, 'and how to move';
    close $listener;

    # A version without some port has started a service that needs the port now.
    my $redis = pids()->{redis};
    my $start = (split ' ', slurp("/proc/$redis/stat") =~ s/.*\)//rs)[19];
    mkdir "$run-other/pids";
    spew("$run-other/pids/nginx", "$redis $start " . slurp('/proc/sys/kernel/random/boot_id'));
    local $ENV{WEIR_PROMETHEUS} = 1;
    for ([ nginx => 7 ], [ prometheus => 8 ]) {
        my ($service, $n) = @$_;
        $listener = IO::Socket::INET->new(Listen => 1,
            LocalAddr => '127.0.0.1:' . ($ENV{WEIR_PORT} + $n)) or die("cannot listen: $!");
        ($code, $text) = weir('up');
        like $text, qr/, for $service, is taken by \S+ \(pid $$\)/, "that of $service, too";
        close $listener;
    }
    unlink "$run-other/pids/nginx";
}

# Everything that has to do with this stack names its folder, or works in it.
sub processes {
    my @pids;
    for my $proc (glob '/proc/[0-9]*') {
        my $pid = substr $proc, 6;
        next if $pid == $$ || !alive($pid);
        my $cwd = readlink("$proc/cwd") // '';
        push @pids, $pid
            if index("$cwd/", "$run/") == 0 || index(slurp("$proc/cmdline"), "$run/") >= 0;
    }
    return @pids;
}
cmp_ok scalar(my @all = processes()), '>', 5, 'the stack has processes';
my @workers = map { split ' ', slurp("/proc/$_/task/$_/children") } values %{ pids() };

# --- what others on this machine see ------------------------------------------------------

for my $service (qw(postgres redis smtp payments backend)) {
    my $pid = pids()->{$service};
    isnt +(stat "/proc/$pid")[4], 0, "$service does not run as root";
}
my @secrets = map { s/\s+\z//r } map { slurp("$run/$_") } qw(keys/webhook/secret redis-password),
    map { "redis-users/$_" } qw(weir-edge weir-backend weir-ctl);
is scalar(grep { length >= 24 } @secrets), 5, 'the stack has five secrets';
my $arguments = join "\n", map { slurp($_) } glob '/proc/[0-9]*/cmdline';
is scalar(grep { index($arguments, $_) >= 0 } @secrets), 0,
    'which no process has among its arguments';

# A file is open to others when it and every folder above it, up to the stack's, are.
sub open_to_others {
    my ($path) = @_;
    return 0 if !((stat $path)[2] & (-d $path ? 001 : 004));
    return $path eq $run || open_to_others($path =~ s{/[^/]+\z}{}r);
}
my @private = map { glob "$run/$_" } qw(
    logs/* mail/new/* payments-ledger.json redis/* redis.conf weir-backend.conf edge.conf
    redis-password keys/*/*.key keys/*/key.pem keys/webhook/secret* redis-users/* redis-users.acl
);
my @open = grep { -e && open_to_others($_) } @private;
is "@open", '', 'logs, mails, the ledger, data and secrets are not for other users';
my $stranger = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . ($port + 2)) or die "Redis: $!";
print $stranger "KEYS *\r\n";
unlike join('', <$stranger>), qr/NOAUTH|\*/, 'Redis answers no client without a certificate';
my $tls = "--tls --cacert $run/keys/ctl/ca.crt --cert $run/keys/ctl/tls.crt"
    . " --key $run/keys/ctl/tls.key";
like `redis-cli -h 127.0.0.1 -p @{[$port + 2]} $tls KEYS '*' 2>&1`, qr/^NOAUTH/,
    '... nor one with a certificate without a password';

my $data = pids();
for my $command (qw(up down demo status logs test fuzz bench build version token dashboard)) {
    my ($code, $text) = weir($command, '--help');
    is $code, 0, "$command --help";
    like $text, qr/usage: .*\b$command\b/, '... says how it is used';
    isnt +(weir($command, '--no-such-option'))[0], 0,
        "$command refuses an option that it does not know";
}
is_deeply pids(), $data, 'none of which has touched the stack';

is +(weir('down'))[0], 0, 'down stops it';
is_deeply [processes(), grep { alive($_) } @all, @workers], [], 'and leaves no process';
is_deeply [grep { listens($port + $_) } 0 .. 9], [], 'and no port';
my ($again, $text) = weir('down');
is $again, 0, 'a second down is harmless';
like $text, qr/nothing was running/, 'and says so';

done_testing;
