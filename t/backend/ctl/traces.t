# weirctl trace receive: what exporters send is in the file or was refused, whatever else comes; the
# file has a limit, and may be deleted, moved and read at any time.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Temp 'tempdir';
use IO::Compress::Gzip 'gzip';
use IO::Socket::INET;
use JSON::PP;
use POSIX 'mkfifo';
use Test::More;
use Weir::Base qw(free_port output_of slurp spew wait_for);
use Weir::Backend::Traces qw(encoded request span $CTL $ID);

my $PROTOBUF = 'application/x-protobuf';
my $dir      = tempdir(CLEANUP => 1);
my $r        = Weir::Backend::Traces->new(dir => $dir, limit => 1);

sub gzipped { my ($text) = @_; gzip(\$text => \my $out) or die; return $out }

# A trace id for a number.
sub id { return sprintf '%032x', $_[0] }

subtest 'all that a span can have' => sub {
    my $values = [
        { key => 'text',    value => { stringValue => "\x{e4}\"\\\n\x{1f600}" } },
        { key => 'true',    value => { boolValue => JSON::PP::true } },
        { key => 'least',   value => { intValue => '-9223372036854775808' } },
        { key => 'real',    value => { doubleValue => 0.5 } },
        { key => 'odd',     value => { doubleValue => 'NaN' } },
        { key => 'bytes',   value => { bytesValue => '/wABAg==' } },
        { key => 'list',    value => { arrayValue => { values => [ { stringValue => 'x' } ] } } },
        { key => 'members', value => { kvlistValue => { values =>
            [ { key => 'k', value => { intValue => '1' } } ] } } },
    ];
    my $request = request(span(
        name => 'everything', kind => 3, parentSpanId => '00f067aa0ba902b7',
        traceState => 'a=b', flags => 257, attributes => $values,
        droppedAttributesCount => 1, droppedEventsCount => 2, droppedLinksCount => 3,
        events => [ { timeUnixNano => '1767225600000000001', name => 'e',
            attributes => [ $values->[0] ] } ],
        links  => [ { traceId => id(7), spanId => '00f067aa0ba902b8', traceState => 'c=d',
            attributes => [ $values->[0] ], flags => 1 } ],
        status => { message => 'm', code => 2 }));
    is $r->post(encoded($request), $PROTOBUF)->{status}, 200, 'protobuf is taken';
    is_deeply $r->get("/traces/$ID"), $request, 'and comes back as OTLP in JSON';
    is $r->post($request)->{status}, 200, 'the same as JSON';
    is_deeply $r->get("/traces/$ID"), $request, 'is still one span';
    is $r->post(gzipped(encoded(request(span(traceId => id(2), name => 'packed')))), $PROTOBUF,
        'Content-Encoding' => 'gzip')->{status}, 200, 'gzip';
    is_deeply [ $r->names(id(2)) ], ['packed'], 'is unpacked';
};

