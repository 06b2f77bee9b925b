# A wrong value of the configuration is refused with its key, from file and environment alike.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(free_port);

my $stack = Weir::Stack->new(postgres => 0, redis => 0);
my $root = "$FindBin::Bin/../../..";

# Writes the text as a file; returns exit status and output of a run with these arguments.
sub run_with {
    my ($text, @arguments) = @_;
    my $file = $stack->dir . '/test.conf';
    spew($file, $text);
    return $stack->run_command($stack->{binary}, '-c', $file, @arguments);
}

sub refused {
    my ($text, $message, $name) = @_;
    my ($status, $output) = run_with($text, '-t');
    is $status, 1, "$name: refused";
    like $output, $message, 'says why';
}

my $DB = "database = dbname=weir\n";

subtest 'the sample and the shortest file are fine' => sub {
    my $odd = "# c\n\n\t\r\n  database=dbname=weir   # c\r\nlisten\t=\tunix:/tmp/x#y\n"
        . ' groups = email , flags';
    my $limits = join "\n", 'body_limit=16m', 'retry_attempts=100,email=1  billing=100',
        'retry_base=1ms', 'retry_max=1440m', 'smtp_timeout=100ms', 'batch_max=1',
        'stream_limit=100', 'outbox_keep=3650d';
    my %fine = (
        'the sample' => slurp("$root/conf/weir-backend.conf"),
        'one key' => $DB,
        'odd spelling' => $odd,
        'IPv6' => "${DB}listen = [::1]:80",
        'metrics' => "${DB}metrics_listen = 127.0.0.1:9102",
        'no metrics' => "${DB}metrics_listen = off",
        'no traces' => "${DB}traces_endpoint = off\ntraces_sampler_arg = 1e-3",
        'traces' => "${DB}traces_endpoint = https://[::1]:4318/v1/traces?x=1\n"
            . 'traces_headers = a=b%2C,c=d',
        'late' => "${DB}traces_late_buffer = 1k\ntraces_late_hold = 1s\n"
            . 'traces_late_remember = 1440m',
        'limits' => $DB . $limits,
    );
    for my $name (sort keys %fine) {
        my ($status, $output) = run_with($fine{$name}, '-t');
        is $status, 0, "$name is taken";
        like $output, qr/ is fine$/, 'and -t says so';
    }
};

