# The accounts of a run in which things die: what was acknowledged, what consumers did and in which
# order, what the mail server and the payment gateway took. They must agree.
#
#     # After the migration, before the backend starts:
#     my $accounts = Weir::Accounts->new($stack, $gateway);
#     $accounts->note_requests($file); # lines that clients wrote
#     $accounts->note_mails($file);    # lines that the mail server wrote
#     $accounts->excuse('worker1-3');  # it was killed: what it sent may be sent again
#     # When all events are handled:
#     my @wrong = $accounts->wrong;    # empty when all is well
#     $accounts->close_round;
#
# Order. Every group's marks leave a trail, row by row in the order of their commits: the lease's
# row is locked from the fence to the commit. Events of one aggregate must be in it by position, no
# two of them from one transaction. The same holds for effects in tables, and for the first arrival
# of mails.
package Weir::Accounts;

use strict;
use warnings;

use Weir::Base qw(slurp);
use Weir::Events;

sub new {
    my ($class, $stack, $gateway) = @_;
    my $self = bless { stack => $stack, gateway => $gateway, offset => {}, excused => [] }, $class;
    Weir::Events->new($stack)->count_effects;
    $stack->psql(<<'SQL');
CREATE INDEX ON effects (what, id);
-- What clients were told is done; of the kind "asked", orders that were asked for, by user.
CREATE TABLE acked (kind text, key text);
CREATE TABLE mails (n bigserial, worker text, event_id uuid, whose text);
-- These may have sent mails whose marks were not committed.
CREATE TABLE excused (worker text);
CREATE TABLE trail (n bigserial, xid xid8, group_name text, partition smallint, position bigint);
CREATE INDEX ON trail (group_name, partition, position);
-- The positions that were reached before this round.
CREATE TABLE closed (partition smallint PRIMARY KEY, position bigint);
INSERT INTO closed SELECT partition, 0 FROM partitions;

-- A position is in the trail when its mark becomes a row, or when the watermark passes it.
CREATE FUNCTION note_mark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (xid, group_name, partition, position)
    VALUES (pg_current_xact_id(), NEW.group_name, NEW.partition, NEW.position);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT ON consumed FOR EACH ROW EXECUTE FUNCTION note_mark();
CREATE FUNCTION note_watermark() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO trail (xid, group_name, partition, position)
    SELECT pg_current_xact_id(), NEW.group_name, NEW.partition, g.position
    FROM generate_series(OLD.handled + 1, NEW.handled) AS g(position)
    WHERE NOT EXISTS (SELECT FROM trail t
        WHERE t.group_name = NEW.group_name AND t.partition = NEW.partition
                      AND t.position = g.position)
    ORDER BY g.position;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON consumer_partitions
    FOR EACH ROW WHEN (OLD.handled <> NEW.handled)
    EXECUTE FUNCTION note_watermark();

-- Some effects fail, so that lines wait for another attempt.
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.03 THEN RAISE EXCEPTION 'stumbled'; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stumble BEFORE INSERT ON analytics_events FOR EACH ROW EXECUTE FUNCTION stumble();

-- Aggregates with many events each, which are numbered in the order of their commits as a command's
-- are: by the lock on the aggregate's row, which lasts until the commit.
CREATE TABLE lines (line int PRIMARY KEY, n bigint NOT NULL DEFAULT 0);
INSERT INTO lines (line) SELECT generate_series(0, 4);
CREATE FUNCTION put_line(p_line int, p_count int, p_mail text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    last bigint;
BEGIN
    UPDATE lines SET n = n + p_count WHERE line = p_line RETURNING n INTO last;
    PERFORM outbox_put(gen_random_uuid(), 'UserCreated', 'line:' || p_line,
        jsonb_build_object('userId', gen_random_uuid(),
            'email', p_mail || '-' || g || '@example.org', 'n', last - p_count + g), NULL)
    FROM generate_series(1, p_count) g;
END $$;

-- Work for all workers at once.
CREATE FUNCTION put_many(p_count int, p_name text) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', p_name || '-' || g,
        jsonb_build_object('userId', gen_random_uuid(),
            'email', p_name || '-' || g || '@example.org'), NULL))
    FROM generate_series(1, p_count) g;
