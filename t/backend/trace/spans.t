# One request is one trace: server, batch, database, outbox, send, each consumer and what it calls,
# with the right parents, links, times and attributes; decoded by Google's library.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use JSON::PP ();
use Test::More;
use Weir::Api qw(make_users order_of raw_request);
use Weir::Base qw(free_port wait_for);
use Weir::Backend::Metrics;
use Weir::Payments;
use Weir::Backend::Spans qw(early named signup_tree tree);
use Weir::Stack;

my $TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
my $PARENT = '00f067aa0ba902b7';

my $s = Weir::Stack->new(conf => { retry_base => '1ms', retry_max => '2ms', retry_attempts => 3 });
my $p = Weir::Payments->new($s);
$p->start;
my $c = Weir::Backend::Spans->new($s);
$s->start_smtp_moody;
my $m = Weir::Backend::Metrics->new(free_port());
$s->start_backend('all', conf => { $c->conf, metrics_listen => "127.0.0.1:$m->{port}" });

subtest 'a signup' => sub {
    my $r = $s->post('/signup', { email => 'a@example.com', displayName => 'A' },
        { traceparent => "00-$TRACE-$PARENT-01", tracestate => 'a=1' });
    is $r->{status}, 201, 'done';
    my @spans = $c->trace($TRACE, 17);
    is tree(@spans), signup_tree(), 'one trace';
    my %of = map { $_->{name} => $_ } @spans;
    is $of{'POST /signup'}{parent}, $PARENT, 'the client\'s span is the parent of the server\'s';
    is_deeply [early(@spans)], [], 'no span begins before its parent';
    is $spans[0]{state}, 'a=1', 'the tracestate is in it';
    my %server = %{ $of{'POST /signup'}{attributes} };
    is $server{'http.request.method'}, 'POST', 'http.request.method';
    is $server{'http.route'}, '/signup', 'http.route';
    is $server{'http.response.status_code'}, 201, 'http.response.status_code';
    my %statement = %{ $of{'SELECT signup'}{attributes} };
    is_deeply \%statement, {
        'db.system.name' => 'postgresql', 'db.operation.name' => 'SELECT',
        'db.stored_procedure.name' => 'signup', 'db.query.summary' => 'SELECT signup' },
        'the statement by its name';
    is_deeply [map { $_->{id} } @{ $of{'SELECT signup'}{links} }], [$of{'batch signup'}{id}],
        'it links all requests of its batch';
    my @process = named('process weir:events', @spans);
    is_deeply [sort map { $_->{attributes}{'messaging.consumer.group.name'} } @process],
        [qw(analytics billing email flags)], 'one for each group';
    is_deeply [map { $_->{attributes}{'weir.attempt'} } @process], [1, 1, 1, 1],
        'each is the first attempt';
    my %send = %{ $of{'send weir:events'}{attributes} };
    is $send{'messaging.system'}, 'redis', 'messaging.system';
    like $send{'messaging.destination.name'}, qr/^weir:events:[0-7]$/, 'the stream';
    is $send{'messaging.message.id'}, $process[0]{attributes}{'messaging.message.id'},
        'the event\'s id';
    is $of{SMTP}{attributes}{'weir.smtp.reply_code'}, 250, 'the reply of the mail server';
    my ($request) = $c->requests;
    is $request->{resource}{'service.name'}, 'weir-backend', 'service.name';
    is $request->{resource}{'weir.roles'}, 'all', 'the roles';
    my ($line) = grep { $_->{path} eq '/signup' } $s->logged('all', 'request');
    is $line->{span_id}, $of{'POST /signup'}{id}, 'the log has the id of the server\'s span';
};

