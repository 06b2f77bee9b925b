# The crash matrix: whatever dies or stalls under load, no acknowledged write is lost, every effect happens
# once, and events of one aggregate stay in order.
#
# A round: clients sign up, order, check out and put events; at a random moment one or two faults happen; what died is
# started again; when all events are handled, everything is counted. WEIR_CRASH_ROUNDS is how many (10: each
# fault once), WEIR_CRASH_SEED repeats a run's choices.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use IO::Handle;
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep);
use Weir::Events;
use Weir::Payments;
use Weir::Stack qw(wait_for);

my $ROUNDS   = $ENV{WEIR_CRASH_ROUNDS} // 10;
my $SEED     = $ENV{WEIR_CRASH_SEED} // int(rand 2**31);
my $SETTLE   = 180; # seconds until all must be handled, on a machine that others use, too
my @PRODUCTS = map { "01900000-0000-7000-8000-00000000000$_" } 1 .. 6;

# What was started is stopped, also when the test is.
$SIG{INT} = $SIG{TERM} = sub { exit 130 };
diag "seed $SEED, $ROUNDS rounds";
srand $SEED;

my $s = Weir::Stack->new(conf => { retry_base => '20ms', retry_max => '500ms', stream_limit => 100 });
my $e = Weir::Events->new($s);
my $gateway = Weir::Payments->new($s);
$e->count_effects;
$s->psql('CREATE TABLE acked (kind text, key text)');
$s->start_smtp;
$gateway->start;

my %role = (api => 'api', relay => 'relay', worker1 => 'worker', worker2 => 'worker');
sub start { $s->start_backend($role{ $_[0] }, name => $_[0]) }
start($_) for sort keys %role;

# --- load ------------------------------------------------------------------------------------

# A child that works until it gets TERM; what was acknowledged is in its file before it goes on.
sub client {
    my ($number, $round, $step) = @_;
    my $file = $s->dir . "/acked.$number";
    my $pid  = fork // die "fork: $!\n";
    return $pid if $pid;
    my $go = 1;
    local $SIG{TERM} = sub { $go = 0 };
    srand $SEED + 100 * $round + $number;
    open my $acked, '>>', $file or POSIX::_exit(1);
    $acked->autoflush(1);
    for (my $n = 1; $go; $n++) {
        $step->($acked, "$round-$number-$n") or sleep 0.02;
    }
    POSIX::_exit(0);
}

