# With a synchronous standby nothing that was acknowledged is lost when the primary dies, nothing
# comes twice, and no process needs a restart: the api, a relay and a worker go on with the promoted
# server.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(raw_request);
use Weir::Events;
use Weir::Stack qw(wait_for);
use Weir::Standby;

my $s = Weir::Stack->new(conf =>
        { retry_base => '20ms', retry_max => '500ms', groups => 'email,billing,analytics,flags' });
my $e = Weir::Events->new($s);
$e->count_effects;
my $standby = Weir::Standby->new($s, 'standby');
$standby->primary("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
$standby->primary('SELECT pg_reload_conf()');
wait_for('the standby to be synchronous' =>
        sub { $standby->primary('SELECT sync_state FROM pg_stat_replication') eq 'sync' });

$s->start_smtp;
my $both = 'host='
    . $s->pg . ','
    . $standby->dir
    . ' dbname=weir user=weir target_session_attrs=read-write';
$s->start_backend($_, conf => { database => $both }) for qw(api relay worker);

my ($asked, @acknowledged) = (0);
my $sign_up = sub {
    my ($n) = @_;
    for (1 .. $n) {
        my $email = 'user' . ++$asked . '@example.org';
        my $status = $s->post('/signup', { email => $email, displayName => 'U' })->{status};
        push @acknowledged, $email if $status == 201;
    }
};
$sign_up->(60);
is scalar(@acknowledged), 60, 'signups are acknowledged';

# What is committed on the primary now is not on the standby, and therefore not acknowledged.
$standby->cut_off;
my $unsure = { email => 'unsure@example.org', displayName => 'U' };
my $raw = $s->send_raw(raw_request('POST', '/signup', $unsure));
wait_for('its commit to wait for the standby' => sub {
    return $standby->primary(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") > 0;
});
$s->kill_postgres;
$standby->promote;
like $s->read_raw($raw), qr{^HTTP/1\.1 50}, 'a client that waited for it gets no success';
$standby->psql('ALTER SYSTEM RESET synchronous_standby_names');
$standby->psql('SELECT pg_reload_conf()');

wait_for('the api to go on' => sub {
    my $before = @acknowledged;
    $sign_up->(1);
    return @acknowledged > $before;
});
$sign_up->(40);
$e->wait_handled;
my $list = join ',', map { "'$_'" } @acknowledged;
is $s->psql("SELECT count(*) FROM users WHERE email IN ($list)"), scalar(@acknowledged),
    'no acknowledged user is lost';
$e->{users} = $s->psql('SELECT count(*) FROM users');
is $e->complaints, '', 'each effect once';
is $s->psql('SELECT count(*) FROM users WHERE email = $$unsure@example.org$$'), 0,
    'what was not acknowledged is not there';
is $s->psql('SELECT count(*) FROM partitions WHERE halted IS NOT NULL'), 0,
    'no partition stands still';
is scalar(grep { $_->{level} eq 'error' } map { $s->log_lines($_) } qw(relay worker)), 0,
    'nothing was strange';
is $s->stop_backend($_), 0, "$_ stops gracefully" for qw(api worker relay);
done_testing;