$$;
SQL
    return $self;
}

# What was added to a file since the last time, by lines.
sub _news {
    my ($self, $file) = @_;
    my $text = substr slurp($file), $self->{offset}{$file} // 0;
    $text =~ s/[^\n]*\z//; # its writer died in the middle of a line
    $self->{offset}{$file} += length $text;
    return map { [split /\t/] } split /\n/, $text;
}

sub _insert {
    my ($self, $into, @rows) = @_;
    while (my @some = splice @rows, 0, 500) {
        $self->{stack}->psql(
            "INSERT INTO $into VALUES " . join ', ',
            map {
                '(' . join(', ', map { "'$_'" } @$_) . ')'
            } @some);
    }
}

# Lines of kind and key: what a client was told is there (signup, order, line), or has asked for
# (asked).
sub note_requests {
    my ($self, $file) = @_;
    $self->_insert('acked (kind, key)', $self->_news($file));
    return;
}

# Lines of smtp-ledger.py.
sub note_mails {
    my ($self, $file) = @_;
    my @rows = map {
        my ($event, $rest) = $_->[1] =~ /^([0-9a-f-]{36})\.(.*)$/
            or die "a mail has the Message-ID \"$_->[1]\"\n";
        [$_->[0], $event, $rest];
    } $self->_news($file);
    $self->_insert('mails (worker, event_id, whose)', @rows);
    $self->_insert('excused', splice @{ $self->{excused} });
    return;
}

# Written down later: the database may be broken, too.
sub excuse { my ($self, $worker) = @_; push @{ $self->{excused} }, [$worker]; return }

# Mails of this round that were sent again, which is no fault unless wrong() says so.
sub mails_again {
    my ($self) = @_;
    return $self->{stack}->psql('SELECT count(*) - count(DISTINCT event_id) FROM mails');
}

# What the accounts look at.
my $VIEWS = <<'SQL';
WITH log AS MATERIALIZED (
    SELECT event_id, type, aggregate, partition, position, data FROM outbox
    WHERE type <> 'UserSneezed'
), created AS MATERIALIZED (
    SELECT event_id, data->>'userId' AS user_id, aggregate, position FROM log
    WHERE type = 'UserCreated'
), events AS (
    SELECT type, aggregate, count(*) AS n FROM log GROUP BY 1, 2
), flags AS (
    SELECT user_id, count(*) AS n FROM feature_flags GROUP BY 1
), mailed AS (
    SELECT event_id, min(n) AS n FROM mails GROUP BY 1
)
SQL

