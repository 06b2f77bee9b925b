# /metrics of every role: Prometheus' own parsers read it, and its numbers are those of what was
# done.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(free_port wait_for);
use Weir::Events;
use Weir::Backend::Metrics qw(value);
use Weir::Stack;

my $s = Weir::Stack->new(conf => { retry_base => '1ms', retry_max => '2ms', retry_attempts => 3 });
my $m = Weir::Backend::Metrics->new(free_port());
my %listens = (metrics_listen => "127.0.0.1:$m->{port}");
$s->start_smtp_moody;
$s->start_backend('all', conf => \%listens);

my $user = $s->post('/signup', { email => 'a@example.com', displayName => 'A' });
is $user->{status}, 201, 'a signup';
$s->get("/users/$user->{json}{id}") for 1 .. 3;
$s->get('/users/' . '0' x 8 . '-0000-7000-8000-' . '0' x 12);
$s->get("/nothing/$_") for 1 .. 4;
$s->request('BREW', "/coffee/$_") for 1 .. 2;

subtest 'both formats are read' => sub {
    $m->wait_for_value('weir_readings_age_seconds', sub { 1 }); # after this no family is new
    my $text = $m->get('/metrics');
    is $text->{headers}{'content-type'}, 'text/plain; version=0.0.4; charset=utf-8', 'text';
    my $open = $m->get('/metrics', Accept => 'application/openmetrics-text;version=1.0.0');
    like $open->{headers}{'content-type'}, qr{^application/openmetrics-text; version=1\.0\.0},
        'OpenMetrics for a scraper that asks for it';
    like $open->{content}, qr/# EOF\n\z/, 'with its end';
    is $_->{headers}{vary}, 'Accept', 'Vary' for $text, $open;
    my %by_format = map { $_ => $m->scrape($_) } qw(text openmetrics);
    # The text format knows a counter's family by another name.
    my ($n_text, $n_open) = map { scalar keys %{ $by_format{$_} } } qw(text openmetrics);
    is $n_open, $n_text, 'the same families';
    cmp_ok $n_open, '>=', 30, 'many';
    is value($by_format{openmetrics}, 'weir_build_info', version => '0.9.0', roles => 'all'), 1,
        'the version and the roles';
};

subtest 'requests are counted by method, route and status' => sub {
    my $f = $m->scrape('openmetrics');
    my $requests = sub {
        my ($method, $status, $route) = @_;
        my %labels = (http_request_method => $method, http_response_status_code => "$status",
            $route ? (http_route => $route) : ());
        return value($f, 'http_server_request_duration_seconds_count', %labels);
    };
    is $requests->('POST', 201, '/signup'), 1, 'a signup';
    is $requests->('GET', 200, '/users/{id}'), 3, 'the route, not the path';
    cmp_ok $requests->('GET', 404, '/users/{id}'), '>=', 1, 'by status';
    is $requests->('GET', 404), 4, 'without a route';
    is $requests->('_OTHER', 501), 2, 'a method that the client has made up';
    unlike $m->get('/metrics')->{content}, qr/nothing|coffee|BREW|livez/,
        'nothing that a client sends is a label';
    is value($f, 'http_server_active_requests', http_request_method => 'GET', url_scheme => 'http'),
        0, 'none is under way';
    ok defined value($f, 'weir_http_connections'), 'connections';
};

subtest 'statements, batches and sessions' => sub {
    my $f = $m->scrape('openmetrics');
    my %signup = (db_query_summary => 'SELECT signup');
    is value($f, 'db_client_operation_duration_seconds_count', db_system_name => 'postgresql',
        %signup), 1, 'a statement by the name of its function';
    is value($f, 'weir_batch_requests_count', %signup), 1, 'a batch';
    is value($f, 'weir_batch_requests_sum', %signup), 1, 'of one request';
    is value($f, 'weir_batch_wait_seconds_count', %signup), 1, 'which has waited';
    for my $session (qw(commands worker-email relay operate)) {
        is value($f, 'weir_db_sessions_open', session => $session), 1, "the session $session";
    }
};

