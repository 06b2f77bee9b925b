# $weir_times: the phases that a request has spent time in add up, and waiting is
# found in the phase that waited.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/cache", "$Bin/../lib";
use List::Util 'sum';
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Processes;

# Answers after the seconds that the path ends with, or when the test says so.
start_upstream(sub {
    my ($path) = @_;
    if ($path eq '/stored-held') {
        return sub {
            until_true('the upstream may answer', sub { -e "$dir/go" });
            return answer('200 OK', ['Cache-Control: max-age=600'], 'body');
        };
    }
    my ($seconds) = $path =~ /-([\d.]+)$/;
    my @fields = ('Cache-Control: max-age=' . ($path =~ /stored/ ? 600 : 0),
        'Content-Type: application/json');
    return answer('200 OK', \@fields, 'body') if !$seconds;
    return sub { sleep $seconds; return answer('200 OK', \@fields, 'body') };
});
my $dead = free_port();

start_edge(<<"HTTP", <<"SERVER");
    log_format times '\$request_uri \$weir_times';
    weir_cache_zone memory 1m;
    weir_cache_zone shared 1m redis=main;
    weir_breaker_zone breakers 256k;
    weir_api shop { media_type application/vnd.shop; versions 1; default 1; }
    upstream some { server 127.0.0.1:$dead; server UPSTREAM backup; }
HTTP
    access_log logs/times.log times;
    location / {
        weir_version shop;
        weir_breaker zone=breakers;
        weir_cache memory;
        proxy_pass http://UPSTREAM;
    }
    location /shared/ { weir_cache shared; proxy_pass http://UPSTREAM; }
    location /plain/ { proxy_pass http://UPSTREAM; }
    location /tried/ { proxy_pass http://some; }
    location /led { error_page 404 = /plain/there-0.2; return 404; }
    location /static { return 204; }
    location /connections { stub_status; }
SERVER

# The times of the request to that path, once it is logged, the last one's.
sub spent {
    my $path = shift;
    my @lines;
    until_true("$path is logged", sub {
        @lines = log_lines("$dir/logs/times.log", qr/^\Q$path\E /);
    });
    return { map { split /=/ } grep { /=/ } split ' ', $lines[-1] };
}

# The phases add up, except for rounding.
sub adds_up {
    my ($time, $what) = @_;
    my @phases = grep { !/^(?:connect|tries|total)$/ } keys %$time;
    cmp_ok abs(sum(@$time{@phases}) - $time->{total}), '<=', 0.001 * @phases + 0.0001,
        "$what: the phases add up to the total";
}

get('/stored-0.2');
my $time = spent('/stored-0.2');
adds_up($time, 'a miss');
cmp_ok $time->{upstream}, '>=', 200, 'waiting for the upstream is found there';
ok exists $time->{$_}, "... and there is $_" for qw(nginx version lookup breaker response);
ok !exists $time->{$_}, "... and no $_" for qw(redis turn tries);

truncate "$dir/logs/times.log", 0;
get('/stored-0.2');
$time = spent('/stored-0.2');
adds_up($time, 'a hit');
ok exists $time->{lookup} && exists $time->{response}, 'a hit was looked up and sent';
ok !exists $time->{$_}, "... and there is no $_" for qw(upstream breaker redis turn);

# Redis does not answer before the pause is over.
redis('CLIENT', 'PAUSE', 2000, 'ALL');
get('/shared/one');
$time = spent('/shared/one');
adds_up($time, 'a miss behind a slow Redis');
cmp_ok $time->{redis}, '>=', 100, 'waiting for Redis is found there';

# The second request comes while the first one's upstream has not answered.
sub waiting { get('/connections')->{content} =~ /Active connections: (\d+)/ or die; return $1 - 1 }
for my $client (1, 2) {
    spawn("client $client", sub { get('/stored-held'); POSIX::_exit(0) });
    until_true("$client requests wait", sub { waiting() == $client });
}
spit("$dir/go", '');
my @both;
until_true('both are logged', sub {
    2 == (@both = log_lines("$dir/logs/times.log", qr{^/stored-held}));
});
is scalar(grep { /turn=/ } @both), 1, 'waiting for what another request fetches is found there';
is scalar(grep { /upstream=/ } @both), 1, '... and one has asked the upstream';

get('/plain/there-0.2');
cmp_ok spent('/plain/there-0.2')->{upstream}, '>=', 200,
    'an upstream without cache and breaker is measured, too';

get('/led');
$time = spent('/led');
cmp_ok $time->{upstream}, '>=', 200, 'a location that an error_page led to is the same request';
adds_up($time, '... whose phases');

get('/tried/it');
is spent('/tried/it')->{tries}, 2, 'two servers were tried';

get('/static');
ok !exists spent('/static')->{upstream}, 'a request without an upstream has no time of it';

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
