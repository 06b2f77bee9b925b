# One POST through the edge is one trace: the edge's spans, the backend's, and those of the event
# until its mail. Edge and backend send them to the same collector.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Weir::Api qw(make_users order_of);
use Weir::Backend::Spans qw(early named signup_tree tree);
use Weir::Base qw(free_port listens spew wait_for);
use Weir::Payments;
use Weir::Stack;

my $port = free_port();
my $s = Weir::Stack->new;
my $p = Weir::Payments->new($s);
$p->start(webhooks => "http://127.0.0.1:$port/trusted/webhooks/payment");
my $c = Weir::Backend::Spans->new($s);
$s->start_smtp_moody;
$s->start_backend('all', conf => { $c->conf });

my $dir = $s->dir . '/edge';
mkdir $dir;
spew("$dir/nginx.conf", <<"CONF");
load_module $FindBin::Bin/../../build/ngx_http_weir_module.so;
daemon off;
worker_processes 1;
pid $dir/pid;
error_log $dir/error.log notice;
events {}
http {
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    access_log off;
    weir_exporter otlp @{[$c->url]} service_name=edge interval=100ms;
    weir_trace on;
    server {
        listen 127.0.0.1:$port;
        location / { proxy_pass @{[$s->url('')]}; }
        location /signup { proxy_pass @{[$s->url('')]}; }
        location /trusted/ { weir_trace_context propagate; proxy_pass @{[$s->url('/')]}; }
    }
}
CONF
$s->start_process('edge', ['nginx', '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
$s->wait_started('edge' => sub { listens($port) });

# The client's trace, which is not trusted in /signup.
my $CLIENT = 'c' x 32;

sub post {
    my ($path, $body, %more) = @_;
    my %headers = ('Content-Type' => 'application/json',
        traceparent => "00-$CLIENT-${\('d' x 16)}-01", %more);
    return HTTP::Tiny->new(timeout => 60)->request('POST', "http://127.0.0.1:$port$path",
        { headers => \%headers, content => encode_json($body) });
}

for my $case (['/signup', '/signup', 0], ['/trusted/signup', '/trusted/', 1]) {
    my ($path, $route, $trusted) = @$case;
    my $name = $trusted ? 'b' : 'a';
    my $r = post($path, { email => "$name\@example.com", displayName => $name });
    is $r->{status}, 201, "$path: done" or diag $r->{content};

    my ($first) = $trusted ? $CLIENT : map { $_->{trace} } wait_for_server($route);
    my @spans = $c->trace($first, 19);
    is tree(@spans), signup_tree("server: POST $route", 'client: POST'),
        '... one trace from the edge to the mail';
    is $first eq $CLIENT ? 1 : 0, $trusted, '... that of the client only where it is trusted';
    is_deeply [early(@spans)], [], '... in which no span begins before its parent';
}

# --- a checkout: the gateway is asked, and its webhook comes through the edge, too ---

my ($user) = make_users($s, 1);
my $r = post('/checkout', order_of($user, [1, 1]), 'Idempotency-Key' => '"k"');
is $r->{status}, 202, 'a checkout is taken' or diag $r->{content};
my $order = decode_json($r->{content})->{id};
my $trace = wait_for_server('/')->{trace};
my (@spans, %by_id);
wait_for('the mail of the paid order, and the webhook, with all between' => sub {
    @spans = $c->trace($trace, 1);
    %by_id = map { $_->{id} => $_ } @spans;
    return named('SMTP', @spans) && named('POST /webhooks/payment', @spans)
        && 1 == grep { !$by_id{ $_->{parent} } } @spans;
});

# A span by what makes it known, and those that it is within, up to the root.
sub path_of {
    my ($span) = @_;
    my @path;
    while ($span) {
        my $of = $span->{attributes};
        my $more = $of->{'messaging.consumer.group.name'} // $of->{'url.path'} // '';
        push @path, join ' ', $span->{name}, $more, $of->{'weir.event.type'} // ();
        $span = $by_id{ $span->{parent} };
    }
    return join ' < ', @path;
}

my ($mail) = named('SMTP', @spans);
my $checkout = 'POST /checkout /checkout < POST  < POST / /checkout';
my $payments = "process weir:events payments PaymentRequested < $checkout";
my $webhook = "POST /webhooks/payment /webhooks/payment < POST "
    . " < POST /trusted/ /trusted/webhooks/payment < POST  < $payments";
is path_of($mail) =~ s/ < (?:\Q$payments\E|\Q$webhook\E)\z//r,
    'SMTP  < process weir:events email OrderPaid',
    'the mail of the paid order is within what has settled its payment, within the checkout';
is_deeply [map { path_of($_) } named('POST /webhooks/payment', @spans)], [$webhook],
    'the webhook came through the edge, within the request to the gateway';
is_deeply [early(@spans)], [], 'no span begins before its parent';
is_deeply [sort grep { !/^(?:edge|weir-backend)$/ } map { $_->{resource}{'service.name'} }
    $c->requests], [], 'the spans are those of edge and backend';

my %sent = map { ($_->{attributes}{'weir.event.type'} // '') => 1 }
    named('send weir:events', @spans);
is_deeply [grep { !$sent{$_} } qw(OrderCreated PaymentRequested PaymentSucceeded OrderPaid)], [],
    'each event was sent within it';
my @loose = grep {
    my $batch = $by_id{ $_->{parent} };
    $batch && $batch->{name} =~ /^batch/ && !grep { $_->{id} eq $batch->{id} } @{ $_->{links} }
} named(qr/^SELECT/, @spans);
is scalar(@loose), 0, 'each statement links the batches of its requests';
is scalar(grep { !$_->{trace} || !$_->{id} } map { @{ $_->{links} } } @spans), 0,
    'all links have both ids';
my ($charge) = grep { ($_->{attributes}{'url.full'} // '') =~ m{/charges$} } @spans;
is $charge->{attributes}{'http.response.status_code'}, 201, 'the gateway has charged';
is scalar(@{ $p->ledger->{charges} }), 1, '... once';
is $s->psql("SELECT status FROM orders WHERE id = '$order'"), 'PAID', 'the order is paid';
is_deeply [grep { $_->{error} } $c->requests], [], 'every request could be decoded';
done_testing;

# The edge's server span of the route.
sub wait_for_server {
    my ($route) = @_;
    my @found;
    wait_for("the edge's span of $route" => sub {
        @found = grep { $_->{kind} == 2 && $_->{parent} =~ /^0*$/ && $_->{name} eq "POST $route" }
            $c->spans;
        return @found > 0;
    });
    return $found[0];
}
