# The default key names all that decides which answer a request gets: scheme, host,
# port, upstream and URI, in parts that can't run together.  Variables that have no
# value when a key is made are refused.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use IO::Socket::IP;
use Scene;
use Test::More;
use Weir::Edge::Nginx 'make_certificate';
use Weir::Processes;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($method) = $request =~ /^(\w+)/;
    my ($app) = $request =~ /^X-App: (\S*)/mi;
    my ($host) = $request =~ /^Host: (\S*)/mi;
    return answer('201 Created', ['Location: /items/7'], '') if $method eq 'POST';
    return answer('200 OK', ['Cache-Control: max-age=600'],
        ($app // '-') . ' ' . ($host // '-') . " $path $n");
});
my $upstream = Weir::Upstream::upstream();

# One application that learns only by a header which server asks.
my ($other, $tls, $split, $same, $both) = map { free_port() } 1 .. 5;
my $has_six = IO::Socket::IP->new(Listen => 1, LocalAddr => '::1');
my $pass = 'proxy_set_header Host $http_host; proxy_pass http://UPSTREAM';
make_certificate('a.test');
my $six = $has_six ? <<"SIX" : '';
    server {
        listen [::1]:$both;
        server_name a.test;
        location / {
            proxy_set_header X-App six;
            $pass/app?;
        }
    }
SIX
start_edge(<<"HTTP", <<"SERVER");
    weir_cache_zone keys 4m;
    weir_cache_zone shared 4m redis=main;
    upstream named { server UPSTREAM; }
    weir_cache keys;
    server { listen 127.0.0.1:$other; location / { proxy_set_header X-App internal; $pass/app?; } }
    server {
        listen 127.0.0.1:$tls ssl;
        ssl_certificate $dir/certificate;
        ssl_certificate_key $dir/key;
        location / { proxy_set_header X-App tls; $pass/app?; } }
    server {
        listen 127.0.0.1:$split;
        server_name a.test;
        location / {
            proxy_set_header X-App first;
            $pass/app?;
        }
    }
    server {
        listen 127.0.0.2:$split;
        server_name a.test;
        location / {
            proxy_set_header X-App second;
            $pass/app?;
        }
    }
    server {
        listen *:$split;
        server_name a.test;
        location / {
            proxy_set_header X-App any;
            $pass/app?;
        }
    }
    server {
        listen 127.0.0.1:$same;
        listen 127.0.0.2:$same;
        server_name a.test;
        location / {
            $pass/app?;
        }
    }
    server {
        listen 127.0.0.1:$both;
        server_name a.test;
        location / {
            proxy_set_header X-App four;
            $pass/app?;
        }
    }
    $six
    server { listen unix:$dir/edge.sock; location / { proxy_set_header X-App unix; $pass/app?; } }
