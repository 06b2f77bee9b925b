# The effects of Cache-Control of clients and of X-Accel-Expires; tags are not sent to clients.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @fields = ("X-Answer: $n");
    push @fields,
        $path =~ m{^/accel/([^/]+)/([^/?]+)}
            ? ("X-Accel-Expires: $1", 'Cache-Control: ' . $2 =~ tr/_/ /r)
            : 'Cache-Control: max-age=600';
    push @fields, 'X-Accel-Redirect: /behind', 'X-Accel-Expires: ' . ($path =~ /zero/ ? 0 : 60)
        if $path =~ m{^/leads};
    push @fields, 'Cache-Tag: red, green', 'Cache-Tag: blue', 'Weir-Invalidate: none'
        if $path =~ m{^/(?:tags|exposed)};
    return answer('200 OK', \@fields, "answer $n");
});

start_edge('weir_cache_zone z 1m redis=main;', <<'SERVER');
    weir_cache z;
    location /         { proxy_pass http://UPSTREAM; }
    location /obey     { weir_cache_request_control obey; proxy_pass http://UPSTREAM; }
    location /young    { weir_cache_request_control refresh=1h; proxy_pass http://UPSTREAM; }
    location /old      { weir_cache_request_control refresh=1ms; proxy_pass http://UPSTREAM; }
    location /exposed  { weir_cache_expose_tags on; proxy_pass http://UPSTREAM; }
    location /behind   { internal; proxy_pass http://UPSTREAM; }
    location /purge    { weir_cache_purge on; proxy_pass http://UPSTREAM; }
    location /not {
        weir_cache_ignore_headers X-Accel-Expires;
        proxy_pass http://UPSTREAM/accel;
    }
    location /soft     { weir_cache_purge on; proxy_pass http://UPSTREAM; }
SERVER

# --- weir_cache_request_control ---

my @refusals = ({ 'Cache-Control' => 'no-cache' }, { 'Cache-Control' => 'max-age=0' },
    { Pragma => 'no-cache' },
    { 'Cache-Control' => 'min-fresh=5000' },
    { 'Cache-Control' => 'no-cache, max-age=0, min-fresh=9999' });
for (['/plain', 1, 'by default'], ['/young', 1, 'with refresh= and a younger response'],
    ['/obey', 1 + @refusals, 'with obey'],
    ['/old', 1 + @refusals, 'with refresh= and an older response'])
{
    my ($path, $asked, $when) = @$_;
    get($path);
    for my $headers (@refusals) {
        # its clock is to go on by more than 1 ms
        select undef, undef, undef, 0.003 if $path eq '/old';
        get($path, $headers);
    }
    is asked($path), $asked, "$when the upstream is asked $asked times";
}
is get('/plain/none', { 'Cache-Control' => 'only-if-cached' })->{status}, 504,
    'only-if-cached is obeyed';
get('/plain/secret', { 'Cache-Control' => 'no-store' });
is cache_status(get('/plain/secret')), 'Weir; fwd=uri-miss; fwd-status=200; stored',
    'no-store is obeyed: nothing is kept';
like cache_status(get('/plain/secret', { 'Cache-Control' => 'no-store' })), qr/; hit;/,
    '... and does not have the upstream asked again';

# --- X-Accel-Expires ---

my $soon = time + 600;
for (['60', 'no-store', 1], ['60', 'private', 1], ["\@$soon", 'max-age=0', 1],
    ['@99999999999', 'no-cache', 1],
    ['0', 'max-age=600', 0], ['@1', 'max-age=600', 0], ['soon', 'max-age=600', 1],
    ['soon', 'no-store', 0], ['-1', 'max-age=600', 1])
{
    my ($accel, $cc, $stored) = @$_;
    my $path = "/accel/$accel/$cc";
    my $r = get($path);
    is $r->{headers}{'x-accel-expires'}, undef, "X-Accel-Expires: $accel does not reach the client";
    my $status = cache_status(get($path));
    if ($stored) {
        like $status, qr/; hit;/, "... beside $cc it is stored";
    } else {
        is $status, 'Weir; fwd=uri-miss; fwd-status=200', "... beside $cc it is not stored";
    }
}
like cache_status(get('/accel/60/max-age=5')), qr/fwd=/, 'asked for';
like cache_status(get('/accel/60/max-age=5')), qr/hit; ttl=(?:60|59|58);/, '... its seconds count';
get('/not/60/no-store');
unlike cache_status(get('/not/60/no-store')), qr/hit/, 'weir_cache_ignore_headers ignores it';

get('/leads/zero') for 1 .. 2;
is asked('/behind'), 2,
    'X-Accel-Expires: 0 of an answer that leads elsewhere holds for what is there';
get('/leads/sixty') for 1 .. 2;
is asked('/behind'), 3, '... and other times do not';

# --- tags ---

for my $n (1, 2) {
    my $r = get('/tags');
    is_deeply [@{ $r->{headers} }{'cache-tag', 'weir-invalidate'}], [undef, undef],
        'tags do not reach clients, ' . ($n == 1 ? 'on a miss' : 'nor on a hit');
    $r = get('/exposed');
    is_deeply $r->{headers}{'cache-tag'}, ['red, green', 'blue'],
        '... but with weir_cache_expose_tags';
}
request('PURGE', '/purge', { 'Cache-Tag' => 'blue' });
unlike cache_status(get('/tags')), qr/; hit/, '... and are known to the cache';

# --- Cache-Status ---

get('/soft');
request('PURGE', '/soft', { 'Weir-Soft' => 1 });
like cache_status(get('/soft')), qr/; hit; ttl=.*detail=soft-invalidated$/,
    'Cache-Status says that it is a soft invalidation';

done_testing;