subtest 'what is wrong is refused, and nothing else is lost' => sub {
    my $good = encoded(request(span(traceId => id(3), name => 'good')));
    is $r->post($good, $PROTOBUF)->{status}, 200, 'a span';
    my @wrong = (
        [ 400, 'cut off',     substr($good, 0, -1), $PROTOBUF ],
        [ 400, 'no protobuf', "\xff" x 100, $PROTOBUF ],
        [ 400, 'a number where a message is', "\x08\x01", $PROTOBUF ],
        # resource_spans, scope_spans, spans; its name (5) a number
        [ 400, 'a name that is a number', "\x0a\x06\x12\x04\x12\x02\x28\x01", $PROTOBUF ],
        [ 400, 'no JSON', '{', 'application/json' ],
        [ 400, 'not UTF-8', "{\"a\":\"\xff\"}", 'application/json' ],
        [ 400, 'an array', '[]', 'application/json' ],
        [ 400, 'spans of another kind', '{"resourceSpans":[{"scopeSpans":[{"spans":{}}]}]}',
            'application/json' ],
        [ 400, 'very deep', '{"resourceSpans":' . '[' x 100000, 'application/json' ],
        [ 415, 'text', 'a', 'text/plain' ],
        [ 415, 'another coding', 'a', $PROTOBUF, 'Content-Encoding' => 'br' ],
        [ 400, 'no gzip', 'a', $PROTOBUF, 'Content-Encoding' => 'gzip' ],
        [ 400, 'gzip that unpacks to 9 MiB', gzipped("\0" x 9437184), $PROTOBUF,
            'Content-Encoding' => 'gzip' ],
        [ 413, 'more than 8 MiB', 'x' x 8388609, $PROTOBUF ],
    );
    for my $wrong (@wrong) {
        my ($status, $what, @request) = @$wrong;
        my $answer = $r->post(@request);
        is $answer->{status}, $status, $what;
        is $answer->{headers}{'content-type'}, 'application/problem+json', '... as a problem';
    }
    # An AnyValue in an ArrayValue, 100 times, as value of the attribute of a span.
    my $deep = '';
    sub in { my ($n, $s) = @_; my $l = length $s;
        return chr($n << 3 | 2) . ($l < 128 ? chr $l : chr($l & 127 | 128) . chr($l >> 7)) . $s }
    $deep = in(5, in(1, $deep)) for 1 .. 100;
    is $r->post(in(1, in(2, in(2, in(9, in(2, $deep))))), $PROTOBUF)->{status}, 400,
        'lists in lists';
    is_deeply [ $r->names(id(3)) ], ['good'], 'what came before is still there';
    for my $path ('/traces/x', '/traces/' . '0' x 32, '/traces?limit=0', '/traces?limit=1x',
        '/traces?limit=1001', '/traces?sort=name') {
        is $r->ask('GET', $path)->{status}, 400, $path;
    }
    is $r->ask('GET', '/traces/' . 'f' x 32)->{status}, 404, 'a trace that is not there';
    is $r->ask('GET', '/health')->{status}, 200, 'it is well';
};

subtest 'a span that is wrong is rejected alone' => sub {
    my $request = request(span(traceId => id(4), name => 'right'), span(traceId => '0' x 32),
        span(spanId => ''), span(traceId => 'zz' x 16));
    my $answer = $r->post($request);
    is $answer->{status}, 200, 'JSON is taken';
    is decode_json($answer->{content})->{partialSuccess}{rejectedSpans}, 3, 'without three spans';
    pop @{ $request->{resourceSpans}[0]{scopeSpans}[0]{spans} };
    $answer = $r->post(encoded($request), $PROTOBUF);
    is $answer->{headers}{'content-type'}, $PROTOBUF, 'protobuf is answered with protobuf';
    is $answer->{content}, "\x0a\x1d\x08\x02\x12\x19without ids, or too large", 'of two spans';
    is_deeply [ $r->names(id(4)) ], ['right'], 'the right one is there, once';
    my $large = span(traceId => id(5), attributes =>
        [ { key => 'large', value => { stringValue => 'x' x 300_000 } } ]);
    like $r->post(encoded(request($large)), $PROTOBUF)->{content}, qr/too large/,
        'a span of 300 kB is too large';
};

subtest 'text that is not UTF-8' => sub {
    my $bytes = encoded(request(span(traceId => id(6), name => 'a??b')));
    $bytes =~ s/a\?\?b/a\xff\xc3b/ or die;
    is $r->post($bytes, $PROTOBUF)->{status}, 200, 'is taken';
    is_deeply [ $r->names(id(6)) ], ["a\x{fffd}\x{fffd}b"], 'with U+FFFD for each byte';
};

subtest 'the list' => sub {
    $r->post(request(
        span(traceId => id(10), name => 'child', parentSpanId => 'a' x 16,
            startTimeUnixNano => '1800000000000000000', endTimeUnixNano => '1800000009000000000',
            status => { code => 2 }),
        span(traceId => id(10), spanId => 'a' x 16, name => 'root',
            startTimeUnixNano => '1800000001000000000', endTimeUnixNano => '1800000002500000000')));
    my ($first) = @{ $r->get('/traces?limit=1')->{traces} };
    is_deeply $first, { trace_id => id(10), start => '2027-01-15T08:00:00.000Z', ms => 1500,
        spans => 2, errors => 1, service => 'shop', name => 'root' }, 'a trace in one line';
    is_deeply $r->get('/traces?errors=1&limit=1')->{traces}, [$first], 'by errors';
    is $r->get('/traces?sort=slow')->{traces}[0]{trace_id}, id(10), 'by duration';
};

