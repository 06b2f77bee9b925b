# What commands and events take of the database, and what they cost by the prices of the
# configuration.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Backend::Metrics qw(value);
use Weir::Base qw(free_port wait_for);
use Weir::Stack;

my $s = Weir::Stack->new;
my $m = Weir::Backend::Metrics->new(free_port());
my %prices = (cost_currency => 'EUR', cost_database => '3600', cost_wal => '1000000000');
my %listens = (metrics_listen => "127.0.0.1:$m->{port}");
my %signup = (db_query_summary => 'SELECT signup');
my %event = (db_query_summary => 'SELECT consume', event_type => 'UserCreated');


# --- configuration -----------------------------------------------------------------------------

for my $case (
    [{ cost_database => '1' }, 'cost_currency', 'a price without a currency'],
    [{ cost_wal => '0', cost_currency => '' }, 'cost_currency', 'also one of 0'],
    [{ cost_currency => 'eur' }, 'cost_currency', 'a currency in small letters'],
    [{ cost_currency => 'EU' }, 'cost_currency', 'a currency of two letters'],
    [{ cost_currency => 'EURO' }, 'cost_currency', '... of four'],
    (map { [{ cost_currency => 'EUR', cost_database => $_ }, 'cost_database', "the price $_"] }
        '-1', '1e3', '1,5', 'free', '1000000001', '0.1.2'),
    [{ cost_currency => 'EUR', cost_wal => 'x' }, 'cost_wal', 'a wrong price of WAL'],
    )
{
    my ($conf, $key, $name) = @$case;
    my ($status, $output) = $s->run_command($s->{binary}, '-c', $s->write_conf(%$conf), '-t');
    isnt $status, 0, "$name is refused";
    like $output, qr/"?$key/, '... and the message names the key';
}


# --- commands ----------------------------------------------------------------------------------

# Alone: no relay and no worker write beside it.
$s->start_backend('api', conf => { %listens, %prices });
my $wal = sub { $s->psql("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')") };
my $before = $wal->();
for my $n (1 .. 10) {
    my $r = $s->post('/signup', { email => "a$n\@example.com", displayName => 'A' });
    is $r->{status}, 201, 'a signup';
}
my $written = $wal->() - $before;
my $f = $m->scrape('openmetrics');

is value($f, 'weir_db_requests_total', %signup), 10, 'requests by command';
is value($f, 'weir_batch_requests_count', %signup), 10, 'each was a batch';
my $seconds = value($f, 'weir_db_session_seconds_total', %signup);
my $whole = value($f, 'db_client_operation_duration_seconds_sum', %signup,
    db_system_name => 'postgresql');
cmp_ok $seconds, '>', 0, 'time of the session';
cmp_ok $seconds, '<=', $whole + 1e-6, '... which is not more than that of the statements';
cmp_ok abs(value($f, 'weir_db_session_saved_seconds', %signup)), '<', 1e-6,
    'batches of one request save nothing';

my $samples = value($f, 'weir_wal_samples_total', %signup);
my $unusable = value($f, 'weir_wal_samples_unusable_total', %signup);
cmp_ok $samples + $unusable, '>=', 1, 'the first batch is a sample';

SKIP: {
    skip 'something else wrote at that moment', 3 if !$samples;
    my $bytes = value($f, 'weir_wal_sampled_bytes_total', %signup);
    is value($f, 'weir_wal_sampled_requests_total', %signup), $samples, '... of one request';
    cmp_ok $bytes, '>', 100 * $samples, 'its WAL';
    cmp_ok $bytes, '<=', $written, '... is not more than all WAL that was written';
}


# --- prices ------------------------------------------------------------------------------------

# A second costs 1 EUR, and a GiB of WAL 1000000000.
my %eur = (%signup, currency => 'EUR');
my $database = value($f, 'weir_cost_total', %eur, resource => 'database');
cmp_ok abs($database - $seconds), '<', 0.0011, 'the price of the time';
my $cost = $database;
if ($samples) {
    my $paid = value($f, 'weir_cost_total', %eur, resource => 'wal');
    my $bytes = value($f, 'weir_wal_sampled_bytes_total', %signup);
    cmp_ok abs($paid - 10 * $bytes * 1e9 / 2**30), '<', 1e-6 * $paid,
        'that of WAL, by the mean of the samples';
    $cost += $paid;
}
my $thousand = value($f, 'weir_cost_per_thousand_requests', %eur);
cmp_ok abs($thousand - $cost * 100), '<', 1e-6 * $thousand, 'the cost of a thousand requests';
ok defined value($f, 'weir_cost_saved', %eur, by => 'batching'), 'what batching has saved';


# --- another transaction writes at the same time -----------------------------------------------

is $s->stop_backend('api'), 0, 'the backend stops';
my $open = $s->session('BEGIN; SELECT pg_current_xact_id();');
$s->start_backend('api', conf => {%listens});
is $s->post('/signup', { email => 'b@example.com', displayName => 'B' })->{status}, 201, 'a signup';
$m->wait_for_value('weir_wal_samples_unusable_total', sub { $_ == 1 }, %signup);
$f = $m->scrape('text');
is value($f, 'weir_wal_samples_total', %signup), 0, 'its WAL is not known';
ok !defined value($f, 'weir_cost_total', %eur, resource => 'database'), 'no price, no cost';
close $open or die "psql: $!\n";
is $s->stop_backend('api'), 0, 'it stops';


# --- events ------------------------------------------------------------------------------------

$s->start_smtp;
$s->start_backend('all', conf => { %listens, %prices });
for my $group (qw(email billing analytics flags)) {
    $m->wait_for_value('weir_db_requests_total', sub { $_ == 11 }, %event, group => $group);
    $f = $m->scrape('openmetrics');
    my %of = (%event, group => $group);
    cmp_ok value($f, 'weir_db_session_seconds_total', %of), '>=', 0, "$group: time";
    is value($f, 'weir_cost_per_thousand_requests', %of, currency => 'EUR') > 0, 1, '... and cost';
    cmp_ok value($f, 'weir_wal_samples_total', %of)
        + value($f, 'weir_wal_samples_unusable_total', %of), '<=', 11, '... samples';
}
is $s->stop_backend('all'), 0, 'it stops';


# --- a server that refuses to measure ----------------------------------------------------------

# As a standby does.
$s->psql_as('postgres', 'weir',
    'REVOKE EXECUTE ON FUNCTION pg_current_wal_insert_lsn() FROM PUBLIC');
$s->start_backend('api', conf => {%listens});
for my $n (1 .. 9) {
    my $r = $s->post('/signup', { email => "c$n\@example.com", displayName => 'C' });
    is $r->{status}, 201, 'a signup';
}
$m->wait_for_value('weir_wal_samples_unusable_total', sub { $_ == 2 }, %signup);
is $s->stop_backend('api'), 0, 'it stops';
done_testing;