HTTP
    location / { proxy_set_header X-App public; $pass/app?; }
    location /plain/ { $pass; }
    location /items { weir_cache_purge on; weir_cache shared; proxy_pass http://UPSTREAM; }
    location /upstreams {
        $pass;
        if (\$http_x_tenant) { proxy_pass http://named; }
    }
    location /rewritten {
        if (\$http_x_mobile) { rewrite ^(.*)\$ /m\$1 break; }
        set \$args "\$args&t=\$http_x_theme";
        $pass;
    }
    location /chosen {
        set \$where http://UPSTREAM;
        proxy_pass \$where/\$http_x_place\$uri;
        if (\$http_x_again) { set \$again 1; }
        limit_except GET { allow all; }
    }
    location /empty { weir_cache_key \$http_x_key; $pass; }
    location /own { weir_cache_key \$http_x_key\$uri; $pass; }
SERVER
my $edge = port_of_edge();

# The body of a response to a request as it is written here.
sub raw {
    my ($where, $request) = @_;
    my $socket = $where =~ m{^/} ? IO::Socket::UNIX->new(Peer => $where)
        : IO::Socket::IP->new(PeerAddr => $where =~ /:/ ? $where : "127.0.0.1:$where");
    print { $socket // die $! } $request =~ s/\n/\r\n/gr, "Connection: close\r\n\r\n";
    local $/;
    my ($head, $body) = split /\r\n\r\n/, scalar <$socket>, 2;
    return wantarray ? ($body, $head) : $body;
}
sub of {
    my ($where, $host, $path) = @_;
    return scalar raw($where, "GET $path HTTP/1.1\nHost: $host\n");
}

# --- the parts ---

like of($edge, 'a.test', '/p'), qr/^public/, 'a server answers with its own';
like of($other, 'a.test', '/p'), qr/^internal/, '... another port of the same host with its own';
like of("$dir/edge.sock", 'a.test', '/p'), qr/^unix/, '... and a UNIX-domain socket';
chomp(my $secure = `curl -sk -H 'Host: a.test' https://127.0.0.1:$tls/p`);
like $secure, qr/^tls/, '... and TLS';

# servers that differ only in the address they listen on
for my $host ('a.test', 'unknown.test') {
    for (['127.0.0.1', 'first'], ['127.0.0.2', 'second'], ['127.0.0.3', 'any']) {
        my ($address, $app) = @$_;
        like of("$address:$split", $host, '/p'), qr/^$app/,
            "... and $address of one port, for $host";
    }
    like of("127.0.0.1:$both", $host, '/p'), qr/^four/, '... and IPv4';
    like of("[::1]:$both", $host, '/p'), qr/^six/, '... and IPv6' if $has_six;
}
is of("127.0.0.2:$same", 'a.test', '/p'), of("127.0.0.1:$same", 'a.test', '/p'),
    'two addresses of the same servers share what is stored';

like of($edge, 'shttp.test', '/x') . of($edge, 's', '/http.test/x'),
    qr/^public shttp.test .*public s /, 'parts do not run together';

my ($default, $foreign) = scheme() eq 'http' ? (80, 443) : (443, 80);
my $first = of($edge, 'b.test', '/p');
is of($edge, $_, '/p'), $first, "Host: $_ is the same key"
    for "b.test:$default", 'B.Test', 'b.test:';
isnt of($edge, $_, '/p'), $first, "Host: $_ is another"
    for 'b.test:81', 'b.test.', 'xb.test', "b.test:$foreign", 'b.tes';

raw($edge, "GET http://victim.test/h HTTP/1.1\nHost: evil.test\n");
like of($edge, 'victim.test', '/h'), qr/^public victim.test /,
    'a Host that the target contradicts leaves no trace';
raw($edge, "GET http://victim.test:81/i HTTP/1.1\nHost: victim.test\n");
like of($edge, 'victim.test', '/i'), qr/^public victim.test /, '... nor does a port of it';
raw($edge, "GET /without HTTP/1.0\n");
like of($edge, 'a.test', '/without'), qr/^public a.test /, '... nor a request without Host';

# --- upstream and URI ---

$first = get('/upstreams')->{content};
isnt get('/upstreams', { 'X-Tenant' => 'b' })->{content}, $first,
    'another upstream by "if" is another key';
is get('/upstreams')->{content}, $first, '... and the first one as it was';
my @clients = ({}, { 'X-Mobile' => 1 }, { 'X-Theme' => 'dark' }, {}, { 'X-Mobile' => 1 });
my @r = map { get('/rewritten/1', $_)->{content} } @clients;
like $r[1], qr{ /m/rewritten/1}, 'a URI that was rewritten by something else is another key';
like $r[2], qr{ /rewritten/1\?&t=dark}, '... also when only its arguments were';
is_deeply [@r[3, 4]], [@r[0, 1]], '... and each is a hit';

my @chosen = map { get('/chosen', { 'X-Place' => $_ })->{content} } 'a', 'b', 'a';
like "@chosen", qr{ /a/chosen .* /b/chosen }, 'what variables of *_pass choose is part of the key';
is $chosen[2], $chosen[0], '... and is a hit';
is get('/chosen', { 'X-Place' => 'a', 'X-Again' => 1 })->{content}, $chosen[0],
    '... also through an "if" without a *_pass of its own';
is get('/chosen', { 'X-Place' => 'b', 'X-Again' => 1 })->{content}, $chosen[1],
    '... where it is part of the key, too';

# --- keys of the operator ---

get('/empty') for 1, 2;
is asked('/empty'), 2, 'an empty key is none';
like cache_status(get('/empty')), qr/fwd=bypass/, '... and the cache says so';
my @own = map { get('/own/1', { 'X-Key' => $_ })->{content} } 'a', 'b', 'a';
ok $own[0] ne $own[1] && $own[0] eq $own[2], 'weir_cache_key takes the place of the default';

# --- invalidation by key ---

my $text = scheme() . " 127.0.0.1:$edge $edge $upstream /items/7";
for (['keys', sub { redis('XADD', 'weir:invalidate', '*', 'keys', $text) }],
    ['prefix', sub { redis('XADD', 'weir:invalidate', '*', 'prefix', substr $text, 0, -1) }],
    ['PURGE', sub { request('PURGE', '/items/7') }],
    ['Location', sub { request('POST', '/items', {}, 'x') }])
{
    my ($name, $do) = @$_;
    my $old = get('/items/7')->{content};
    is get('/items/7')->{content}, $old, "$name: stored";
    $do->();
    until_true("$name ends it", sub { get('/items/7')->{content} ne $old });
    pass "... and ended by its key \"$text\"";
}

# Over this socket the key has slashes before the URI.
sub over_socket { raw("$dir/edge.sock", "$_[0] HTTP/1.1\nHost: one\nContent-Length: 0\n") }
my $kept = over_socket('GET /items/7');
is scalar over_socket('GET /items/7'), $kept, 'stored';
over_socket('POST /');
isnt scalar over_socket('GET /items/7'), $kept,
    'the Location of an answer to "/" is found where the path of a socket is a part of the key';

# --- what is refused ---

my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
sub refused {
    my ($directive) = @_;
    my $temp = temp_paths($dir);
    spit("$dir/test.conf", <<"CONF");
load_module $module;
pid $dir/test.pid;
error_log $dir/test.log;
events {}
http {
$temp
    access_log off;
    weir_cache_zone z 1m;
    server {
        listen 127.0.0.1:$other;
        location / {
            $directive
            proxy_pass http://127.0.0.1:1;
        }
    }
}
CONF
    return scalar `'$ENV{TEST_NGINX_BINARY}' -t -c $dir/test.conf -e $dir/test.log 2>&1`;
}
for my $name (qw(proxy_host proxy_port upstream_addr upstream_http_x sent_http_x status
    request_body)) {
    like refused("weir_cache_key a\$$name;"),
        qr/emerg.*variable "\$$name" in "weir_cache_key" has no value.*test.conf:\d+/,
        "\$$name in weir_cache_key is refused";
    like refused("weir_cache_bypass \$arg_x \${$name};"),
        qr/emerg.*variable "\$$name" in "weir_cache_bypass" has no value.*test.conf:\d+/,
        '... and in weir_cache_bypass';
}
like refused('weir_cache_key "";'), qr/emerg.*"weir_cache_key".*must not be empty.*test.conf:\d+/,
    'so is an empty key';
like refused('weir_cache_key $upstream_own$proxy_protocol_addr; set $upstream_own x;'),
    qr/is successful/, 'a variable that is only called alike is not';

done_testing;
