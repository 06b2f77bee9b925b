# What a breaker does by degrees: slow answers have a ratio, the open time grows, a ramp ends it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes ();
use Weir::Processes;
use Weir::Upstream;

start_upstream(sub {
    my $path = shift;
    return answer('500 Internal Server Error', [], '') if $path =~ m{/fail};
    return sub { Time::HiRes::sleep(0.3); answer('200 OK', [], 'late') } if $path =~ m{/late};
    return sub { sleep 60; '' } if $path =~ m{/hang};
    return answer('200 OK', [], 'ok');
});

my $edge = free_port();
mkdir "$dir/edge";
mkdir "$dir/edge/logs";
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = temp_paths("$dir/edge");
my $pass = 'proxy_pass http://' . upstream() . ';';
my $late = 'open=1h failures=3 slow=100ms slow_ratio=50% min=4';
spit("$dir/edge/nginx.conf", <<"EOF2");
daemon off;
pid $dir/edge/pid;
error_log $dir/edge/logs/error.log info;
load_module $module;
worker_processes 2;
events { worker_connections 1024; }
http {
    $temp
    access_log off;
    weir_breaker_zone degrees 1m;
    server {
        listen 127.0.0.1:$edge;
        location = /status { weir_status; }
        location /slow/ { weir_breaker zone=degrees key=slow $late; $pass }
        location /few/ { weir_breaker zone=degrees key=few $late; $pass }
        location /mixed/ {
            weir_breaker zone=degrees key=mixed $late;
            proxy_read_timeout 200ms;
            $pass
        }
        location /grows/ {
            weir_breaker zone=degrees key=grows failures=1 open=50ms max_open=10s;
            $pass
        }
        location /long/ { weir_breaker zone=degrees key=long failures=1 open=50ms ramp=1h; $pass }
        location /short/ {
            weir_breaker zone=degrees key=short failures=1 open=50ms ramp=200ms;
            $pass
        }
    }
}
EOF2
spawn_nginx('edge', "$dir/edge");
until_true('the edge listens', sub { listens($edge) });

my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
sub get { $http->get("http://127.0.0.1:$edge$_[0]") }
sub codes { [map { get($_)->{status} } @_] }
sub breaker { decode_json(get('/status')->{content})->{breakers}{degrees}{keys}{ $_[0] } }

# --- slow answers ----------------------------------------------------------------------------
is_deeply codes(qw(/slow/ok /slow/ok /slow/late /slow/late /slow/ok)), [200, 200, 200, 200, 503],
    'half of four answers were late: the breaker is open';
is breaker('slow')->{reason}, 'slow ratio 0.50 of 4 in 10 s; last: a slow answer', 'the reason';
is_deeply codes(('/few/ok') x 3, '/few/late', '/few/late', '/few/ok'), [(200) x 6],
    'less than half does not open it';
is_deeply [@{ breaker('few') }{qw(calls failed slow)}], [6, 0, 2], 'late answers are no failures';
is_deeply codes('/mixed/ok', '/mixed/late', '/mixed/ok', '/mixed/late', '/mixed/ok'),
    [200, 504, 200, 504, 503], 'timeouts are failures';
is breaker('mixed')->{reason}, 'ratio 0.50 of 4 in 10 s, 2 timeouts; last: a timeout',
    'they are named';

# --- the open time ---------------------------------------------------------------------------
is get('/grows/fail')->{status}, 500, 'an upstream fails';
cmp_ok breaker('grows')->{retry_after_ms} // 0, '<=', 50, 'it is open for the time that is set';
my $longest = 0;
until_true('it fails again and again: the time grows', sub {
    get('/grows/fail');
    my $ms = breaker('grows')->{retry_after_ms} // 0;
    $longest = $ms if $ms > $longest;
    return $longest > 200;
});
cmp_ok $longest, '<=', 10_000, 'not beyond its limit';

# --- the ramp --------------------------------------------------------------------------------
is get('/long/fail')->{status}, 500, 'an upstream fails';
until_true('its probe succeeds', sub { get('/long/ok')->{status} == 200 });
is breaker('long')->{state}, 'ramping', 'the breaker is ramping';
my $refused = get('/long/ok');
is $refused->{status}, 503, 'at the beginning of an hour nearly none pass';
is $refused->{headers}{'retry-after'}, 1, 'but soon more will';

is get('/short/fail')->{status}, 500, 'an upstream fails';
until_true('its probe succeeds', sub { get('/short/ok')->{status} == 200 });
until_true('at the end of the ramp it is closed', sub {
    return get('/short/ok')->{status} == 200 && breaker('short')->{state} eq 'closed';
});
my @closed;
until_true('the log says so', sub {
    @closed = log_lines("$dir/edge/logs/error.log", qr/"short" .* is closed, was ramping/);
});
is scalar(@closed), 1, 'which the log says, once';

done_testing;
