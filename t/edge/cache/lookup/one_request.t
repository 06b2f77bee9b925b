# Conditions and Range of one client affect that client only: on a miss the upstream is asked for
# the whole response, and waiting requests get it.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;

my $crowd = 40;
my $body = join '', 'a' .. 'zz';

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($gate) = $path =~ m{^/([\w-]+)};
    my $conditions = join ' ', sort map { lc } $request =~ /^((?:If-[\w-]+|Range)):/mgi;
    my @fields = ($gate =~ /^private/ ? 'Cache-Control: no-store' : 'Cache-Control: max-age=600',
        'ETag: "e"', "X-Conditions: $conditions");
    return answer("$1 Status", ['Cache-Control: max-age=600'], "status $1")
        if $gate =~ /^status(\d+)/ && $n == 1;
    return "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n"
        if $request =~ /^If-None-Match: "e"/mi;
    return sub {
        Crowd::waiting($gate);
        answer('200 OK', \@fields, $path =~ /large/ ? $body x 100 : $body);
    };
});
start_edge('weir_cache_zone main 4m;', <<'SERVER');
    weir_cache main;
    weir_cache_lock_timeout 1h;
    weir_cache_valid any 1h;
    location / { proxy_pass http://UPSTREAM; }
    location /unbuffered { proxy_buffering off; proxy_pass http://UPSTREAM; }
    location /named { weir_cache_valid 412 1h; proxy_pass http://UPSTREAM; }
SERVER

for (['none-match', { 'If-None-Match' => '"e"' }, 304, ''],
    ['unbuffered', { 'If-None-Match' => '"e"' }, 304, ''],
    ['other', { 'If-None-Match' => '"x"' }, 200, $body],
    ['range', { Range => 'bytes=10-19' }, 206, substr $body, 10, 10],
    ['if-range', { Range => 'bytes=10-19', 'If-Range' => '"x"' }, 200, $body],
    ['match', { 'If-Match' => '"e"' }, 200, $body])
{
    my ($name, $headers, $status, $content) = @$_;
    hold($name);
    my @c = clients(map { ["/$name", $headers] } 1 .. $crowd);
    until_true('all are in hand', sub { busy() >= $crowd });
    until_true('the upstream is asked', sub { asked("/$name") });
    let_go($name);
    my @r = answers(@c);
    is scalar(grep { $_->{status} == $status && $_->{content} eq $content } @r), $crowd,
        "$name: $crowd clients get their $status";
    is asked("/$name"), 1, '... for one request to the upstream';
    my $r = get("/$name");
    is $r->{content}, $body, '... whose whole answer is stored';
    is $r->{headers}{'x-conditions'} // '', '', '... and which had no condition';
}

for my $path ('/large', '/unbuffered/large') {
    is get($path, { Range => 'bytes=10-19' })->{content}, substr($body, 10, 10),
        "$path: a range that ends long before the response does";
    my $r = get($path);
    is cache_status($r) =~ s/ttl=\d+/ttl/r . ' ' . ($r->{content} eq $body x 100 ? 'whole' : 'cut'),
        'Weir; hit; ttl; detail=memory whole', '... which is stored whole';
}

isnt get('/refused', { 'If-Match' => '"x"' })->{status}, 200, 'a condition that fails is obeyed';
my $r = get('/refused');
is "$r->{status} $r->{content}", "200 $body", '... and its answer is for no other request';
is get('/past', { Range => 'bytes=100000-' })->{status}, 416, 'a range past the end is refused';
is get('/past')->{content}, $body, '... and the refusal is for no other request';

is get('/private', { 'If-None-Match' => '"x"' })->{headers}{'x-conditions'} // '', '',
    'at first it is not known that a response can\'t be stored';
is get('/private', { 'If-None-Match' => '"x"' })->{headers}{'x-conditions'}, 'if-none-match',
    '... then the client\'s conditions go to the upstream';
is get('/private', { 'If-None-Match' => '"e"' })->{status}, 304, '... which may answer them';

for my $status (400, 412, 413, 416, 417, 421, 425, 428, 429, 431) {
    get("/status$status");
    is get("/status$status")->{status}, 200, "a $status is not stored";
}
is scalar(alarms()), 0, 'no alarm';
done_testing;
