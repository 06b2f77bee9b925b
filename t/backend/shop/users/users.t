# The HTTP API: signup and users, over real PostgreSQL.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Time::HiRes qw(time);
use Weir::Base qw(raw_request);
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0);
$stack->start_backend('api');

my $UUID = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
my $TIME = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

# Checks that the answer is the problem, of the form that RFC 9457 asks for; returns its document.
sub is_problem {
    my ($r, $status, $name) = @_;
    my $json = $r->{json} // {};
    ok $r->{status} == $status
        && $r->{headers}{'content-type'} eq 'application/problem+json'
        && ($r->{headers}{'cache-control'} // '') eq 'no-store'
        && ($json->{status} // 0) == $status
        && length($json->{title} // ''), "$name: problem $status"
        or diag explain $r;
    return $json;
}

# A member of a body, left out when its value is $MISSING.
my $MISSING = \'missing';
sub given { my ($name, $value) = @_; return ref $value eq 'SCALAR' ? () : ($name => $value) }

sub count { $stack->psql("SELECT count(*) FROM $_[0]") }

subtest 'a signup is answered, stored, and an event' => sub {
    my $r =
        $stack->post('/signup', { email => 'Ann@Example.com', displayName => "Ann \x{c4}rger" });
    is $r->{status}, 201, 'created';
    like $r->{headers}{location}, qr{^/users/$UUID$}, 'Location';
    is $r->{headers}{'content-type'}, 'application/json', 'type';
    is $r->{headers}{'cache-control'}, 'no-store', 'not cached';
    my ($id) = $r->{headers}{location} =~ m{([^/]+)$};
    my $created = delete $r->{json}{createdAt};
    like $created, qr/^$TIME$/, 'createdAt';
    my $name = "Ann \x{c4}rger";
    my %user = (id => $id, email => 'Ann@Example.com', name => $name, displayName => $name);
    is_deeply $r->{json}, { %user, status => 'PENDING' }, 'the user, as version 2';

    is $stack->psql("SELECT email, status FROM users WHERE id = '$id'"), 'Ann@Example.com|PENDING',
        'row';
    is $stack->psql(<<"SQL"), "UserCreated|$id|Ann\@Example.com|$created|t", 'event';
SELECT type, data->>'userId', data->>'email', data->>'createdAt',
    partition = outbox_partition(aggregate)
FROM outbox WHERE aggregate = 'user:$id'
SQL
};

subtest 'a user is shown in three versions' => sub {
    my $r = $stack->post('/signup', { email => 'bob@example.com', displayName => 'Bob' });
    my $path = $r->{headers}{location};
    my ($id) = $path =~ m{([^/]+)$};
    my %same = (
        id => $id, email => 'bob@example.com', status => 'PENDING',
        createdAt => $r->{json}{createdAt});
    my %shown = (
        1 => { %same, name => 'Bob' },
        2 => { %same, name => 'Bob', displayName => 'Bob' },
        3 => { %same, displayName => 'Bob' });
    my %etags;

    for my $version (1 .. 3) {
        my $user = $stack->get($path, { 'API-Version' => $version });
        is $user->{status}, 200, "version $version";
        is_deeply $user->{json}, $shown{$version}, 'its fields';
        like $user->{headers}{etag}, qr/^"[0-9a-f]{32}"$/, 'a strong ETag';
        $etags{ $user->{headers}{etag} } = 1;
        is $user->{headers}{'cache-control'}, 'max-age=5', 'may be cached for a moment';
        is $user->{headers}{'cache-tag'}, "user:$id", 'its tag';
        is $user->{headers}{vary}, 'API-Version', 'varies';
        is $user->{headers}{'weir-deprecated-fields'}, $version == 2 ? 'name' : undef,
            'deprecated fields';
    }
    is keys %etags, 3, 'each version has an ETag of its own';

    is_deeply $stack->get($path)->{json}, $shown{2}, 'version 2 is the default';
    is_deeply $stack->get(uc($path) =~ s/USERS/users/r)->{json}, $shown{2},
        'ids in capitals are the same';
    is_deeply $stack->post(
        '/signup', { email => 'v3@example.com', displayName => 'V' },
        { 'API-Version' => 3 })->{json}{name}, undef, 'a signup is answered in the version, too';

    my $etag = $stack->get($path, { 'API-Version' => 3 })->{headers}{etag};
    my $again = $stack->get($path, { 'If-None-Match' => qq(W/"x", $etag), 'API-Version' => 3 });
    is $again->{status}, 304, 'unchanged';
    is $again->{headers}{etag}, $etag, 'with its ETag';
    is $stack->get($path, { 'If-None-Match' => '"x"' })->{status}, 200, 'another ETag';

    my $head = $stack->request('HEAD', $path);
    is $head->{status}, 200, 'HEAD';
    is $head->{content} // '', '', 'without a body';

    for my $version ('0', '4', '12', 'v2', '2.0', 'x' x 100) {
        my $before = count('users');
        my $json = is_problem($stack->get($path, { 'API-Version' => $version }), 400,
            'a version that is none');
        like $json->{detail}, qr/must be a number from 1 to 3/, 'says what is allowed';
        is_problem(
            $stack->post(
                '/signup', { email => 'v@example.com', displayName => 'V' },
                { 'API-Version' => $version }),
            400,
            'a signup, too');
        is count('users'), $before, 'and nothing is done';
    }
};

subtest 'paths and users that do not exist are 404, wrong methods 405' => sub {
    is_problem($stack->get("/users/$_"), 404, "user $_")
        for '00000000-0000-7000-8000-000000000000', 'x', '%00', "\xff\xfe", 'a' x 4000, "';--";
    is_problem($stack->get($_), 404, "path $_")
        for '/', '/users', '/users/', '/users/a/b', '/Signup', '/signup/', '//signup',
        '/nothing?a=/signup';
    for (
        ['PUT', '/signup', 'POST'], ['GET', '/signup', 'POST'], ['DELETE', '/health', 'GET, HEAD'],
        ['PATCH', '/users/x', 'GET, HEAD, DELETE'], ['OPTIONS', '/signup', 'POST'])
    {
        my ($method, $path, $allow) = @$_;
        my $r = $stack->request($method, $path);
        is_problem($r, 405, "$method $path");
        is $r->{headers}{allow}, $allow, "allowed: $allow";
    }
};

subtest 'GET /health is answered' => sub {
    my $r = $stack->get('/health');
    is $r->{status}, 200, 'well';
    is_deeply $r->{json}, { status => 'ok' }, 'says so';
    is $r->{headers}{'cache-control'}, 'no-store', 'not cached';
};

subtest 'every wrong field is named' => sub {
    my $before = count('users') . ' ' . count('outbox');
    my $ok = 'Name';
    my $long = 'a' x 243 . '@example.com'; # 255 bytes
    my @email = (
        [$MISSING, 'is required'], [7, 'must be a string'], [undef, 'must be a string'],
        [['a@example.com'], 'must be a string'], [{}, 'must be a string'],
        [JSON::PP::true, 'must be a string'],
        ['', 'must not be empty'],
        [$long, 'must have at most 254 bytes'],
        ['a' x 65 . '@example.com', 'must have at most 64 bytes before the @'],
        ["a\0\@example.com", 'must not contain blanks or control characters'],
        ["a\r\nBcc: b\@example.com", 'must not contain blanks or control characters'],
        [' a@example.com', 'must not contain blanks or control characters'],
        ["\x{e4}\@example.com", 'must be ASCII (an internationalised domain in its xn-- form)'],
        ["a\@ex\x{e4}mple.com", 'must be ASCII (an internationalised domain in its xn-- form)'],
        map { [$_, 'must be an address of the form name@example.com'] } 'a', '@', 'a@',
        '@example.com',
        'a@example', 'a@@example.com', 'a@example..com', 'a@.example.com', 'a@example.com.',
        '.a@example.com',
        'a.@example.com', 'a..b@example.com', 'a@-example.com', 'a@example-.com', 'a@exa_mple.com',
        'a@' . 'x' x 64 . '.com', '"a"@example.com', 'a(b)@example.com', 'a@[127.0.0.1]',
        '<a@example.com>',
        'a@example.com,b@example.com',
    );
    for (@email) {
        my ($value, $detail) = @$_;
        my $r = $stack->post('/signup', { displayName => $ok, given (email => $value) });
        my $json = is_problem($r, 422, 'an e-mail');
        is_deeply $json->{errors}, [{ pointer => '/email', detail => $detail }], $detail;
    }

    for (
        [$MISSING, 'is required'], [7, 'must be a string'], [undef, 'must be a string'],
        ['', 'must not be empty'],
        ['   ', 'must not be empty'], ["a\0b", 'must not contain control characters'],
        (   map { [$_, 'must have a visible character'] } "\x{200b}", "\x{a0}",
            " \x{2003}\x{feff}", "\x{3164}", "\x{2800}\x{2800}", "\x{301}",
            "\x{202e}", "\x{e0041}", "\x{ad}", "\x{115f}\x{1160}", "\x{2028}", "\x{fffe}"),
        ["a\n", 'must not contain control characters'],
        ["a\x7f", 'must not contain control characters'],
        ["a\x{85}", 'must not contain control characters'],
        ["\x{c4}" x 101, 'must have at most 100 characters'])
    {
        my ($value, $detail) = @$_;
        my $r =
            $stack->post('/signup', { email => 'x@example.com', given (displayName => $value) });
        my $json = is_problem($r, 422, 'a name');
        is_deeply $json->{errors}, [{ pointer => '/displayName', detail => $detail }], $detail;
    }

    my $json = is_problem($stack->post('/signup', {}), 422, 'both');
    is_deeply [map { $_->{pointer} } @{ $json->{errors} }], ['/email', '/displayName'], 'are named';
    is count('users') . ' ' . count('outbox'), $before, 'nothing was changed';
};

subtest 'odd values that are allowed are accepted' => sub {
    my $i = 0;
    for my $name ("\x{1f30a}" x 100, 'O\'Neil "\\"; DROP TABLE users;--', '{NULL}', 'NULL', '\\',
        "\x{202e}x")
    {
        my $r = $stack->post('/signup',
            { email => 'odd' . ++$i . '@example.com', displayName => $name });
        is $r->{status}, 201, 'a name';
        is $stack->get($r->{headers}{location})->{json}{displayName}, $name, 'comes back as it was';
    }
    for my $email (
        'a+b@example.com', "!#\$%&'*+/=?^_`{|}~-\@example.com", 'NULL@example.com',
        'x@xn--exmple-cua.com',
        'a' x 64 . '@example.com', 'y@' . 'z' x 63 . '.com')
    {
        my $r = $stack->post('/signup', { email => $email, displayName => 'N' });
        is $r->{status}, 201, $email;
        is $stack->get($r->{headers}{location})->{json}{email}, $email, 'comes back as it was';
    }
    my $r = $stack->post('/signup',
        { email => 'unknown@example.com', displayName => 'N', id => 7, more => [{}] });
    is $r->{status}, 201, 'unknown members are ignored';
    isnt $r->{json}{id}, 7, 'id, too';
    my $body = '{"email":"type@example.com","displayName":"N"}';
    is $stack->post('/signup', $body)->{status}, 201, 'application/json';
    is $stack->post('/signup', $body, { 'Content-Type' => $_ })->{status}, 409, "$_ is JSON"
        for 'application/json; charset=utf-8', 'APPLICATION/JSON;x=y',
        'application/vnd.shop.v2+json';
    for (
        'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', 'application/xml',
        'json', '',
        'application/+json', 'application/json,text/plain')
    {
        my $r = $stack->post('/signup', $body, { 'Content-Type' => $_ });
        is_problem($r, 415, "type '$_'");
        is $r->{headers}{accept}, 'application/json', 'says what is taken';
    }
    for ('gzip', 'gzip, identity', 'aws-chunked') {
        my $r = $stack->post('/signup', $body, { 'Content-Encoding' => $_ });
        is_problem($r, 415, "coding '$_'");
        is $r->{headers}{'accept-encoding'}, 'identity', 'says that none is taken';
    }
    is $stack->post('/signup', $body, { 'Content-Encoding' => 'Identity' })->{status}, 409,
        'identity is none';
};

subtest 'a body that is no JSON object is refused' => sub {
    my $before = count('users');
    for (
        '', '{', '{"email":', '{"email":"a@example.com" "displayName":"x"}', '{email:1}',
        "{'a':1}", '{"a":1,}',
        '{"a":01}', '{"a":"\\x"}', '{"a":"' . "\n" . '"}', "{\"a\":\"\xff\"}",
        "{\"a\":\"\xed\xa0\x80\"}", "\0", "{}\0",
        '{} {}', '{"a":1,"a":2}', '{"a":"\\ud800"}', '[' x 60000, '{"a":' x 10000, '{"a":1e999}')
    {
        my $json = is_problem($stack->post('/signup', $_), 400, 'a body');
        like $json->{detail}, qr/^The body is (?:not JSON|empty)/, $json->{detail};
    }
    for ('[]', '"a"', '7', 'null', 'true') {
        my $json = is_problem($stack->post('/signup', $_), 400, 'a body');
        is $json->{detail}, 'The body must be a JSON object.', 'says what it must be';
    }
    is count('users'), $before, 'nothing was changed';
};

subtest 'a body above the limit is refused' => sub {
    my $body = '{"email":"limit@example.com","displayName":"N","x":"' . 'x' x 65536;
    my $fits = substr($body, 0, 65536 - 2) . '"}';
    is $stack->post('/signup', $fits)->{status}, 201, '65536 bytes';
    my $json =
        is_problem($stack->post('/signup', substr($fits, 0, 65534) . 'x"}'), 413, 'one more');
    like $json->{detail}, qr/65536/, 'names the limit';
    is_problem($stack->post('/signup', 'x' x 1000000), 413, 'a megabyte');

    # sent as far as it is taken: the server may close before it has all
    my $socket =
        $stack->send_raw("POST /signup HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            . "Content-Length: 100000000\r\n\r\n"
            . 'x' x 100000);
    shutdown $socket, 1;
    ok 1, 'a hundred announced, few sent';

    my $chunked =
          "POST /signup HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type:"
        . " application/json\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n"
        . "4000\r\n"
        . 'x' x 16384 . "\r\n";
    my $answer = $stack->read_raw(
        $stack->send_raw($chunked . ("4000\r\n" . 'x' x 16384 . "\r\n") x 4 . "0\r\n\r\n"));
    like $answer, qr{^HTTP/1.1 413 }, 'in chunks';
};

subtest 'bytes that are no HTTP are refused, and the server goes on' => sub {
    for (
        "\0\0\0\0\r\n\r\n", "GARBAGE\r\n\r\n", "GET /users/\0x HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health HTTP/9.9\r\nHost: x\r\n\r\n", "FOO / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX: " . 'x' x 20000 . "\r\n\r\n",
        'GET /' . 'x' x 20000 . " HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /signup HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /signup HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
    {
        like $stack->read_raw($stack->send_raw($_)), qr{^HTTP/1\.[01] (?:4\d\d|50[15]) }, 'refused';
    }
    close $stack->send_raw("POST /signup HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
    close $stack->send_raw(
        raw_request('POST', '/signup', { email => 'gone@example.com', displayName => 'Gone' }));
    wait_for('the user whose client has left' =>
            sub { $stack->psql("SELECT 1 FROM users WHERE email = 'gone\@example.com'") });
    my $two = $stack->read_raw(
        $stack->send_raw(
                  "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET http://x/health?y HTTP/1.1\r\nHost:"
                . " x\r\nConnection: close\r\n\r\n"));
    is scalar(() = $two =~ /"status":"ok"/g), 2,
        'two requests in one packet, one with an absolute target';
    is $stack->get('/health')->{status}, 200, 'it goes on';
};

subtest 'an e-mail address belongs to one user' => sub {
    is $stack->post('/signup', { email => 'Once@example.com', displayName => 'A' })->{status}, 201,
        'the first';
    my $json =
        is_problem($stack->post('/signup', { email => 'oNCE@EXAMPLE.com', displayName => 'B' }),
        409, 'the second');
    like $json->{detail}, qr/oNCE\@EXAMPLE\.com is taken/, 'names the address';

    for my $round (1 .. 3) {
        my @emails = map { $_ % 2 ? "RACE$round\@example.com" : "race$round\@example.com" } 1 .. 50;
        my @sockets = map {
            $stack->send_raw(
                raw_request('POST', '/signup', { email => $emails[$_], displayName => "N$_" }))
        } 0 .. $#emails;
        my %count;
        for my $i (0 .. $#sockets) {
            my $answer = $stack->read_raw($sockets[$i]);
            $count{ $answer =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }++;
        }
        is_deeply \%count, { 201 => 1, 409 => 49 }, 'fifty at once: one wins';
        is $stack->psql("SELECT count(*) FROM users u JOIN outbox o ON o.aggregate = 'user:' || u.id
                         WHERE lower(email) = 'race$round\@example.com'"),
            1, 'one user, one event';
    }
};

subtest 'requests of one batch have their own outcomes' => sub {
    my @sockets = map {
        $stack->send_raw(raw_request('POST', '/signup',
            { email => $_ % 3 ? "mix$_\@example.com" : 'Once@example.com', displayName => "N$_" }))
    } 1 .. 90;
    my %count;
    for my $i (1 .. 90) {
        my $answer = $stack->read_raw($sockets[$i - 1]);
        my ($status) = $answer =~ m{^HTTP/1.1 (\d+)};
        $count{$status}++;
        fail("answer $i is another's: $answer")
            if $status eq '201' && $answer !~ /mix$i\@example\.com/;
    }
    is_deeply \%count, { 201 => 60, 409 => 30 }, 'each has its own outcome';
    is $stack->psql("SELECT count(*) FROM users WHERE email LIKE 'mix%'"), 60, 'stored';
};

subtest 'in a batch the first of equal addresses wins' => sub {
    my $id = sub { sprintf "00000000-0000-7000-8000-%012d", $_[0] };
    my $array = sub { "'{" . join(',', @_) . "}'" };
    my $call = 'SELECT place, outcome FROM signup(' . join(
        ', ',
        $array->(map { $id->($_) } 1 .. 5), $array->(qw(z@b.c a@b.c Z@b.c m@b.c a@b.c)),
        $array->(1 .. 5),
        $array->(map { $id->(100 + $_) } 1 .. 5), $array->(('NULL') x 5)) . ')';
    is $stack->psql($call), "1|created\n2|created\n3|taken\n4|created\n5|taken",
        'the first of each wins';
    is $stack->psql("SELECT string_agg(data->>'email', ' ' ORDER BY id) FROM outbox"
            . " WHERE aggregate LIKE 'user:00000000%'"),
        'z@b.c a@b.c m@b.c', 'events have the order of the requests';
};

subtest 'a trace of the request is in the event and in the log' => sub {
    my $trace = '4bf92f3577b34da6a3ce929d0e0e4736';
    my $r = $stack->post(
        '/signup', { email => 'trace@example.com', displayName => 'T' },
        { traceparent => "00-$trace-00f067aa0ba902b7-01" });
    my ($id) = $r->{headers}{location} =~ m{([^/]+)$};
    my $event = $stack->psql("SELECT traceparent FROM outbox WHERE aggregate = 'user:$id'");
    like $event, qr/^00-$trace-[0-9a-f]{16}-01$/, 'into the event';
    unlike $event, qr/00f067aa0ba902b7/, 'as a span of its own';
    my ($line) = grep { ($_->{trace_id} // '') eq $trace } $stack->log_lines('api');
    is_deeply [@$line{qw(msg method path status level)}],
        ['request', 'POST', '/signup', 201, 'info'], 'into the log';

    $stack->post('/signup', { email => 'trace2@example.com', displayName => 'T' },
        { traceparent => 'nonsense' });
    like $stack->psql(
        "SELECT traceparent FROM outbox WHERE data->>'email' = 'trace2\@example.com'"),
        qr/^00-[0-9a-f]{32}-[0-9a-f]{16}-03$/, 'a malformed one is replaced';
};

subtest 'without PostgreSQL requests are answered 503, and work when it is back' => sub {
    my $path = $stack->post('/signup', { email => 'before@example.com', displayName => 'B' })
        ->{headers}{location};
    for my $how ('fast', 'immediate') {
        $stack->stop_postgres($how);
        for (
            [GET => sub { $stack->get($path) }],
            [
                POST => sub {
                    $stack->post('/signup',
                        { email => "away-$how\@example.com", displayName => 'A' });
                }
            ])
        {
            my $r = $_->[1]->();
            is_problem($r, 503, "$_->[0] while it is stopped ($how)");
            like $r->{headers}{'retry-after'}, qr/^\d+$/, 'Retry-After';
        }
        is $stack->get('/health')->{status}, 200, 'the process is healthy';
        $stack->start_postgres;
        wait_for('the api to answer again' => sub { $stack->get($path)->{status} == 200 });
        wait_for('signups to work again' => sub {
            $stack->post('/signup',
                { email => 'again-' . time . '@example.com', displayName => 'A' })->{status} ==
                201;
        });
    }
};

subtest 'SIGTERM lets requests under way finish' => sub {
    my $path = $stack->post('/signup', { email => 'stop@example.com', displayName => 'S' })
        ->{headers}{location};
    my $lock = $stack->session('BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE;');
    my @signups = map { { email => "stop$_\@example.com", displayName => 'S' } } 1 .. 3;
    my @requests = map { raw_request('POST', '/signup', $_) } @signups;
    push @requests, "GET $path HTTP/1.1\r\nHost: test\r\n\r\n";
    my @in_flight = map { $stack->send_raw($_) } @requests;
    my $idle = $stack->send_raw('');
    $stack->wait_locked(map { "query LIKE '%$_(%'" } qw(users_by_id signup));

    $stack->signal('api', 'TERM');
    wait_for('the api to listen no more' => sub { !$stack->send_raw('') });
    print $lock "COMMIT;\n";
    close $lock;
    like $stack->read_raw($in_flight[$_]), qr{^HTTP/1.1 201 .*stop\d\@example}s,
        'a signup is answered'
        for 0 .. 2;
    like $stack->read_raw($in_flight[3]), qr{^HTTP/1.1 200 .*Connection: close.*stop\@example}s,
        'a read is answered';
    is $stack->read_raw($idle), '', 'an idle connection is closed';
    is $stack->stop_backend('api'), 0, 'exit 0';
    is $stack->psql("SELECT count(*) FROM users WHERE email ~ '^stop\\d'"), 3, 'all is stored';
};

done_testing;