# Everything that must be 0: what it is, and the query that counts it.
my @COUNTS = (
    'acknowledged signups that are lost' => q{
        SELECT count(*) FROM acked a WHERE kind = 'signup'
        AND NOT EXISTS (SELECT FROM users u WHERE u.id::text = a.key)},
    'acknowledged orders that are lost' => q{
        SELECT count(*) FROM acked a WHERE kind = 'order'
        AND NOT EXISTS (SELECT FROM orders o WHERE o.id::text = a.key)},
    'acknowledged events that are lost' => q{
        SELECT count(*) FROM acked a WHERE kind = 'line'
        AND NOT EXISTS (SELECT FROM billing_profiles b WHERE b.email = a.key)},
    'acknowledged writes that are there more than once' => q{
        SELECT count(*) - count(DISTINCT data->>'email') FROM log WHERE type = 'UserCreated'},
    'users with more orders than were asked for' => q{
        SELECT count(*)
        FROM (SELECT user_id::text AS key, count(*) AS n FROM orders GROUP BY 1) made
        LEFT JOIN (SELECT key, count(*) AS n FROM acked WHERE kind = 'asked' GROUP BY 1) asked
            USING (key)
        WHERE made.n > coalesce(asked.n, 0)},
    'users without their one event' => q{
        SELECT count(*) FROM users u
        LEFT JOIN events e ON e.aggregate = 'user:' || u.id AND e.type = 'UserCreated'
        WHERE e.n IS DISTINCT FROM 1},
    'orders without their one event' => q{
        SELECT count(*) FROM orders r
        LEFT JOIN events e ON e.aggregate = 'order:' || r.id AND e.type = 'OrderCreated'
        WHERE e.n IS DISTINCT FROM 1},
    'payments without their one event' => q{
        SELECT count(*) FROM payments p
        LEFT JOIN events e ON e.aggregate = 'order:' || p.order_id AND e.type =
            CASE p.status WHEN 'SUCCEEDED' THEN 'PaymentSucceeded' ELSE 'PaymentFailed' END
        WHERE e.n IS DISTINCT FROM 1},
    'events that were published twice' => q{
        SELECT count(*) - count(DISTINCT event_id) FROM log},
    'users who were checked out twice' => q{
        SELECT count(*) FROM (SELECT FROM payments GROUP BY user_id HAVING count(*) > 1) x},
    'users that are not active' => q{
        SELECT count(*) FROM users WHERE status <> 'ACTIVE'},
    'effects that happened twice' => q{
        SELECT count(*) FROM (SELECT FROM effects GROUP BY what, id HAVING count(*) > 1) x},
    'billing effects that are missing' => q{
        SELECT count(*) FROM created c
        WHERE NOT EXISTS (SELECT FROM billing_profiles b WHERE b.event_id = c.event_id)},
    'analytics effects that are missing' => q{
        SELECT count(*) FROM created c
        WHERE NOT EXISTS (SELECT FROM analytics_events a WHERE a.event_id = c.event_id)},
    'flag effects that are missing' => q{
        SELECT count(*) FROM created c LEFT JOIN flags f ON f.user_id::text = c.user_id
        WHERE f.n IS DISTINCT FROM 2},
    'effects that nobody asked for' => q{
        SELECT count(*)
        FROM (SELECT event_id FROM billing_profiles
              UNION ALL SELECT event_id FROM analytics_events) effect
        WHERE NOT EXISTS (SELECT FROM created c WHERE c.event_id = effect.event_id)},
    'days whose statistics differ from their orders' => q{
        SELECT count(*)
        FROM (SELECT (o.created_at AT TIME ZONE 'UTC')::date AS day, o.currency,
                  count(*) AS orders, sum(o.total) AS revenue,
                  sum((SELECT sum(i.quantity) FROM order_items i WHERE i.order_id = o.id)) AS items
              FROM orders o WHERE o.status IN ('PLACED', 'PAID') GROUP BY 1, 2) a
        FULL JOIN daily_order_stats s USING (day, currency)
        WHERE a.orders IS DISTINCT FROM s.orders::bigint
           OR a.items IS DISTINCT FROM s.items::numeric
           OR a.revenue IS DISTINCT FROM s.revenue::numeric},
    'mails that are missing' => q{
        SELECT count(*) FROM log l WHERE type IN ('UserCreated', 'OrderPaid')
        AND NOT EXISTS (SELECT FROM mailed m WHERE m.event_id = l.event_id)},
    'mails that nobody asked for' => q{
        SELECT count(*) FROM mails m
        WHERE whose <> 'email@weir.example'
           OR NOT EXISTS (SELECT FROM log l WHERE l.event_id = m.event_id
                          AND type IN ('UserCreated', 'OrderPaid'))},
    'mails sent again although who sent them before was not stopped' => q{
        SELECT count(*)
        FROM (SELECT worker, lead(n) OVER (PARTITION BY event_id ORDER BY n) AS again FROM mails) m
        WHERE again IS NOT NULL AND worker NOT IN (SELECT worker FROM excused)},
    'mails that one worker has sent twice' => q{
        SELECT count(*)
        FROM (SELECT FROM mails GROUP BY event_id, worker HAVING count(*) > 1) x},
    'events out of order in the log' => q{
        SELECT count(*)
        FROM (SELECT (data->>'n')::bigint AS n,
                  lag((data->>'n')::bigint) OVER w AS before
              FROM log WHERE aggregate LIKE 'line:%'
              WINDOW w AS (PARTITION BY aggregate ORDER BY position)) x
        WHERE n <> before + 1},
    'events that a group has not handled once' => q{
        SELECT count(*)
        FROM (SELECT c.group_name, c.partition, g.position
              FROM consumer_partitions c
              JOIN partitions p USING (partition)
              JOIN closed d USING (partition)
              CROSS JOIN LATERAL generate_series(d.position + 1, p.position) AS g(position)) e
        FULL JOIN (SELECT group_name, partition, position, count(*) AS n
                   FROM trail GROUP BY 1, 2, 3) t USING (group_name, partition, position)
        WHERE t.n IS DISTINCT FROM 1 OR e.position IS NULL},
    'effects out of order' => q{
        SELECT count(*)
        FROM (SELECT e.n,
                  lag(e.n) OVER (PARTITION BY e.what, c.aggregate ORDER BY c.position) AS before
              FROM effects e
              JOIN (SELECT event_id::text AS id, aggregate, position FROM created
                    UNION ALL SELECT user_id, aggregate, position FROM created) c USING (id)
              WHERE c.aggregate LIKE 'line:%') x
        WHERE n < before},
    'mails out of order' => q{
        SELECT count(*)
        FROM (SELECT m.n, lag(m.n) OVER (PARTITION BY l.aggregate ORDER BY l.position) AS before
              FROM mailed m JOIN log l USING (event_id)) x
        WHERE n < before},
    'dead letters' => 'SELECT count(*) FROM dead_letters',
    'retries that are left' => 'SELECT count(*) FROM retries',
    'marks that are left' => 'SELECT count(*) FROM consumed',
);

