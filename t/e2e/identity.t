# Edge and backend together: a client's token, the identity that the edge makes of it, what the
# backend allows; keys that the backend takes from the edge, and that change under load without a
# failed request; nobody else is believed.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib", "$FindBin::Bin/../edge/auth";

use Cwd 'abs_path';
use HTTP::Tiny;
use IO::Handle;
use JSON::PP qw(decode_json encode_json);
use POSIX ();
use Test::More;
use Token;
use Weir::Backend::Identity;
use Weir::Base qw(listens slurp spew);
use Weir::Stack qw(wait_for free_port);

my $ROOT = abs_path("$FindBin::Bin/../..");
my $module = ($ENV{WEIR_BUILD} // "$ROOT/build") . '/ngx_http_weir_module.so';
my $s = Weir::Stack->new(redis => 0);
my $port = free_port();
my $dir = $s->dir . '/edge';
mkdir $dir;

new_key('main', $dir);
spew("$dir/client.jwks", Token::jwks('main'));
for my $name (qw(a b c)) {
    system('openssl', 'genpkey', '-quiet', '-algorithm', 'EC', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-out', "$dir/$name.pem") == 0 or die;
    chmod 0600, "$dir/$name.pem";
}

sub configure {
    my ($keys) = @_;
    spew("$dir/nginx.conf", <<"CONF");
daemon off;
pid $dir/nginx.pid;
error_log $dir/error.log notice;
worker_processes 2;
load_module $module;
events {}
http {
    client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
    access_log off;
    weir_cache_zone api 4m;
    weir_jwt_issuer client { issuer https://issuer.example; audience api; jwks client.jwks; }
    upstream shop { server 127.0.0.1:$s->{port}; keepalive 8; }
    server {
        listen 127.0.0.1:$port;
        weir_jwt client optional;
        weir_identity $keys audience=shop;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { weir_cache api; proxy_pass http://shop; }
        location = /.well-known/jwks.json { access_log $dir/jwks.log; weir_identity_keys; }
    }
}
CONF
}
configure('key=a.pem next_key=b.pem');
my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
$s->start_process('edge', [$nginx, '-e', "$dir/error.log", '-p', $dir, '-c', "$dir/nginx.conf"]);
$s->wait_started('edge' => sub { listens($port) });

$s->{conf} = { identity_audience => 'shop',
    identity_jwks => "http://127.0.0.1:$port/.well-known/jwks.json" };
$s->start_process('api', [$s->{binary}, '-c', $s->write_conf, 'api']);
$s->wait_started('api' => sub { listens($s->{port}) });

# Each request has a connection of its own: a reload of nginx closes idle ones.
my $http =
    HTTP::Tiny->new(timeout => $Weir::Base::DEADLINE, max_redirect => 0, keep_alive => 0);

sub call {
    my ($method, $path, $token, $body) = @_;
    my %headers = ($token ? (Authorization => "Bearer $token") : ());
    $headers{'Content-Type'} = 'application/json' if $body;
    my $r = $http->request($method, "http://127.0.0.1:$port$path",
        { headers => \%headers, $body ? (content => encode_json($body)) : () });
    $r->{json} = eval { decode_json($r->{content}) };
    return $r;
}

wait_for('the api to have the keys' => sub { call('GET', '/products')->{status} == 200 });
is $s->get('/products')->{status}, 401, 'the backend answers nobody but the edge';

my %id = map {
    my $name = $_;
    my $made;
    wait_for('the sessions' => sub {
        $made = call('POST', '/signup', undef,
            { email => "$name\@example.com", displayName => $name });
        $made->{status} == 201;
    });
    ($name => $made->{json}{id});
} qw(alice bob);
my $alice = token(sub => $id{alice}, scope => 'shop:users shop:orders');
my $bob = token(sub => $id{bob}, scope => 'shop:users');
my $root = token(sub => 'root', scope => 'shop:admin');

is call('GET', "/users/$id{alice}", $alice)->{json}{id}, $id{alice}, 'a user sees itself';
is call('GET', "/users/$id{alice}", $bob)->{status}, 403, '... and nobody else';
is call('GET', "/users/$id{alice}")->{status}, 401, '... not without a token';
is call('GET', "/users/$id{alice}", $root)->{status}, 200, 'an operator does';
is call('GET', "/users/$id{alice}", $bob)->{status}, 403, '... which no cache changes';
is call('DELETE', "/users/$id{alice}", $bob)->{status}, 403, 'nobody deletes another user';
is call('PUT', '/products/01900000-0000-7000-8000-000000000009', $alice,
    { name => 'P', price => 1, currency => 'EUR' })->{status}, 403, 'a user changes no product';
is call('PUT', '/products/01900000-0000-7000-8000-000000000009', $root,
    { name => 'P', price => 1, currency => 'EUR' })->{status}, 201, 'an operator does';
is call('GET', '/products/x%2Fy%20z')->{status}, 404, 'a path with escapes is bound as it is sent';
is call('GET', '/products/../products?limit=1')->{status}, 404, '... and one with dots';

# --- keys change under load -----------------------------------------------------------------------

my @clients;
for my $n (1 .. 3) {
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        my $stop = 0;
        $SIG{TERM} = sub { $stop = 1 };
        open my $out, '>', "$dir/answers-$n" or POSIX::_exit(1);
        $out->autoflush;
        while (!$stop) { print {$out} call('GET', "/users/$id{alice}", $alice)->{status}, "\n" }
        POSIX::_exit(0);
    }
    push @clients, $pid;
}
END { kill KILL => @clients if @clients }

sub answered { my $n = 0; $n += () = slurp("$dir/answers-$_") =~ /\n/g for 1 .. 3; $n }
sub more { my $n = answered() + 60; wait_for('more answers' => sub { answered() >= $n }, 60) }
wait_for('clients' => sub { 3 == grep { -e "$dir/answers-$_" } 1 .. 3 });

my $reloads = 0;
sub reload {
    configure(@_);
    $s->signal('edge', 'HUP');
    my $n = ++$reloads * 2;
    wait_for('new workers' =>
        sub { ($n) <= (() = slurp("$dir/error.log") =~ /gracefully shutting down/g) });
}

more();
reload('key=b.pem old_key=a.pem');
more();
# c is published, and signs when the backend has read it: within a minute, or after a token with an
# unknown key, as that of a stranger here.
my $stranger = Weir::Backend::Identity->new($s->dir);
sub reads { scalar(() = $s->logged('api', 'the keys of identities were read')) }
sub asks { scalar(() = slurp("$dir/jwks.log") =~ /\n/g) }
my $read = reads();
reload('key=b.pem next_key=c.pem');
is $s->get('/products', $stranger->header('GET', '/products'))->{status}, 401,
    'a stranger is not believed';
wait_for('the backend to read the keys' => sub { $read < reads() });
# Strangers can make the backend ask, but the same keys change nothing: it would verify all tokens
# again. When it asks for the second time, it has taken the first answer.
$read = reads();
my $asked = asks();
wait_for('the backend to ask twice' => sub {
    $s->get('/products', $stranger->header('GET', '/products'));
    asks() >= $asked + 2;
});
is reads(), $read, 'the same keys are not read again';
reload('key=c.pem old_key=b.pem');
more();
kill TERM => @clients;
waitpid $_, 0 for splice @clients;
my %statuses;
$statuses{$_}++ for map { split /\n/, slurp("$dir/answers-$_") } 1 .. 3;
is_deeply [keys %statuses], [200], 'no request failed while keys changed'
    or diag explain \%statuses;

# --- a key that was not published before --------------------------------------------------------

system('openssl', 'genpkey', '-quiet', '-algorithm', 'ed25519', '-out', "$dir/d.pem") == 0 or die;
chmod 0600, "$dir/d.pem";
reload('key=d.pem');
wait_for('the backend to learn of the key by itself' =>
    sub { call('GET', "/users/$id{alice}", $alice)->{status} == 200 });
pass 'an unknown key is asked for';
is $s->stop_process('api', 'TERM'), 0, 'a clean end';
is_deeply [grep { /\[(?:error|alert|crit|emerg)\]/ } split /\n/, slurp("$dir/error.log")], [],
    'no errors at the edge';

done_testing;
