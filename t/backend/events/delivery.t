# Delivery of events when all is well, and when some of them fail.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => {
    retry_base => '20ms', retry_max => '200ms', retry_attempts => 4, log_level => 'debug',
});
my $e = Weir::Events->new($s);
$e->count_effects;
$s->start_smtp;

subtest 'a hundred signups have every effect exactly once' => sub {
    $s->start_backend('all');
    for my $n (1 .. 100) {
        my $r = $s->post('/signup',
            { email => "signup$n\@example.org", displayName => "N\x{fc}mber $n" });
        is($r->{status}, 201, "signup $n") if $r->{status} != 201 || $n == 100;
    }
    $e->{users} = 100;
    $e->wait_handled;
    is($e->complaints, '', 'every effect once');
    is($e->repeated_mails, 0, 'every mail once');
    is($s->psql('SELECT sum(position) FROM partitions'), 100, 'every event has a position');
    cmp_ok($s->psql('SELECT count(*) FROM partitions WHERE position > 0'), '>', 4,
        'over many partitions');
};

subtest 'an event in the stream is a CloudEvent' => sub {
    # A group that handles nothing keeps the streams from being trimmed.
    $s->psql("INSERT INTO consumer_partitions SELECT 'observer', partition, position"
            . " FROM partitions");
    my $r = $s->post(
        '/signup', { email => 'look@example.org', displayName => 'Look "at" \\ me' },
        { traceparent => '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' });
    $e->{users}++;
    $e->wait_handled;
    my ($p, $position) = split /\|/,
        $s->psql("SELECT partition, position FROM outbox ORDER BY id DESC LIMIT 1");
    my $entry = $s->redis('XRANGE', "weir:events:$p", "$position-0", "$position-0");
    my ($json) = $entry =~ /^(\{.*\})$/m;
    my $event = JSON::PP->new->utf8->decode($json);
    is($event->{specversion}, '1.0', 'CloudEvents 1.0');
    is($event->{source}, 'weir/shop', 'source');
    is($event->{type}, 'UserCreated', 'type');
    is($event->{subject}, "user:$r->{json}{id}", 'subject is the aggregate');
    is($event->{data}{displayName}, 'Look "at" \\ me', 'data');
    like($event->{traceparent}, qr/^00-4bf92f3577b34da6a3ce929d0e0e4736-/,
        "the request's trace goes on");
    like($event->{time}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/, 'time');
    my ($mail) = grep { /look\@example.org/ } $s->mails;
    like($mail, qr/^To: "Look \\"at\\" \\\\ me" <look\@example\.org>\r?$/m, 'its mail');
    like($mail, qr/^Message-ID: <\Q$event->{id}\E\.email\@weir\.example>\r?$/m,
        'with an ID made of the event');
};

subtest 'streams are trimmed behind the slowest group, and pending lists are empty' => sub {
    $s->psql("DELETE FROM consumer_partitions WHERE group_name = 'observer'");
    wait_for('trimmed streams' => sub {
        !grep { $s->redis('XLEN', "weir:events:$_") > 0 } 0 .. 7;
    });
    for my $group ($e->groups) {
        like($s->redis('XPENDING', 'weir:events:0', $group), qr/^0\b/, "nothing pends for $group");
    }
};

subtest 'a poisoned event becomes a dead letter, and all others are handled' => sub {
    $s->psql(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email = 'poison@example.org' THEN
        RAISE EXCEPTION 'no billing for "%"', NEW.email;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_refuse BEFORE INSERT ON billing_profiles FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:poisoned',
    jsonb_build_object('userId', gen_random_uuid(), 'email', m),
    '00-11111111111111111111111111111111-2222222222222222-01')
FROM unnest(ARRAY['poison@example.org', 'after@example.org']) m;
SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', 'neighbour:' || g,
    jsonb_build_object('userId', gen_random_uuid(), 'email', 'n' || g || '@example.org'), NULL))