subtest 'a checkout, until its payment is settled' => sub {
    my $trace = 'a' x 32;
    my ($user) = make_users($s, 1);
    my $r = $s->post('/checkout', order_of($user, [1, 1]),
        { traceparent => "00-$trace-$PARENT-01", 'Idempotency-Key' => '"k"' });
    is $r->{status}, 202, 'taken';
    wait_for('the payment' => sub {
        $s->psql("SELECT status FROM orders WHERE id = '$r->{json}{id}'") eq 'PAID';
    });
    my @spans;
    wait_for('the webhook\'s span, and what comes of the payment' => sub {
        @spans = $c->trace($trace, 1);
        return named('POST /webhooks/payment', @spans) && grep {
            ($_->{attributes}{'weir.event.type'} // '') eq 'OrderPaid' && $_->{kind} == 5
        } @spans;
    });
    my ($charge) = named('POST', @spans);
    ok $charge, 'the request to the gateway';
    like $charge->{attributes}{'url.full'}, qr{^http://127\.0\.0\.1:\d+/charges$}, 'url.full';
    is $charge->{attributes}{'http.response.status_code'}, 201, 'its answer';
    my ($process) = grep { $_->{id} eq $charge->{parent} } @spans;
    is $process->{attributes}{'messaging.consumer.group.name'}, 'payments', 'within an attempt';
    my ($batch) = named('batch checkout', @spans);
    ok $batch, 'a command with a key is named after the command';
    my ($webhook) = named('POST /webhooks/payment', @spans);
    is $webhook->{parent}, $charge->{id}, 'the webhook continues the trace of the charge';
    my ($settled) = grep {
        $_->{name} eq 'send weir:events'
            && $_->{attributes}{'weir.event.type'} eq 'PaymentSucceeded'
    } @spans;
    ok scalar(grep { $settled->{parent} eq $_ } $webhook->{id}, $process->{id}),
        'the event is a child of what has settled the payment: the attempt, or the webhook';
};

subtest 'requests of one batch' => sub {
    my @traces = map { sprintf '%032x', $_ + 0xb000 } 1 .. 20;
    $s->freeze_postgres; # the first request is under way then, and all others gather
    my @raw = map {
        my $raw = raw_request('POST', '/signup',
            { email => "$_\@example.com", displayName => 'B' });
        $raw =~ s/\r\n/\r\ntraceparent: 00-$_-$PARENT-01\r\n/r;
    } @traces;
    my @sockets = map { $s->send_raw($_) } @raw;
    my %active = (http_request_method => 'POST', url_scheme => 'http');
    $m->wait_for_value('http_server_active_requests', sub { $_ == 20 }, %active);
    $s->thaw_postgres;
    my @answers = map { $s->read_raw($_) } @sockets;
    is scalar(grep { m{^HTTP/1.1 201} } @answers), 20, 'all signed up';
    my @batches = map { named('batch signup', $c->trace($_, 11)) } @traces;
    is scalar(@batches), 20, 'each trace has its batch';
    my %statements = map { $_->{id} => $_ } named('SELECT signup', $c->spans);
    my @linked = grep { @{ $_->{links} } == 1 && $statements{ $_->{links}[0]{id} } } @batches;
    my @own = grep { my $b = $_; grep { $_->{parent} eq $b->{id} } values %statements } @batches;
    is scalar(@linked) + scalar(@own), 20, 'with the statement in it, or a link to it';
    my ($largest) = sort { @{ $b->{links} } <=> @{ $a->{links} } } values %statements;
    cmp_ok scalar(@{ $largest->{links} }), '>=', 10, 'one statement has many requests';
    is $largest->{attributes}{'db.operation.batch.size'}, scalar @{ $largest->{links} },
        'and links them all';
};

subtest 'retries and a dead letter' => sub {
    my $trace = 'd' x 32;
    $s->post('/signup', { email => 'grey@example.com', displayName => 'G' },
        { traceparent => "00-$trace-$PARENT-01" });
    my @attempts = sort { $a->{start} <=> $b->{start} }
        grep { $_->{attributes}{'messaging.consumer.group.name'} eq 'email' }
        named('process weir:events', $c->trace($trace, 22));
    is_deeply [map { $_->{attributes}{'weir.attempt'} } @attempts], [1, 2], 'two attempts';
    is_deeply [map { $_->{status} } @attempts], [2, 0], 'the first has failed';
    $trace = 'e' x 32;
    $s->post('/signup', { email => 'refused@example.com', displayName => 'R' },
        { traceparent => "00-$trace-$PARENT-01" });
    my ($dead) = grep { @{ $_->{events} } }
        named('process weir:events', $c->trace($trace, 17));
    is $dead->{events}[0]{name}, 'dead letter', 'the event of a dead letter';
    is $dead->{status}, 2, 'in an attempt that has failed';
    my ($smtp) = named('SMTP', $c->trace($trace, 17));
    is $smtp->{attributes}{'weir.smtp.reply_code'}, 550, 'because of that reply';
};

subtest 'traces that are not sampled, and requests of operators' => sub {
    my $trace = 'f' x 32;
    $s->post('/signup', { email => 'quiet@example.com', displayName => 'Q' },
        { traceparent => "00-$trace-$PARENT-00" });
    like $s->psql("SELECT traceparent FROM outbox WHERE data->>'email' = 'quiet\@example.com'"),
        qr/^00-$trace-[0-9a-f]{16}-00$/, 'the flag goes along';
    $s->get('/products');
    wait_for('the next span' => sub { named('GET /products', $c->spans) });
    is scalar(grep { $_->{trace} eq $trace } $c->spans), 0, 'no span of it';
};

is $s->stop_backend('all'), 0, 'the backend stops';
is_deeply [grep { $_->{error} } $c->requests], [], 'every request could be decoded';
my %seen;
$seen{"$_->{trace} $_->{id}"}++ for $c->spans;
is_deeply [grep { $seen{$_} > 1 } keys %seen], [], 'no span came twice';

done_testing;
