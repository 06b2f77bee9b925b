# Effects that take longer than a statement may: batches become smaller, and a single event that is
# too slow ends as a dead letter.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Events;
use Weir::Stack;

my $s = Weir::Stack->new(conf => { groups => 'billing', retry_attempts => 2,
    retry_base => '20ms', retry_max => '50ms' });
my $e = Weir::Events->new($s, groups => ['billing']);
$s->psql(<<'SQL');
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(CASE WHEN NEW.email LIKE 'endless%' THEN 5 ELSE 0.01 END);
    RETURN NEW;
END $$;
CREATE TRIGGER be_slow BEFORE INSERT ON billing_profiles FOR EACH ROW EXECUTE FUNCTION be_slow();
SQL

# Some 40 events of a partition take as long as a statement may.
$e->create(400);
$e->create(1, 'endless');
$s->start_backend('relay worker',
    conf => { database => $s->database . " options='-c statement_timeout=400ms'" });
$e->wait_handled;
is $s->psql('SELECT count(*) FROM billing_profiles'), 400, 'each event has its effect';
like $s->psql("SELECT attempts || ' ' || error FROM dead_letters"),
    qr/^2 canceling statement due to statement timeout$/, 'but one, which says why';
is $s->stop_backend('relay worker'), 0, 'stops';

done_testing;
