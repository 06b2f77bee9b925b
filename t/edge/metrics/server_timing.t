# weir_server_timing tells the client what the time until the header went into.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use List::Util 'sum';
use Scene;
use Test::More;
use Time::HiRes 'sleep';

start_upstream(sub {
    my ($path) = @_;
    return sub { sleep 0.2; return answer('200 OK', ['Server-Timing: db;dur=7'], 'x') }
        if $path =~ /slow/;
    return answer('200 OK', ['Cache-Control: max-age=600'], 'x');
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone memory 1m;
    log_format times '$request_uri $weir_times';
HTTP
    weir_server_timing on;
    access_log logs/times.log times;
    location / { weir_cache memory; proxy_pass http://UPSTREAM; }
    location /off { weir_server_timing off; proxy_pass http://UPSTREAM; }
    location /none { return 204; }
    location /led { error_page 404 = /slow; return 404; }
SERVER

# {phase => ms} of each line of the field.
sub timings {
    my $field = shift->{headers}{'server-timing'};
    return map { { map { /^(\w+);dur=([\d.]+)$/ ? ($1 => $2) : ($_ => 'malformed') } split /, / } }
        ref $field ? @$field : $field // ();
}

my ($db, $time) = timings(get('/slow'));
is_deeply $db, { db => 7 }, "the upstream's own line remains";
cmp_ok $time->{upstream}, '>=', 200, 'the upstream is found in it';
cmp_ok abs(sum(map { $time->{$_} } grep { $_ ne 'total' } keys %$time) - $time->{total}), '<', 0.01,
    'the phases add up to the total';
ok !exists $time->{send}, 'what comes behind the header is not in it';

get('/a');
($time) = timings(get('/a'));
ok exists $time->{lookup} && !exists $time->{upstream}, 'a hit was looked up';

is_deeply [timings(get('/off'))], [], 'a location may switch it off';
is scalar(timings(get('/none'))), 1, 'responses of nginx have it, too';
my (@lines) = timings(get('/led'));
cmp_ok $lines[-1]{upstream}, '>=', 200, 'and those of an error_page';

is scalar(logged(qr/\[(?:emerg|crit|alert)\]/)), 0, 'no alarm';
done_testing;
