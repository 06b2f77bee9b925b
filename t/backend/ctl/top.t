# weirctl top: what an edge and a backend say, in a terminal, in a pipe and as JSON.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Temp 'tempdir';
use JSON::PP;
use Test::More;
use Weir::Base qw(free_port listens output_of slurp spew wait_for);
use Weir::Backend::Traces qw($CTL);

my $dir  = tempdir(CLEANUP => 1);
my $port = free_port();
my $json = JSON::PP->new->utf8;
delete @ENV{qw(COLUMNS WEIR_STATUS_URL WEIR_METRICS_URL)};

# A server of files plays edge and backend.
my $pid = fork // die $!;
if (!$pid) {
    open STDERR, '>', "$dir/server.log";
    open STDOUT, '>', "$dir/server.log";
    exec '/usr/bin/python3', '-m', 'http.server', '-d', $dir, '--bind', '127.0.0.1', $port or die;
}
END { if ($pid) { local $?; kill 'TERM', $pid; waitpid $pid, 0 } }
wait_for('the server' => sub { listens($port) });

my @edge    = ('--url',     "http://127.0.0.1:$port/status");
my @backend = ('--backend', "http://127.0.0.1:$port/metrics");

sub spans {
    my ($requests, $ms, @tail) = @_;
    return { requests => $requests,
        $requests ? (map { ("p${_}_ms" => $ms) } qw(50 90 95 99 99_9)) : (),
        @tail ? (tail => [ map { { phase => $_->[0], share => $_->[1],
            $_->[2] ? (dependency => $_->[2]) : () } } @tail ]) : () };
}

sub route {
    my ($minute, $hour, %more) = @_;
    return { '1m' => $minute, '15m' => $hour, '1h' => $hour, %more };
}

sub status {
    my (%routes) = @_;
    spew("$dir/status", $json->encode({ version => '9.9', routes => \%routes,
        upstreams => { api => route(spans(5, 7.25), spans(5, 7.25)) },
        breakers => { zone => { keys => {
            api   => { state => 'open', reason => 'five failures' },
            other => { state => 'closed' } } } } }));
}

# A histogram of this many up to 0.1 s, and up to 1 s, of a statement.
sub metrics {
    my ($fast, $all) = @_;
    my $of = 'db_client_operation_duration_seconds_bucket{db_query_summary="SELECT \"x\"",le=';
    spew("$dir/metrics", <<"END");
# HELP weir_outbox_waiting_events Events.
weir_outbox_waiting_events 7
weir_outbox_oldest_age_seconds 1.5
weir_group_lag_events{group="email"} 12
weir_group_dead_letters{group="email"} 2
weir_group_paused{group="email"} 1
${of}"0.1"} $fast
${of}"1"} $all
${of}"+Inf"} $all
weir_batch_wait_seconds_bucket{db_query_summary="a",le="+Inf"} 0
weir_db_commit_seconds_bucket{db_query_summary="SELECT signup",le="0.05"} $fast
weir_db_commit_seconds_bucket{db_query_summary="SELECT signup",le="+Inf"} $fast
no sample
broken{label="x 1
broken{label=x} 1
weir_nan NaN
END
}

sub top { my ($code, $text) = output_of($CTL, 'top', @_); return ($code, $text) }

subtest 'a screen' => sub {
    status('/slow' => route(spans(10, 84, [ redis => 0.712, 'main' ], [ connect => 0.221 ]),
            spans(99, 4),
            versions => { 2 => route(spans(10, 84), spans(1, 4)) }),
        '/many' => route(spans(1000, 0.5), spans(1000, 0.5)), '/idle' => route(spans(0), spans(0)));
    metrics(50, 100);
    local $ENV{COLUMNS} = 120;
    my ($code, $text) = top(@edge, @backend, '--once');
    is $code, 0, 'is printed';
    like $text, qr/^weir 9\.9  the last 1m\nbreaker api is open: five failures\n\n/,
        'the version, and breakers that are not closed';
    like $text,
        qr/\nROUTE .*\n\/many +1000 +0\.50 .*\n\/slow +10( +84\.00){5}  71% redis main, 22%/,
        'routes, most requests first, with the causes of the tail';
    like $text, qr/\n  version 2 +10( +84\.00){5}\n/, 'versions';
    unlike $text, qr/idle/, 'not those without requests';
    like $text, qr/\nUPSTREAM .*\napi +5( +7\.25){5}\n/, 'upstreams';
    like $text, qr/\n\(outbox\) +7 +1\.5\nemail +12 +0\.0 +0 +2  paused\n/, 'outbox and groups';
    # As histogram_quantile(): P50 is the bound of the first bucket, P99 is in the second.
    like $text, qr/\nstatement SELECT "x" +100 +100 +982\n/, 'statements by their name';
    like $text, qr/\ncommit SELECT signup +50 +25\.00 +49\.50\n/, 'the disk';
    ($code, $text) = top(@edge, '--once', '--window', '1h');
    like $text, qr/\n\/slow +99( +4\.00){5}\n/, 'another window';
    unlike $text, qr/CONSUMER/, 'the edge alone';
    ($code, $text) = top(@backend, '--once');
    unlike $text, qr/ROUTE/, 'the backend alone';
    $ENV{COLUMNS} = 80;
    like +(top(@edge, '--once'))[1],
        qr/\n\/slow +10( +84\.00){2}.*\n    slow: 71% redis main, 22% connect\n/,
        'causes below their route where the terminal is not wide enough for them';
    $ENV{COLUMNS} = 40;
    ok !(grep { length > 40 } split /\n/, (top(@edge, @backend, '--once'))[1]), 'in 40 columns';
};

