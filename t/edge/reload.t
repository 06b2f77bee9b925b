# A reload with another build of the module runs that build, which never reads the old build's
# shared memory.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../lib";
use File::Basename 'dirname';
use HTTP::Tiny;
use Test::More;
use Weir::Processes;
use Weir::Redis 'redis_parameters';

plan skip_all => 'needs the processes of a plain nginx' if $ENV{WEIR_NGINX};

my $root = "$Bin/../..";
my ($module, @probes) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $port = free_port();
my $login = redis_parameters(dirname($ENV{TEST_NGINX_REDIS_SOCK}));
my $log = "$dir/logs/error.log";
spit("$dir/login.jwks", '{"keys":[{"kty":"OKP","crv":"Ed25519",'
        . '"x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}');
my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);
mkdir "$dir/logs";

# Another build: it has another build ID, and says "Caches" where this one says "caches".
sub other_build {
    my $name = shift;
    my $bytes = slurp($module);
    my ($id) = `LC_ALL=C readelf -n $module` =~ /Build ID: ([0-9a-f]+)/ or die 'no build ID';
    my $new = pack 'H*', $id;
    substr $new, 0, 1, $name;
    $bytes =~ s/\Q${\ pack 'H*', $id}\E/$new/ or die 'the build ID is not in the object';
    $bytes =~ s/"caches":\{/"Caches":{/ or die 'weir_status has no "caches"';
    spit("$dir/$name.so", $bytes);
    return "$dir/$name.so";
}

sub configure {
    my ($so, $more) = @_;
    $more //= '';
    my $temp = temp_paths($dir);
    spit("$dir/nginx.conf", <<"CONF");
daemon off;
pid $dir/pid;
error_log $log info;
worker_processes 1;
load_module $so;
$more
events {}
http {
$temp
    access_log off;
    weir_breaker_zone upstreams 1m;
    weir_limit_zone slots 1m;
    weir_cache_zone answers 1m;
    weir_metrics_zone 1m;
    weir_exporter otlp http://127.0.0.1:9;
    weir_redis main unix:$ENV{TEST_NGINX_REDIS_SOCK} $login;
    weir_jwt_issuer login { issuer i; audience a; jwks $dir/login.jwks; }
    weir_jwt_revocation redis=main;
    weir_flags redis=main;
    weir_jwt_dpop origin=https://api.example;
    server {
        listen 127.0.0.1:$port;
        location /bound { weir_jwt login bound=dpop; return 204; }
        location /cached/ { weir_cache answers; proxy_pass http://127.0.0.1:$port/fresh/; }
        location /fresh/ { expires 1h; return 200 \$request_id; }
        location /broken {
            weir_breaker zone=upstreams failures=1 open=1h;
            weir_limit zone=slots concurrent=5;
            proxy_pass http://127.0.0.1:$port/fails;
        }
        location /fails { return 500; }
        location /status { weir_status; }
        location /tokens { weir_jwt login; return 204; }
        @{[$more ? 'location /probe { weir_cache answers; weir_cache_probe on; }' : '']}
    }
}
CONF
}

sub get {
    my $response = $http->get("http://127.0.0.1:$port$_[0]");
    "$response->{status} $response->{content}";
}
sub workers {
    my $pid = $pid{nginx};
    join ' ', sort split ' ', slurp("/proc/$pid/task/$pid/children");
}

# Until the old workers have left, or the configuration was refused.
sub reload {
    my ($old, $from) = (workers(), -s $log);
    kill 'HUP', $pid{nginx};
    until_true('nginx has read its configuration', sub {
        return 'refused' if log_lines($log, qr/\[emerg\]/, $from);
        my $now = workers();
        return $now && !grep { $now =~ /\b$_\b/ } split ' ', $old;
    });
    return join "\n", log_lines($log, qr/\[emerg\]/, $from);
}

sub broken { get('/broken') =~ /^(\d+)/; $1 }

configure($module);
spawn_nginx('nginx', $dir);
until_true('nginx listens', sub { listens($port) });
like slurp($log), qr/\[notice\].* Weir \d+\.\d+\.\d+$/m, 'the log names the version at the start';

my $first = get('/cached/a');
broken();
is get('/cached/a'), $first, 'a response is stored';
is broken(), 503, 'and a breaker is open';
like get('/status'), qr/"caches":/, 'this build says "caches"';

is reload(), '', 'a reload with the same build';
is get('/cached/a'), $first, '... keeps the cache';
is broken(), 503, '... and the breaker';

for my $name (qw(x y)) {
    configure(other_build($name));
    is reload(), '', "a reload with another build, $name";
    like get('/status'), qr/"Caches":/, '... runs the other build';
    my $second = get('/cached/a');
    isnt $second, $first, '... begins with an empty cache';
    is get('/cached/a'), $second, '... which works';
    is broken(), 500, '... and with closed breakers';
    is broken(), 503, '... which work';
    $first = $second;
}

# The linker does not look into a file that it has an object of.
is scalar(log_lines($log, qr/was replaced/)), 0, 'no file was replaced so far';
spit("$dir/y.so", slurp($module));
my $before = get('/cached/a');
is reload(), '', 'a reload with another build at the same path';
is get('/cached/a'), $before, '... goes on with the old one';
like slurp($log), qr/\[warn\].* the file "\Q$dir\E\/y\.so" was replaced/, '... and says so';

# The stamp itself, for memory that nginx hands over although another build made it.
my ($probe) = grep { /cache_probe/ } @probes;
stop('nginx', 'QUIT');
configure($module, "load_module $probe;");
spawn_nginx('nginx', $dir);
until_true('nginx listens again', sub { listens($port) });
$first = get('/cached/a');
my @sources = glob "$root/ngx_module/*/*.c $root/ngx_module/*/*/*.c";
my $zones = () = join('', map { slurp($_) } @sources)
    =~ /ngx_shared_memory_add\(cf, [^;]*size,/g;
# The zone of an issuer's keys has a hash of their place in its name.
my $hash = `/usr/bin/python3 -c 'import hashlib
d = hashlib.blake2b(b"$dir/login.jwks", digest_size=8, person=b"weir jwks").digest()
print("%016x" % int.from_bytes(d, "little"), end="")'`;
my @zones = (qw(answers upstreams slots weir_exporter:protobuf weir_metrics:LAYOUT weir_jwt:LAYOUT),
    "weir_jwt_issuer:login:$hash", 'weir_jwt_revocation:LAYOUT:main',
    'weir_flags:LAYOUT:main', 'weir_jwt_dpop:LAYOUT');
my $layout;
is $zones, scalar @zones, 'every kind of zone is tried';
for my $zone (@zones) {
    $zone =~ s/LAYOUT/$layout/;
    get("/probe?stamp=$zone");
    my $layouts = qr/layout [0-9a-f]{16}, this one has [0-9a-f]{16}/;
    my $why = qr/shared memory zone "$zone" was made by another build of Weir/;
    my $said = reload();
    like $said, qr/\[emerg\].*$why \($layouts\)/,
        "$zone: a stamp of another layout is refused";
    ($layout) = $said =~ /this one has ([0-9a-f]{16})/;
    is get('/cached/a'), $first, '... and the old configuration stays';
    get("/probe?stamp=$zone");
    is reload(), '', '... and with the right stamp it is taken';
    is get('/cached/a'), $first, '... with what is in it';
}
stop('nginx', 'QUIT');
unlike slurp($log), qr/\[(alert|crit)\]|exited on signal/, 'no process died';

done_testing;