# The same for events handled out of order, whose groups are named.
my $HANDLED_OUT_OF_ORDER = <<'SQL';
SELECT 'events handled out of order: ' || coalesce(string_agg(DISTINCT group_name, ' '), ''),
    count(*)
FROM (SELECT t.group_name, t.n, t.xid, lag(t.n) OVER w AS before, lag(t.xid) OVER w AS xid_before
      FROM trail t JOIN log l USING (partition, position)
      WINDOW w AS (PARTITION BY t.group_name, l.aggregate ORDER BY t.position)) x
WHERE n < before OR xid = xid_before
SQL

# One query for all: "what: number" for each that is not 0. To compile it takes longer than to run
# it.
sub accounts {
    my @selects;
    for my $i (map { 2 * $_ } 0 .. $#COUNTS / 2) {
        push @selects, "SELECT '$COUNTS[$i]' AS what, ($COUNTS[$i + 1]) AS n";
    }
    my $all = join "\nUNION ALL ", @selects, $HANDLED_OUT_OF_ORDER;
    return "SET jit = off; $VIEWS SELECT what || ': ' || n FROM ($all) accounts WHERE n > 0";
}
my $ACCOUNTS = accounts();

# Why the accounts don't agree, a line each.
sub wrong {
    my ($self) = @_;
    my $ledger = $self->{gateway}->complaints;
    return (split(/\n/, $self->{stack}->psql($ACCOUNTS)), $ledger ? $ledger : ());
}

# The same, without the gateway's, as they would be after some SQL, which is taken back.
sub wrong_after {
    my ($self, $sql) = @_;
    return split /\n/, $self->{stack}->psql("BEGIN; $sql; $ACCOUNTS; ROLLBACK");
}

# What was right is not checked again: the trail is emptied, and mails that were sent again for a
# reason count once.
sub close_round {
    my ($self) = @_;
    $self->{stack}->psql(<<'SQL');
TRUNCATE trail, excused;
UPDATE closed c SET position = p.position FROM partitions p WHERE p.partition = c.partition;
DELETE FROM mails m USING mails b WHERE b.event_id = m.event_id AND b.n < m.n;
SQL
    return;
}

