# Requests for the same key while Redis is being asked share one GET and its reply; the end of one
# request does not affect the others.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';

my $large = join '', map { sprintf '%06d;', $_ } 1 .. 30000;    # 210 KB, each place its own

start_redis();
start_upstream(sub {
    my ($path, $request, $n) = @_;
    sleep 0.3 if $path =~ /slow/;
    my ($language) = $request =~ /^Accept-Language: (\w+)/mi;
    return answer('200 OK', ['Cache-Control: max-age=600', 'Vary: Accept-Language'],
        "answer $n in $language")
        if $path =~ /vary/;
    return answer('200 OK', ['Cache-Control: max-age=600', "X-Answer: $n"],
        $path =~ /large/ ? $large : "answer $n of $path");
});
start_edge('edge', "weir_cache_zone both 1m redis=main;\nweir_cache_zone second 1m redis=main;",
    <<'SERVER', timeout => '20s');
        location /     { weir_cache second l1=off; proxy_pass http://UPSTREAM; }
        location /both { weir_cache both; proxy_pass http://UPSTREAM; }
        location /stub { stub_status; }
SERVER

my ($address) = url_of('edge', '') =~ m{//(.*)};

sub client {
    my ($path, $fields) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $address) // die $!;
    $socket->print("GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        . ($fields // '') . "\r\n");
    return $socket;
}
sub in_hand { (get('edge', '/stub')->{content} =~ /Writing: (\d+)/)[0] - 1 }
sub hits {
    my ($body, @answers) = @_;
    return scalar grep {
        $_->{head} =~ m{^HTTP/1.1 200} && $_->{head} =~ /Weir; hit;.*detail=redis/
            && $_->{body} eq $body;
    } @answers;
}

# How often Redis was asked for an entry since the last call, by its own monitor.
my ($monitor, $marks);
sub gets {
    $monitor //= monitor();
    my $mark = 'mark ' . ++$marks;
    redis('ECHO', $mark);
    my $n = 0;
    while (my $line = <$monitor>) {
        $n++ if $line =~ /^\+\S+ \[0 127\S+ "GET" "weir:cache:/;
        return $n if $line =~ /"$mark"/;
    }
    die 'Redis left';
}

sub stop_redis {
    kill_process('STOP', 'redis');
    until_true('Redis stands still', sub { slurp("/proc/$pid{redis}/stat") =~ /\) T / });
}

# Runs the given code while Redis is stopped, and continues when the edge has that number of
# requests.
sub while_asked {
    my ($n, $what) = @_;
    stop_redis();
    my @result = $what->();
    until_true("$n requests wait", sub { in_hand() == $n });
    kill_process('CONT', 'redis');
    return @result;
}

get('edge', $_) for '/one', '/large', '/both/one';

gets();
my @r = answers(while_asked(30, sub { map { client('/one') } 1 .. 30 }));
is hits('answer 1 of /one', @r), 30, '30 clients get what Redis has';
is gets(), 1, '... for one GET';

@r = answers(while_asked(12, sub { map { client('/large') } 1 .. 12 }));
is hits($large, @r), 12, 'a large one, too';

gets();
@r = answers(while_asked(10, sub { map { client('/one'), client('/large') } 1 .. 5 }));
is hits('answer 1 of /one', @r) + hits($large, @r), 10, 'two keys at once are not mixed up';
is gets(), 2, '... and cost two GETs';

# The first request leaves, then one in the middle, and finally all.
@r = answers(while_asked(4, sub {
    my @clients = map { client('/one') } 1 .. 6;
    until_true('6 requests wait', sub { in_hand() == 6 });
    close $_ for $clients[0], $clients[3];
    return @clients[1, 2, 4, 5];
}));
is hits('answer 1 of /one', @r), 4, 'clients that leave take the answer from no other client';

while_asked(0, sub {
    my @clients = map { client('/large') } 1 .. 3;
    until_true('3 requests wait', sub { in_hand() == 3 });
    close $_ for @clients;
});
is get('edge', '/large')->{content}, $large, 'when all have left, the next one asks again';

# Variants: the entry under the key, then that of the variant.
get('edge', '/vary', { 'Accept-Language' => $_ }) for 'de', 'en';
gets();
my @languages = (('de') x 10, ('en') x 10);
@r = answers(while_asked(20, sub {
    map { client('/vary', "Accept-Language: $_\r\n") } @languages;
}));
is scalar(grep { $_->{head} =~ /detail=redis/ && $_->{body} =~ /in de/ } @r), 10,
    'each of two variants for its clients';
is scalar(grep { $_->{head} =~ /detail=redis/ && $_->{body} =~ /in en/ } @r), 10,
    '... and for those of the other';
is gets(), 3, '... for one GET of the key and one of each variant';

# The first level is filled once, by one of the waiting requests; a new edge has nothing in
# memory.
stop('edge', 'TERM');
start_edge('edge', "weir_cache_zone both 1m redis=main;\nweir_cache_zone second 1m redis=main;",
    <<'SERVER', timeout => '20s');
        location /     { weir_cache second l1=off; proxy_pass http://UPSTREAM; }
        location /both { weir_cache both; proxy_pass http://UPSTREAM; }
        location /stub { stub_status; }
SERVER
($address) = url_of('edge', '') =~ m{//(.*)};
get('edge', "$_/warm") for '', '/both';    # the zones' first look at the stream
gets();
@r = answers(while_asked(30, sub { map { client('/both/one') } 1 .. 30 }));
is scalar(grep { $_->{head} =~ /Weir; hit;/ && $_->{body} eq 'answer 1 of /both/one' } @r), 30,
    'with the first level on';
is gets(), 1, '... a cold edge asks Redis once for all of them';
like cache_status(get('edge', '/both/one')), qr/detail=memory/, '... and has it in memory then';
is asked('/both/one'), 1, 'the upstream was asked for none of it';

# Redis dies while it is asked: the upstream answers.
stop_redis();
my @clients = map { client('/dies') } 1 .. 8;
until_true('8 requests wait', sub { in_hand() == 8 });
stop('redis', 'KILL');
@r = answers(@clients);
is scalar(grep { $_->{head} =~ m{^HTTP/1.1 200} && $_->{body} =~ m{of /dies$} } @r), 8,
    'Redis dies: all who waited get an answer of the upstream';

# A value that is no entry is logged once for all waiting requests.
start_redis();
until_true('the edge has Redis again', sub {
    get('edge', '/one');
    cache_status(get('edge', '/one')) =~ /hit;.*detail=redis/;
});
until_true('it is stored', sub { cache_status(get('edge', '/slow')) =~ /hit;/ });
redis('SET', $_, 'no entry at all') for @{ redis('KEYS', 'weir:cache:second:*') };
mark_log('edge');
@r = answers(while_asked(6, sub { map { client('/slow') } 1 .. 6 }));
is scalar(grep { $_->{head} =~ m{^HTTP/1.1 200} && $_->{body} =~ m{of /slow$} } @r), 6,
    'a foreign value is a miss for all';
is scalar(logged_since('edge', qr/in Redis is foreign or damaged/)), 1,
    '... and one line in the log, however often those look who wait';

is scalar(logged('edge', qr/\[(?:alert|crit|emerg)\]/)), 0, 'nothing alarming is logged';
done_testing;
