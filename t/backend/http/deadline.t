# Weir-Deadline: a request that is too late is not done, and what is done for it ends.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Api qw(is_problem make_users order_of raw_request start_api status_of json_of);
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(redis => 0);
start_api($s);
my ($user) = make_users($s, 1);

# Orders wait for this session, whose end lets them go on; not for a lock, for which there is a
# time-out of its own.
$s->psql(<<'SQL');
CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    WHILE NOT pg_try_advisory_xact_lock_shared(1) LOOP PERFORM pg_sleep(0.01); END LOOP;
    RETURN NEW;
END $$;
CREATE TRIGGER be_slow BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION be_slow();
SQL

sub order {
    my (@fields) = @_;
    my $request = raw_request('POST', '/orders', order_of($user, [1, 1]));
    $request =~ s/\r\n/\r\n$_\r\n/ for @fields;
    return $request;
}
sub answer { return $s->read_raw($s->send_raw(order(@_))) }
sub orders { return $s->psql('SELECT count(*) FROM orders') }
sub working {
    return $s->psql_as('postgres', 'weir', 'SELECT count(*) FROM pg_stat_activity'
            . " WHERE state = 'active' AND query LIKE '%orders%'"
            . " AND application_name LIKE 'weir-%'");
}
sub wait_working { wait_for('an order to be worked on' => sub { working() > 0 }) }

for my $wrong ('', ' ', 'soon', '-1', '1.5', '10 ms', '1234567890') {
    my $answer = answer("Weir-Deadline: $wrong");
    is status_of($answer), 400, "\"$wrong\" is no deadline";
    like json_of($answer)->{detail}, qr/^Weir-Deadline must be one number/, '... and says so';
}
is status_of(answer('Weir-Deadline: 100', 'Weir-Deadline: 100')), 400, 'two are none';
my $answer = answer('Weir-Deadline: 0');
is status_of($answer), 504, 'a request without time left is not started';
like json_of($answer)->{detail}, qr/nothing was changed/, '... and says so';
is orders(), 0, '... which is true';
is status_of(answer("Weir-Deadline: $_")), 201, "$_ ms are enough" for 5000, 60000, 999999999;

my $lock = $s->session('SELECT pg_advisory_lock(1);');
$answer = answer('Weir-Deadline: 200');
is status_of($answer), 504, 'a request whose time passes is answered';
like json_of($answer)->{detail}, qr{deadline has passed|no answer in time}, '... and says so';
wait_for('the statement to end' => sub { working() == 0 });
pass '... and its statement ends, though what it waited for is still there';

# One is worked on; those that come meanwhile wait.
my $slow = $s->send_raw(order());
wait_working();
my $waits = $s->send_raw(order('Weir-Deadline: 100'));
my $stays = $s->send_raw(order('Weir-Deadline: 14000'));
is status_of($s->read_raw($waits)), 504, 'a request that waits for its turn is answered, too';
close $lock;
is status_of($s->read_raw($slow)), 201, '... the one without a deadline is done';
is status_of($s->read_raw($stays)), 201, '... and the one that has time';
is orders(), 5, '... and no other';
is working(), 0, '... also not later';

$lock = $s->session('SELECT pg_advisory_lock(1);');
$slow = $s->send_raw(order());
wait_working();
$s->psql('SELECT pg_sleep(0.4)'); # longer than the bound before
is working(), 1, 'a request without a deadline has the time that it had before';
close $lock;
is status_of($s->read_raw($slow)), 201, '... and is done';

# The client does not wait for the end.
$lock = $s->session('SELECT pg_advisory_lock(1);');
close $s->send_raw(order('Weir-Deadline: 300'));
wait_working();
wait_for('the statement to end' => sub { working() == 0 });
close $lock;
is orders(), 6, 'what a client has left behind ends, too';

is $s->stop_backend('api'), 0, 'the process ends as it should';
done_testing;