sub broken_promise {
    my ($what, $kind) = @_;
    return ["an acknowledged $what lost", "INSERT INTO acked VALUES ('$kind', gen_random_uuid())",
        qr/^acknowledged ${what}s that are lost: 1$/];
}

# Accounts that are wrong in one way each, and what must be said of them: name, SQL, pattern. They
# need a run's data.
sub broken {
    # Two events of one line that are next to each other, as a and b.
    my $pair =
        q{(SELECT a.event_id AS a, b.event_id AS b, a.partition,
            a.position AS a_position, b.position AS b_position
        FROM outbox a
        JOIN outbox b ON b.aggregate = a.aggregate
            AND (b.data->>'n')::bigint = (a.data->>'n')::bigint + 1
        WHERE a.aggregate LIKE 'line:%'
            AND EXISTS (SELECT FROM trail t
                        WHERE (t.partition, t.position) = (a.partition, a.position))
        ORDER BY a.id LIMIT 1)};
    my $swap = sub {
        my ($table, $a, $b) = @_;
        return "WITH p AS MATERIALIZED $pair, r AS MATERIALIZED (SELECT a.n AS a, b.n AS b"
            . " FROM p, $table a, $table b WHERE $a AND $b)"
            . " UPDATE $table t SET n = CASE t.n WHEN r.a THEN r.b ELSE r.a END FROM r"
            . " WHERE t.n IN (r.a, r.b)";
    };
    my $again = 'INSERT INTO outbox (event_id, partition, type, aggregate, data)';
    my $one = "FROM outbox WHERE aggregate LIKE 'line:%' LIMIT 1";
    return (
        (map { broken_promise(@$_) } ['signup', 'signup'], ['order', 'order'], ['event', 'line']),
        [
            'a write done twice',
            "$again SELECT gen_random_uuid(), partition, type, aggregate, data $one",
            qr/^acknowledged writes that are there more than once: 1$/],
        [
            'an order made twice',
            "DELETE FROM acked WHERE kind = 'asked' AND key = (SELECT user_id::text"
                . " FROM orders LIMIT 1)",
            qr/^users with more orders than were asked for: 1$/],
        [
            'an event published twice',
            "$again SELECT event_id, partition, type, aggregate, data $one",
            qr/^events that were published twice: 1$/],
        [
            'a signup without its event',
            "DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox"
                . " WHERE aggregate LIKE 'user:%')",
            qr/^users without their one event: 1$/],
        [
            'an order without its event',
            "DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox"
                . " WHERE type = 'OrderCreated')",
            qr/^orders without their one event: 1$/],
        [
            'an effect twice',
            'INSERT INTO effects (what, id) SELECT what, id FROM effects LIMIT 1',
            qr/^effects that happened twice: 1$/],
        (   map { [
                "no effect in $_->[0]",
                "DELETE FROM $_->[0] WHERE ctid = (SELECT ctid FROM $_->[0] LIMIT 1)",
                qr/^$_->[1] effects that are missing: 1$/] } ['billing_profiles', 'billing'],
            ['analytics_events', 'analytics'],
            ['feature_flags', 'flag']),
        [
            'a wrong revenue', 'UPDATE daily_order_stats SET revenue = revenue + 1',
            qr/^days whose statistics differ/],
        [
            'an order that is not counted', 'UPDATE daily_order_stats SET orders = orders - 1',
            qr/^days whose statistics differ/],
        [
            'pieces that are counted twice', 'UPDATE daily_order_stats SET items = items + 1',
            qr/^days whose statistics differ/],
        [
            'a mail lost', 'DELETE FROM mails WHERE n = (SELECT min(n) FROM mails)',
            qr/^mails that are missing: 1$/],
        [
                  'a mail that nobody asked for', "INSERT INTO mails (worker, event_id, whose)"
                . " VALUES ('w', gen_random_uuid(), 'email\@weir.example')",
            qr/^mails that nobody asked for: 1$/],
        [
            'a mail sent again by another worker',
            "DELETE FROM excused; INSERT INTO mails (worker, event_id, whose)"
                . " SELECT 'w', event_id, whose FROM mails ORDER BY n LIMIT 1",
            qr/^mails sent again although who sent them before was not stopped: 1$/],
        [
            'a mail sent twice by a worker that was stopped',
            'INSERT INTO excused SELECT DISTINCT worker FROM mails;'
                . ' INSERT INTO mails (worker, event_id, whose) SELECT worker, event_id, whose'
                . ' FROM mails ORDER BY n LIMIT 1',
            qr/^mails that one worker has sent twice: 1$/],
        [
            'an event handled twice', 'INSERT INTO trail (xid, group_name, partition, position)'
                . ' SELECT xid, group_name, partition, position FROM trail ORDER BY n LIMIT 1',
            qr/^events that a group has not handled once: 1$/],
        [
            'an event of an earlier round handled again',
            "INSERT INTO trail (xid, group_name, partition, position)"
                . " VALUES ('1', 'email', 0, 0)",
            qr/^events that a group has not handled once: 1$/],
        [
            'an event that a group left out',
            'DELETE FROM trail WHERE n = (SELECT max(n) FROM trail)',
            qr/^events that a group has not handled once: 1$/],
        (   map { [
                "two events of an aggregate handled the wrong way round by $_",
                $swap->(
                    'trail',
                    "(a.group_name, a.partition, a.position) = ('$_', p.partition, p.a_position)",
                    "(b.group_name, b.partition, b.position) = ('$_', p.partition, p.b_position)"),
                qr/^events handled out of order: \Q$_\E: [1-3]$/] } qw(email analytics payments)),
        [
            'two events of an aggregate handled at once',
            "WITH p AS MATERIALIZED $pair UPDATE trail t SET xid = '1' FROM p"
                . " WHERE t.group_name = 'flags' AND t.partition = p.partition"
                . " AND t.position IN (p.a_position, p.b_position)",
            qr/^events handled out of order: flags: 1$/],
        [
            'effects the wrong way round',
            $swap->(
                'effects', "(a.what, a.id) = ('analytics_events', p.a::text)",
                "(b.what, b.id) = ('analytics_events', p.b::text)"),
            qr/^effects out of order: [1-3]$/],
        [
            'mails the wrong way round', $swap->('mails', 'a.event_id = p.a', 'b.event_id = p.b'),
            qr/^mails out of order: [1-3]$/],
        [
            'events published the wrong way round', "CREATE TEMP TABLE p ON COMMIT DROP AS $pair;"
                . ' UPDATE outbox SET position = NULL WHERE event_id IN (SELECT a FROM p UNION'
                . ' SELECT b FROM p);'
                . ' UPDATE outbox SET position = p.b_position FROM p WHERE event_id = p.a;'
                . ' UPDATE outbox SET position = p.a_position FROM p WHERE event_id = p.b',
            qr/^events out of order in the log: [1-3]$/],
        [
            'a dead letter',
            "INSERT INTO dead_letters (group_name, partition, position, attempts, error)"
                . " VALUES ('email', 0, 1, 1, 'x')",
            qr/^dead letters: 1$/],
    );
}

# The same for the payment gateway's ledger: name, what is done to it, pattern.
sub broken_ledger {
    return (
        [
            'a charge twice',
            sub { my ($l) = @_; push @{ $l->{charges} }, { %{ $l->{charges}[0] }, id => 'other' } },
            qr/two charges for/],
        [
            'a charge that is not there', sub { my ($l) = @_; shift @{ $l->{charges} } },
            qr/^payment \S+: none/],
        [
            'a charge of another amount', sub { my ($l) = @_; $l->{charges}[0]{amount}++ },
            qr/its charge of/],
        [
            'a charge without a payment',
            sub { my ($l) = @_; $l->{charges}[0]{idempotency_key} = 'stray' }, qr/without a payment/
        ],
    );
}

1;
