# Messages on kept connections: every method with every framing is one request and one answer; what
# is not well-formed is refused with a problem, and what nginx forwards is understood as nginx meant
# it.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use IO::Select;
use JSON::PP ();
use Socket qw(SHUT_WR);
use Test::More;
use Weir::Base qw(listens);
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0);
$stack->start_backend('api');

# --- a client that reads answers by their framing ----------------------------------------

sub connect_to {
    my ($port) = @_;
    return listens($port) // die "connect: $!\n";
}

# Adds what comes next to the buffer. False at the end of the connection.
sub more {
    my ($c) = @_;
    IO::Select->new($c->{socket})->can_read(30)
        or die "waited in vain for an answer; had: $c->{buffer}\n";
    return sysread $c->{socket}, $c->{buffer}, 65536, length $c->{buffer};
}

# The next answer to a request of that method; undef when the connection has ended. Dies on anything
# that is no answer.
sub answer {
    my ($c, $method) = @_;
    until ($c->{buffer} =~ /\r\n\r\n/) {
        more($c) and next;
        return undef if $c->{buffer} eq '';
        die "no whole head: $c->{buffer}\n";
    }
    $c->{buffer} =~ s/\AHTTP\/1\.1 (\d{3}) [^\r\n]*(.*?)\r\n\r\n//s
        or die "no answer: $c->{buffer}\n";
    my ($status, $head) = ($1, $2);
    my %r = (status => $status, head => $head, body => '',
        close => scalar($head =~ /^Connection: close\r?$/mi));
    my ($length) = $r{head} =~ /^Content-Length: (\d+)/mi;
    ($r{type}) = $r{head} =~ /^Content-Type: ([^\r\n]*)/mi;
    return \%r if $r{status} < 200;
    if ($method ne 'HEAD' && defined $length) {
        more($c) or die "a body is cut\n" while length $c->{buffer} < $length;
        $r{body} = substr $c->{buffer}, 0, $length, '';
    }
    return \%r;
}