sub http_step {
    my $http = HTTP::Tiny->new(timeout => 10);
    my $json = JSON::PP->new->utf8->canonical;
    my $user;
    my $post = sub {
        my ($path, $content, $headers) = @_;
        my $r = $http->post($s->url($path), { headers => { 'Content-Type' => 'application/json', %{ $headers // {} } }, content => $json->encode($content) });
        return $r->{status} =~ /^20[12]$/ ? $json->decode($r->{content}) : undef;
    };
    return sub {
        my ($acked, $unique) = @_;
        if ($user && rand() < 0.3) {
            my $order = $post->('/orders', { userId => $user, items => [{ productId => $PRODUCTS[rand @PRODUCTS], quantity => 1 + int rand 3 }] })
                or return 0;
            print $acked "order\t$order->{id}\n";
            return 1;
        }
        my $made = $post->('/signup', { email => "crash-$unique\@example.org", displayName => 'Crash' }) or return 0;
        $user = $made->{id};
        print $acked "signup\t$user\n";
        # One checkout at most for a user, however often it is sent: it is the same key.
        if (rand() < 0.2) {
            my $checkout = sub { $post->('/checkout', $gateway->body($user), { 'Idempotency-Key' => "\"$user\"" }) };
            my $order;
            for (1 .. 5) { last if $order = $checkout->(); sleep 0.1 }
            print $acked "order\t$order->{id}\n" if $order;
        }
        return 1;
    };
}

# Five aggregates that have many events each, numbered in the order of their commits.
sub line_step {
    my ($n, $round) = (0, shift);
    return sub {
        my ($acked, $unique) = @_;
        $n++;
        my $sql = "SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'line:' || $n % 5, jsonb_build_object('userId',"
            . " gen_random_uuid(), 'email', 'line-$unique\@example.org', 'n', $round * 1000000 + $n), NULL)";
        system("psql -h $s->{dir}/pg -U weir -d weir -v ON_ERROR_STOP=1 -XAtqc \"$sql\" >/dev/null 2>&1") == 0 or return 0;
        print $acked "line\tline-$unique\@example.org\n";
        return 1;
    };
}

# --- faults ----------------------------------------------------------------------------------

# Each happens, lasts a while under load, and ends with everything running.
sub while_broken { sleep 0.1 + rand 0.5 }

sub kill_role {
    my ($name) = @_;
    return sub { $s->kill_backend($name); while_broken(); start($name) };
}

sub stall {
    my ($name, $longest) = @_;
    return sub { $s->freeze($name); sleep 0.2 + rand $longest; $s->thaw($name) };
}

my %fault = (
    'kill -9 of the api'        => kill_role('api'),
    'kill -9 of the relay'      => kill_role('relay'),
    'kill -9 of a worker'       => kill_role('worker1'),
    'kill -9 of PostgreSQL'     => sub { $s->kill_postgres; while_broken(); $s->start_postgres },
    'Redis restarts without data' => sub { $s->kill_redis; while_broken(); $s->start_redis },
    'Redis restarts with old data' => sub {
        $s->redis('SAVE');
        while_broken();
        $s->kill_redis;
        $s->start_redis;
        unlink $s->dir . '/redis/dump.rdb';
    },
    'kill -9 of the payment gateway' => sub { $gateway->kill; while_broken(); $gateway->start },
    'FLUSHALL'                  => sub { $s->redis('FLUSHALL') },
    'a stalled peer'            => sub { stall((qw(redis relay worker2 api))[rand 4], 5)->() },
    'full streams'              => sub {
        $s->ctl_json('groups', 'pause', '--all');
        # What waits in the streams is more than they may hold.
        $s->psql("SELECT count(outbox_put(gen_random_uuid(), 'UserSneezed', 'bulk:' || g, '{}', NULL)) FROM generate_series(1, 4000) g");
        wait_for('a full stream', sub {
            my $outbox = $s->ctl_json('outbox');
            return $outbox->{waiting} > 0 && grep { ($_->{stream_length} // 0) >= 100 } @{ $outbox->{partitions} };
        });
        $s->ctl_json('groups', 'resume', '--all');
    },
);
my @names = sort keys %fault;

# Alone: their own commands need all that others break.
my %alone = map { $_ => 1 } 'full streams';
# After these a mail may have been sent that no mark tells of: it is sent again, with the same ID. The same
# when a machine that is too busy lets a lease run out or a mail server's answer come late, which workers tell.
my $FORGETS_MAILS = qr/worker|PostgreSQL|stalled/;
my $told = 0;

sub workers_had_trouble {
    my $before = $told;
    $told = grep { $_->{level} =~ /warn|error/ } map { $s->log_lines($_) } qw(worker1 worker2);
    return $told > $before;
}

sub shuffle { my @a = @_; for my $i (reverse 1 .. $#a) { my $j = int rand($i + 1); @a[$i, $j] = @a[$j, $i] } return @a }

# --- counting --------------------------------------------------------------------------------

my %mails; # by Message-ID

sub count_mails {
    my $again = 0;
    for my $file (glob $s->dir . '/mail/new/*') {
        my ($id) = Weir::Stack::slurp($file) =~ /^Message-ID: <(.+?)>\r?$/m;
        $again++ if $mails{ $id // '' }++;
        unlink $file;
    }
    return $again;
}

sub load_acked {
    for my $file (glob $s->dir . '/acked.*') {
        my $text = Weir::Stack::slurp($file);
        unlink $file;
        my @rows = map { my ($kind, $key) = split /\t/; "('$kind', '$key')" } split /\n/, $text;
        $s->psql('INSERT INTO acked VALUES ' . join ', ', @rows) if @rows;
    }
}

# Everything that must be 0.
my $ACCOUNTS = <<'SQL';
WITH created AS (SELECT event_id, data->>'userId' AS user_id FROM outbox WHERE type = 'UserCreated'),
     events AS (SELECT type, aggregate, count(*) AS n FROM outbox GROUP BY 1, 2),
     flags AS (SELECT user_id, count(*) AS n FROM feature_flags GROUP BY 1)
SELECT what || ': ' || n FROM (
SELECT 'acknowledged signups that are lost' AS what,
    (SELECT count(*) FROM acked a WHERE kind = 'signup' AND NOT EXISTS (SELECT FROM users u WHERE u.id = a.key::uuid)) AS n
UNION ALL SELECT 'acknowledged orders that are lost',
    (SELECT count(*) FROM acked a WHERE kind = 'order' AND NOT EXISTS (SELECT FROM orders o WHERE o.id = a.key::uuid))
UNION ALL SELECT 'acknowledged events that are lost',
    (SELECT count(*) FROM acked a WHERE kind = 'line' AND NOT EXISTS (SELECT FROM billing_profiles b WHERE b.email = a.key))
UNION ALL SELECT 'acknowledged writes that are there more than once',
    (SELECT count(*) - count(DISTINCT data->>'email') FROM outbox WHERE type = 'UserCreated')
UNION ALL SELECT 'users without their one event',
    (SELECT count(*) FROM users u LEFT JOIN events e ON e.aggregate = 'user:' || u.id AND e.type = 'UserCreated'
     WHERE e.n IS DISTINCT FROM 1)
UNION ALL SELECT 'orders without their one event',
    (SELECT count(*) FROM orders r LEFT JOIN events e ON e.aggregate = 'order:' || r.id AND e.type = 'OrderCreated'
     WHERE e.n IS DISTINCT FROM 1)
UNION ALL SELECT 'users who were checked out twice',
    (SELECT count(*) FROM (SELECT FROM payments GROUP BY user_id HAVING count(*) > 1) x)
UNION ALL SELECT 'users that are not active', (SELECT count(*) FROM users WHERE status <> 'ACTIVE')
UNION ALL SELECT 'effects that happened twice',
    (SELECT count(*) FROM (SELECT FROM effects GROUP BY what, id HAVING count(*) > 1) x)
UNION ALL SELECT 'billing effects that are missing',
    (SELECT count(*) FROM created c WHERE NOT EXISTS (SELECT FROM billing_profiles b WHERE b.user_id = c.user_id::uuid))
UNION ALL SELECT 'analytics effects that are missing',
    (SELECT count(*) FROM created c WHERE NOT EXISTS (SELECT FROM analytics_events b WHERE b.event_id = c.event_id))
UNION ALL SELECT 'flag effects that are missing',
    (SELECT count(*) FROM created c LEFT JOIN flags f ON f.user_id = c.user_id::uuid WHERE f.n IS DISTINCT FROM 2)
UNION ALL SELECT 'days whose statistics differ from their orders',
    (SELECT count(*) FROM (
        SELECT (o.created_at AT TIME ZONE 'UTC')::date AS day, o.currency, count(*) AS orders, sum(o.total) AS revenue
        FROM orders o WHERE o.status IN ('PLACED', 'PAID') GROUP BY 1, 2) a
     FULL JOIN daily_order_stats s USING (day, currency)
     WHERE (a.orders, a.revenue) IS DISTINCT FROM (s.orders::bigint, s.revenue::numeric))
UNION ALL SELECT 'events out of order in the log',
    (SELECT count(*) FROM (SELECT (data->>'n')::bigint AS n, lag((data->>'n')::bigint) OVER (PARTITION BY aggregate ORDER BY position) AS before
        FROM outbox WHERE aggregate LIKE 'line:%') x WHERE n < before)
UNION ALL SELECT 'events handled out of order',
    (SELECT count(*) FROM (SELECT o.position, lag(o.position) OVER (PARTITION BY o.aggregate ORDER BY e.n) AS before
        FROM effects e JOIN outbox o ON o.event_id = e.id::uuid
        WHERE e.what = 'analytics_events' AND o.aggregate LIKE 'line:%') x WHERE position < before)
UNION ALL SELECT 'dead letters', (SELECT count(*) FROM dead_letters)
UNION ALL SELECT 'retries that are left', (SELECT count(*) FROM retries)
UNION ALL SELECT 'marks that are left', (SELECT count(*) FROM consumed)
) accounts WHERE n > 0
SQL

sub complaints {
    my @wrong = split /\n/, $s->psql($ACCOUNTS);
    my %sent  = map { $_ => 1 } keys %mails;
    my @events = split /\n/, $s->psql("SELECT event_id FROM outbox WHERE type IN ('UserCreated', 'OrderPaid')");
    my $missing = grep { !delete $sent{"$_.email\@weir.example"} } @events;
    push @wrong, "mails that are missing: $missing" if $missing;
    push @wrong, 'mails that nobody asked for: ' . keys %sent if %sent;
    my $ledger = $gateway->complaints;
    push @wrong, $ledger if $ledger;
    return join '; ', @wrong;
}

# All events of all groups are handled, also those that consumers emitted, and every payment has ended.
sub settled {
    return $s->psql(<<'SQL') eq 't';
SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)
   AND NOT EXISTS (SELECT FROM consumer_partitions c JOIN partitions p USING (partition) WHERE c.handled < p.position)
   AND (SELECT count(*) FROM consumer_partitions) > 0
   AND NOT EXISTS (SELECT FROM payments WHERE status IN ('REQUESTED', 'REFUNDING'))
SQL
}

# What the processes thought worth a warning, and their last words.
sub complain_aloud {
    for my $name (sort keys %role) {
        my @lines = grep { /"level":"(?:warn|error)"/ } split /\n/, $s->log_of($name);
        diag "$name: $_" for @lines > 40 ? @lines[-40 .. -1] : @lines;
    }
}

# --- rounds ----------------------------------------------------------------------------------

wait_for('all groups', sub { $s->psql('SELECT count(DISTINCT group_name) FROM consumer_partitions WHERE owner IS NOT NULL') >= 6 });

my @first = shuffle(@names);
for my $round (1 .. $ROUNDS) {
    my @faults = $round <= @first ? $first[$round - 1] : (shuffle(@names))[0 .. (rand() < 0.5 ? 1 : 0)];
    @faults = ($faults[0]) if grep { $alone{$_} } @faults;
    my $name = "round $round: " . join(', ', @faults);

    $gateway->switch(lost_answers => int rand 4);
    my @clients = ((map { client($_, $round, http_step()) } 1 .. 3), client(4, $round, line_step($round)));
    sleep 0.1 + rand 0.6;
    $fault{$_}->() for @faults;
    sleep 0.1 + rand 0.2;
    kill 'TERM', @clients;
    waitpid $_, 0 for @clients;

    my $ok = eval { wait_for('all events to be handled', \&settled, $SETTLE); 1 };
    my $why = $ok ? '' : $@;
    load_acked();
    my $again = count_mails();
    my $excused = workers_had_trouble() || $name =~ $FORGETS_MAILS;
    my $complaints = $why . complaints();
    $complaints .= "; $again mails were sent again" if $again && !$excused;
    my ($writes) = $s->psql('SELECT count(*) FROM acked');
    is $complaints, '', "$name ($writes writes so far" . ($again ? ", $again mails again" : '') . ')'
        or do { diag "seed $SEED"; complain_aloud(); last };
}

my $acked = $s->psql("SELECT string_agg(kind || ' ' || n, ', ') FROM (SELECT kind, count(*) AS n FROM acked GROUP BY 1 ORDER BY 1) x");
diag "acknowledged: $acked; mails with the same ID more than once: " . grep { $_ > 1 } values %mails;
is $s->stop_backend($_), 0, "$_ stops gracefully" for sort keys %role;

done_testing;
