# The crash matrix: whatever dies or stalls under load, no acknowledged write is lost, every effect
# happens once, and events of one aggregate stay in order.
#
# A round: clients sign up, order, check out and put events; at a random moment one fault happens or
# several at once; what died is started again; when all events are handled, the accounts must agree
# (Weir::Accounts). All parts prove who they are, as on the stack of ./weir up; with
# WEIR_CRASH_PLAIN=1 they do not. Every kind of fault comes in turn, in an order that the seed
# decides. In the end the accounts are falsified, one by one, and must notice. WEIR_CRASH_ROUNDS is
# how many (5: each fault once), WEIR_CRASH_SEED repeats a run's choices.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use IO::Handle;
use JSON::PP ();
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);
use Weir::Accounts;
use Weir::Base qw(slurp);
use Weir::Link;
use Weir::Payments;
use Weir::Stack qw(wait_for);
use Weir::Stack::Postgres;
use Weir::Stack::Secure;

my $ROUNDS = $ENV{WEIR_CRASH_ROUNDS} // 5;
my $SEED = $ENV{WEIR_CRASH_SEED} // int(rand 2**31);
my $SETTLE = 180; # seconds until all must be handled, on a machine that others use, too
my $LEASE = 4;       # seconds (WEIR_LEASE_TTL)
my $KILLED = 256 + 9;
my $MANY = 100;      # events at once before a fault
my @PRODUCTS = map { "01900000-0000-7000-8000-00000000000$_" } 1 .. 6;

# What was started is stopped, also when the test is.
$SIG{INT} = $SIG{TERM} = sub { exit 130 };
diag "seed $SEED, $ROUNDS rounds";

my $kind = $ENV{WEIR_CRASH_PLAIN} ? 'Weir::Stack' : 'Weir::Stack::Secure';
my $s = $kind->new(conf => {
    retry_base => '20ms', retry_max => '500ms', stream_limit => 100, smtp_timeout => '60s',
});
my $gateway = Weir::Payments->new($s);
my $accounts = Weir::Accounts->new($s, $gateway);
my $mails = $s->start_smtp_ledger;
$gateway->start;

# The relay and one of the workers reach the others over networks that can stall.
my %link;
for my $name (qw(relay worker2)) {
    my $socket = $s->dir . "/$name-postgres";
    mkdir $socket or die "$socket: $!\n";
    $link{"$name-redis"} = Weir::Link->new($s, "$name-redis", to => $s->{redis_port});
    $link{"$name-postgres"} = $s->{keys}
        ? Weir::Link->new($s, "$name-postgres", to => $s->{pg_port})
        : Weir::Link->new($s, "$name-postgres", from => "$socket/.s.PGSQL.5432",
            to => $s->dir . '/pg/.s.PGSQL.5432');
}

my %role = (api => 'api', relay => 'relay', worker1 => 'worker', worker2 => 'worker');
my %life; # how often each was started

sub life { my ($name) = @_; return "$name-$life{$name}" }

# The mail server learns which life of which worker sends.
sub start {
    my ($name) = @_;
    $life{$name}++;
    my %conf = (smtp => $s->smtp_url('/' . life($name)));
    if ($link{"$name-redis"}) {
        $conf{redis} = $s->redis_url($link{"$name-redis"}->from);
        $conf{database} = $s->{keys} ? $s->database($link{"$name-postgres"}->from)
            : $s->database =~ s{/pg\b}{/$name-postgres}r;
    }
    $s->start_backend($role{$name}, name => $name, conf => \%conf);
}
start($_) for sort keys %role;

# --- load ------------------------------------------------------------------------------------

