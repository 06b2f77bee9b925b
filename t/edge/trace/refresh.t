# The background refresh of a stale response, by Weir's cache or by nginx's own, is a trace of its
# own: it links the request that started it, and its upstream continues it.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use Scene;
use Test::More;
use Trace;
use Weir::Collector 'received_spans';
use Weir::Processes;

# The first answer is stale at once. Later ones are kept by the test, and are errors in /fails.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $name = $path =~ s{\W}{}gr;
    spit("$dir/received-$name-$n", $request);
    my @fields = ('Cache-Control: max-age=1, stale-while-revalidate=600', 'Age: 2');
    @fields = ('X-Accel-Expires: @1') if $path =~ m{^/nginx};
    return answer('500 Internal Server Error', [], 'no') if $n > 1 && $path =~ /fails/;
    return sub {
        until_true("$path may answer", sub { -e "$dir/go-$name" });
        return answer('200 OK', \@fields, "answer $n");
    } if $n > 1 && $path =~ /held/;
    return answer('200 OK', ['X-Accel-Redirect: /elsewhere', @fields], '')
        if $n > 1 && $path =~ /leads/;
    return answer('200 OK', ['X-Accel-Redirect: /returned', @fields], '')
        if $n > 1 && $path =~ /returns/;
    return answer('200 OK', \@fields, "answer $n");
});

start_traced(<<"HTTP", <<'SERVER', workers => 1);
    weir_cache_zone memory 1m;
    proxy_cache_path $dir/nginx-cache keys_zone=nginx:1m use_temp_path=off;
    weir_trace on;
