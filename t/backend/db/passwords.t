# Passwords of PostgreSQL's users are read for each connection: another one needs no restart, and no
# request fails.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Temp 'tempdir';
use POSIX ();
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Stack qw(wait_for);

my $dir = tempdir('/tmp/weir-passwords.XXXXXX', CLEANUP => 1);
chmod 0755, $dir;
spew("$dir/hba", "local all postgres,weir trust\nlocal all all scram-sha-256\n");
my $s = Weir::Stack->new(postgres_settings => ["hba_file=$dir/hba"], conf => { groups => 'flags' });
my $socket = $s->pg;
my $NOBODY = '/users/00000000-0000-7000-8000-000000000000';

# A file of which no half is ever there to be read.
sub secret {
    my ($name, $text) = @_;
    open my $out, '>', "$dir/$name.new" or die $!;
    chmod 0600, "$dir/$name.new";
    print $out $text;
    close $out or die $!;
    rename "$dir/$name.new", "$dir/$name" or die $!;
    return "$dir/$name";
}

sub password_of {
    my ($user, $password) = @_;
    $s->psql_as('postgres', 'weir', "ALTER ROLE $user PASSWORD '$password'");
}

# Ends the sessions of that user.
sub cut {
    my ($user) = @_;
    $s->psql_as('postgres', 'weir',
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = '$user'");
}

sub sessions_of {
    my ($user) = @_;
    return $s->psql("SELECT count(*) FROM pg_stat_activity WHERE usename = '$user'");
}

# Asks and signs up without a pause until stopped; returns what ends it and gives the answers
# by their status.
sub load {
    my $file = "$dir/load";
    unlink $file;
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        my ($n, %of, $stop) = (0);
        local $SIG{TERM} = sub { $stop = 1 };
        while (!$stop) {
            my $r = $n++ % 2 ? $s->get($NOBODY)
                : $s->post('/signup', { email => "$$.$n\@example.com", displayName => 'A' });
            $of{ $r->{status} }++;
            spew($file, join ' ', map { "$_:$of{$_}" } sort keys %of);
        }
        POSIX::_exit(0);
    }
    wait_for('the load to begin' => sub { slurp($file) =~ /201:\d\d/ });
    return sub {
        my $before = slurp($file);
        wait_for('more answers' => sub { slurp($file) ne $before && slurp($file) =~ /201:\d\d/ });
        kill 'TERM', $pid;
        waitpid $pid, 0;
        return join ' ', sort map { s/:.*//r } split ' ', slurp($file);
    };
}

# A passfile of libpq, for all three users.
sub passfile {
    my ($password) = @_;
    return secret('pass', join '', map {"*:*:*:user_$_:$password\n"} qw(api relay worker));
}

my %passfile = map {
    ("database_$_" => "host=$socket dbname=weir user=user_$_ passfile=$dir/pass")
} qw(api relay worker);

subtest 'a passfile, while requests come' => sub {
    password_of("user_$_", 'first') for qw(api relay worker);
    passfile('first');
    $s->start_backend('all', conf => \%passfile);
    my $open = sessions_of('user_api');
    my $stop = load();
    password_of("user_$_", 'second') for qw(api relay worker);
    passfile('second');
    is $stop->(), '201 404', 'no request failed';
    is sessions_of('user_api'), $open, 'and all sessions are the same';

    my $log = length $s->log_of('all');
    cut("user_$_") for qw(api relay worker);
    wait_for('new sessions' => sub { sessions_of('user_api') == $open });
    wait_for('answers' => sub { $s->get($NOBODY)->{status} == 404 });
    unlike substr($s->log_of('all'), $log), qr/password authentication failed/,
        'new ones have the new password at once';
};

subtest 'the password changes before the file' => sub {
    my $log = length $s->log_of('all');
    my $open = sessions_of('user_worker');
    password_of('user_worker', 'third');
    my $stop = load();
    cut('user_worker');
    wait_for('the refusal' => sub {
        substr($s->log_of('all'), $log) =~ /password authentication failed for user \\"user_worker/;
    });
    passfile('third');
    password_of("user_$_", 'third') for qw(api relay);
    wait_for('the sessions' => sub { sessions_of('user_worker') == $open });
    is $stop->(), '201 404', 'the worker comes back; no request of the API failed';
    is $s->stop_backend('all'), 0, 'stops';
    unlike $s->log_of('all'), qr/first|second|third/, 'the log has no password';
};

subtest 'a second user takes over from the first' => sub {
    my $service = sub {
        return secret('service',
            "[api]\nhost=$socket\ndbname=weir\nuser=$_[0]\npassword=$_[1]\n");
    };
    my %conf = (%passfile, database_api => 'service=api');
    my %start = (conf => \%conf, env => { PGSERVICEFILE => "$dir/service" });
    $service->('user_api', 'third');
    $s->start_backend('api', %start);
    my $open = sessions_of('user_api');
    my $stop = load();
    $s->psql_as('postgres', 'weir', 'CREATE ROLE user_api_2 LOGIN IN ROLE weir_api');
    password_of('user_api_2', 'fourth');
    $service->('user_api_2', 'fourth');
    $s->start_backend('api', %start, name => 'next', conf => { %conf, listen => "unix:$dir/next" });
    wait_for('its sessions' => sub { sessions_of('user_api_2') == $open });
    is sessions_of('user_api'), $open, 'sessions that are open stay';
    $s->psql_as('postgres', 'weir', 'ALTER ROLE user_api NOLOGIN');
    is $stop->(), '201 404', 'no request failed';
    cut('user_api');
    wait_for('sessions of the second' => sub { sessions_of('user_api_2') == 2 * $open });
    is $s->get($NOBODY)->{status}, 404, 'the first is no longer needed';
    is $s->stop_backend($_), 0, "$_ stops" for qw(api next);
    $s->psql_as('postgres', 'weir', 'ALTER ROLE user_api LOGIN');
};

subtest 'database_password_file' => sub {
    local $s->{roles} = 0;
    my $file = secret('password', "third\n");
    my $database = "host=$socket dbname=weir user";
    my %conf = (database => "$database=user_api", database_password_file => $file);
    $s->start_backend('api', conf => \%conf);
    password_of('user_api', 'fifth');
    secret('password', "fifth\r\n");
    my $open = sessions_of('user_api');
    cut('user_api');
    wait_for('new sessions' => sub { sessions_of('user_api') == $open });

    password_of('user_api', '');
    for my $wrong (
        # Reasons that are alike are not next to each other: the second would not be logged.
        ['' => 'it is empty'], ["a\0b" => 'at most 1024 bytes'],
        [undef, 'No such file or directory'], ['x' x 1025 => 'at most 1024 bytes'],
        [fifo => 'it is no regular file']) {
        my ($text, $why) = @$wrong;
        my $log = length $s->log_of('api');
        unlink $file;
        if (($text // '') eq 'fifo') { POSIX::mkfifo($file, 0600) or die $! }
        elsif (defined $text) { secret('password', $text) }
        cut('user_api');
        wait_for("the log to say: $why" => sub {
            substr($s->log_of('api'), $log) =~ /the file of the password, \Q$file\E: [^"]*\Q$why\E/;
        });
        is $s->get('/health')->{status}, 200, "$why: the process goes on";
    }
    unlink $file;
    secret('password', 'sixth');
    password_of('user_api', 'sixth');
    wait_for('new sessions' => sub { sessions_of('user_api') == $open });
    is $s->stop_backend('api'), 0, 'stops';

    my $conf = $s->write_conf(%conf, database => "$database=user_ctl");
    password_of('user_ctl', 'sixth');
    my ($ctl) = $s->{binary} =~ s/weir-backend$/weirctl/r;
    my ($status, $output) = $s->run_command($ctl, '-c', $conf, 'outbox');
    is $status, 0, 'weirctl reads it, too' or diag $output;
    unlink $file;
    ($status, $output) = $s->run_command($ctl, '-c', $conf, 'outbox');
    is $status, 3, 'and fails without it';
    like $output, qr/the file of the password, \Q$file\E: No such file/, 'saying why';
    ($status, $output) = $s->run_command($s->{binary}, '-c', $conf, 'migrate');
    is $status, 1, 'as migrate does';
    like $output, qr/the file of the password, \Q$file\E: No such file/, 'in the same words';
};

subtest 'no message shows a password of the connection string' => sub {
    local $s->{roles} = 0;
    for my $login (
        "host=$socket dbname=weir user=user_api password=hush",
        'postgresql://user_api:hush@127.0.0.1:1/weir', "host=$dir/none dbname=weir password=hush",
        "host=$socket dbname=weir user=user_api password=hush options='-c hush=hush'") {
        my $name = 'secret' . length $login;
        my $conf = $s->write_conf(database => $login, groups => 'flags');
        $s->start_process($name, [$s->{binary}, '-c', $conf, 'api']);
        wait_for('the refusal' => sub { $s->log_of($name) =~ /database cannot be reached/ });
        my ($quiet) = $login =~ /options/ ? qr/password=hush/ : qr/hush/;
        unlike $s->log_of($name), $quiet, "the log, of $login";
        $s->stop_process($name, 'TERM');
        my $ctl = $s->{binary} =~ s/weir-backend$/weirctl/r;
        for my $command ([$ctl, '-c', $conf, 'outbox'], [$s->{binary}, '-c', $conf, 'migrate']) {
            my ($status, $output) = $s->run_command(@$command);
            isnt $status, 0, "$command->[-1] fails";
            unlike $output, $quiet, '... and shows none';
        }
    }
};

done_testing;
