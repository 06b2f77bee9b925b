# An invalidated response is not served by any edge: invalidated by tag, key, prefix or all, by
# message, by PURGE, or by an upstream's response.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use JSON::PP;
use Test::More;

my %tags = ('/a' => 'red, shared', '/b' => 'blue,shared', '/two-lines' => "one\r\nCache-Tag: two",
    '/none' => undef);

start_redis();
start_upstream(sub {
    my ($path, $request, $n) = @_;
    (my $bare = $path) =~ s/[?].*//;
    my ($version) = $request =~ /^X-Version: (\S+)/mi;
    my @fields = ('Cache-Control: max-age=600', 'Content-Type: text/plain');
    push @fields, "Cache-Tag: $tags{$bare}" if defined $tags{$bare};
    push @fields, "Cache-Tag: $1" if $path =~ /[?&]tags=([^&]*)/;
    push @fields, 'Vary: Accept-Language' if $path =~ /varies/;
    push @fields, "Weir-Invalidate: $1" if $path =~ /invalidates=([^&]*)/;
    push @fields, "Weir-Position: $1" if $path =~ /position=([^&]*)/;
    push @fields, 'X-Tags: ' . $1 if $path =~ /other=([^&]*)/;
    return answer('200 OK', \@fields,
        "answer $n of $path" . (defined $version ? " in $version" : ''));
});

my ($http, $server) = (<<'HTTP', <<'SERVER');
    weir_cache_zone main 4m redis=main;
    weir_cache_zone alone 4m;
    weir_api shop { media_type application/vnd.shop; versions 1 2; default 2; }