subtest 'every key refuses what it does not allow' => sub {
    my $time = qr/must be a time from .* with its unit/;
    my @wrong = (
        listen => qr/must be ADDRESS:PORT/ => [
            '', '8081', ':8081', '127.0.0.1', '127.0.0.1:', '127.0.0.1:x', '127.0.0.1:0',
            '127.0.0.1:65536', '127.0.0.1:80x', '::1:80', 'unix:', 'unix:x', '127.0.0.1:-1'],
        metrics_listen => qr/must be off, ADDRESS:PORT/ => [
            '', 'on', 'Off', '9102', ':9102', '127.0.0.1', '127.0.0.1:0', '127.0.0.1:65536',
            '::1:80', 'unix:', 'unix:x'],
        database => qr/must be a libpq connection string/ => ['', 'x' x 1025],
        redis => qr{must be redis://} =>
            ['', '127.0.0.1:6379', 'http://x', 'redis://', 'unix:', 'unix:x'],
        redis_user => qr/must be the name of a user of Redis/ => ['x' x 129],
        redis_password_file => qr/must be the name of a file/ => ['x' x 1025],
        sql => qr/must be at most 1024 bytes/ => ['x' x 1025],
        smtp => qr{must be smtp://} => ['', 'localhost', 'http://x', 'smtp://'],
        smtp_timeout => $time => [
            '', '5', '0s', '99ms', '5m1s', '6m', '-1s', '5 s', '5h', '5S', '1e3ms',
            '99999999999999999999ms'],
        mail_from => qr/must be an address/ => ['', 'x' x 257],
        payments_url => qr{must be http://HOST} =>
            ['', 'localhost', 'ftp://x', 'http://', 'https://'],
        payments_timeout => $time => ['', '5', '99ms', '6m'],
        anonymous_keys => qr/must be any, unguessable or refused/ => ['', 'none', 'ANY'],
        payments_check => qr/a time up to 30d with its unit/ => ['', '0', '5', '31d', '1ms', '-1s'],
        webhook_secret => qr/must be whsec_ and the base64/ => [
            'x', 'whsec_', 'whsec_AAAA', 'whsec_' . 'A' x 31, 'whsec_' . 'A' x 92,
            'whsec_' . '*' x 32, 'A' x 32],
        webhook_secret_old => qr/must be whsec_ and the base64/ => ['x', 'whsec_AAAA'],
        webhook_secrets => qr/must be a file with 1 to 8 secrets/ =>
            ['/nonexistent', '/dev/null', '/etc', '/etc/passwd'],
        log_level => qr/must be debug, info, warn or error/ => ['', 'INFO', 'trace', '1'],
        body_limit => qr/must be a number of bytes from 1k to 16m/ =>
            ['', '0', '1023', '17m', '1g', '1kb', '-1', 'x', '99999999999999999999'],
        retry_attempts => qr/(?:must be a number from 1 to 100|there is no group)/ => [
            '', ',', '0', '101', '-1', '1.5', 'x', '8x',
            'email=20', 'email=20, 8', '8 9', '8, email', '8, email=', '8, email=0',
            '8, email=101', '8, email=1x', '8, =5', '8, email = 5',
            '8, email=5, email=6', '8, emails=5', '8, all=5', '8, email=99999999999999999999'],
        retry_base => $time => ['', '0ms', '61m', '200'],
        retry_max => $time => ['', '0s', '1441m', '30'],
        batch_max => qr/must be a number from 1 to 256/ => ['', '0', '257', 'x'],
        stream_limit => qr/must be a number from 100 to 10000000/ => ['', '99', '10000001', '1k'],
        outbox_keep => qr/must be a time from 1s to 3650d with its unit: s, m, h or d/ =>
            ['', '0s', '3651d', '30', '5ms', 'd'],
        traces_endpoint => qr/must (?:be off, http|have no blanks|not have)/ => [
            'on', 'localhost:4318', 'ftp://h/', 'http://', 'https:///x', 'http://a b/',
            'http://h/#x'],
        traces_protocol => qr{must be http/protobuf or http/json} => ['grpc', 'http', 'HTTP/JSON'],
        traces_timeout => qr/must be a time from 1ms to 60s/ =>
            ['5', '0s', '61s', '60001ms', '1m', '-1s', 's', '1e1s', '99999999999999999999ms'],
        traces_compression => qr/must be none or gzip/ => ['zstd', 'GZIP', '1'],
        traces_certificate => qr/must be a file with certificates/ => ['/nonexistent'],
        traces_client_certificate => qr/must be a file with a certificate/ => ['/nonexistent'],
        traces_client_key => qr/must be a file with a key/ => ['/nonexistent'],
        traces_sampler => qr/must be always_on, always_off, traceidratio, or parentbased_/ =>
            ['on', 'jaeger_remote', 'parentbased', 'ALWAYS_ON'],
        traces_sampler_arg => qr/must be a number from 0 to 1/ =>
            ['x', '-0.1', '1.1', '0.5x', 'nan', 'inf', '0x1', '50%'],
        traces_late_buffer => qr/must be a number of bytes from 0 to 1024m/ =>
            ['', '-1', '1g', '1025m', '16x', '1.5m'],
        traces_late_hold => $time => ['', '1', '999ms', '61m', '1h'],
        traces_late_remember => $time => ['', '0s', '999ms', '1441m', '1d'],
        service_name => qr/must be (?:UTF-8|at most 256 bytes)/ => ["a\xff", 'x' x 257],
        resource_attributes => qr/must be (?:a list like|UTF-8|at most 2048 bytes)/ =>
            ['a', 'a=b,c', '=b', 'a=%', 'a=%zz', 'a=%00', "a=\xff"],
        groups => qr/(?:must be "all"|there is no group)/ =>
            ['', ',', 'emails', 'email,x', 'email;flags', 'EMAIL', "a\xff"],
    );
    while (my ($key, $message, $values) = splice @wrong, 0, 3) {
        for my $value (@$values) {
            my $line = $key eq 'database' ? 1 : 2;
            my $shown = length $value > 20 || $key =~ /secret/ ? '' : quotemeta qq(value "$value");
            refused(($line == 2 ? $DB : '') . "$key = $value\n",
                qr/test\.conf:$line: key "$key", $shown.*$message/, "$key = '$value'");
        }
    }
    refused("${DB}retry_attempts = 8, emails=5\n",
        qr/value "8, emails=5": there is no group "emails"; the groups are email, .*privacy$/,
        'a limit of no group');
    refused("${DB}retry_base = 10s\nretry_max = 5s\n",
        qr/test\.conf:3: key "retry_max", value "5s": must not be less than retry_base/,
        'two that contradict');
};

# Found by the parsers that start uses, also with -t alone.
subtest 'addresses that can never work are refused at start' => sub {
    my @wrong = (
        listen => qr/numeric address|more than 107 bytes/ =>
            ['localhost:80', 'host.example:80', '[::g]:80', '1.2.3:x80:9', 'unix:/' . 'x' x 107],
        metrics_listen => qr/numeric address|more than 107 bytes|not be the address of listen/ =>
            ['localhost:80', '[::g]:80', '127.0.0.1:8081', 'unix:/' . 'x' x 107],
        redis => qr/port must be|database after|user:password|\] after|a % in/ => [
            'redis://h:0', 'redis://h:1/0?x=1', 'redis://h:1/x',
            'redis://pw@h:1', 'redis://[::1:1', 'redis://:%zz@h', 'redis://h:65536'],
        redis_user => qr/needs redis_password_file/ => ['weir-worker'],
        redis_password_file => qr/No such file|not a regular file/ =>
            ['/nowhere/secret', '/dev/zero', '/'],
        database => qr/invalid|missing|port|fit|libpq knows|unterminated/ => [
            'host=x foo=bar', 'postgresql://u:p%zz@h/d', 'port=x', 'port=70000', 'sslmode=on',
            'host=a,b,c port=1,2', 'target_session_attrs=primary-only', 'postgresql://h:99999/d',
            "host='x"],
        smtp => qr/is not a URL|must not contain/ =>
            ['smtp://h:99999', 'smtp://a b/', 'smtp://h:x', 'smtp://h/?x'],
        mail_from => qr/must be an address/ => ['shop', 'a@b.de>', '<a@b.de', 'Shop <>'],
        payments_url => qr/is not a URL|must not contain/ =>
            ['http://h:abc', 'http://h:70000', 'http://a b', 'http://h/?x', 'http://h/#x'],
    );
    while (my ($key, $message, $values) = splice @wrong, 0, 3) {
        for my $value (@$values) {
            my $line = $key eq 'database' ? 1 : 2;
            # A value with an @ may have a password.
            my $is_secret = $value =~ /@/ && $key ne 'mail_from';
            my $shown = $is_secret ? 'whose value is not shown' : qq(value "\Q$value\E");
            refused(($line == 2 ? $DB : '') . "$key = $value\n",
                qr/test\.conf:$line: key "$key", $shown: .*(?:$message)/, "$key = '$value'");
        }
    }
};

subtest 'no message shows a secret' => sub {
    my %wrong = (
        database => [
            'port=x password=hush', 'postgresql://u:hush@h:99999/d', 'password=a hush',
            'password = a hush=b',
            'postgresql://u:%zzhush@h/d', "password='hush", 'PASSWORD=hush port=x'],
        database_api => [
            'port=x password=hush', 'postgresql://u:hush@h:99999/d', 'password=a hush'],
        redis => ['redis://:hush@h:0', 'redis://u:hush@h:1/x'],
        smtp => ['smtp://u:hush@h:x'],
        payments_url => ['http://u:hush@h:abc'],
        webhook_secret => ['whsec_hush', 'hush'],
        traces_endpoint => ['http://u:hush@h/'],
        traces_headers => ['hush', 'a b=hush', '=hush', 'a=hush%', "a=hush%0a"],
    );
    for my $key (sort keys %wrong) {
        for my $value (@{ $wrong{$key} }) {
            refused(($key eq 'database' ? '' : $DB) . "$key = $value\n",
                qr/\A(?!.*hush).*key "$key", whose value is not shown: ./s, "$key = $value");
        }
    }
    refused("${DB}webhook_secret whsec_hush\n",
        qr/\A(?!.*hush).*test\.conf:2: "=" is missing after "webhook_secret"/s,
        'a line without =');
};

subtest 'a file that is no configuration is refused with its line' => sub {
    refused('', qr/test\.conf: key "database" is missing/, 'nothing');
    refused("${DB}colour = red\n",
        qr/test\.conf:2: key "colour" is unknown; the known keys are database, /,
        'an unknown key');
    refused("${DB}Listen = 127.0.0.1:80\n", qr/key "Listen" is unknown/, 'capitals');
    refused("${DB}\n\nhello\n", qr/test\.conf:4: "=" is missing after "hello"/,
        'a line without =');
    refused("${DB}$DB", qr/test\.conf:2: key "database" is already given in line 1/, 'a key twice');
    refused("${DB}smtp = a\0b\n", qr/test\.conf:2: the line contains a NUL byte/, 'NUL');
    refused("${DB}smtp = " . 'x' x 5000 . "\n",
        qr/test\.conf:2: the line has more than 4095 bytes/, 'a long line');
    refused("${DB}listen = unix:/" . 'x' x 1024 . "\n", qr/key "listen", .*: must be ADDRESS:/,
        'a long address');
    my ($status, $output) = $stack->run_command($stack->{binary}, '-c', '/nowhere/x.conf', '-t');
    is $status, 1, 'a file that is not there';
    like $output, qr{/nowhere/x\.conf: No such file}, 'is named';
    ($status, $output) = $stack->run_command($stack->{binary}, '-c', $stack->dir, '-t');
    is $status, 1, 'a folder';
    like $output, qr/Is a directory/, 'is none';
};

subtest 'the environment overrides, under the same rules' => sub {
    {
        local $ENV{WEIR_BODY_LIMIT} = '1x';
        refused($DB,
            qr/environment WEIR_BODY_LIMIT: key "body_limit", value "1x": must be a number/,
            'a wrong value');
        local $ENV{WEIR_BODY_LIMIT} = '2k';
        is((run_with("${DB}body_limit = 1x\n", '-t'))[0], 0,
            'a right one in the place of a wrong one');
    }
    local $ENV{WEIR_GROUPS} = 'email,nope';
    refused($DB,
        qr/environment WEIR_GROUPS: key "groups", value "email,nope": there is no group "nope"/,
        'a group that is not there');
    local $ENV{WEIR_GROUPS} = 'email';
    local $ENV{WEIR_DATABASE} = 'dbname=x';
    is((run_with('', '-t'))[0], 0, 'all from the environment');
};

subtest 'wrong arguments are refused with the usage' => sub {
    for ([[], qr/-c FILE is missing\nusage:/], [['-c', '/dev/null'], qr/ROLE is missing\nusage:/],
        [['api'], qr/-c FILE is missing\nusage:/], [['-x'], qr/usage:/])
    {
        my ($arguments, $message) = @$_;
        my ($status, $output) = $stack->run_command($stack->{binary}, @$arguments);
        is $status, 2, "weir-backend @$arguments";
        like $output, $message, 'shows how';
    }
    for (
        ['apis'], qr/there is no role "apis"; the roles are api, relay, worker, all and migrate/,
        ['api', 'api'], qr/"api" is given twice/,
        ['all', 'relay'], qr/"relay" is given twice/, ['migrate', 'api'],
        qr/migrate cannot be combined/)
    {
        our $arguments;
        if (ref eq 'ARRAY') { $arguments = $_; next }
        my ($status, $output) = run_with($DB, @$arguments);
        is $status, 2, "roles @$arguments";
        like $output, $_, 'says why';
    }
    is(($stack->run_command($stack->{binary}, '-h'))[0], 0, '-h');
};

subtest 'an address that is taken is named' => sub {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0');
    my $port = $socket->sockport;
    my ($status, $output) = run_with("${DB}listen = 127.0.0.1:$port\n", 'api');
    is $status, 1, 'refused';
    like $output, qr/cannot listen on 127\.0\.0\.1:$port: Address already in use/, 'says so';
    my $file = "${DB}listen = 127.0.0.1:" . free_port() . "\nmetrics_listen = 127.0.0.1:$port\n";
    ($status, $output) = run_with($file, 'api');
    is $status, 1, 'the listener for operators, too';
    like $output, qr/cannot listen on 127\.0\.0\.1:$port: Address already in use/, 'says so';
};

subtest 'a unix socket is replaced when left behind, refused when in use' => sub {
    my $path = $stack->dir . '/api.sock';
    my $start = sub {
        $stack->start_backend('api',
            conf => { listen => "unix:$path", database => 'host=/nowhere' }, @_);
    };
    $start->(name => 'first');
    my $ask = sub {
        my $socket = IO::Socket::UNIX->new(Peer => $path) or return '';
        print $socket "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        return $stack->read_raw($socket);
    };
    like $ask->(), qr/"ok"/, 'answers there';
    my ($status, $output) = run_with("database = host=/nowhere\nlisten = unix:$path\n", 'api');
    is $status, 1, 'a second one';
    like $output, qr/cannot listen on unix:\Q$path\E: Address already in use/, 'is refused';
    like $ask->(), qr/"ok"/, 'and the first goes on';
    $stack->kill_backend('first');
    ok -S $path, 'a socket is left behind';
    $start->(name => 'second');
    like $ask->(), qr/"ok"/, 'the next one replaces it';
    is $stack->stop_backend('second'), 0, 'stops';
    ok !-e $path, 'and removes it';

    spew($path, 'precious');
    ($status, $output) = run_with("database = host=/nowhere\nlisten = unix:$path\n", 'api');
    is $status, 1, 'a file of another type';
    like $output, qr/cannot listen on unix:\Q$path\E: Address already in use/, 'is refused';
    is -s $path, 8, 'and stays';
};

done_testing;
