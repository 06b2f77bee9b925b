# The first level alone: hits from shared memory by any worker, and the effect of a reload, a
# larger number of workers or another size.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;

my $text = join '',
    map { "line $_ of a text that is long enough to be worth compressing\n" } 1 .. 200;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my @fresh = ('Cache-Control: max-age=600', 'Content-Type: text/plain');
    return answer('200 OK', [@fresh, 'ETag: "e1"', 'Last-Modified: Mon, 01 Jan 2024 10:00:00 GMT'],
        $text)
        if $path =~ /text/;
    return answer('200 OK', [@fresh, 'Vary: Accept-Language'],
        "answer $n in " . (($request =~ /^Accept-Language: (\w+)/mi)[0] // 'none'))
        if $path =~ /vary/;
    return answer('200 OK', \@fresh, "answer $n " . 'x' x $1) if $path =~ m{/size/(\d+)};
    return "HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n\r\n" . "answer $n " . 'x' x $1
        if $path =~ m{/open/(\d+)};
    return answer('200 OK', \@fresh, "answer $n");
});

my ($http, $server) = (<<'HTTP', <<'SERVER');
    weir_cache_zone memory 4m;
    weir_cache_zone other 1m;
    gzip_min_length 100;
    gzip_types text/plain;
HTTP
    weir_cache memory;
    location /      { proxy_pass http://UPSTREAM; }
    location /other { weir_cache other; weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /same  { weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /gzip  { gzip on; proxy_pass http://UPSTREAM; }
    location /twice { weir_cache_min_uses 2; proxy_pass http://UPSTREAM; }
    location /three { weir_cache_min_uses 3; proxy_pass http://UPSTREAM; }
    location /small { weir_cache_max_size 1000; proxy_pass http://UPSTREAM; }
SERVER
start_edge($http, $server, daemon => 1);

sub hit { cache_status($_[0]) =~ /^Weir; hit; ttl=\d+; detail=memory$/ }

# --- what nginx makes of a hit ---

is cache_status(get('/text')), 'Weir; fwd=uri-miss; fwd-status=200; stored',
    'without Redis a miss is stored';
my $r = get('/text');
ok hit($r), 'and is a hit from memory';
is $r->{content}, $text, 'with its body';
is at_rest('memory')->{entries}, 1, 'the zone has one entry';

$r = request('HEAD', '/text');
is "$r->{status} $r->{headers}{'content-length'} '$r->{content}'", '200 ' . length($text) . " ''",
    'HEAD of a hit has the length and no body';
ok hit($r), '... and is a hit';

$r = get('/text', { 'If-None-Match' => '"e1"' });
is "$r->{status} '$r->{content}'", "304 ''", 'If-None-Match of a hit is a 304';
is $r->{headers}{etag}, '"e1"', '... with the ETag';
is get('/text', { 'If-None-Match' => '"e2"' })->{status}, 200, '... unless it is another ETag';
is get('/text', { 'If-Modified-Since' => 'Mon, 01 Jan 2024 10:00:00 GMT' })->{status}, 304,
    'If-Modified-Since of a hit is a 304';
is get('/text', { 'If-Modified-Since' => 'Sun, 31 Dec 2023 10:00:00 GMT' })->{status}, 200,
    '... unless it was modified since';
is get('/text', { 'If-Match' => '"e2"' })->{status}, 412, 'If-Match that does not is a 412';

$r = get('/text', { Range => 'bytes=5-9' });
is "$r->{status} $r->{content} $r->{headers}{'content-range'}",
    '206 ' . substr($text, 5, 5) . ' bytes 5-9/' . length $text, 'a range is cut out of a hit';
is get('/text', { Range => 'bytes=-10' })->{content}, substr($text, -10), '... also from the end';
$r = get('/text', { Range => 'bytes=0-1,4-5' });
is $r->{status}, 206, '... and several';
like $r->{headers}{'content-type'}, qr{^multipart/byteranges}, '... in parts';
is get('/text', { Range => 'bytes=99999999-' })->{status}, 416, 'one past the end is a 416';
is get('/text', { Range => 'bytes=0-1', 'If-Range' => '"e1"' })->{status}, 206,
    'If-Range that matches';
is get('/text', { Range => 'bytes=0-1', 'If-Range' => '"e2"' })->{status}, 200,
    '... and one that does not';
is asked('/text'), 1, 'for all this the upstream was asked once';

get('/gzip/text');
$r = get('/gzip/text', { 'Accept-Encoding' => 'gzip' });
is $r->{headers}{'content-encoding'}, 'gzip', 'a hit is compressed on its way out';
open my $out, '>', "$dir/body.gz" or die $!;
print $out dechunk($r);
close $out;
is `gzip -dc $dir/body.gz`, $text, '... and is the same when unpacked';
is get('/gzip/text')->{content}, $text, '... which who does not ask for it does not get';
is asked('/gzip/text'), 1, 'one entry serves both';

sub dechunk {
    my $r = shift;
    return $r->{content} if ($r->{headers}{'transfer-encoding'} // '') ne 'chunked';
    my ($bytes, $rest) = ('', $r->{content});
    while ($rest =~ s/^([0-9a-f]+)\r\n//i) {
        my $n = hex $1 or last;
        $bytes .= substr $rest, 0, $n;
        substr($rest, 0, $n + 2) = '';
    }
    return $bytes;
}

# --- which requests share an entry ---

get('/other/a');
is get('/same/a')->{content}, 'answer 1', 'one key in two zones is two entries';
is get('/same/b')->{content}, 'answer 1', '... and in one zone one';
is asked('/same/b'), 0, '... for which no upstream was asked';
for my $language ('de', 'en') { get('/vary', { 'Accept-Language' => $language }) for 1, 2 }
is get('/vary', { 'Accept-Language' => $_ })->{content},
    'answer ' . ($_ eq 'de' ? 1 : 2) . " in $_", "the variant $_ is a hit"
    for 'de', 'en';
is asked('/vary'), 2, 'each variant was asked for once';

# --- weir_cache_min_uses ---

unlike cache_status(get('/twice/a')), qr/stored/,
    'weir_cache_min_uses 2: the first use is not stored';
like cache_status(get('/twice/a')), qr/stored/, '... the second is';
ok hit(get('/twice/a')), '... and the third is a hit';
get('/three/a') for 1 .. 3;
ok hit(get('/three/a')), 'weir_cache_min_uses 3: the fourth is a hit';
is asked('/three/a'), 3, '... after three';
get('/twice/vary', { 'Accept-Language' => 'de' }) for 1 .. 2;
unlike cache_status(get('/twice/vary', { 'Accept-Language' => 'en' })), qr/stored/,
    'another variant is counted for itself';
get('/twice/vary', { 'Accept-Language' => 'en' }) for 1 .. 2;
ok hit(get('/twice/vary', { 'Accept-Language' => $_ })), "... and the variant $_ is a hit then"
    for 'de', 'en';

# --- sizes ---

my $largest = int(probe('memory')->{size} / 8);
for my $size ($largest - 1000, $largest + 1) {
    for my $kind ('size', 'open') {
        my $path = "/$kind/$size";
        my ($first, $second) = map { get($path) } 1, 2;
        is length dechunk($first), $size + 9, "$path comes whole";
        is hit($second) ? 1 : 0, $size < $largest ? 1 : 0,
            $size < $largest ? '... and is a hit'
                : '... and, more than an eighth of the zone, is not stored';
        is length dechunk($second), $size + 9, '... and comes whole again';
    }
}
get("/small/size/$_") for 900, 1100;
ok hit(get('/small/size/900')), 'weir_cache_max_size: a smaller body is stored';
ok !hit(get('/small/size/1100')), '... a larger one is not';

# --- several workers, reloads ---

sub every_worker {
    my ($path, $n) = @_;
    my %seen;
    my $misses = 0;
    until_true("$n workers have answered", sub {
        $misses += !hit(get($path)) for 1 .. 10;
        $seen{ probe('memory')->{pid} } = 1 for 1 .. 10;
        return keys %seen >= $n;
    });
    return $misses;
}

reload($http, $server, workers => 4, spread => 1, daemon => 1);
is every_worker('/text', 4), 0, 'what one worker has stored, four serve after a reload';
is get('/text', { Range => 'bytes=0-3' })->{content}, 'line', '... with all that belongs to it';

# tables for pins are made for four times the workers that there were at first
reload($http, $server, workers => 10, spread => 1, daemon => 1);
is every_worker('/text', 10), 0, 'so do ten, who are more than the zone was made for';
my ($stored, $hits) = (0, 0);
for my $n (1 .. 60) {
    $stored += cache_status(get("/many/$n")) =~ /stored/;
    $hits += hit(get("/many/$n"));
}
is "$stored $hits", '60 60', '... and each of them stores';
is at_rest('memory')->{wrong}, 'nothing', 'all agrees';

reload($http, $server, workers => 1, daemon => 1);
ok hit(get('/many/60')), 'reloading to fewer keeps the entries too';

# a client that is receiving an entry stored before the reload
my $big = '/big/size/400000';
get($big);
my @slow = map { my ($s) = Crowd::clients([$big]); sysread $s, my $start, 1; $s } 1 .. 3;
until_true('the entry is pinned', sub { probe('memory')->{pins} });
my %before = map { $_ => 1 } Crowd::workers();
kill 'HUP', edge_pid();
until_true('new workers are there', sub { grep { !$before{$_} } Crowd::workers() });
until_true('the new worker answers', sub { hit(get('/many/60')) });
is scalar(grep { length $_->{raw} > 390_000 } answers(@slow)), 3,
    'clients of old workers are served to the end';
is at_rest('memory')->{wrong}, 'nothing', '... and leave nothing behind';
until_true('the old workers are gone', sub { !grep { $before{$_} } Crowd::workers() });

# --- another size is another zone; another binary is another zone ---

(my $larger = $http) =~ s/memory 4m/memory 2m/;
reload($larger, $server, workers => 2, daemon => 1);
my $again = get('/many/60');
ok !hit($again), 'a zone of another size starts empty';
ok hit(get('/many/60')), '... and works';
is probe('memory')->{wrong}, 'nothing', '... and agrees';

my $old = edge_pid();
kill 'USR2', $old;
until_true('a second master is there', sub {
    -s "$dir/pid.oldbin" && -s "$dir/pid" && Crowd::slurp("$dir/pid") != $old
        && workers(0 + Crowd::slurp("$dir/pid"));
});
my $new = 0 + Crowd::slurp("$dir/pid");
# the two share the port and nothing else: each has its own zone and serves
my (%pids, $bad);
until_true('both have answered', sub {
    for (1 .. 20) {
        my $p = probe('memory');
        $pids{ $p->{pid} } = 1;
        $bad++ if $p->{wrong} ne 'nothing' || get('/upgrade')->{content} !~ /^answer [12]$/;
    }
    my @old = grep { $pids{$_} } workers($old);
    my @new = grep { $pids{$_} } workers($new);
    return @old && @new;
});
is $bad, undef, 'while the binary is upgraded both old and new workers serve';
ok asked('/upgrade') <= 2, '... each from its own zone';
kill 'QUIT', $old;
until_true('the old master is gone', sub { !kill 0, $old });
is get('/upgrade')->{content} =~ /^answer [12]$/ ? 1 : 0, 1, 'then the new ones alone';
ok hit(get('/upgrade')), '... from memory';
kill 'TERM', $new;
until_true('the new master is gone', sub { !kill 0, $new });

# --- configuration ---

for (
    ['weir_cache memory l1=off;',
        qr/"weir_cache" with l1=off needs a zone with redis=, which "memory" does not have/,
        'l1=off without Redis is refused'],
    ['weir_cache memory l1=maybe;',
        qr/invalid parameter "l1=maybe" in "weir_cache"; it takes l1=on or l1=off/,
        'l1= takes on or off'],
    ['weir_cache memory; weir_cache_min_uses 0;',
        qr/in "weir_cache_min_uses"; it must be from 1 to 255/,
        'weir_cache_min_uses is at least 1'],
    ['weir_cache memory; weir_cache_min_uses 256;',
        qr/in "weir_cache_min_uses"; it must be from 1 to 255/, '... and at most 255'],
) {
    my ($directives, $message, $name) = @$_;
    like Crowd::refusal($http, "location / { $directives proxy_pass http://UPSTREAM; }"), $message,
        $name;
}

is_deeply [alarms()], [], 'nothing alarming was logged';
done_testing;
