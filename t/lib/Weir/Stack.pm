# A private stack for a test: PostgreSQL, Redis, SMTP sink and weir-backend processes in a folder of
# its own below /tmp, on free ports. Everything is stopped, by pid, when the object goes.
#
#     my $stack = Weir::Stack->new;          # PostgreSQL (migrated) and Redis
#     $stack->start_smtp;
#     $stack->start_backend('all');
#     my $r = $stack->post('/signup', { email => 'a@example.com', displayName => 'A' });
#     wait_for('a mail', sub { $stack->mails == 1 });
#     is $stack->stop_backend('all'), 0;     # its exit status, 256 + signal when killed
#
# WEIR_BACKEND_BINARY names the binary to test; the default is build/weir-backend.
# Only modules of Perl's core.
package Weir::Stack;

use strict;
use warnings;

use Cwd qw(abs_path);
use Errno qw(EINTR);
use Exporter qw(import);
use File::Basename qw(basename dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use HTTP::Tiny;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX qw(WNOHANG);
use Socket qw(SHUT_WR);
use Time::HiRes qw(sleep time);
use Weir::Redis qw(redis_cli redis_server);

our @EXPORT_OK = qw(wait_for free_port);

my $ROOT     = abs_path(dirname(__FILE__) . '/../../..');
my $DEADLINE = 30;                                          # seconds, for whatever is waited for
my $json     = JSON::PP->new->utf8;

# Each has a moment in which it is not there yet.
my @API_SESSIONS = qw(commands reads products orders order-reads dashboard checkout webhooks deletion);

# --- helpers -------------------------------------------------------------------

# Waits until the code returns something true, and returns that; dies at the deadline.
sub wait_for {
    my ($what, $code, $deadline) = @_;
    my $until = time + ($deadline // $DEADLINE);
    # Ever slower: many checks start a process.
    for (my $pause = 0.02;; $pause = $pause < 0.08 ? 1.2 * $pause : 0.1) {
        my $result = $code->();
        return $result if $result;
        die "waited in vain for $what\n" if time > $until;
        sleep $pause;
    }
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:0')
        or die "no free port: $!\n";
    return $socket->sockport;
}

sub slurp {
    my ($file) = @_;
    open my $f, '<:raw', $file or return '';
    local $/;
    return scalar(<$f>) // '';
}

# A process that reads the file meanwhile sees the old text or the new one.
sub spew {
    my ($file, $text) = @_;
    open my $f, '>:raw', "$file.new" or die "$file: $!\n";
    print $f $text;
    close $f or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}

# --- life -------------------------------------------------------------------------

# Options: postgres => 0, redis => 0 leave one out; migrate => 0 leaves the schema out; postgres_env => { } is what
# PostgreSQL's environment has besides;
# conf => { key => value } goes into the configuration file.
# domain => FOLDER runs the programs of that domain (make DOMAIN=FOLDER), and sessions => [names] says which sessions to
# the database its api waits for.
sub new {
    my ($class, %option) = @_;
    my $build = "$ROOT/build" . ($option{domain} ? '/domains/' . basename($option{domain}) : '');
    my $self = bless {
        domain   => $option{domain},
        sessions => $option{sessions} // ($option{domain} ? [] : \@API_SESSIONS),
        dir   => tempdir('/tmp/weir-t.XXXXXX'),
        owner => $$,
        proc  => {},
        conf  => $option{conf} // {},
        postgres_env => $option{postgres_env},
    }, $class;

    chmod 0755, $self->{dir};
    $self->{port}       = free_port();
    $self->{redis_port} = free_port();
    $self->{smtp_port}  = free_port();
    $self->{binary}     = abs_path($ENV{WEIR_BACKEND_BINARY} // "$build/weir-backend")
        or die "there is no weir-backend; run make\n";

    $self->start_postgres if $option{postgres} // 1;
    $self->start_redis    if $option{redis}    // 1;
    $self->migrate        if ($option{postgres} // 1) && ($option{migrate} // 1);

    return $self;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner};
    local ($?, $@);
    my @last = qw(redis postgres);
    $self->thaw_postgres if $self->{frozen};
    for my $name ((grep { my $n = $_; !grep { $_ eq $n } @last } keys %{ $self->{proc} }), @last) {
        next unless $self->{proc}{$name};
        $self->_signal($name, 'CONT');
        eval { $self->_stop($name, $name eq 'postgres' ? 'INT' : 'TERM', 15); 1 }
            or eval { $self->_stop($name, 'KILL') };
    }
    remove_tree($self->{dir});
}

sub dir { $_[0]{dir} }

# --- processes ----------------------------------------------------------------------

# Starts a program with its output in DIR/NAME.log. Options: user, env.
sub _start {
    my ($self, $name, $command, %option) = @_;
    die "$name runs already\n" if $self->{proc}{$name};
    open my $log, '>>', "$self->{dir}/$name.log" or die "$name.log: $!\n";
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        setpgrp(0, 0);
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>&', $log;
        open STDERR, '>&', $log;
        _become($option{user}) if $option{user};
        %ENV = (%ENV, %{ $option{env} // {} });
        exec @$command or POSIX::_exit(127);
    }
    $self->{proc}{$name} = $pid;
    return $pid;
}

# Another user, for the program that refuses to be run by root.
sub _become {
    my ($user) = @_;
    my ($uid, $gid) = (getpwnam $user)[2, 3];
    defined $uid or die "there is no user $user\n";
    $) = "$gid $gid";
    $( = $gid;
    ($<, $>) = ($uid, $uid);
    chdir '/';
}

sub pid { $_[0]{proc}{ $_[1] } }

sub _signal {
    my ($self, $name, $signal) = @_;
    return $self->{proc}{$name} ? kill $signal, $self->{proc}{$name} : 0;
}

sub _status { my ($status) = @_; return $status & 127 ? 256 + ($status & 127) : $status >> 8 }

# True when it has ended; its status is kept for _stop().
sub _ended {
    my ($self, $name) = @_;
    my $pid = $self->{proc}{$name} or return 1;
    return 0 if waitpid($pid, WNOHANG) == 0;
    $self->{status}{$name} = $? == -1 ? 0 : _status($?);
    delete $self->{proc}{$name};
    return 1;
}

# Signals it and waits for its end. Returns its exit status, 256 + signal when killed.
sub _stop {
    my ($self, $name, $signal, $deadline) = @_;
    $self->_signal($name, $signal);
    wait_for("the end of $name", sub { $self->_ended($name) }, $deadline);
    return delete $self->{status}{$name};
}

# Waits until the check is true, and dies with the log's end when the program ends before.
sub _until {
    my ($self, $name, $check) = @_;
    wait_for("$name to answer", sub {
        die "$name did not start:\n" . substr($self->log_of($name), -2000) . "\n"
            if $self->_ended($name);
        return $check->();
    });
}

sub log_of { my ($self, $name) = @_; return slurp("$self->{dir}/$name.log") }

# --- PostgreSQL -----------------------------------------------------------------------

sub _pg_bin {
    my ($bin) = sort { ($b =~ m{/(\d+)/bin})[0] <=> ($a =~ m{/(\d+)/bin})[0] }
        glob '/usr/lib/postgresql/*/bin';
    return $bin // die "PostgreSQL's server is missing; install postgresql\n";
}

sub _pg_user { return $> == 0 ? 'postgres' : undef }

# Runs a command to its end as PostgreSQL's user.
sub _as_pg_user {
    my ($self, @command) = @_;
    $self->_start('pg-command', \@command, user => _pg_user());
    wait_for($command[0], sub { $self->_ended('pg-command') }, 60);
    my $status = delete $self->{status}{'pg-command'};
    die "$command[0] failed: " . $self->log_of('pg-command') if $status != 0;
}

# Makes the cluster and the database at the first call. The role weir owns the database and
# is no superuser.
sub start_postgres {
    my ($self) = @_;
    my $dir = "$self->{dir}/pg";
    my $bin = _pg_bin();
    my $new = !-d "$dir/data";

    if ($new) {
        -d $dir or mkdir $dir or die "$dir: $!\n";
        chown((getpwnam _pg_user())[2, 3], $dir) if _pg_user();
        $self->_as_pg_user("$bin/initdb", '-D', "$dir/data", '-U', 'postgres', '-A', 'trust',
            '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync');
    }

    $self->_start('postgres',
        ["$bin/postgres", '-D', "$dir/data", '-k', $dir,
            map { ('-c', $_) } 'listen_addresses=', 'fsync=off', 'max_connections=50',
            'shared_buffers=32MB', 'log_min_messages=fatal'],
        user => _pg_user(), env => $self->{postgres_env});
    $self->_until('postgres', sub {
        system("psql -h $dir -U postgres -d postgres -Atqc 'SELECT 1' >/dev/null 2>&1") == 0;
    });
    if ($new) {
        $self->_psql('postgres', 'postgres', 'CREATE ROLE weir LOGIN');
        $self->_psql('postgres', 'postgres', 'CREATE DATABASE weir OWNER weir');
    }
}

# 'fast' ends sessions, 'immediate' is a crash.
sub stop_postgres {
    my ($self, $how) = @_;
    return $self->_stop('postgres', ($how // 'fast') eq 'immediate' ? 'QUIT' : 'INT');
}

# Kills the server with all its processes, as when the machine loses it: kill -9 of the postmaster
# alone leaves its children to finish what they do.
sub kill_postgres {
    my ($self) = @_;
    my $pid = $self->{proc}{postgres};
    my @children = _children($pid);
    kill 'KILL', $pid, @children;
    wait_for('the end of postgres', sub { $self->_ended('postgres') });
    wait_for('the end of its children', sub { !grep { -d "/proc/$_" } @children });
    return delete $self->{status}{postgres};
}

sub _children {
    my ($parent) = @_;
    my @children;
    for my $file (glob '/proc/[0-9]*/stat') {
        my ($pid, $ppid) = slurp($file) =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @children, $pid if $ppid == $parent;
    }
    return @children;
}

# The folder of the server that the stack works with: Weir::Standby's promote() changes it.
sub pg { my ($self) = @_; return $self->{pg} // "$self->{dir}/pg" }

sub database { my ($self) = @_; return 'host=' . $self->pg . ' dbname=weir user=weir' }

sub _psql {
    my ($self, $user, $database, $sql) = @_;
    open my $psql, '-|', 'psql', '-h', $self->pg, '-U', $user, '-d', $database,
        '-v', 'ON_ERROR_STOP=1', '-XAtqc', $sql
        or die "psql: $!\n";
    local $/;
    my $out = <$psql> // '';
    close $psql or die "psql failed: $sql\n";
    return $out =~ s/\n\z//r;
}

# Runs SQL and returns its output, columns with | between them.
sub psql { my ($self, $sql) = @_; return $self->_psql('weir', 'weir', $sql) }

# A session that stays open: returns a handle to print SQL to. What was printed before has been
# done when this returns; close the handle to end the session.
sub session {
    my ($self, $sql) = @_;
    my $mark = "$self->{dir}/session." . ++$self->{psql_sessions};
    open my $psql, '|-', "exec psql -h " . $self->pg . " -U weir -d weir -v ON_ERROR_STOP=1 -XAtq"
        . " >>$self->{dir}/session.log 2>&1" or die "psql: $!\n";
    $psql->autoflush(1);
    print $psql "$sql\n\\! touch $mark\n";
    wait_for("the session to do: $sql", sub { -e $mark });
    return $psql;
}

# Waits until sessions have waited for a lock, one for each condition on pg_stat_activity. PostgreSQL looks itself, every
# 5 ms: sessions with a lock_timeout wait for moments only.
sub wait_locked {
    my ($self, @which) = @_;
    my $look = join "\n", map {
        "seen[$_] := seen[$_] OR EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND $which[$_ - 1]);"
    } 1 .. @which;
    $self->_psql('postgres', 'postgres', <<"SQL");
DO \$\$
DECLARE
    seen boolean[] := array_fill(false, ARRAY[${\ scalar @which}]);
BEGIN
    FOR i IN 1 .. 200 * $DEADLINE LOOP
        PERFORM pg_stat_clear_snapshot();
        $look
        IF true = ALL (seen) THEN RETURN; END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE EXCEPTION 'waited in vain for sessions to wait for a lock';
END \$\$
SQL
    return;
}

sub migrate {
    my ($self) = @_;
    my ($status, $output) = $self->run_backend('migrate');
    die "migrate failed: $output\n" if $status != 0;
}

# --- Redis -----------------------------------------------------------------------------

sub start_redis {
    my ($self) = @_;
    my $dir = "$self->{dir}/redis";
    mkdir $dir;
    $self->_start('redis',
        [redis_server(), '--port', $self->{redis_port}, '--bind', '127.0.0.1', '--unixsocket',
            "$dir/redis.sock", '--dir', $dir, '--save', '', '--appendonly', 'no']);
    $self->_until('redis', sub { $self->redis('ping') =~ /PONG/ });
}

# Nothing is saved: after this Redis starts empty.
sub stop_redis { my ($self) = @_; return $self->_stop('redis', 'TERM') }
sub kill_redis { my ($self) = @_; return $self->_stop('redis', 'KILL') }

# Stops a process in its tracks, as a network that stalls does to its peers, and lets it go on.
sub freeze { my ($self, $name) = @_; return $self->_signal($name, 'STOP') }
sub thaw   { my ($self, $name) = @_; return $self->_signal($name, 'CONT') }

# The same for PostgreSQL with all its processes. Its sessions stay open; new ones wait.
sub freeze_postgres {
    my ($self) = @_;
    my $pid = $self->{proc}{postgres};
    kill 'STOP', $pid; # no new children from here on
    $self->{frozen} = [_children($pid), $pid];
    return kill 'STOP', @{ $self->{frozen} };
}

sub thaw_postgres { my ($self) = @_; return kill 'CONT', @{ delete $self->{frozen} } }

# Runs Redis' client and returns its output.
sub redis {
    my ($self, @arguments) = @_;
    open my $cli, '-|', "exec " . redis_cli() . " -h 127.0.0.1 -p $self->{redis_port} "
        . join(' ', map { "'" . s/'/'\\''/gr . "'" } @arguments) . ' 2>&1'
        or die redis_cli() . ": $!\n";
    local $/;
    my $out = <$cli> // '';
    close $cli;
    return $out =~ s/\n\z//r;
}

# --- SMTP ---------------------------------------------------------------------------------

sub start_smtp {
    my ($self) = @_;
    $self->_start('smtp',
        ['/usr/bin/python3', '-m', 'aiosmtpd', '-n', '-c', 'aiosmtpd.handlers.Mailbox',
            "$self->{dir}/mail", '-l', "127.0.0.1:$self->{smtp_port}"]);
    $self->_until('smtp', sub {
        IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{smtp_port}");
    });
}

# One that writes down what it takes, a line for each mail, in the file that this returns.
sub start_smtp_ledger {
    my ($self) = @_;
    my $file = "$self->{dir}/mails.log";
    $self->_start('smtp', ['/usr/bin/python3', "$ROOT/t/lib/smtp-ledger.py", $self->{smtp_port}, $file]);
    $self->_until('smtp', sub {
        IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{smtp_port}");
    });
    return $file;
}

sub stop_smtp { my ($self) = @_; return $self->_stop('smtp', 'TERM') }

# The texts of the mails that have arrived, in no order.
sub mails { my ($self) = @_; return map { slurp($_) } glob "$self->{dir}/mail/new/*" }

# --- the backend ----------------------------------------------------------------------------

# Writes a configuration file and returns its name. Values that are undef are left out.
sub write_conf {
    my ($self, %conf) = @_;
    my %all = (
        listen   => "127.0.0.1:$self->{port}",
        database => $self->database,
        redis    => "redis://127.0.0.1:$self->{redis_port}/0",
        ($self->{domain} ? () : (smtp => "smtp://127.0.0.1:$self->{smtp_port}")),
        %{ $self->{conf} }, %conf
    );
    my $file = "$self->{dir}/weir-backend." . ++$self->{confs} . '.conf';
    spew($file, join '', map { "$_ = $all{$_}\n" } grep { defined $all{$_} } sort keys %all);
    return $file;
}

# Runs it to its end with these arguments. Returns exit status and output.
sub run_backend {
    my ($self, @arguments) = @_;
    return $self->run_command($self->{binary}, '-c', $self->write_conf, @arguments);
}

sub run_command {
    my ($self, @command) = @_;
    my $name = 'command.' . ++$self->{commands};
    $self->_start($name, \@command);
    wait_for("the end of @command", sub { $self->_ended($name) });
    return (delete $self->{status}{$name}, $self->log_of($name));
}

# Runs weirctl to its end. Returns exit status, standard output and standard error.
sub weirctl {
    my ($self, @arguments) = @_;
    my $out = "$self->{dir}/weirctl." . ++$self->{commands};
    my ($status) = $self->run_command('/bin/sh', '-c', 'out=$1; shift; exec "$@" >"$out.out" 2>"$out.err"',
        'sh', $out, dirname($self->{binary}) . '/weirctl', '-c', $self->write_conf, @arguments);
    return ($status, slurp("$out.out"), slurp("$out.err"));
}

# The same with --json: returns what it printed, decoded; dies when it failed.
sub ctl_json {
    my ($self, @arguments) = @_;
    my ($status, $out, $err) = $self->weirctl(@arguments, '--json');
    die "weirctl @arguments failed: $err\n" if $status != 0;
    return $json->decode($out);
}

# Starts roles ('api', 'relay', 'worker', 'all', or several with blanks between them) and waits
# until they run; the api, until it reaches PostgreSQL if that runs. Options: name, under which it
# is stopped (default: the roles), conf, env.
sub start_backend {
    my ($self, $roles, %option) = @_;
    my $name = $option{name} // $roles;
    my $log  = length $self->log_of($name);
    my %conf = %{ $option{conf} // {} };

    $self->_start($name,
        [$self->{binary}, '-c', $self->write_conf(%conf), split ' ', $roles],
        env => $option{env});
    $self->_until($name, sub { substr($self->log_of($name), $log) =~ /"msg":"started"/ });
    if ($roles =~ /api|all/ && $self->{proc}{postgres} && !$conf{listen}) {
        $self->_until($name, sub {
            $self->get('/users/00000000-0000-7000-8000-000000000000')->{status} == 404;
        });
        $self->_until($name, sub {
            my $said = substr($self->log_of($name), $log);
            return !grep { $said !~ /"msg":"database session open","session":"\Q$_\E"/ } @{ $self->{sessions} };
        });
    }
    return $name;
}

# Ends it gracefully; returns its exit status, 256 + signal when it was killed.
sub stop_backend { my ($self, $name) = @_; return $self->_stop($name, 'TERM') }
sub kill_backend { my ($self, $name) = @_; return $self->_stop($name, 'KILL') }

# What it logged: a list of hashes.
sub log_lines {
    my ($self, $name) = @_;
    return map { eval { $json->decode($_) } // () } split /\n/, $self->log_of($name);
}

# --- HTTP ----------------------------------------------------------------------------------------

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{port}$path" }

# Returns HTTP::Tiny's answer, with the decoded body in json when it is JSON.
sub request {
    my ($self, $method, $path, $option) = @_;
    my $r = HTTP::Tiny->new(timeout => $DEADLINE, max_redirect => 0)
        ->request($method, $self->url($path), $option // {});
    $r->{json} = eval { $json->decode($r->{content}) }
        if ($r->{headers}{'content-type'} // '') =~ /json/;
    return $r;
}

sub get { my ($self, $path, $headers) = @_; return $self->request('GET', $path, { headers => $headers // {} }) }

# content is a reference, which becomes JSON, or text.
sub post {
    my ($self, $path, $content, $headers) = @_;
    $content = $json->encode($content) if ref $content;
    return $self->request('POST', $path,
        { content => $content, headers => { 'Content-Type' => 'application/json', %{ $headers // {} } } });
}

# Opens a connection and sends bytes; returns the socket.
sub send_raw {
    my ($self, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}") or return;
    local $SIG{PIPE} = 'IGNORE';
    syswrite $socket, $bytes;
    return $socket;
}

# Reads to the end of the connection, or dies at the deadline.
sub read_raw {
    my ($self, $socket) = @_;
    my ($out, $until) = ('', time + $DEADLINE);
    while (1) {
        my $left = $until - time;
        die "waited in vain for an answer; had: $out\n"
            if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        my $n = sysread $socket, $out, 65536, length $out;
        next if !defined $n && $! == EINTR;
        return $out if !$n;
    }
}

# Bytes of a POST with "Connection: close".
sub raw_post {
    my ($self, $path, $content) = @_;
    $content = $json->encode($content) if ref $content;
    return "POST $path HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: application/json\r\n"
        . 'Content-Length: ' . length($content) . "\r\n\r\n$content";
}

1;
