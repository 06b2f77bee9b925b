# Traces that are kept late: spans of a request that is not sampled are held, and are sent when the
# id of their trace comes by Redis, by each process on its own.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Backend::Metrics qw(value);
use Weir::Backend::Spans qw(named signup_tree tree);
use Weir::Base qw(free_port slurp spew wait_for);
use Weir::Stack;

my $STREAM = 'weir:traces:kept';
my $s = Weir::Stack->new;
my $c = Weir::Backend::Spans->new($s);
my $m = Weir::Backend::Metrics->new(free_port());
my $taken = $s->start_smtp_moody;

sub start {
    my ($role, %conf) = @_;
    $s->start_backend($role, conf => { $c->conf, service_name => $role, %conf });
}

# The api is the one whose metrics are read.
sub start_api { start('api', metrics_listen => "127.0.0.1:$m->{port}", @_) }

start($_) for qw(relay worker);
start_api();

# A signup in a new trace; returns the trace's id.
my $n = 0;
sub sign_up {
    my ($name, %with) = @_;
    my $trace = sprintf '%032x', ++$n;
    my $r = $s->post('/signup', { email => "$name\@example.com", displayName => $name },
        { traceparent => "00-$trace-00f067aa0ba902b7-" . ($with{flags} // '00'),
            tracestate => $with{state} // 'a=1,weir=late' });
    is $r->{status}, 201, "$name: done" or diag $r->{content};
    return $trace;
}

sub keep { $s->redis('XADD', $STREAM, '*', 'ids', join ' ', @_) }

sub mailed {
    my ($name) = @_;
    wait_for("the mail to $name" => sub { slurp($taken) =~ /^\Q$name\E@/m });
}

sub spans_of { my ($trace) = @_; return grep { $_->{trace} eq $trace } $c->spans }

sub metric { return value($m->scrape('text'), @_) // 0 }

# Spans that ended before this was called have been sent, if they are sent at all: processes send
# their spans in the order in which they were queued.
sub settle {
    my $name = 'settle' . ++$n;
    my $trace = sign_up($name, flags => '01');
    $c->trace($trace, 17);
}

my $TREE = signup_tree();

# Its lines, each once: the relay publishes events again that a Redis has lost.
sub once { my %seen; return grep { !$seen{$_}++ } split /\n/, shift }

subtest 'held, and kept' => sub {
    my ($kept, $other) = map { sign_up($_) } qw(kept other);
    mailed($_) for qw(kept other);
    settle();
    is_deeply [map { spans_of($_) } $kept, $other], [], 'nothing is sent before it is known';
    cmp_ok metric('weir_late_spans_held'), '>=', 6, 'spans are held';
    cmp_ok metric('weir_late_held_bytes'), '>=', 1000, '... which takes memory';
    keep($kept);
    my @spans = $c->trace($kept, 17);
    is tree(@spans), $TREE, 'the whole trace is sent, by all processes';
    is_deeply [map { $_->{attributes}{'weir.trace.incomplete'} // () } @spans], [],
        '... and is complete';
    settle();
    is_deeply [spans_of($other)], [], 'the other one is not';
    is metric('weir_late_spans_total', result => 'kept'), 3, 'the spans of the api are counted';
    is metric('weir_late_ids_total', result => 'read'), 1, '... and the id';
};

subtest 'each has its own statement' => sub {
    my ($first, $second) = map { sign_up($_) } qw(first second);
    keep($second);
    my @spans = $c->trace($second, 17);
    is tree(@spans), $TREE, 'a trace is whole, whatever it shared a batch with';
};

subtest 'the id comes first' => sub {
    my $next = sprintf '%032x', $n + 1;
    keep($next, 'e' x 32);
    is sign_up('early'), $next, 'a request of a trace whose id has come already';
    is tree($c->trace($next, 17)), $TREE, 'is sent';
};

subtest 'a mail that takes long' => sub {
    my $trace = sign_up('slow');
    $c->trace(sign_up('before', flags => '01'), 17);
    keep($trace);
    my @early = $c->trace($trace, 13);
    is scalar(named('SMTP', @early)), 0, 'the trace is kept before its mail is sent';
    spew("$taken.mood", '250 ok');
    wait_for('its mail' => sub { named('SMTP', spans_of($trace)) });
    is_deeply [once(tree($c->trace($trace, 17)))], [once($TREE)], 'the mail is in it, too';
};

subtest 'not late' => sub {
    my @never = (sign_up('plain', state => 'a=1'), sign_up('value', state => 'weir=later'));
    my $sampled = sign_up('sampled', flags => '01');
    is tree($c->trace($sampled, 17)), $TREE, 'a trace that is sampled is sent at once';
    keep(@never);
    keep($sampled);
    my $last = sign_up('last');
    keep($last);
    $c->trace($last, 17);
    settle();
    is_deeply [map { spans_of($_) } @never], [], 'others were not held';
    is scalar(spans_of($sampled)), 17, 'no span is sent twice';
};

subtest 'a worker that was not there' => sub {
    $s->kill_backend('worker');
    my $trace = sign_up('later');
    keep($trace);
    $c->trace($trace, 5);
    start('worker');
    is tree($c->trace($trace, 17)), $TREE, 'reads the ids of the last minutes';
};

subtest 'what others write' => sub {
    my $malformed = metric('weir_late_ids_total', result => 'malformed');
    $s->redis('XADD', $STREAM, '*', @$_)
        for ['ids', 'x'], ['ids', 'A' x 32], ['ids', 'a' x 31], ['ids', ' '], ['ids', '0' x 32],
        ['other', 'a' x 32], ['ids', 'a' x 32 . ' ' . 'b' x 33], ['ids', 'x' x 100_000],
        ['ids', join ' ', map { sprintf '%032x', $_ } 1e6 .. 1e6 + 2000];
    my $trace = sign_up('hostile');
    keep($trace);
    is tree($c->trace($trace, 17)), $TREE, 'messages that are malformed change nothing';
    is metric('weir_late_ids_total', result => 'malformed') - $malformed, 9, 'they are counted';

    # As far in the future as a wrong clock might be, and more than one reply has.
    $s->redis('XADD', $STREAM, (time + 7200) . '000-0', 'ids', 'x');
    $s->redis('XADD', $STREAM, '*', 'ids', 'x') for 1 .. 150;
    $trace = sign_up('ahead');
    keep($trace);
    is tree($c->trace($trace, 17)), $TREE, 'ids in the future do not hide what follows them';
    $malformed += 151;

    $s->redis('XADD', $STREAM, '18446744073709551615-18446744073709551615', 'ids', 'x');
    wait_for('it is read' => sub {
        metric('weir_late_ids_total', result => 'malformed') - $malformed > 9;
    });
    $s->redis('DEL', $STREAM);
    $trace = sign_up('after');
    keep($trace);
    is tree($c->trace($trace, 17)), $TREE, 'the last id that there can be does not stop us';

    $s->redis('DEL', $STREAM);
    $s->redis('SET', $STREAM, 'x');
    my $refused = 'Redis does not let us read which traces are kept';
    wait_for('a refusal' => sub { $s->logged('api', $refused) });
    $s->redis('DEL', $STREAM);
    $trace = sign_up('again');
    keep($trace);
    is tree($c->trace($trace, 17)), $TREE, 'another type of value, which is removed';
    is scalar($s->logged('api', $refused)), 1, 'one line says so';
    $s->redis('FLUSHALL');
    $trace = sign_up('flushed');
    keep($trace);
    is_deeply [once(tree($c->trace($trace, 17)))], [once($TREE)], 'FLUSHALL';
};

subtest 'Redis is gone' => sub {
    $s->kill_redis;
    my $trace = sign_up('gone');
    $s->start_redis;
    keep($trace);
    my @spans = $c->trace($trace, 17);
    is_deeply [once(tree(@spans))], [once($TREE)], 'a trace of that time is whole';
};

# What a trace says that lacks spans of the api.
sub check_missing {
    my ($trace, $spans) = @_;
    keep($trace);
    wait_for('the span that says so' => sub { named('missing spans', spans_of($trace)) });
    my ($span) = named('missing spans', spans_of($trace));
    is_deeply $span->{attributes},
        { 'weir.trace.incomplete' => 'evicted', 'weir.trace.missing_spans' => $spans },
        'the trace says that spans are missing';
    cmp_ok $span->{end}, '>', $span->{start}, '... and when';
    is metric('weir_late_spans_missing_total'), $spans, 'they are counted';
}

subtest 'the api is killed' => sub {
    my $trace = sign_up('killed');
    mailed('killed');
    $s->kill_backend('api');
    start_api();
    keep($trace);
    my @spans = $c->trace($trace, 14);
    is scalar(named('SMTP', @spans)), 1, 'what relay and worker have held is sent';
    settle();
    is scalar(named(qr/signup/, spans_of($trace))), 0, 'what the api had held is lost';
};

subtest 'no room' => sub {
    $s->stop_backend('api');
    start_api(traces_late_buffer => '1k');
    my $trace = sign_up('evicted');
    my $next = sign_up('evicting');
    mailed('evicting');
    cmp_ok metric('weir_late_held_bytes'), '<=', 1024, 'the limit is kept';
    cmp_ok metric('weir_late_spans_total', result => 'evicted'), '>=', 3, 'others are counted';
    check_missing($trace, 3);
    my $id = sign_up('following');
    keep($id);
    wait_for('its last span' => sub { named('SMTP', spans_of($id)) });
    # By the api, which is another process.
    wait_for('what had room, or what was missing' =>
        sub { named(qr/missing|signup/, spans_of($id)) });
};

subtest 'no time' => sub {
    $s->stop_backend('api');
    start_api(traces_late_hold => '1s');
    my $trace = sign_up('expired');
    my $i = 0;
    wait_for('it is too old' => sub {
        sign_up('time' . ++$i);
        return metric('weir_late_spans_total', result => 'expired') >= 3;
    });
    check_missing($trace, 3);
};

subtest 'nothing is held' => sub {
    $s->stop_backend('api');
    start_api(traces_late_buffer => '0');
    my $trace = sign_up('off');
    mailed('off');
    keep($trace);
    $c->trace($trace, 12);
    settle();
    is scalar(named(qr/signup/, spans_of($trace))), 0, 'with traces_late_buffer = 0';
    is value($m->scrape('text'), 'weir_late_spans_held'), undef, 'there are no metrics of it';
};

done_testing;