subtest 'the limit' => sub {
    my $n = 100;
    # 12,000 spans of some 300 bytes: several files.
    for my $round (1 .. 12) {
        my @spans = map { span(traceId => id($n++), name => 'x' x 80) } 1 .. 1000;
        is $r->post(request(@spans))->{status}, 200, "a thousand spans, $round";
        cmp_ok -s $_, '<=', 524288, 'no file is over half of the limit' for glob "$r->{file}*";
        ok $r->get('/traces/' . id($n - 1)), 'the newest trace is there';
    }
    is_deeply [ map { s/.*\///r } glob "$r->{file}*" ], [ 'spans.jsonl', 'spans.jsonl.1' ],
        'there are two files';
    ok !$r->get("/traces/$ID"), 'the oldest trace is gone';
    is $r->get('/traces?errors=1')->{traces}[0], undef, 'from the list, too';
    cmp_ok @{ $r->get('/traces?limit=1000')->{traces} }, '==', 1000, 'which has the others';
    my $answer = $r->post(request(map { span(name => 'x' x 600) } 1 .. 1000));
    is $answer->{status}, 200, 'a request that exceeds the file is taken';
    cmp_ok decode_json($answer->{content})->{partialSuccess}{rejectedSpans}, '>', 0, 'in part';
    is((stat $r->{file})[2] & 0777, 0600, 'only the owner can read the file');
};

subtest 'the file goes' => sub {
    unlink glob "$r->{file}*";
    is scalar $r->names, undef, 'deleted: nothing is there';
    is $r->post(request(span(name => 'after')))->{status}, 200, 'what comes next';
    is_deeply [ $r->names ], ['after'], 'is kept';
    rename $r->{file}, "$r->{file}.moved";
    is $r->post(request(span(name => 'moved')))->{status}, 200, 'moved: what comes next';
    is_deeply [ $r->names ], ['moved'], 'is in a new file';
    is @{ $r->get('/traces')->{traces} }, 1, 'and in the list';
};

subtest 'something else is in its place' => sub {
    unlink glob "$r->{file}*";
    mkfifo($r->{file}, 0600) or die $!;
    is $r->ask('GET', '/traces')->{status}, 503, 'a FIFO: it is not read';
    is $r->post(request(span()))->{status}, 503, 'nor written';
    unlink $r->{file};
    symlink '/dev/zero', $r->{file} or die $!;
    is $r->ask('GET', "/traces/$ID")->{status}, 503, 'a device is not read';
    unlink $r->{file};
    is $r->post(request(span(name => 'moved')))->{status}, 200, 'it goes: all is well again';
};

subtest 'the process goes' => sub {
    is $r->stop('KILL'), 9, 'killed';
    open my $out, '>>', $r->{file} or die $!;
    print $out '{"resourceSpans":[{"reso';
    close $out;
    $r->start;
    is $r->post(request(span(name => 'next')))->{status}, 200, 'behind half a line';
    is_deeply [ $r->names ], [ 'moved', 'next' ], 'all whole ones are read';
    is @{ $r->get('/traces')->{traces} }, 1, 'in the list, too';
    my ($code, $text) = output_of($CTL, 'trace', 'receive', '--listen', '127.0.0.1:' . free_port(),
        '--file', $r->{file});
    is $code, 2, 'a second one is refused';
    like $text, qr/another process writes/, 'with the reason';
    is $r->stop, 0, 'TERM ends it';
};

subtest 'a large resource of many spans' => sub {
    my $r = Weir::Backend::Traces->new(dir => tempdir(CLEANUP => 1));
    my $large = request(map { span(traceId => id($_ + 1)) } 1 .. 30_000);
    push @{ $large->{resourceSpans}[0]{resource}{attributes} },
        { key => 'large', value => { stringValue => 'x' x 2_000_000 } };
    # Each span repeats its resource: 60 GB in all.
    my $answer = $r->post($large);
    is $answer->{status}, 200, 'is taken';
    cmp_ok decode_json($answer->{content})->{partialSuccess}{rejectedSpans}, '>', 29_900,
        'as far as there is room';
};

subtest 'pages of the web' => sub {
    my $r = Weir::Backend::Traces->new(dir => tempdir(CLEANUP => 1));
    for ([ 421 => 'evil.example' ], [ 421 => "evil.example:$r->{port}" ], [ 421 => '1.2.3.4.x' ],
        [ 200 => "127.0.0.1:$r->{port}" ], [ 200 => 'localhost' ], [ 200 => '[::1]:4318' ]) {
        my ($status, $host) = @$_;
        my $socket = IO::Socket::INET->new("127.0.0.1:$r->{port}") or die $@;
        print $socket "GET /traces HTTP/1.1\r\nHost: $host\r\nConnection: close\r\n\r\n";
        like <$socket>, qr/^HTTP\S+ $status /, $host;
    }
};

subtest 'only on the loopback interface' => sub {
    for my $address ('0.0.0.0:4318', '[::]:4318', '10.0.0.1:4318', 'localhost:4318', '127.0.0.1') {
        my ($code, $text) = output_of($CTL, 'trace', 'receive', '--listen', $address, '--file',
            "$dir/other");
        is $code, 2, $address;
        like $text, qr/\Q$address\E/, 'the message names it';
    }
};

subtest 'eight megabytes' => sub {
    my $r = Weir::Backend::Traces->new(dir => tempdir(CLEANUP => 1));
    my $n = 20_000;
    my $body = encoded(request(map { span(name => 'x' x 360) } 1 .. $n));
    cmp_ok length $body, '>', 8_000_000, 'a large request';
    cmp_ok length $body, '<', 8_388_608, 'within the limit';
    is $r->post($body, $PROTOBUF)->{status}, 200, 'is taken';
    is $r->get('/traces')->{traces}[0]{spans}, $n, 'with all spans';
    my $trace = $r->get("/traces/$ID");
    is $trace->{left_out}, $n - 10_000, 'of a trace so long a part is shown';
};

subtest 'many megabytes at a time' => sub {
    my $r = Weir::Backend::Traces->new(dir => tempdir(CLEANUP => 1));
    my $length = 8_388_608;
    my $head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        . "Content-Type: $PROTOBUF\r\nContent-Length: $length\r\n\r\n";
    local $SIG{PIPE} = 'IGNORE';
    my @sockets = map {
        my $socket = IO::Socket::INET->new("127.0.0.1:$r->{port}") or die $@;
        print $socket $head, "\xff" x ($length - 1);
        $socket->flush;
        $socket;
    } 1 .. 20;
    my %answers;
    for my $socket (@sockets) {
        print $socket "\xff";
        local $/;
        my ($status, $rest) = (<$socket> // '') =~ m{^HTTP/1.1 (\d+)(.*?)\r\n\r\n}s;
        $answers{ $status // 'none' }++;
        like $rest, qr/\r\nRetry-After: 1\b/, '... to come again' if ($status // 0) == 503;
    }
    cmp_ok $answers{503} // 0, '>=', 10, 'some are refused';
    cmp_ok $answers{400} // 0, '>=', 4, 'others are read';
    is $answers{503} + $answers{400}, 20, 'all are answered';
    my ($peak) = slurp("/proc/$r->{pid}/status") =~ /^VmHWM:\s+(\d+) kB/m;
    # AddressSanitizer keeps what is freed for a while.
    cmp_ok $peak, '<', 160 * 1024, 'there is a limit of memory for all' if $CTL !~ /sanitize/;
    is $r->post(request(span()))->{status}, 200, 'the next one is taken';
    wait_for('the end in the log' => sub { slurp($r->{log}) =~ /memory for requests again/ });
    my @log = map { decode_json($_) } split /\n/, slurp($r->{log});
    is scalar(grep { $_->{level} eq 'warn' } @log), 1, 'the log says it once';
    is $log[-1]{refused}, $answers{503}, '... and how many were refused';
};

done_testing;
