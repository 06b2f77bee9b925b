# What a response invalidates is invalid wherever the response goes: to the client, to another
# location, or nowhere (a background refresh); and whichever upstream has answered the write.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $write = $request !~ /^GET/;
    my $red = 'Weir-Invalidate: red';
    return answer('200 OK', ["X-Accel-Redirect: /$1", $red], '') if $path =~ m{^/leads-to-(\w+)};
    return answer('302 Found', ['Location: /created', $red], '') if $path =~ m{^/moved} && $write;
    return answer('201 Created', ['Location: /created'], '') if $path eq '/' && $write;
    my @fields = 'Cache-Control: max-age=600';
    push @fields, 'Cache-Tag: red' if $path eq '/red';
    if ($path =~ m{^/refreshed}) {
        @fields = 'Cache-Control: max-age=0, stale-while-revalidate=600';
        push @fields, $red if $n > 1;
    }
    return answer('200 OK', \@fields, "answer $n");
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_zone z 2m redis=main;
    upstream writer { server UPSTREAM; }
HTTP
    weir_cache z;
    location / { proxy_pass http://UPSTREAM; }
    location /text { internal; weir_cache off; return 200 "text\n"; }
    location /page { internal; proxy_pass http://UPSTREAM; }
    location /moved {
        proxy_intercept_errors on;
        error_page 302 = /text;
        proxy_pass http://UPSTREAM;
    }
    location /parted-if {
        if ($request_method = POST) { proxy_pass http://writer; }
        proxy_pass http://UPSTREAM;
    }
    location /parted-limit {
        limit_except GET { proxy_pass http://writer; }
        proxy_pass http://UPSTREAM;
    }
    location = / { weir_cache_key http://$host$request_uri; proxy_pass http://UPSTREAM; }
    location = /created { weir_cache_key http://$host$request_uri; proxy_pass http://UPSTREAM; }
SERVER

sub hit { cache_status(get(shift)) =~ /^Weir; hit;/ }
sub fill { my $path = shift; get($path) for 1, 2; ok hit($path), "$path is stored" }

for my $path ('/leads-to-text', '/leads-to-page', '/moved') {
    fill('/red');
    fill('/moved') if $path eq '/moved';
    fill('/created') if $path eq '/moved';
    request('POST', $path);
    ok !hit('/red'), "Weir-Invalidate in a response that leads elsewhere ($path)";
    ok !hit('/moved'), '... and the target of the write' if $path eq '/moved';
}


fill('/red');
get('/refreshed');
get('/refreshed');
until_true('the refresh was asked for', sub { asked('/refreshed') == 2 });
until_true('Weir-Invalidate in the response to a refresh', sub { !hit('/red') });

for my $path ('/parted-if', '/parted-limit') {
    fill($path);
    request('POST', $path);
    ok !hit($path), "$path: a write that another upstream answers";
}

fill('/created');
request('POST', '/');
ok !hit('/created'), 'Location is found in a key with "://"';

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'no alarm';
done_testing;
