# One POST through the edge is one trace: the edge's spans, the backend's, and those of the event
# until its mail. Edge and backend send them to the same collector.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Weir::Backend::Spans qw(named tree);
use Weir::Base qw(free_port listens spew);
use Weir::Stack;

my $s = Weir::Stack->new;
my $c = Weir::Backend::Spans->new($s);
$s->start_smtp_moody;
$s->start_backend('all', conf => { $c->conf });

my $port = free_port();
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
        location /signup { proxy_pass @{[$s->url('')]}; }
        location /trusted/ { weir_trace_context propagate; proxy_pass @{[$s->url('/')]}; }
    }
}
CONF
$s->start_process('edge', ['nginx', '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
$s->wait_started('edge' => sub { listens($port) });

# The client's trace, which is not trusted in /signup.
my $CLIENT = 'c' x 32;

sub sign_up {
    my ($path, $name) = @_;
    return HTTP::Tiny->new(timeout => 20)->request('POST', "http://127.0.0.1:$port$path", {
        headers => { 'Content-Type' => 'application/json',
            traceparent => "00-$CLIENT-${\('d' x 16)}-01" },
        content => encode_json({ email => "$name\@example.com", displayName => $name }),
    });
}

# The spans of both, by their place; those of the edge first.
my $TREE = <<'TREE';
server: POST PATH
  client: POST
    server: POST /signup
      client: receive weir:events
      consumer: process weir:events
        client: SELECT consume
      consumer: process weir:events
        client: SELECT consume
      consumer: process weir:events
        client: SELECT consume
      consumer: process weir:events
        client: SELECT consume
        client: SMTP
        internal: batch mail_recipients
          client: SELECT mail_recipients
      internal: batch signup
        client: SELECT signup
      internal: outbox
      producer: send weir:events
TREE

for my $case (['/signup', '/signup', 0], ['/trusted/signup', '/trusted/', 1]) {
    my ($path, $route, $trusted) = @$case;
    my $r = sign_up($path, $trusted ? 'b' : 'a');
    is $r->{status}, 201, "$path: done" or diag $r->{content};

    my ($first) = $trusted ? $CLIENT : map { $_->{trace} } wait_for_server($route);
    my @spans = $c->trace($first, 19);
    is tree(@spans), $TREE =~ s/PATH/$route/r, '... one trace from the edge to the mail';
    is $first eq $CLIENT ? 1 : 0, $trusted, '... that of the client only where it is trusted';

    my %by_id = map { $_->{id} => $_ } @spans;
    my @early = grep { my $p = $by_id{ $_->{parent} }; $p && $_->{start} < $p->{start} } @spans;
    # nginx gives the duration of a try in milliseconds.
    @early = grep { $by_id{ $_->{parent} }{start} - $_->{start} > 2_000_000 } @early;
    is scalar(@early), 0, '... in which no span begins before its parent';
}

# The edge's server span of the route.
sub wait_for_server {
    my ($route) = @_;
    my @found;
    Weir::Base::wait_for("the edge's span of $route" => sub {
        @found = grep { $_->{kind} == 2 && $_->{parent} =~ /^0*$/ && $_->{name} eq "POST $route" }
            $c->spans;
        return @found > 0;
    });
    return $found[0];
}

done_testing;