subtest 'the outbox, the relay and the groups' => sub {
    $m->wait_for_value('weir_group_handled_events_total', sub { $_ == 1 }, group => $_)
        for qw(email billing analytics flags);
    $m->wait_for_value('weir_relay_published_events_total', sub { $_ == 1 });
    $m->wait_for_value('weir_group_lag_events', sub { $_ == 0 }, group => 'email');
    my $f = $m->scrape('openmetrics');
    is value($f, 'weir_relay_active'), 1, 'the relay is active';
    is value($f, 'weir_relay_term'), 1, 'in its first term';
    is value($f, 'weir_relay_partitions', state => 'following'), 8, 'all partitions are followed';
    is value($f, 'weir_relay_partitions', state => 'halted'), 0, 'none is halted';
    is value($f, 'weir_outbox_waiting_events'), 0, 'no event waits';
    is value($f, 'weir_outbox_oldest_age_seconds'), 0, 'so none is old';
    is value($f, 'weir_group_partitions', group => 'email'), 8, 'the group has all partitions';
    is value($f, 'messaging_process_duration_seconds_count', messaging_system => 'redis',
        messaging_consumer_group_name => 'email'), 1, 'one attempt of its handler';
    cmp_ok value($f, 'weir_readings_age_seconds'), '<', 60, 'the numbers of the database are new';
};

subtest 'failures, dead letters and the breaker of a dependency' => sub {
    my $e = Weir::Events->new($s, groups => ['email']);
    $e->create(1, 'refused'); # the address has no mailbox: never
    $m->wait_for_value('weir_group_dead_letters', sub { $_ >= 1 }, group => 'email');
    is value($m->scrape('text'), 'weir_group_died_events_total', group => 'email'), 1,
        'a dead letter, as a state and as an event';
    my %smtp = (dependency => 'smtp', group => 'email');
    is value($m->scrape('text'), 'weir_dependency_breaker_state', %smtp, state => 'closed'), 1,
        'the breaker is closed';
    $s->stop_process('smtp', 'KILL');
    $e->create(10, 'good');
    $m->wait_for_value('weir_dependency_breaker_transitions_total', sub { $_ >= 1 },
        %smtp, state => 'open');
    $m->wait_for_value('weir_group_retries_pending', sub { $_ > 0 }, group => 'email');
    $m->wait_for_value('weir_group_lag_events', sub { $_ == 10 }, group => 'email');
    $m->wait_for_value('weir_dependency_calls_total', sub { $_ >= 5 },
        %smtp, result => 'unreached');
};

subtest 'events that wait for the relay, and for a paused group' => sub {
    is $s->stop_backend('all'), 0, 'the backend stops';
    Weir::Events->new($s)->create(7, 'waiting');
    $s->redis('config', 'set', 'maxmemory', '1');
    $s->start_backend('relay', conf => \%listens);
    $m->wait_for_value('weir_outbox_oldest_age_seconds', sub { $_ > 0 });
    $m->wait_for_value('weir_relay_refusals_total', sub { $_ > 0 });
    ok !defined value($m->scrape('text'), 'weir_group_lag_events', group => 'email'),
        'a relay has no numbers of groups';
    $s->redis('config', 'set', 'maxmemory', '0');
    $m->wait_for_value('weir_relay_published_events_total', sub { $_ >= 7 });
    $m->wait_for_value('weir_outbox_waiting_events', sub { $_ == 0 });
};

subtest 'a role alone has its own numbers only' => sub {
    my $other = Weir::Backend::Metrics->new(free_port());
    $s->start_backend('worker', conf => {
        metrics_listen => "127.0.0.1:$other->{port}", groups => 'flags' });
    $other->wait_for_value('weir_group_partitions', sub { $_ == 8 }, group => 'flags');
    my $text = $other->get('/metrics')->{content};
    unlike $text, qr/group="email"|weir_relay_|weir_outbox_|http_server_/, 'a worker of one group';
    is $s->stop_backend('worker'), 0, 'it stops as always';
};

is $s->stop_backend('relay'), 0, 'so does the relay';
done_testing;