subtest 'text of others' => sub {
    status("a\e[2J\x{9b}2J" . 'x' x 300 => route(spans(1, 1, [ "\e]0;x\a" => 1 ]), spans(0)));
    local $ENV{COLUMNS} = 200;
    my ($code, $text) = top(@edge, '--once');
    unlike $text, qr/[\x00-\x09\x0b-\x1f\x7f]|\xc2\x9b/, 'no control character';
    like $text, qr/^a\?\[2J\?2Jx+~ +1 .*  100% \?\]0;x\?$/m, 'but what can be read';
    spew("$dir/odd", "[\"\xc2\x9b2J");
    ($code, $text) = top('--url', "http://127.0.0.1:$port/odd", '--once');
    like $text, qr/^weirctl: .*no JSON: .*\?2J/, 'nor one in a message';
    spew("$dir/traces", "{\"traces\":[{\"a\\u001b[2J\":1}]}");
    ($code, $text) = output_of($CTL, 'trace', 'list', '--url', "http://127.0.0.1:$port");
    like $text, qr/^A\?\[2J$/m, 'nor in the head of a table';
};

subtest 'JSON, and the difference between two looks' => sub {
    metrics(50, 100);
    open my $out, '-|', $CTL, 'top', @edge, @backend, '--json', '--interval', '100ms' or die $!;
    my $first = $json->decode(scalar <$out>);
    is $first->{edge}{version}, '9.9', 'weir_status as it is';
    is_deeply $first->{backend}{groups},
        [ { group => 'email', lag => 12, dead => 2, paused => 1 } ], 'groups';
    is $first->{backend}{waits}[0]{count}, 100, 'of all since the start';
    metrics(150, 200);
    my $waits;
    wait_for('the next figures' => sub {
        $waits = $json->decode(scalar <$out>)->{backend}{waits};
        return @$waits;
    });
    is_deeply $waits, [ { what => 'statement', name => 'SELECT "x"', count => 100, p50_ms => 50,
        p99_ms => 99 }, { what => 'commit', name => 'SELECT signup', count => 100, p50_ms => 25,
        p99_ms => 49.5 } ], 'then of what is new';
    close $out;
};

subtest 'a terminal' => sub {
    plan skip_all => 'there is no script(1)' if system('script --version >/dev/null 2>&1');
    my $typescript = "$dir/typescript";
    open my $in, '|-', 'script', '-qefc',
        "stty rows 8 cols 60; $CTL top @edge @backend --interval 60s; stty -a", $typescript
        or die $!;
    $in->autoflush(1);
    wait_for('a screen' => sub { slurp($typescript) =~ /the last 1m/ });
    print $in '3';
    wait_for('another window' => sub { slurp($typescript) =~ /the last 1h/ });
    my ($screen) = slurp($typescript) =~ /\e\[H(.*?)\e\[J/s;
    cmp_ok scalar(() = $screen =~ /\n/g), '<=', 7, 'no longer than the terminal';
    print $in 'q';
    wait_for('the end' => sub { slurp($typescript) =~ / icanon / });
    like slurp($typescript), qr/\e\[\?25h.*[ ;]echo /s,
        'q ends it, and leaves the terminal as it was';
    close $in;
};

subtest 'what is wrong' => sub {
    my $closed = 'http://127.0.0.1:' . free_port();
    for ([ 2 => 'no address' ], [ 2 => 'a wrong window', @edge, '--window', '2m' ],
        [ 3 => 'an edge that is away', '--url', $closed, '--once' ],
        [ 3 => 'no JSON', '--url', "http://127.0.0.1:$port/metrics", '--once' ],
        [ 3 => 'nothing there', '--url', "http://127.0.0.1:$port/none", '--once' ],
        [ 3 => 'no HTTP', '--url', "file://$dir/status", '--once' ]) {
        my ($wanted, $what, @arguments) = @$_;
        is((top(@arguments))[0], $wanted, $what);
    }
    my ($code, $text) = top('--url', $closed, @backend, '--once');
    like $text, qr/CONSUMER/, 'the other one is shown all the same';
    spew("$dir/status", '{"routes":[1],"upstreams":{"x":{"1m":{"requests":1,"tail":{}}}}}');
    is((top(@edge, '--once'))[0], 0, 'odd JSON is no harm');
};

done_testing;