HTTP
    weir_cache main;
    add_header X-Status $weir_cache_status always;
    location /        { weir_cache_purge on; proxy_pass http://UPSTREAM; }
    location = /status { weir_cache off; weir_status; }
    location /closed  { proxy_pass http://UPSTREAM; }
    location /denied {
        weir_cache_purge on;
        limit_except GET HEAD POST {
            deny all;
        }
        proxy_pass http://UPSTREAM;
    }
    location /deaf    { weir_cache_invalidate off; proxy_pass http://UPSTREAM; }
    location /other   { weir_cache_tags $upstream_http_x_tags; proxy_pass http://UPSTREAM; }
    location /alone   { weir_cache alone; weir_cache_purge on; proxy_pass http://UPSTREAM; }
    location /l2      { weir_cache main l1=off; proxy_pass http://UPSTREAM; }
    location /version {
        weir_version shop;
        weir_cache_key $uri;
        weir_cache_purge on;
        proxy_set_header X-Version $weir_version;
        proxy_pass http://UPSTREAM;
    }
SERVER
start_edge($_, $http, $server, workers => 2) for 'left', 'right';

sub hit { cache_status($_[0]) =~ /^Weir; hit;/ }
sub body { get(@_)->{content} }

# Fills the caches of both edges, and remembers how often the upstream was asked.
my %old;
sub fill {
    my ($path, @more) = @_;
    for my $edge ('left', 'right') { get($edge, $path, @more) for 1, 2 }
    $old{$path} = asked($path);
}

# An answer that the upstream gave after the last fill.
sub fresh {
    my ($edge, $path, @more) = @_;
    body($edge, $path, @more) =~ /^answer (\d+) / && $1 > $old{$path};
}

# Both edges serve the path from their caches.
sub cached {
    my ($path, @more) = @_;
    return 2 == grep {
        my $edge = $_;
        4 == grep { hit(get($edge, $path, @more)) } 1 .. 4;
    } 'left', 'right';
}

# The invalidations that an edge has made and not yet read in the stream.
sub pending {
    decode_json(get($_[0], '/status')->{content})->{caches}{main}{invalidations}{pending};
}

# Waits until everything is in the stream and both edges have read it.
sub settled {
    for my $edge ('left', 'right') {
        until_true("$edge has sent everything", sub { pending($edge) == 0 });
    }
    my $position = redis('XINFO', 'STREAM', 'weir:invalidate');
    $position = { @$position }->{'last-generated-id'};
    until_true('a first answer', sub { get('left', '/settled')->{status} == 200 });
    for my $edge ('left', 'right') {
        get($edge, '/settled');
        until_true("$edge has read up to $position", sub {
            hit(get($edge, '/settled', { 'Weir-Position' => $position }));
        });
    }
}

# --- tags ---

fill($_) for '/a', '/b', '/none';
ok cached($_), "$_ is cached on both edges" for '/a', '/b', '/none';
invalidate(tags => 'red');
settled();
my $r = get('left', '/a');
is $r->{content}, 'answer ' . ($old{'/a'} + 1) . ' of /a', 'a tag is invalidated';
is cache_status($r), 'Weir; fwd=stale; fwd-status=200; stored; detail=invalidated',
    'and Cache-Status says so';
is $r->{headers}{'x-status'}, 'EXPIRED', '$weir_cache_status';
ok fresh('right', '/a'), 'the other edge follows';
fill('/a');
ok cached($_), "$_ is not touched" for '/b', '/none';
ok cached('/a'), 'the new answer is cached';

invalidate(tags => 'nothing,shared  else');
settled();
ok fresh('right', $_), "$_ had a tag of several" for '/a', '/b';
ok cached('/none'), 'what has no tag is not touched';

fill('/two-lines');
invalidate(tags => 'two');
settled();
ok fresh('left', '/two-lines'), 'a tag on a second line counts';

fill('/other?other=special&tags=usual');
invalidate(tags => 'usual');
settled();
ok cached('/other?other=special&tags=usual'), 'weir_cache_tags takes the place of Cache-Tag';
invalidate(tags => 'special');
settled();
ok fresh('left', '/other?other=special&tags=usual'), 'and names the tags';

fill('/varies?tags=v', { 'Accept-Language' => $_ }) for 'de', 'en';
invalidate(tags => 'v');
settled();
ok fresh('left', '/varies?tags=v', { 'Accept-Language' => $_ }), "the variant $_ is invalidated"
    for 'de', 'en';

my $many = join ',', map { "t$_" } 1 .. 64;
fill("/many?tags=$many");
ok cached("/many?tags=$many"), '64 tags are kept';
unlike cache_status(get('left', "/many?tags=$many,t65")), qr/stored/,
    'a response with more is not stored';
unlike cache_status(get('left', '/many?tags=' . 'x' x 129)), qr/stored/,
    'nor one with a tag of more than 128 bytes';
like cache_status(get('left', '/many?tags=' . 'x' x 128)), qr/stored/, 'one of 128 is';
ok scalar(logged('left', qr/not stored because it has more than 64 tags/)), 'the log says so';

# --- keys, prefixes, all ---

fill($_) for '/k/1', '/k/2?x=1', '/k/3', '/p/1';
invalidate(keys => 'http127.0.0.1/k/1', keys => "http127.0.0.1/k/2?x=1\nhttp127.0.0.1/k/4");
settled();
ok fresh('left', $_), "the key of $_ is invalidated" for '/k/1', '/k/2?x=1';
ok cached($_), "that of $_ is not" for '/k/3', '/p/1';

fill($_) for '/k/1', '/k/2?x=1';
invalidate(prefix => 'http127.0.0.1/k/');
settled();
ok fresh('right', $_), "$_ has the prefix" for '/k/1', '/k/2?x=1';
ok fresh('right', '/k/3'), '/k/3 has it too';
ok cached('/p/1'), '/p/1 has not';
ok hit(get('right', '/k/1')), 'what came after it is served';

invalidate(prefix => "http127.0.0.1/$_/") for 1 .. 100;
fill('/p/2');
settled();
fill('/p/3');
invalidate(prefix => 'http127.0.0.1/p/3');
invalidate(prefix => "http127.0.0.1/$_/") for 101 .. 200;
settled();
ok fresh('left', '/p/3'), 'a prefix is not forgotten for many others';

fill($_) for '/a', '/none';
invalidate(all => 1);
settled();
ok fresh('left', $_), "$_ is invalidated with all" for '/none', '/a';

invalidate(tags => 'red', all => 0, prefix => '', hashes => 'xyz', edge => 'nobody', unknown => 1);
invalidate(nothing => 1);
settled();
is scalar(logged($_, qr/malformed message in/)), 1, "$_ logs malformed messages once" for 'left';
ok cached('/none'), 'they do no harm';

# --- soft ---

# The old answer is served once more at once, and one refresh takes its place.
sub refreshed {
    my ($edge, $path, $name) = @_;
    my $asked = asked($path);
    my $old = get($edge, $path);
    like cache_status($old), qr/^Weir; hit;/, "after $name the old answer is served at once";
    until_true('it is refreshed', sub { get($edge, $path)->{content} ne $old->{content} });
    is asked($path), $asked + 1, '... and refreshed by one request';
}

fill('/a');
invalidate(tags => 'red', soft => 1);
settled();
refreshed('left', '/a', 'a soft invalidation');
fill('/none');
invalidate(all => 1, soft => 1);
settled();
refreshed('left', '/none', 'a soft all');

# --- PURGE ---

fill('/p/5');
$r = request('left', 'PURGE', '/p/5');
is "$r->{status} $r->{content}", qq(200 {"invalidated":"key","soft":false}\n),
    'PURGE says what it has done';
is $r->{headers}{'content-type'}, 'application/json', 'in JSON';
like cache_status(get('left', '/p/5')), qr/fwd=stale/,
    'it is done when it says so, whichever worker is asked';
settled();
ok fresh('right', '/p/5'), 'the other edge follows';

fill('/b');
is request('right', 'PURGE', '/', { 'Cache-Tag' => 'blue, green' })->{content},
    qq({"invalidated":"tags","soft":false}\n), 'PURGE by tag';
like cache_status(get('right', '/b')), qr/fwd=stale/, 'works';
fill('/b');
is request('right', 'PURGE', '/b', { 'Weir-Soft' => 1 })->{content},
    qq({"invalidated":"key","soft":true}\n), 'a soft PURGE';
refreshed('right', '/b', 'it');

fill('/version', { Accept => "application/vnd.shop.v$_+json" }) for 1, 2;
request('left', 'PURGE', '/version');
settled();
ok fresh($_, '/version', { Accept => 'application/vnd.shop.v1+json' }),
    "version 1 of a key is purged on $_"
    for 'left', 'right';
ok fresh($_, '/version', { Accept => 'application/vnd.shop.v2+json' }),
    "version 2 of it is too on $_"
    for 'left', 'right';

$r = request('left', 'PURGE', '/a', { 'Weir-Soft' => 'yes' });
is "$r->{status} $r->{headers}{'content-type'}", '400 application/problem+json',
    'a malformed Weir-Soft is refused';
is request('left', 'PURGE', '/a', { 'Cache-Tag' => ' , ' })->{status}, 400,
    'so is a Cache-Tag without tags';
fill('/denied');
is request('left', 'PURGE', '/denied')->{status}, 403, 'allow and deny guard it';
ok cached('/denied'), 'and nothing is purged then';
is request('left', 'PURGE', '/closed')->{content}, 'answer 1 of /closed',
    'without weir_cache_purge it is a request like others';

# --- Weir-Invalidate ---

fill('/c?tags=mine');
$r = request('left', 'POST', '/write?invalidates=mine,other', {}, 'x');
is $r->{headers}{'weir-invalidate'}, undef, 'the header does not reach the client';
ok fresh('left', '/c?tags=mine'), 'the write\'s own edge has it before the client knows';
ok hit(get('left', '/c?tags=mine')), 'what is fetched afterwards is kept';
settled();
ok hit(get('left', '/c?tags=mine')), 'also when the message has come back';
ok fresh('right', '/c?tags=mine'), 'the other edge learns it';

my @late;
for my $i (1 .. 50) {
    get('right', "/d/$i?tags=d$i");
    get('left', "/d/$i?tags=d$i");
    my $old = asked("/d/$i?tags=d$i");
    request('left', 'POST', "/write/$i?invalidates=d$i", {}, 'x');
    my ($n) = body('left', "/d/$i?tags=d$i") =~ /^answer (\d+)/;
    push @late, $i if $n <= $old;
}
is "@late", '', 'of 50 writes each is seen at once, with an entry of the other edge in Redis';

settled();
my $length = redis('XLEN', 'weir:invalidate');
fill('/e?tags=eee');
$r = request('left', 'POST', '/write?invalidates=eee&position=9999999999999-7', {}, 'x');
is $r->{headers}{'weir-position'}, '9999999999999-7', 'Weir-Position passes to the client';
ok fresh('left', '/e?tags=eee'), 'the invalidation is applied';
is redis('XLEN', 'weir:invalidate'), $length, 'but not written to the stream again';

fill('/f?tags=deaf');
get('left', '/deaf?invalidates=deaf');
ok hit(get('left', '/f?tags=deaf')), 'weir_cache_invalidate off is deaf to it';
fill('/g?tags=self&invalidates=self&position=1-1');
is get('left', '/g?tags=self&invalidates=self&position=1-1')->{headers}{'weir-position'}, '1-1',
    'a response that invalidates itself is served';

# --- Weir-Position ---

fill('/h?tags=hhh');
my $position = invalidate(tags => 'unrelated');
settled();
ok hit(get('left', '/h?tags=hhh', { 'Weir-Position' => $position })),
    'an edge that has read the position serves';
ok hit(get('left', '/h?tags=hhh', { 'Weir-Position' => 'nonsense' })),
    'a malformed position wants nothing';
is cache_status(get('left', '/h?tags=hhh', { 'Weir-Position' => '99999999999999-0' })),
    'Weir; fwd=stale; fwd-status=200; stored; detail=behind', 'one that has not asks the upstream';

# --- without Redis ---

fill('/alone?tags=x');
ok hit(get('left', '/alone?tags=x')), 'a zone without Redis keeps what has tags';
request('left', 'PURGE', '/alone', { 'Cache-Tag' => 'x' });
ok fresh('left', '/alone?tags=x'), 'PURGE by tag there';
fill('/alone?tags=x');
ok cached('/alone?tags=x'), 'what comes afterwards is kept';
request('left', 'PURGE', '/alone?tags=x');
ok fresh('left', '/alone?tags=x'), 'PURGE by key there';
fill('/alone?tags=x');
request('left', 'POST', '/alone/write?invalidates=x', {}, 'x');
ok fresh('left', '/alone?tags=x'), 'Weir-Invalidate there';
$length = redis('XLEN', 'weir:invalidate');
request('left', 'PURGE', '/alone');
is redis('XLEN', 'weir:invalidate'), $length, 'no stream hears of it';

# --- the second level alone ---

fill('/l2?tags=deep');
like cache_status(get('left', '/l2?tags=deep')), qr/hit; .*detail=redis/,
    'with l1=off it is a hit of Redis';
invalidate(tags => 'deep');
settled();
ok fresh('right', '/l2?tags=deep'), 'that is invalidated too';

is scalar(logged($_, qr/\[(alert|emerg|crit)\]|exited on signal/)), 0,
    "$_ has nothing alarming in its log"
    for 'left', 'right';
done_testing;
