# No trace is sampled, and those that matter are kept all the same: when the request ends, the edge
# says so by Redis, and api, relay and worker send what they have held, from the edge to the mail.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Backend::Spans qw(named signup_tree tree);
use Weir::Base qw(free_port listens slurp spew wait_for);
use Weir::Redis 'redis_login';
use Weir::Stack;

my $s = Weir::Stack->new;
my $c = Weir::Backend::Spans->new($s);
my $taken = $s->start_smtp_moody;
$s->start_backend($_, conf => { $c->conf, service_name => $_ }) for qw(relay worker api);

my ($port, $nobody) = (free_port(), free_port());
my ($api) = $s->url('') =~ m{^http://([^/]+)};
my $dir = $s->dir . '/edge';
mkdir $dir;
spew("$dir/nginx.conf", <<"CONF");
load_module $FindBin::Bin/../../build/ngx_http_weir_module.so;
daemon off;
worker_processes 2;
pid $dir/pid;
error_log $dir/error.log notice;
events {}
http {
    client_body_temp_path $dir/body;
    proxy_temp_path $dir/proxy;
    fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi;
    scgi_temp_path $dir/scgi;
    log_format id '\$weir_trace_id';
    access_log $dir/access.log id;
    weir_redis main redis://@{[redis_login()]}\@127.0.0.1:$s->{redis_port};
    weir_exporter otlp @{[$c->url]} service_name=edge interval=100ms;
    weir_trace_publish main;
    weir_trace ratio=0 errors=on slow=1h;
    upstream api { server $api; }
    upstream half { server 127.0.0.1:$nobody max_fails=0; server $api backup; }
    server {
        listen 127.0.0.1:$port;
        location /usual  { proxy_pass http://api/signup; }
        location /failed { proxy_pass http://half/signup; }
        location /slow   { weir_trace ratio=0 slow=50ms; proxy_pass http://api/signup; }
    }
}
CONF
$s->start_process('edge', ['nginx', '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
$s->wait_started('edge' => sub { listens($port) });

# A signup whose body comes a tenth of a second after its header. Returns the trace's id.
sub sign_up {
    my ($path, $name) = @_;
    my $body = encode_json({ email => "$name\@example.com", displayName => $name });
    my $before = () = slurp("$dir/access.log") =~ /\n/g;
    my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die $!;
    print $socket "POST $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        . "Content-Type: application/json\r\nContent-Length: @{[length $body]}\r\n\r\n";
    $socket->flush;
    select undef, undef, undef, 0.1;
    print $socket $body;
    $socket->flush;
    like join('', <$socket>), qr{^HTTP/1.1 201 }, "$path: done";
    my @ids;
    wait_for('the access log' => sub {
        @ids = split /\n/, slurp("$dir/access.log");
        return @ids > $before;
    });
    return $ids[-1];
}

my $below = signup_tree() =~ s/^/    /gmr;

my @usual = (sign_up('/usual', 'a'));
my $slow = sign_up('/slow', 'b');
is tree($c->trace($slow, 19)), "server: POST /slow\n  client: POST\n$below",
    'a request that was slow: the trace is whole, from the edge to the mail';
my $failed = sign_up('/failed', 'c');
is tree($c->trace($failed, 20)), "server: POST /failed\n  client: POST\n  client: POST\n$below",
    'a request of which one try has failed';
push @usual, sign_up('/usual', 'd');
wait_for('all mails' => sub { 4 == split /\n/, slurp($taken) });
$failed = sign_up('/failed', 'e');
$c->trace($failed, 20);
is_deeply [grep { my $span = $_; grep { $span->{trace} eq $_ } @usual } $c->spans], [],
    'of a request that is not kept nothing is sent';
is_deeply [named('missing spans', $c->spans)], [], 'no trace lacks anything';

my %service;
for my $request ($c->requests) {
    $service{ $request->{resource}{'service.name'} }{ $_->{trace} }++ for @{ $request->{spans} };
}
is_deeply [sort keys %service], [qw(api edge relay worker)], 'every process has sent its part';

done_testing;
