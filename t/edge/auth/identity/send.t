# weir_identity on each way to an upstream: applications, other servers after the first one, caches
# that refresh in the background, subrequests; and while keys change under load.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use IO::Socket::INET;
use IPC::Open2;
use JSON::PP qw(decode_json encode_json);
use Scene;
use Test::More;
use POSIX ();
use Token;
use Weir::Processes;

my $folder = `$Bin/../../../../scripts/test/jose.sh 2>$dir/jose.log`;
plan skip_all => 'no jose: ' . ((split /\n/, slurp("$dir/jose.log"))[-1] // '') if $? != 0;
chomp $folder;

new_key('main', $dir);
spit("$dir/main.jwks", jwks('main'));
for my $name (qw(a b c)) {
    system('openssl', 'genpkey', '-quiet', '-out', "$dir/$name.pem", '-algorithm', 'ed25519') == 0
        or die;
    chmod 0600, "$dir/$name.pem";
}

# A new second, which ends all tokens that are kept.
sub next_second { my $now = time; until_true('the next second', sub { time != $now }) }

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($name) = $path =~ m{^/(\w+)};
    spit("$dir/received-$name-$n.new", $request);
    rename "$dir/received-$name-$n.new", "$dir/received-$name-$n";
    # the first server closes the connection in another second
    return sub { next_second(); '' } if $name eq 'again' && $n == 1;
    return answer('200 OK', ['Content-Type: text/html'], '<!--# include virtual="/part" -->')
        if $name eq 'page';
    return answer('200 OK', ['Cache-Control: max-age=1, stale-while-revalidate=60'], "$n");
});

# Applications that close the first connection without an answer.
my $fields = "Content-Length: 2\r\n\r\nok";
sub record { my ($type, $data) = @_; pack('CCnnCC', 1, $type, 1, length $data, 0, 0) . $data }
my %answer = (
    fastcgi => record(6, $fields) . record(6, '') . record(3, "\0" x 8),
    uwsgi => "HTTP/1.1 200 OK\r\n$fields",
    scgi => "Status: 200 OK\r\n$fields",
);
my %port;
for my $kind (sort keys %answer) {
    my $listener = IO::Socket::INET->new(Listen => 8, LocalAddr => '127.0.0.1:0') or die $!;
    $port{$kind} = $listener->sockport;
    spawn($kind, sub {
        my $n = 0;
        while (1) {
            my $client = $listener->accept or next;
            my $request = '';
            while ($request !~ /LAST_OF_ALL/) {
                sysread $client, $request, 65536, length $request or last;
            }
            next if $request eq '';
            spit("$dir/received-$kind-" . ++$n, $request);
            next_second() if $n == 1;
            syswrite $client, $answer{$kind} if $n == 2;
            close $client;
        }
    });
    close $listener;
}
my $upstreams = join '', map {
    "upstream ${_}s { server 127.0.0.1:$port{$_} max_fails=0;"
        . " server 127.0.0.1:$port{$_} max_fails=0; }\n"
} sort keys %answer;
my $applications = join '', map { <<"SERVER" } sort keys %answer;
    location /$_ {
        ${_}_param REQUEST_METHOD \$request_method;
        ${_}_param REQUEST_URI \$request_uri;
        ${_}_param CONTENT_LENGTH "0";
        ${_}_param LAST "LAST_OF_ALL";
        ${_}_next_upstream error;
        ${_}_pass ${_}s;
    }
SERVER

# The keys are in a file of their own, which the worlds do not translate.
sub sign_with { spit("$dir/keys.conf", "weir_identity @_ audience=shop issuer=edge-1;\n") }
sign_with('key=a.pem next_key=b.pem');

start_edge(<<"HTTP", <<"SERVER");
    underscores_in_headers on;
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; }
    include $dir/keys.conf;
    weir_cache_zone api 1m;
    proxy_cache_path $dir/nginx-cache keys_zone=own:1m;
    $upstreams
    upstream two { server UPSTREAM max_fails=0; server UPSTREAM max_fails=0; }