# Sends everything at once and returns the answers until the connection ends; methods: of the
# requests, in order.
sub exchange {
    my ($text, @methods) = @_;
    my $c = { socket => connect_to($stack->{port}), buffer => '' };
    print { $c->{socket} } $text;
    $c->{socket}->flush;
    shutdown $c->{socket}, SHUT_WR;
    my @answers;
    while (my $r = answer($c, $methods[@answers] // 'GET')) { push @answers, $r }
    return @answers;
}

sub is_problem {
    my ($r, $status, $name) = @_;
    my $json = eval { JSON::PP->new->utf8->decode($r->{body}) } // {};
    ok $r
        && $r->{status} =~ /^(?:$status)$/
        && ($r->{type}      // '') eq 'application/problem+json'
        && ($json->{status} // 0) == $r->{status},
        "$name: problem $status"
        or diag explain $r;
}

# --- methods and framings ------------------------------------------------------------------

my $inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
my %framing = (
    'no body' => '',
    'Content-Length' => sprintf("Content-Length: %d\r\n", length $inner),
    'empty' => "Content-Length: 0\r\n",
    'chunked' => "Transfer-Encoding: chunked\r\n",
    'extensions' => "Transfer-Encoding: chunked\r\n",
    'trailers' => "Transfer-Encoding: chunked\r\n",
    'Expect' => sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n", length $inner),
);
my %body = (
    'no body' => '',
    'Content-Length' => $inner,
    'empty' => '',
    'chunked' => join('', map { sprintf "%x\r\n%s\r\n", length, $_ } $inner =~ /(.{1,7})/gs)
        . "0\r\n\r\n",
    'extensions' => sprintf("%x;a=b;c=\"d;\\\"\r\n", length $inner) =~
        s/\\"/\\\\"/r . "$inner\r\n0;e\r\n\r\n",
    'trailers' =>
        sprintf("%x\r\n%s\r\n0\r\nContent-Length: 9\r\nX: y\r\n\r\n", length $inner, $inner),
    'Expect' => $inner,
);
my $last = "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

for my $method (qw(GET HEAD POST PUT PATCH DELETE OPTIONS TRACE FOO PROPFIND get CONNECT)) {
    for my $framing (sort keys %framing) {
        my $request =
            "$method /health HTTP/1.1\r\nHost: a\r\n$framing{$framing}\r\n$body{$framing}";
        my @answers = exchange("$request$request$last", $method, $method, 'GET');
        my $name = "$method, $framing";
        my @final = grep { $_->{status} >= 200 } @answers;
        ok !(grep { $_->{body} =~ /smuggled/ || $_->{status} == 404 } @final),
            "$name: the body is no request";
        if ($final[0]{close}) {
            is @final, 1, "$name: refused, and the connection is closed";
            is $final[0]{body}, '', 'without a body'  if $method eq 'HEAD';
            is_problem($final[0], '4\d\d|501', $name) if $method ne 'HEAD';
        } else {
            is @final, 3, "$name: three requests, three answers";
            like $final[2]{body}, qr/^\{"status":"ok"\}/, 'the last one is the last request\'s';
            is $final[0]{body}, '', 'HEAD has no body' if $method eq 'HEAD';
            like $final[0]{head}, qr/^Content-Length: 1\d\r?$/m,
                'but the length that GET would have'
                if $method eq 'HEAD';
        }
    }
}

# --- what is refused -----------------------------------------------------------------------

sub head { return "POST /signup HTTP/1.1\r\nHost: a\r\n$_[0]\r\n" }

my @refused = (
    ['two lengths that differ', 400, head("Content-Length: 2\r\nContent-Length: 3\r\n") . '{}'],
    [
        'two lengths that are the same', 400,
        head("Content-Length: 2\r\nContent-Length: 2\r\n") . '{}'],
    ['a list of lengths', 400, head("Content-Length: 2, 2\r\n") . '{}'],
    ['a length with a sign', 400, head("Content-Length: +2\r\n") . '{}'],
    ['a negative length', 400, head("Content-Length: -1\r\n")],
    ['a hexadecimal length', 400, head("Content-Length: 0x2\r\n") . '{}'],
    ['an empty length', 400, head("Content-Length:\r\n")],
    ['a length beyond 64 bits', 413, head("Content-Length: 18446744073709551618\r\n") . '{}'],
    [
        'length and chunked', 400,
        head("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n") . "0\r\n\r\n"],
    [
        'chunked and length', 400,
        head("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n") . "0\r\n\r\n"],
    ['chunked twice', 400, head("Transfer-Encoding: chunked, chunked\r\n") . "0\r\n\r\n"],
    [
        'two lines of chunked', 400,
        head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n") . "0\r\n\r\n"],
    ['identity', 400, head("Transfer-Encoding: identity\r\n")],
    ['chunked, but not last', 400, head("Transfer-Encoding: chunked, gzip\r\n") . "0\r\n\r\n"],
    ['a coding that is unknown', 501, head("Transfer-Encoding: gzip, chunked\r\n") . "0\r\n\r\n"],
    ['a blank before the colon', 400, head("Transfer-Encoding : chunked\r\n") . "0\r\n\r\n"],
    [
        'chunked in HTTP/1.0', 400,
        "POST /signup HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ['no Host', 400, "GET /health HTTP/1.1\r\n\r\n"],
    ['two Hosts', 400, "GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
    ['a blank before Host\'s colon', 400, "GET /health HTTP/1.1\r\nHost : a\r\n\r\n"],
    ['a Host that is none', 400, "GET /health HTTP/1.1\r\nHost: a b\r\n\r\n"],
    ['NUL in a value', 400, "GET /health HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"],
    ['NUL in a name', 400, "GET /health HTTP/1.1\r\nHost: a\r\nX\0: a\r\n\r\n"],
    ['NUL in the target', 400, "GET /heal\0th HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a folded line', 400, "GET /health HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"],
    ['a line without CR', 400, "GET /health HTTP/1.1\nHost: a\n\n"],
    ['CR within a line', 400, "GET /health HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n"],
    ['HTTP/0.9', 400, "GET /health\r\n\r\n"],
    ['HTTP/2', 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ['TLS', 400, "\x16\x03\x01\x02\x00\x01\x00\x01"],
    ['a target beyond 8 KiB', 414, 'GET /' . 'x' x 9000 . " HTTP/1.1\r\nHost: a\r\n\r\n"],
    [
        'a head beyond 16 KiB', 431,
        "GET /health HTTP/1.1\r\nHost: a\r\n" . "X: @{['x' x 4000]}\r\n" x 5 . "\r\n"],
    ['too many fields', 431, "GET /health HTTP/1.1\r\nHost: a\r\n" . "X: y\r\n" x 100 . "\r\n"],
    ['an unknown expectation', 417, head("Expect: x\r\nContent-Length: 2\r\n") . '{}'],
    ['a body beyond the limit', 413, head("Content-Length: 65537\r\n")],
    ['chunks beyond the limit', 413, head("Transfer-Encoding: chunked\r\n") . "10001\r\n"],
    [
        'a chunk size with a sign', 400,
        head("Transfer-Encoding: chunked\r\n") . "+2\r\n{}\r\n0\r\n\r\n"],
    [
        'a chunk size with 0x', 400,
        head("Transfer-Encoding: chunked\r\n") . "0x2\r\n{}\r\n0\r\n\r\n"],
    [
        'a chunk size with a blank', 400,
        head("Transfer-Encoding: chunked\r\n") . "2 \r\n{}\r\n0\r\n\r\n"],
    ['a chunk line without CR', 400, head("Transfer-Encoding: chunked\r\n") . "2\n{}\r\n0\r\n\r\n"],
    [
        'a chunk extension without CR', 400,
        head("Transfer-Encoding: chunked\r\n") . "2;a\n{}\r\n0\r\n\r\n"],
    [
        'a chunk that is longer', 400,
        head("Transfer-Encoding: chunked\r\n") . "2\r\n{} \r\n0\r\n\r\n"],
    ['a trailer that is none', 400, head("Transfer-Encoding: chunked\r\n") . "0\r\nX : y\r\n\r\n"],
    [
        'too many trailers', 431,
        head("Transfer-Encoding: chunked\r\n") . "0\r\n" . "X: @{['x' x 1000]}\r\n" x 9 . "\r\n"],
    ['a request that breaks off', 400, head("Content-Length: 9\r\n") . '{}'],
    ['a head that breaks off', 400, "GET /health HTTP/1.1\r\nHost: a\r\n"],
    ['TRACE with a body', 400, "TRACE /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"],
);
for (@refused) {
    my ($name, $status, $text) = @$_;
    my @answers = exchange($text . ($name =~ /breaks off|limit|beyond/ ? '' : $last));
    is_problem($answers[0], $status, $name);
    is @answers, 1, 'the connection is closed';
}

# --- pieces, pipelines, waits ---------------------------------------------------------------

{
    my $c = { socket => connect_to($stack->{port}), buffer => '' };
    my $text =
          "POST /signup HTTP/1.1\r\nHost: a\r\nContent-Type:"
        . " application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "2;x=\"y\"\r\n{}\r\n0\r\nX: y\r\n\r\n";
    $c->{socket}->autoflush(1);
    setsockopt $c->{socket}, 6, 1, 1;
    syswrite $c->{socket}, $_ for split //, $text . $last;
    is answer($c, 'POST')->{status}, 422, 'byte by byte';
    is answer($c, 'GET')->{status}, 200, 'the next one';
}
{
    my @answers = exchange(
        "\r\n" . join('', map { "GET /health?$_ HTTP/1.1\r\nHost: a\r\n\r\n" } 1 .. 500) . $last);
    is scalar(grep { $_->{status} == 200 } @answers), 501,
        'five hundred at once, and half-closed: all are answered';
}
{
    my @kinds = map {
              $_ % 3
            ? $_ % 3 == 1
                ? ['GET', '/nothing', 404]
                : ['GET', '/products', 200]
            : ['HEAD', '/health', 200]
    } 1 .. 60;
    my @answers = exchange(join('', map { "$_->[0] $_->[1] HTTP/1.1\r\nHost: a\r\n\r\n" } @kinds),
        map { $_->[0] } @kinds);
    is_deeply [map { $_->{status} } @answers], [map { $_->[2] } @kinds],
        'answers have the order of requests, whichever is ready first';
}
{
    my $c = { socket => connect_to($stack->{port}), buffer => '' };
    $c->{socket}->autoflush(1);
    my $ask = "POST /signup HTTP/1.1\r\nHost: a\r\nContent-Type:"
        . " application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    print { $c->{socket} } $ask;
    is answer($c, 'POST')->{status}, 100, '100-continue before the body';
    print { $c->{socket} } '{}';
    is answer($c, 'POST')->{status}, 422, 'then the answer';
    print { $c->{socket} } $ask =~ s/signup/nothing/r;
    my $r = answer($c, 'POST');
    is_problem($r, 404, 'no body is asked for in vain');
    ok $r->{close}, 'and the connection is closed, as the body may come';
}
{
    my ($r) = exchange("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    like $r->{head}, qr/^Connection: keep-alive/m, 'HTTP/1.0 keeps the connection when asked';
    ($r) = exchange("GET /health HTTP/1.0\r\n\r\n");
    ok $r->{close}, 'and closes it otherwise';
    like $r->{head}, qr/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r?$/m, 'Date';
}
{
    # slowloris: connections that begin a request and send no more
    my @slow = map { connect_to($stack->{port}) } 1 .. 20;
    $_->autoflush(1), print $_ "GET /health HTTP/1.1\r\nHost: a\r\n" for @slow;
    my @body = map { connect_to($stack->{port}) } 1 .. 2;
    is $stack->get('/health')->{status}, 200, 'others are answered meanwhile';
    for (@slow) {
        my $c = { socket => $_, buffer => '' };
        my $r = answer($c, 'GET');
        is_problem($r, 408, 'a head that does not arrive');
        is answer($c, 'GET'), undef, 'and the connection is closed';
    }
}
{
    # what has begun to arrive is answered at a stop
    my $c = { socket => connect_to($stack->{port}), buffer => '' };
    my $idle = { socket => connect_to($stack->{port}), buffer => '' };
    $_->{socket}->autoflush(1) for $c, $idle;
    print { $idle->{socket} } "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    is answer($idle, 'GET')->{status}, 200, 'kept';
    print { $c->{socket} } "POST /signup HTTP/1.1\r\nHost: a\r\nContent-Type:"
        . " application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    is answer($c, 'POST')->{status}, 100, 'a body is asked for';
    kill 'TERM', $stack->pid('api');
    is answer($idle, 'GET'), undef, 'the idle connection is closed';
    print { $c->{socket} } '{}';
    my $r = answer($c, 'POST');
    is $r->{status}, 422, 'the request is answered';
    ok $r->{close}, 'and its connection closed';
    is $stack->stop_backend('api'), 0, 'stops';
}
{
    # what never arrives holds up no stop, whichever part of it is missing then
    $stack->start_backend('api');
    my $c = { socket => connect_to($stack->{port}), buffer => '' };
    $c->{socket}->autoflush(1);
    print { $c->{socket} } "POST /signup HTTP/1.1\r\nHost: a\r\n";
    my $stops = sub {
        scalar grep { $_->{msg} eq 'stopping' } $stack->log_lines('api');
    };
    my $before = $stops->();
    kill 'TERM', $stack->pid('api');
    wait_for('the stop' => sub { $stops->() > $before });
    print { $c->{socket} } "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n";
    is_problem(answer($c, 'POST'), 408, 'a body that does not arrive');
    is $stack->stop_backend('api'), 0, 'a clean end';
}
{
    # the kernel has accepted connections of which the process knows nothing yet
    $stack->start_backend('api');
    kill 'STOP', $stack->pid('api');
    my @c = map { { socket => connect_to($stack->{port}), buffer => '' } } 1 .. 300;
    for (@c) {
        $_->{socket}->autoflush(1);
        print { $_->{socket} } "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    kill 'TERM', $stack->pid('api');
    kill 'CONT', $stack->pid('api');
    is scalar(
        grep {
            my $r = eval { answer($_, 'GET') };
            $r && $r->{status} == 200
        } @c),
        300, 'clients that connected before a stop are answered';
    is $stack->stop_backend('api'), 0, 'a clean end';
}

done_testing;