HTTP
    location /weir {
        weir_cache memory;
        proxy_pass http://UPSTREAM;
        location /weir/off/ { weir_trace off; proxy_pass http://UPSTREAM; }
        location /weir/some/ { weir_trace ratio=0.5; proxy_pass http://UPSTREAM; }
        location /weir/errors/ { weir_trace ratio=0 errors=on; proxy_pass http://UPSTREAM; }
        location /weir/parent/ {
            weir_trace parent;
            weir_trace_context propagate;
            proxy_pass http://UPSTREAM;
        }
        location /weir/b3 { weir_trace_context inject b3; proxy_pass http://UPSTREAM; }
        location /weir/mirrored/ { mirror /copy; proxy_pass http://UPSTREAM; }
    }
    location = /elsewhere { proxy_pass http://UPSTREAM; }
    location = /returned { return 200 returned; }
    location /copy { internal; proxy_pass http://UPSTREAM; }
    location /nginx {
        proxy_cache nginx;
        proxy_cache_valid 200 1s;
        proxy_cache_use_stale updating error http_500;
        proxy_cache_background_update on;
        proxy_pass http://UPSTREAM;
        location /nginx/led/ {
            error_page 418 = @led;
            return 418;
        }
    }
    location @led {
        proxy_cache nginx;
        proxy_cache_use_stale updating;
        proxy_cache_background_update on;
        proxy_pass http://UPSTREAM;
    }
    location /same {
        mirror /same/copy;
        proxy_pass http://UPSTREAM;
    }
SERVER

my @client = (traceparent => '00-' . id('a', 16) . '-' . id('b', 8) . '-01');

sub received {
    my ($path, $n) = @_;
    my $name = $path =~ s{\W}{}gr;
    return until_true("request $n for $path", sub { slurp("$dir/received-$name-$n") });
}
sub refreshes { return grep { $_->{kind} == 1 && $_->{name} =~ /^refresh/ } @_ }
sub clients { return grep { $_->{kind} == 3 } @_ }

# Two requests for a path, of which the second gets the stale answer and refreshes it.
sub refreshed {
    my ($path, %more) = @_;
    my %header = (@client, %{ $more{headers} // {} });
    traced("$path, first", sub { get($path, \%header) });
    my ($response, @spans) = traced("$path, stale", sub { get($path, \%header) });
    is $response->{content}, 'answer 1', "$path: the stale response is sent";
    return @spans;
}

for my $path ('/weir/x', '/nginx/x', '/nginx/led/x', '/weir/leads', '/weir/mirrored/x') {
    my @spans = refreshed($path);
    my $server = server_span(@spans);
    my ($refresh, @more) = refreshes(@spans);
    is scalar(@more), 0, '... one refresh';
    my $route = $path eq '/weir/leads' ? '= /elsewhere' : $server->{attributes}{'http.route'};
    is $refresh->{attributes}{'http.route'}, $route, '... with its route';
    is $refresh->{name}, "refresh $route", '... which is in its name';
    is $refresh->{parent}, '', '... is the root of its trace';
    isnt $refresh->{trace}, $server->{trace}, '... which is one of its own';
    is_deeply [map { "$_->{trace} $_->{id} $_->{flags}" } @{ $refresh->{links} }],
        ["$server->{trace} $server->{id} " . ($server->{flags} & 0xff)],
        '... with a link to the request that started it';
    is $refresh->{flags} & 1, 1, '... and is sampled as that is';
    cmp_ok $refresh->{start}, '>=', $server->{start}, '... begins after the request';

    my ($asked, @others) = grep { $_->{trace} eq $refresh->{trace} } clients(@spans);
    is $asked->{parent}, $refresh->{id}, '... the upstream was asked within it';
    is scalar(@others), 0, '... once';
    is scalar(grep { $_->{trace} eq $server->{trace} } clients(@spans)), 0,
        '... and not within the request';
    my $sent = fields((lines_of('traceparent', received($path, 2)))[0]);
    is_deeply [@$sent{qw(trace id)}], [@$asked{qw(trace id)}], '... with this context';
    is scalar(lines_of('traceparent', received($path, 2))), 1, '... and no other';
    is scalar(grep { $_->{start} < $refresh->{start} || $_->{end} > $refresh->{end} } $asked), 0,
        '... within its time';
}

my @spans = refreshed('/weir/returns');
is scalar(refreshes(@spans)), 1, 'a refresh that is led to a response of nginx ends';
@spans = refreshed('/weir/b3/x');
my ($refresh) = refreshes(@spans);
is +(lines_of('b3', received('/weir/b3/x', 2)))[0],
    "$refresh->{trace}-" . (clients(@spans))[0]{id} . '-1', 'B3 has the refresh, too';

@spans = refreshed('/weir/fails');
($refresh) = refreshes(@spans);
is $refresh->{status}, 2, 'a refresh that fails is an error';
is server_span(@spans)->{status}, 0, '... and its request is none';
@spans = refreshed('/nginx/fails');
is scalar(refreshes(@spans)), 1, 'a refresh of nginx that fails';
is server_span(@spans)->{status}, 0, '... and a request that does not';

# --- one at a time ---

for my $path ('/weir/held', '/nginx/held') {
    traced("$path, first", sub { get($path) });
    spawn("client of $path", sub { get($path); POSIX::_exit(0) });
    received($path, 2);
    is get($path)->{content}, 'answer 1', "$path: a request while it is refreshed" for 1 .. 3;
    spit("$dir/go-" . $path =~ s{\W}{}gr, '');
    until_true('all are traced', sub {
        5 == grep { $_->{kind} == 2 && $_->{attributes}{'url.path'} eq $path }
            received_spans('spans');
    });
    my @all = spans_until($path, sub { $_->{kind} == 2 });
    is scalar(refreshes(@all)), 1, '... starts no other refresh';
    is scalar(grep { $_->{id} eq (refreshes(@all))[0]{links}[0]{id} } @all), 1,
        '... which links one of the requests';
    is scalar(clients(@all)), 1, '... and asks the upstream once';
}

# --- what is kept ---

is scalar(refreshes(refreshed('/weir/parent/x'))), 1, 'parent: of a sampled request';
my $quiet = '00-' . id('c', 16) . '-' . id('d', 8) . '-00';
for (1, 2) { get('/weir/parent/quiet', { traceparent => $quiet }) }
my $sent = fields((lines_of('traceparent', received('/weir/parent/quiet', 2)))[0]);
is $sent->{flags}, '00', '... of one that is not: the refresh is not sampled';
is substr($sent->{trace}, 16), id('c', 8), '... by the same bytes of its id';
isnt $sent->{trace}, id('c', 16), '... in a trace of its own';

get('/weir/errors/fails') for 1, 2;
@spans = spans_until('a refresh that fails', sub { $_->{name} =~ /^refresh/ });
is scalar(grep { $_->{kind} == 2 } @spans), 0, 'errors=on keeps a refresh that fails';
is scalar(clients(@spans)), 1, '... with what it asked';

my %sampled;
for my $i (1 .. 40) {
    my $path = "/weir/some/$i";
    get($path) for 1, 2;
    my ($parent) = map { fields($_) } lines_of('traceparent', received($path, 2));
    $sampled{ $parent->{trace} } = hex($parent->{flags}) & 1;
    my ($state) = lines_of('tracestate', received($path, 2));
    is $state, 'ot=th:8', 'a refresh that is sampled says by what threshold'
        if $sampled{ $parent->{trace} };
}
@spans = spans_until('a share', sub { $_->{name} =~ /^refresh/ });
my %kept = map { $_->{trace} => $_ } refreshes(@spans);
is_deeply [sort keys %kept], [sort grep { $sampled{$_} } keys %sampled],
    'of a share, those that were sampled are kept';
my %server = map { $_->{trace} => 1 } grep { $_->{kind} == 2 } @spans;
is scalar(grep { !$server{ $_->{links}[0]{trace} } } values %kept), 0,
    '... and with each the request that started it';

get('/weir/off/x', {@client}) for 1, 2;
is +(lines_of('traceparent', received('/weir/off/x', 2)))[0], $client[1],
    'weir_trace off: the client\'s context is passed on';

# --- a mirror that is handled by the same location is no refresh ---

@spans = (traced('a mirror', sub { get('/same/x') }))[1 .. 3];
is scalar(refreshes(grep { defined } @spans)), 0, 'a mirror is no refresh';
is fields((lines_of('traceparent', received('/same/copy', 1)))[0])->{trace},
    server_span(grep { defined } @spans)->{trace}, '... but a part of its request';

is scalar(logged(qr/\[(?:alert|crit|emerg)\]/)), 0, 'no alarm';
done_testing;