HTTP
    weir_jwt main optional;
    $applications
    location /again { proxy_next_upstream error; proxy_pass http://two; }
    location /own {
        proxy_cache own;
        proxy_cache_use_stale updating;
        proxy_cache_background_update on;
        proxy_pass http://UPSTREAM;
    }
    location /weir { weir_cache api; proxy_pass http://UPSTREAM; }
    location /page { ssi on; proxy_pass http://UPSTREAM; }
    location = /part { internal; proxy_pass http://UPSTREAM; }
    location /guarded { auth_request /guard; mirror /copy; proxy_pass http://UPSTREAM; }
    location = /guard {
        internal;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        proxy_pass http://UPSTREAM;
    }
    location = /copy { internal; proxy_pass http://UPSTREAM; }
    location /buffered { proxy_request_buffering off; proxy_pass http://UPSTREAM; }
    location /load { proxy_pass http://UPSTREAM; }
    location = /jwks { weir_identity_keys; }
SERVER

my $set = get('/jwks')->{content};

# The claims of tokens, as jose sees them.
sub verified {
    my $pid = open2(my $out, my $in, 'node', "$Bin/identity.js", $folder, 'edge-1', 'shop');
    print {$in} map { "$_\n" } $set, @_;
    close $in;
    my @claims = map { decode_json($_) } <$out>;
    waitpid $pid, 0;
    return @claims;
}

my $compact = qr/(eyJ[\w-]+\.[\w-]+\.[\w-]+)/;

# The only token of what was received, and its claims.
sub received {
    my ($name) = @_;
    until_true("$name is received", sub { -e "$dir/received-$name" });
    my $bytes = slurp("$dir/received-$name");
    unlike $bytes, qr/forged/, "$name: nothing of the client";
    # the client's own token is beside that of the edge
    my @tokens = grep { !/^eyJhbGciOiJSUzI1NiI/ }
        $bytes =~ /$compact/g;
    is scalar @tokens, 1, '... one token';
    my ($claims) = verified($tokens[0]);
    is $claims->{error}, undef, '... is verified';
    return ($tokens[0], $claims);
}

my $alice = bearer(token(sub => 'alice'));
my %forged = (%$alice, 'Weir-Identity' => 'forged', 'Weir_Identity' => 'forged');

# --- other servers ---

for my $kind ('again', sort keys %answer) {
    is get("/$kind/x", \%forged)->{status}, 200, "$kind: the second server answers";
    my ($first, $claims) = received("$kind-1");
    is $claims->{path}, "/$kind/x", '... path';
    is $claims->{sub}, 'alice', '... caller';
    my ($second, $again) = received("$kind-2");
    isnt $again->{jti}, $claims->{jti}, '... and gets a new token';
    cmp_ok $again->{iat}, '>', $claims->{iat}, '... of its time';
    like slurp("$dir/received-$kind-1"), qr/HTTP_WEIR_IDENTITY/, '... as the header'
        if $kind ne 'again';
}

# --- refreshes in the background ---

for my $kind (qw(own weir)) {
    # without a token: an answer to one is private
    my @anyone = ("/$kind", { 'Weir-Identity' => 'forged' });
    get(@anyone);
    until_true("$kind: a refresh", sub { get(@anyone); -e "$dir/received-$kind-2" });
    for my $n (1, 2) {
        my (undef, $claims) = received("$kind-$n");
        is "$claims->{sub} $claims->{htm} $claims->{path}", "anonymous GET /$kind", '... says so';
    }
}

# --- subrequests ---

get('/page', \%forged);
request('POST', '/guarded', \%forged, 'x');
for (['page', 'GET'], ['part', 'GET'], ['guarded', 'POST'], ['guard', 'GET'], ['copy', 'POST']) {
    my ($name, $method) = @$_;
    my (undef, $claims) = received("$name-1");
    is "$claims->{sub} $claims->{htm} $claims->{path}", "alice $method /$name", '... says so';
}
request('POST', '/buffered', \%forged, 'x' x 100000);
my (undef, $claims) = received('buffered-1');
is $claims->{htm}, 'POST', 'a body that is not buffered';
request('HEAD', '/load', \%forged);
(undef, $claims) = received('load-1');
is $claims->{htm}, 'HEAD', 'HEAD';

# --- keys that change under load ---

my $answers = "$dir/answers";
my @clients = map {
    my $n = $_;
    spawn("client$n", sub {
        my $stop = 0;
        local $SIG{TERM} = sub { $stop = 1 };
        open my $out, '>', "$answers-$n" or die $!;
        $out->autoflush;
        while (!$stop) { print {$out} get("/load/$n", $alice)->{status}, "\n" }
        POSIX::_exit(0);
    });
    "client$n";
} 1 .. 3;
sub answered { my $n = 0; $n += () = slurp("$answers-$_") =~ /\n/g for 1 .. 3; $n }
sub more { my $least = answered() + 30; until_true('more answers', sub { answered() >= $least }) }

my @sets = ($set);
for my $step ('key=b.pem old_key=a.pem', 'key=b.pem next_key=c.pem', 'key=c.pem old_key=b.pem') {
    until_true('clients', sub { -e "$answers-3" });
    more();
    sign_with($step);
    kill HUP => $pid{edge};
    # the keys of the first step are published already, in the same order or another
    until_true('the new workers', sub { logged(qr/ gracefully shutting down$/) >= @sets });
    $set = get('/jwks')->{content};
    push @sets, $set;
    more();
}
stop($_, 'TERM') for @clients;
my %statuses;
$statuses{$_}++ for map { split /\n/, slurp("$answers-$_") } 1 .. 3;
is_deeply [keys %statuses], [200], 'no request fails while keys change';

# Each token is verified by the set that was published at one of the steps.
my @tokens = map { slurp($_) =~ /^Weir-Identity: (\S+)/m } glob "$dir/received-load-*";
my @good = (0) x @tokens;
for my $published (@sets) {
    $set = $published;
    my @claims = verified(@tokens);
    $good[$_] ||= !$claims[$_]{error} for 0 .. $#tokens;
}
cmp_ok scalar @tokens, '>=', 30, 'tokens were received';
is scalar(grep { !$_ } @good), 0, '... all of published keys';
my %signed = map { $_->{header}{kid} => 1 } grep { !$_->{error} } map {
    $set = $_;
    verified(@tokens);
} @sets;
is scalar keys %signed, 3, '... by three keys';
is_deeply [logged(qr/\[(?:alert|crit|emerg)\]/)], [], 'nothing is logged';

done_testing;