FROM generate_series(1, 100) g;
COMMIT;
SQL
    $e->wait_handled;
    is($s->psql("SELECT group_name, attempts, error FROM dead_letters"),
        'billing|4|no billing for "poison@example.org" (SQLSTATE P0001)',
        'with its reason, after all attempts');
    is($s->psql("SELECT data->>'email', aggregate FROM dead_letters"),
        'poison@example.org|user:poisoned', 'and the event');
    is($s->psql("SELECT count(*) FROM billing_profiles WHERE email LIKE 'n%\@example.org'"), 100,
        'all neighbours');
    is($s->psql("SELECT count(*) FROM billing_profiles WHERE email = 'after\@example.org'"), 1,
        'the next of its aggregate');
    is($s->psql('SELECT count(*) FROM retries'), 0, 'nothing is left to be tried');
    my $stream = $s->redis('XRANGE', 'weir:dead:billing', '-', '+');
    like($stream, qr/no billing for "poison\@example\.org"/, 'the stream of dead letters has it');
    like($stream, qr/"subject":"user:poisoned"/, 'with the event');
    my ($line) = grep { $_->{msg} eq 'event is a dead letter' } $s->log_lines('all');
    is($line->{trace_id}, '1' x 32, "the log has its trace");
    is($s->psql("SELECT count(*) FROM analytics_events WHERE subject = 'user:poisoned'"), 2,
        'other groups are not concerned');
    };

subtest 'an event that no retry can help is a dead letter at once' => sub {
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:x',"
            . " '{\"userId\": \"no uuid\", \"email\": \"x\@example.org\"}', NULL)");
    $e->wait_handled;
    is($s->psql("SELECT group_name, attempts FROM dead_letters WHERE aggregate = 'user:x'"
                . " ORDER BY 1"),
        "billing|1\nemail|1\nflags|1",
        'after one attempt');
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'UserCreated', 'user:y',"
            . " jsonb_build_object('userId', gen_random_uuid(), 'email', E'a\@b>\\r\\nRCPT"
            . " TO:<c\@d'), NULL)");
    $e->wait_handled;
    is($s->psql("SELECT group_name, error FROM dead_letters WHERE aggregate = 'user:y'"),
        'email|mail cannot be sent to this address',
        'an address that would break out of its command');
};

subtest 'events of other types are skipped' => sub {
    $s->psql("SELECT outbox_put(gen_random_uuid(), 'UserSneezed', 'user:z', '{}', NULL)");
    $e->wait_handled;
    is($s->psql("SELECT count(*) FROM dead_letters WHERE aggregate = 'user:z'"), 0, 'and handled');
};

subtest 'events of one aggregate stay in order over retries, also when many wait' => sub {
    $s->psql(<<'SQL');
CREATE SEQUENCE attempts;
CREATE TABLE seen (n bigserial, subject text, event_id uuid);
CREATE FUNCTION stumble() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('attempts') % 7 = 0 THEN RAISE EXCEPTION 'stumbled'; END IF;
    INSERT INTO seen (subject, event_id) VALUES (NEW.subject, NEW.event_id);
    RETURN NEW;
END $$;
CREATE TRIGGER a_stumble BEFORE INSERT ON analytics_events FOR EACH ROW EXECUTE FUNCTION stumble();
SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', 'line:' || g % 5,
    jsonb_build_object('userId', gen_random_uuid(), 'email', 'l' || g || '@example.org'), NULL))
FROM generate_series(1, 500) g;
SQL
    $e->wait_handled;
    my $seen = $s->psql("SELECT count(*) FROM seen WHERE subject LIKE 'line:%'");
    my $dead = $s->psql("SELECT count(*) FROM dead_letters WHERE aggregate LIKE 'line:%'"
            . " AND group_name = 'analytics'");
    is($seen + $dead, 500, 'each event has its effect, or is a dead letter');
    cmp_ok($seen, '>', 450, 'nearly all have their effect');
    is($s->psql(<<'SQL'), 0, 'none before one that was put earlier');
SELECT count(*) FROM (
    SELECT o.position, lag(o.position) OVER (PARTITION BY s.subject ORDER BY s.n) AS before
    FROM seen s JOIN outbox o USING (event_id)) x
WHERE x.position < x.before
SQL
};

is($s->stop_backend('all'), 0, 'it stops gracefully');
is($s->psql('SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL'), 0,
    'and has released all partitions');

done_testing;
