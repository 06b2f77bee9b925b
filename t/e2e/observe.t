# What an operator sees on the stack of ./weir up: whole traces, percentiles, Prometheus with its
# rules and exemplars, and dashboards whose expressions have series. The receiver of spans may be
# killed: no request fails, and what ended meanwhile is kept later.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Weir::Base qw(slurp wait_for);
use Weir::Operator;

$ENV{WEIR_PROMETHEUS} = 1;
up();
my ($operators, $prometheus) = map { 'http://127.0.0.1:' . ($port + $_) } 7, 8;
my $http = HTTP::Tiny->new(timeout => 20);

sub json_of {
    my ($url) = @_;
    if ($url =~ /^\Q$operators\E/) {
        my $json = eval { decode_json(curl('-f', $url)) };
        return $json;
    }
    my $r = $http->get($url);
    return $r->{success} ? decode_json($r->{content}) : undef;
}

sub ctl {
    my ($code, $text) = weir('ctl', @_);
    is $code, 0, "./weir ctl @_" or diag $text;
    return $text;
}

# The id of the trace that the edge has written into its log for this URI.
sub trace_of {
    my ($uri) = @_;
    my ($line) = grep { $_->{uri} eq $uri } map { decode_json($_) } split /\n/,
        slurp("$run/logs/access.log");
    return $line->{trace_id};
}

# All spans of a trace.
sub spans {
    my ($id) = @_;
    my $trace = json_of("$operators/traces/$id") // return;
    return map { @{ $_->{spans} } } map { @{ $_->{scopeSpans} } } @{ $trace->{resourceSpans} };
}

my $signup = ask('POST', '/signup', { email => 'a@example.com', displayName => 'A' });
is $signup->{status}, 201, 'a signup';
get('/products') for 1 .. 20;
get('/users/0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11');

subtest 'one trace, from the edge to the mail' => sub {
    my $id = trace_of('/signup');
    wait_for('the mail' => sub { grep { $_->{name} eq 'SMTP' } spans($id) });
    wait_for('all groups' => sub { 4 <= grep { $_->{name} =~ /^process/ } spans($id) });
    my %known = map { $_->{spanId} => 1 } spans($id);
    is_deeply [ grep { $_->{parentSpanId} && !$known{ $_->{parentSpanId} } } spans($id) ], [],
        'no parent is missing';
    my $text = ctl('trace', 'show', $id);
    like $text, qr/^shop-edge +POST \S+ 201 \/signup\b.*\nshop-edge +`-POST 201 /m, 'the edge';
    like $text, qr/`-POST 201 .*\nweir-backend +`-POST \/signup 201 /,
        'its try, the backend';
    like $text, qr/process weir:events email.*\n(.*\n)*.*-SMTP /, 'and the mail of the consumer';
    unlike $text, qr/is not here/, 'as one tree';
    like ctl('trace', 'list', '-n', 1000), qr/^$id .* shop-edge +POST/m, 'in the list';
};

subtest 'a problem leads to its trace' => sub {
    my $r = get('/orders/0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e12');
    is $r->{status}, 404, 'an order that is not there';
    like $r->{json}{trace_id}, qr/^[0-9a-f]{32}$/, 'the problem names a trace';
    wait_for('its spans' => sub { 3 <= (() = spans($r->{json}{trace_id})) });
};

subtest 'percentiles' => sub {
    my $text;
    wait_for('the counts' => sub {
        $text = ctl('top', '--once');
        return $text =~ /^\/products +2\d/m;
    });
    like $text, qr/^backend +\d/m, 'upstreams';
    like $text, qr/^email +0 /m, 'groups';
    like $text, qr/^statement SELECT /m, 'statements';
};

subtest 'the receiver is killed' => sub {
    my ($pid) = slurp("$run/pids/traces") =~ /^(\d+)/;
    kill 'KILL', $pid;
    my $during = ask('POST', '/signup', { email => 'b@example.com', displayName => 'B' });
    is $during->{status}, 201, 'requests go on';
    get('/orders/during');
    my ($code, $status) = weir('status');
    is $code, 3, './weir status says that something is down';
    like $status, qr/^traces +\d* *-? +down/m, 'the receiver';
    up();
    ok spans(trace_of('/signup')), 'what it had is still there';
    wait_for('what ended meanwhile' => sub { 3 <= (() = spans(trace_of('/orders/during'))) }, 60);
};

subtest 'Prometheus' => sub {
    my $targets;
    wait_for('both targets' => sub {
        $targets = json_of("$prometheus/api/v1/targets")->{data}{activeTargets};
        return 2 == grep { $_->{health} eq 'up' } @$targets;
    }, 60);
    my @rules = map { @{ $_->{rules} } }
        @{ json_of("$prometheus/api/v1/rules")->{data}{groups} };
    cmp_ok scalar @rules, '>', 10, 'it has the rules';
    is_deeply [ grep { $_->{lastError} } @rules ], [], 'which it can evaluate';

    my $exemplar;
    wait_for('an exemplar' => sub {
        get('/products');
        my $series = json_of("$prometheus/api/v1/query_exemplars"
                . "?query=http_server_request_duration_seconds_bucket&start=@{[time - 3600]}"
                . "&end=@{[time + 60]}")->{data};
        ($exemplar) = map { @{ $_->{exemplars} } } @$series;
        return $exemplar;
    }, 60);
    ok scalar(spans($exemplar->{labels}{trace_id})), 'an exemplar leads to a trace that is there';
};

subtest 'dashboards' => sub {
    my %there = map { $_ => 1 } @{ json_of("$prometheus/api/v1/label/__name__/values")->{data} };
    # Rates need two scrapes of a series.
    wait_for('rates' => sub {
        my $rate = 'query=rate(weir_cache_stored_total[1m])';
        @{ json_of("$prometheus/api/v1/query?$rate")->{data}{result} };
    }, 60);
    for my $name (qw(edge backend)) {
        my $board = decode_json(slurp("conf/grafana/weir-$name.json"));
        my (@empty, $shown);
        for my $target (map { @{ $_->{targets} // [] } } @{ $board->{panels} }) {
            my $expr = $target->{expr} =~ s/\$__rate_interval/1m/gr =~ s/\$job/weir-$name/gr
                =~ s/\$instance/.*/gr;
            my @metrics = $expr =~ /([a-z_]+)\{/g;
            next if grep { !$there{$_} } @metrics;
            my $r = $http->post_form("$prometheus/api/v1/query", { query => $expr });
            my $result = $r->{success} ? decode_json($r->{content})->{data}{result} : [];
            $shown++ if @$result;
            # A metric may be the other program's, or a division by what was not counted.
            next if @$result || $expr =~ m{/};
            my $of_job = $http->post_form("$prometheus/api/v1/query",
                { query => "{__name__=\"$metrics[0]\",job=\"weir-$name\"}" });
            push @empty, $expr if @{ decode_json($of_job->{content})->{data}{result} };
        }
        is_deeply \@empty, [], "each panel of weir-$name has series if its metric has";
        cmp_ok $shown, '>', 30, 'most have';
    }
};

subtest 'down' => sub {
    is((weir('down'))[0], 0, './weir down');
    my ($code, $text) = weir('status');
    is scalar(() = $text =~ / down /g), 8, 'everything has ended';
    $ENV{WEIR_PROMETHEUS} = 0;
};

done_testing;