# A child that works until it gets TERM; what was acknowledged is in its file before it goes on.
sub client {
    my ($number, $round, $step) = @_;
    my $parent = $$;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    my $go = 1;
    local $SIG{TERM} = sub { $go = 0 };
    srand $SEED + 100 * $round + $number;
    open my $acked, '>>', $s->dir . "/acked.$number" or POSIX::_exit(1);
    $acked->autoflush(1);
    for (my $n = 1; $go && getppid == $parent; $n++) {
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
        my $r = $http->post(
            $s->url($path),
            {   headers => { 'Content-Type' => 'application/json', $s->authorization,
                    %{ $headers // {} } },
                content => $json->encode($content) });
        return $r->{status} =~ /^20[12]$/ ? $json->decode($r->{content}) : undef;
    };
    return sub {
        my ($acked, $unique) = @_;
        if ($user && rand() < 0.3) {
            print $acked "asked\t$user\n";
            my $order = $post->(
                '/orders',
                {   userId => $user,
                    items =>
                        [{ productId => $PRODUCTS[rand @PRODUCTS], quantity => 1 + int rand 3 }] }
            ) or return 0;
            print $acked "order\t$order->{id}\n";
            return 1;
        }
        my $made =
            $post->('/signup', { email => "crash-$unique\@example.org", displayName => 'Crash' })
            or return 0;
        $user = $made->{id};
        print $acked "signup\t$user\n";
        # One checkout at most for a user, however often it is sent: it is the same key.
        if (rand() < 0.2) {
            my $checkout = sub {
                $post->('/checkout', $gateway->body($user), { 'Idempotency-Key' => "\"$user\"" });
            };
            my $order;
            print $acked "asked\t$user\n";
            for (1 .. 5) { last if $order = $checkout->(); sleep 0.1 }
            print $acked "order\t$order->{id}\n" if $order;
        }
        return 1;
    };
}

# Some events of one aggregate at once, in a transaction that lasts; two such clients wait for each
# other.
sub line_step {
    return sub {
        my ($acked, $unique) = @_;
        my ($line, $n) = (int rand 5, 1 + int rand 6);
        my $sql = "SELECT put_line($line, $n, 'line-$unique'), pg_sleep(" . rand(0.05) . ')';
        Weir::Stack::Postgres::succeeds($s->pg, 'weir', 'weir', $sql) or return 0;
        print $acked map { "line\tline-$unique-$_\@example.org\n" } 1 .. $n;
        return 1;
    };
}

# --- faults ----------------------------------------------------------------------------------

# Each breaks something, which is seen to be broken, lasts for some seconds under load, and is
# mended. of: what it is about; two faults of one thing cannot happen at once.

sub for_a_moment { return 0.1 + rand 0.5 }
# Mostly short; the others are longer than a lease, and than any time-out for Redis.
sub for_a_while { return rand() < 0.6 ? 0.2 + rand 1.5 : 5.2 + rand 1 }

sub is_stopped { my ($pid) = @_; return slurp("/proc/$pid/stat") =~ /\) T / }

sub kill_role {
    my ($name, %option) = @_;
    return {
        of => $name, lasts => \&for_a_moment,
        break => sub {
            $accounts->excuse(life($name)) if $role{$name} eq 'worker';
            $s->kill_backend($name) == $KILLED or die "$name was not killed\n";
        },
        mend => sub { start($name) },
    };
}

sub stall {
    my ($name, $lasts) = @_;
    return {
        of => $name, lasts => $lasts,
        break => sub {
            $accounts->excuse(life($name)) if ($role{$name} // '') eq 'worker';
            $s->freeze($name);
            wait_for("$name to stand still" => sub { is_stopped($s->pid($name)) });
        },
        mend => sub { $s->thaw($name) },
    };
}

sub kill_redis { $s->kill_redis == $KILLED or die "Redis was not killed\n" }

my (%half_open, $saved); # names of links; Redis has saved its data

my %fault = (
    'kill -9 of the api' => kill_role('api'),
    'kill -9 of the relay' => kill_role('relay'),
    'kill -9 of a worker' => kill_role('worker1'),
    'kill -9 of PostgreSQL' => {
        of => 'postgres', lasts => \&for_a_moment,
        break => sub { $s->kill_postgres == $KILLED or die "PostgreSQL was not killed\n" },
        mend => sub { $s->start_postgres },
    },
    'kill -9 of a PostgreSQL backend' => {
        of => 'postgres', lasts => \&for_a_moment,
        break => sub {
            my $pid =
                $s->psql("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'weir-%'"
                    . " ORDER BY random() LIMIT 1");
            kill 'KILL', $pid or die "no backend was killed\n";
        },
        mend => sub {
            wait_for('PostgreSQL to recover' => sub { Weir::Stack::Postgres::answers($s->pg) });
        },
    },
    'kill -9 of Redis, which starts empty' => {
        of => 'redis', lasts => \&for_a_moment,
        break => \&kill_redis,
        mend => sub { $s->start_redis },
    },
    'kill -9 of Redis, which starts with old data' => {
        of => 'redis', lasts => \&for_a_moment,
        break => sub {
            $s->redis('SAVE') eq 'OK' or die "Redis has not saved\n";
            sleep for_a_moment();
            kill_redis();
        },
        mend => sub {
            $s->start_redis;
            unlink $s->dir . '/redis/dump.rdb' or die "there was no old data\n";
        },
    },
    'kill -9 of the payment gateway' => {
        of => 'gateway', lasts => \&for_a_moment,
        break => sub { $gateway->kill == $KILLED or die "the gateway was not killed\n" },
        mend => sub { $gateway->start },
    },
    'FLUSHALL' => {
        of => 'redis', lasts => sub { 0 },
        break => sub { $s->redis('FLUSHALL') eq 'OK' or die "Redis was not emptied\n" },
        mend => sub { },
    },
    'a stalled api' => stall('api', \&for_a_while),
    'a stalled relay' => stall('relay', \&for_a_while),
    'a stalled Redis' => stall('redis', \&for_a_while),
    'a stalled worker' => stall('worker2', sub { $LEASE + rand 1.5 }),
    'a stalled PostgreSQL' => {
        of => 'postgres', lasts => \&for_a_while,
        break => sub {
            $s->freeze_postgres;
            wait_for('PostgreSQL to stand still' => sub { is_stopped($s->pid('postgres')) });
        },
        mend => sub { $s->thaw_postgres },
    },
    # Nothing passes, neither side notices, and what was sent arrives late.
    (   map {
            my ($name, $to, $what) = @$_;
            ("a network that stalls between $name and $what" => {
                of => $name, first => 1, lasts => \&for_a_while,
                break => sub {
                    $accounts->excuse(life($name)) if $role{$name} eq 'worker' && $to eq 'postgres';
                    wait_for('connections that stall' => sub { $link{"$name-$to"}->stall });
                },
                mend => sub { $link{"$name-$to"}->go_on },
            });
        } ['relay', 'redis', 'Redis'],
        ['relay', 'postgres', 'PostgreSQL'],
        ['worker2', 'redis', 'Redis'],
        ['worker2', 'postgres', 'PostgreSQL']),
    'full streams' => {
        of => 'all', lasts => \&for_a_moment,
        break => sub {
            $s->ctl_json('groups', 'pause', '--all');
            # What waits in the streams is more than they may hold.
            $s->psql("SELECT count(outbox_put(gen_random_uuid(), 'UserSneezed', 'bulk:' || g, '{}',"
                    . " NULL)) FROM generate_series(1, 4000) g");
            wait_for('a full stream' => sub {
                my $outbox = $s->ctl_json('outbox');
                return $outbox->{waiting} > 0 && grep { ($_->{stream_length} // 0) >= 100 }
                    @{ $outbox->{partitions} };
            });
        },
        mend => sub { $s->ctl_json('groups', 'resume', '--all') },
    },
);
my @names = sort keys %fault;
# What others need to start comes first.
my %rank = (postgres => 0, redis => 1, gateway => 2);

sub shuffle {
    my @a = @_;
    for my $i (reverse 1 .. $#a) { my $j = int rand($i + 1); @a[$i, $j] = @a[$j, $i] }
    return @a;
}

# Faults round by round: in turns, in each of which every kind comes once. Turns are of different
# lengths, so that many faults come at once, or two, or one. Kinds that are about one thing come in
# different rounds of their turn.
sub schedule {
    my ($rounds) = @_;
    my ($turn, @rounds) = (0);
    while (@rounds < $rounds) {
        my $length = (5, 10, 19)[$turn++ % 3];
        my %by_of;
        push @{ $by_of{ $fault{$_}{of} } }, $_ for shuffle(@names);
        my @alone = @{ delete $by_of{all} };
        my @turn = map { [] } 1 .. $length - @alone;
        my $n = 0;
        push @{ $turn[$n++ % @turn] }, $_ for map { @{ $by_of{$_} } } shuffle(sort keys %by_of);
        push @rounds, shuffle(@turn, map { [$_] } @alone);
    }
    return @rounds[0 .. $rounds - 1];
}

sub happen {
    my (@faults) = @_;
    my @under_way;
    # A network, before its peers are dead.
    for my $fault (sort { ($b->{first} // 0) <=> ($a->{first} // 0) } map { $fault{$_} } @faults) {
        $fault->{break}->();
        push @under_way, [$fault, time + $fault->{lasts}->()];
    }
    for (sort { ($rank{ $a->[0]{of} } // 9) <=> ($rank{ $b->[0]{of} } // 9) } @under_way) {
        my ($fault, $until) = @$_;
        my $left = $until - time;
        sleep $left if $left > 0;
        $fault->{mend}->();
    }
}

# --- rounds ----------------------------------------------------------------------------------

# All events of all groups are handled, also those that consumers emitted, and every payment has
# ended.
sub settled {
    return $s->psql(<<'SQL') eq 't';
SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)
   AND NOT EXISTS (SELECT FROM consumer_partitions c JOIN partitions p USING (partition)
                   WHERE c.handled < p.position)
   AND (SELECT count(*) FROM consumer_partitions) > 0
   AND NOT EXISTS (SELECT FROM payments WHERE status IN ('REQUESTED', 'REFUNDING'))
SQL
}

# What the processes logged as warnings and errors.
sub complain_aloud {
    for my $name (sort keys %role) {
        my @lines = grep { /"level":"(?:warn|error)"/ } split /\n/, $s->log_of($name);
        diag "$name: $_" for @lines > 40 ? @lines[-40 .. -1] : @lines;
    }
}

wait_for('all groups' => sub {
    $s->psql('SELECT count(DISTINCT group_name) FROM consumer_partitions'
            . ' WHERE owner IS NOT NULL') >= 6;
});

# Load while the code runs.
sub under_load {
    my ($round, $code) = @_;
    my @clients = ((map { client($_, $round, http_step()) } 1 .. 3),
        map { client($_, $round, line_step()) } 4, 5);
    sleep 0.1 + rand 0.6;
    # So that something is under way wherever the fault hits.
    $s->psql("SELECT put_many($MANY, 'many-$round')");
    sleep rand 0.3;
    $code->();
    sleep 0.1 + rand 0.2;
    kill 'TERM', @clients;
    waitpid $_, 0 for @clients;
}

# When all is handled: what is wrong, as text.
sub account {
    my $ok = eval { wait_for('all events to be handled', \&settled, $SETTLE); 1 };
    my $why = $ok ? '' : $@;
    $accounts->note_requests($_) for glob $s->dir . '/acked.*';
    $accounts->note_mails($mails);
    return $why . join '; ', $accounts->wrong;
}

my (%times, %again);
my $began = time;
my $round = 0;
srand $SEED;
for my $faults (schedule($ROUNDS)) {
    my $names = join ', ', @$faults;
    $round++;
    $gateway->switch(lost_answers => int rand 4);
    under_load($round, sub { happen(@$faults) });
    $times{$_}++ for @$faults;

    my $wrong = account();
    my $again = $accounts->mails_again;
    my $writes = $s->psql("SELECT count(*) FROM acked WHERE kind <> 'asked'");
    is $wrong, '',
        "round $round: $names ($writes writes so far"
        . ($again ? ", $again mails sent again" : '') . ')'
        or do { diag "seed $SEED"; complain_aloud(); last };
    $again{$names} += $again if $again;
    $accounts->close_round;
}

my $lost =
    grep { $_->{msg} eq 'partition lost' } map { $s->log_lines($_) } qw(worker1 worker2);
diag sprintf '%d s; acknowledged: %s; leases lost by workers that lived: %d', time - $began,
    $s->psql("SELECT string_agg(kind || ' ' || n, ', ') FROM (SELECT kind, count(*) AS n"
        . " FROM acked WHERE kind <> 'asked' GROUP BY 1 ORDER BY 1) x"), $lost;
diag 'mails sent again with the same ID:', map { "\n  $again{$_} after $_" } sort keys %again;
diag join "\n  ", 'faults:', map               { sprintf '%3d %s', $times{$_} // 0, $_ } @names;

subtest 'the accounts notice' => sub {
    under_load($round + 1, sub { sleep 1 });
    is account(), '', 'nothing is wrong after a round without a fault';
    is $accounts->mails_again, 0, 'no mail was sent again';
    for ($accounts->broken) {
        my ($name, $sql, $pattern) = @$_;
        my @wrong = $accounts->wrong_after($sql);
        ok((grep { $_ =~ $pattern } @wrong), $name) or diag "said: @wrong";
    }
    my $ledger = JSON::PP->new->encode($gateway->ledger);
    for ($accounts->broken_ledger) {
        my ($name, $falsify, $pattern) = @$_;
        no warnings 'redefine';
        local *Weir::Payments::ledger =
            sub { my $copy = JSON::PP->new->decode($ledger); $falsify->($copy); return $copy };
        like $gateway->complaints, $pattern, $name;
    }
};

is $s->stop_backend($_), 0, "$_ stops gracefully" for sort keys %role;

done_testing;
