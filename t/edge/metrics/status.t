# weir_status: the counters agree with the requests.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use JSON::PP;
use Scene;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    return answer('503 Oops', [], 'oops') if $path eq '/error' && $n > 1;
    return $n == 1 ? answer('200 OK', ['Age: 20', 'Cache-Control: max-age=10', 'ETag: "1"'], 'x')
        : "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=10\r\n\r\n"
        if $path eq '/old';
    return answer('200 OK',
        ['Age: 20', 'Cache-Control: max-age=10, stale-if-error=60', 'ETag: "1"'], 'x')
        if $path eq '/error';
    return answer('200 OK', ['Cache-Control: max-age=600', 'Vary: X-V'], 'x' x 1000)
        if $path =~ /vary/;
    return answer('200 OK', ['Cache-Control: max-age=600', 'Cache-Tag: t'], 'x' x 1000);
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_request_control obey;
    weir_cache_zone "a zone" 1m redis=main;
    weir_cache_zone alone 1m;
HTTP
    weir_cache "a zone";
    weir_cache_bypass $arg_bypass;
    location /       { proxy_pass http://UPSTREAM; }
    location /l2     { weir_cache "a zone" l1=off; proxy_pass http://UPSTREAM; }
    location /alone  { weir_cache alone; proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER

sub status { decode_json(get('/status')->{content})->{caches} }

my $r = get('/status');
is "$r->{status} $r->{headers}{'content-type'}", '200 application/json', 'the status is JSON';
my $before = status();
is_deeply [sort keys %$before], ['a zone', 'alone'], 'with every zone';

get('/a') for 1 .. 3;
get('/l2') for 1 .. 3;
get('/a?bypass=1');
request('POST', '/a', {}, 'x');
get('/vary', { 'X-V' => $_ }) for 1, 2;
get('/old') for 1, 2;
get('/error') for 1, 2;
get('/other', { 'Cache-Control' => 'no-cache' }) for 1, 2;
get('/alone') for 1, 2;

my $zone = status()->{'a zone'};
is_deeply $zone->{hits}, { memory => 2, redis => 2 }, 'hits by level';
is_deeply $zone->{forwarded},
    { 'uri-miss' => 6, miss => 0, 'vary-miss' => 1, stale => 2, request => 1, bypass => 1,
        method => 1 },
    'forwarded requests by reason';
is $zone->{revalidated}, 1, 'validations';
is $zone->{stale_if_error}, 1, 'stale answers instead of errors';
cmp_ok $zone->{entries}, '>=', 6, 'entries';
cmp_ok $zone->{bytes}, '>', 3000, 'and their bytes';
cmp_ok $zone->{size}, '>', $zone->{bytes}, 'of those there are';
is $zone->{recovered}, 0, 'nothing had to be recovered';
cmp_ok $zone->{invalidations}{applied}, '>=', 1, 'the POST invalidated its target';
redis('XADD', 'weir:invalidate', '1900000000000-7', 'tags', 't');
until_true('the position is that of the stream', sub {
    status()->{'a zone'}{invalidations}{position} eq '1900000000000-7';
});
ok status()->{'a zone'}{invalidations}{follower} > 1, 'the follower is named';
is status()->{alone}{hits}{memory}, 1, 'each zone has its own counters';
is status()->{alone}{invalidations}{follower}, 0, 'a zone without Redis follows nothing';
is request('POST', '/status', {}, 'x')->{status}, 405, 'only GET and HEAD';
is request('HEAD', '/status')->{status}, 200, '... both';
redis('DEL', 'weir:invalidate', 'weir:era');

done_testing;
