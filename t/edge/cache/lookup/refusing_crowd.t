# Clients that refuse stored responses (no-cache, under weir_cache_request_control obey or
# refresh): of many at the same time one asks the upstream for all that arrived before it was
# asked, whatever the method and the HTTP version of the others.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", "$Bin/../../../lib";
use Crowd;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Http2;

my $crowd = 40;
my %refuse = ('Cache-Control' => 'no-cache');

# Answers wait while the gate of their name is closed; a request's method is noted.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($gate) = $path =~ m{^/\w+/([\w-]+)};
    my ($method) = $request =~ /^(\w+)/;
    open my $out, '>>', "$dir/asked-$gate" or die $!;
    print $out "$method\n";
    close $out;
    my @fields = $path =~ /private/ ? 'Cache-Control: no-store' : 'Cache-Control: max-age=600';
    push @fields, 'ETag: "e"' if $path =~ /tagged/;
    return sub {
        Crowd::waiting($gate);
        return "HTTP/1.1 304 Not Modified\r\nETag: \"e\"\r\n\r\n"
            if $request =~ /^If-None-Match: "e"\r/mi;
        my $answer = answer('200 OK', \@fields, "answer $n");
        return $method eq 'HEAD' ? $answer =~ s/\r\n\r\n\K.*//sr : $answer;
    };
});
my $http2 = free_port();
start_edge(<<'HTTP', <<"SERVER", workers => 2);
    weir_cache_zone main 1m;
    weir_cache_request_control obey;
    http2_max_concurrent_streams 1024;
HTTP
    listen 127.0.0.1:$http2 http2;
    weir_cache main;
    weir_cache_lock_timeout 1h;
    location / { proxy_pass http://UPSTREAM; }
    location /young { weir_cache_request_control refresh=1h; proxy_pass http://UPSTREAM; }
    location /old { weir_cache_request_control refresh=1ms; proxy_pass http://UPSTREAM; }
SERVER

sub asked_by {
    my ($name, $method) = @_;
    scalar grep { $_ eq $method } split /\n/, slurp("$dir/asked-$name") // '';
}

# Closes the gate, lets the first one to the upstream and then, a little later each,
# so that they look again at different times, n more come.
sub crowd {
    my ($name, $send, $n) = @_;
    hold($name);
    my $before = asked_by($name, 'GET') + asked_by($name, 'HEAD');
    my @all = $send->(0);
    until_true("the first one for $name is at the upstream", sub {
        asked_by($name, 'GET') + asked_by($name, 'HEAD') > $before;
    });
    push @all, map { sleep 0.002; $send->($_) } 1 .. $n;
    until_true('all are in hand', sub { busy() >= @all });
    let_go($name);
    return @all;
}

# --- HTTP/1.1 ---

for my $path ('/obey/plain', '/obey/tagged', '/old/plain-old', '/obey/cold') {
    my ($name) = $path =~ m{([\w-]+)$};
    get($path) if $path !~ /cold/;
    my $before = asked_by($name, 'GET');
    sleep 0.003;    # what is older than refresh=1ms
    my @r = answers(crowd($name, sub { clients([$path, \%refuse]) }, $crowd));
    is scalar(grep { $_->{status} == 200 && $_->{content} =~ /^answer/ } @r), 1 + $crowd,
        "$path: all are answered";
    cmp_ok asked_by($name, 'GET') - $before, '<=', 2,
        '... the first by one request, all who came behind it by another';
    my ($oldest) = $r[0]{content} =~ /(\d+)/;
    is scalar(grep { ($_->{content} =~ /(\d+)/)[0] < $oldest } @r), 0,
        '... none by what was there before';
}

get('/young/known');
my @young = answers(clients(map { ['/young/known', \%refuse] } 1 .. $crowd));
is scalar(grep { cache_status($_) =~ /; hit;/ } @young), $crowd,
    'what is young enough answers all of them';
is asked_by('known', 'GET'), 1, '... without the upstream';

# A response that cannot be stored answers no other request, and delays none.
my @r = answers(crowd('private-crowd', sub { clients(['/obey/private-crowd', \%refuse]) }, $crowd));
is scalar(grep { $_->{status} == 200 } @r), 1 + $crowd, 'what can not be stored: all are answered';
is asked_by('private-crowd', 'GET'), 1 + $crowd, '... each by a request of its own';

# --- HEAD among them ---

for my $first ('GET', 'HEAD') {
    for my $path ("/obey/head-$first", "/obey/tagged-head-$first") {
        my ($name) = $path =~ m{([\w-]+)$};
        get($path);
        my $before = asked_by($name, 'GET');
        my @methods = ($first, map { $_ % 2 ? 'HEAD' : 'GET' } 1 .. $crowd);
        my @r = answers(crowd($name, sub { clients([$path, \%refuse, $methods[$_[0]]]) }, $crowd));
        is scalar(grep { $_->{status} == 200 } @r), 1 + $crowd,
            "$path: all are answered, $first first";
        my @wrong = grep {
            $methods[$_] eq 'HEAD' ? $r[$_]{content} ne '' : $r[$_]{content} !~ /^answer/;
        } 0 .. $#r;
        is scalar(@wrong), 0, '... those who want a body with one';
        cmp_ok asked_by($name, 'GET') - $before, '<=', 3, '... those by few requests';
    }
}

# --- HTTP/2, all on one connection ---

for my $path ('/obey/h2', '/obey/tagged-h2') {
    my ($name) = $path =~ m{([\w-]+)$};
    my $c = Weir::Http2->new($http2);
    $c->answer($c->open('GET', $path, 1));
    my $before = asked_by($name, 'GET');
    my @methods = map { $_ % 4 == 3 ? 'HEAD' : 'GET' } 0 .. $crowd;
    my @streams = crowd($name,
        sub { $c->open($methods[$_[0]], $path, 1, 'cache-control', 'no-cache') }, $crowd);
    my @r = map { $c->answer($_) } @streams;
    is scalar(grep { $_->{ended} && $_->{status} == 200 } @r), 1 + $crowd,
        "$path over HTTP/2: all are answered";
    my @wrong = grep {
        $methods[$_] eq 'HEAD' ? $r[$_]{body} ne '' : $r[$_]{body} !~ /^answer/;
    } 0 .. $#r;
    is scalar(@wrong), 0, '... those who want a body with one';
    cmp_ok asked_by($name, 'GET') - $before, '<=', 3, '... those by few requests';
}

is scalar(alarms()), 0, 'no alarm';
done_testing;
