# A private stack for a test: PostgreSQL, Redis, SMTP sink and weir-backend processes in a folder of
# its own below /tmp, on free ports. Everything is stopped, by pid, when the object goes.
#
#     my $stack = Weir::Stack->new;          # PostgreSQL (migrated) and Redis
#     $stack->start_smtp;
#     $stack->start_backend('all');
#     my $r = $stack->post('/signup', { email => 'a@example.com', displayName => 'A' });
#     wait_for('a mail' => sub { $stack->mails == 1 });
#     is $stack->stop_backend('all'), 0;     # its exit status, 256 + signal when killed
#
# WEIR_BUILD is the folder of the programs to test; the default is build. WEIR_BACKEND_BINARY names
# another weir-backend.
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
use JSON::PP ();
use POSIX qw(WNOHANG);
use Time::HiRes qw(time);
use Weir::Base qw(free_port listens slurp spew wait_for);
use Weir::Redis qw(redis_answers redis_cli_command redis_server redis_users redis_watch);

use parent 'Weir::Stack::Postgres';

our @EXPORT_OK = qw(wait_for free_port);

my $ROOT = abs_path(dirname(__FILE__) . '/../../..');
my $json = JSON::PP->new->utf8;

# The api opens each of these sessions to the database on its own.
my @API_SESSIONS =
    qw(commands reads products orders order-reads dashboard checkout webhooks deletion);

# --- life -------------------------------------------------------------------------

# Options:
#
#     postgres => 0, redis => 0, migrate => 0    without that server, or without the schema
#     postgres_env => { NAME => value }          more of PostgreSQL's environment
#     postgres_settings => ['fsync=on']          and of its settings
#     roles => 0                                 all processes log in as the schema's owner
#     conf => { key => value }                   goes into the configuration file
#     domain => FOLDER                           the programs of make DOMAIN=FOLDER
#     sessions => [names]                        the sessions to the database of that domain's api
sub new {
    my ($class, %option) = @_;
    my $build = ($ENV{WEIR_BUILD} // "$ROOT/build")
        . ($option{domain} ? '/domains/' . basename($option{domain}) : '');
    my $self = bless {
        domain       => $option{domain},
        sessions     => $option{sessions} // ($option{domain} ? [] : \@API_SESSIONS),
        dir          => tempdir('/tmp/weir-t.XXXXXX'),
        owner        => $$,
        proc         => {},
        roles        => $option{roles} // 1,
        conf         => $option{conf} // {},
        postgres_env => $option{postgres_env},
        postgres_settings => $option{postgres_settings},
    }, $class;

    chmod 0755, $self->{dir};
    $self->{port} = free_port();
    $self->{redis_port} = free_port();
    $self->{smtp_port} = free_port();
    redis_users($self->{dir});
    $self->{binary} = abs_path($ENV{WEIR_BACKEND_BINARY} // "$build/weir-backend")
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
    $self->thaw_postgres if $self->{frozen};
    my @first = grep { !/^(?:redis|postgres)$/ } keys %{ $self->{proc} };
    for my $name (@first, 'redis', 'postgres') {
        next if !$self->{proc}{$name};
        $self->signal($name, 'CONT');
        eval { $self->stop_process($name, $name eq 'postgres' ? 'INT' : 'TERM', 15); 1 }
            or eval { $self->stop_process($name, 'KILL') };
    }
    remove_tree($self->{dir});
}

sub dir { $_[0]{dir} }

# --- processes ----------------------------------------------------------------------

# Starts a program with its output in DIR/NAME.log. Options: user, env.
sub start_process {
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

# Starts a program under a limit of the shell's ulimit, such as -n 20.
sub start_limited {
    my ($self, $name, $which, $limit, @command) = @_;
    my @shell = ('/bin/sh', '-c', 'ulimit $0 $1; shift; exec "$@"', $which, $limit);
    return $self->start_process($name, [@shell, @command]);
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

sub signal {
    my ($self, $name, $signal) = @_;
    return $self->{proc}{$name} ? kill $signal, $self->{proc}{$name} : 0;
}

sub _status { my ($status) = @_; return $status & 127 ? 256 + ($status & 127) : $status >> 8 }

# True when it has ended; its status is kept for stop_process().
sub has_ended {
    my ($self, $name) = @_;
    my $pid = $self->{proc}{$name} or return 1;
    return 0 if waitpid($pid, WNOHANG) == 0;
    $self->{status}{$name} = $? == -1 ? 0 : _status($?);
    delete $self->{proc}{$name};
    return 1;
}

# Signals it and waits for its end. Returns its exit status, 256 + signal when killed.
sub stop_process {
    my ($self, $name, $signal, $deadline) = @_;
    $self->signal($name, $signal);
    wait_for("the end of $name" => sub { $self->has_ended($name) }, $deadline);
    return delete $self->{status}{$name};
}

# Ends it with SIGTERM, if it has not ended by itself; returns its exit status as stop_process().
sub finish_process {
    my ($self, $name) = @_;
    return $self->has_ended($name) ? delete $self->{status}{$name}
        : $self->stop_process($name, 'TERM');
}

# Waits until the check is true, and dies with the log's end when the program ends before.
sub wait_started {
    my ($self, $name, $check) = @_;
    wait_for("$name to answer" => sub {
        die "$name did not start:\n" . substr($self->log_of($name), -2000) . "\n"
            if $self->has_ended($name);
        return $check->();
    });
}

sub log_of { my ($self, $name) = @_; return slurp("$self->{dir}/$name.log") }

# --- Redis -----------------------------------------------------------------------------

sub start_redis {
    my ($self) = @_;
    my $dir = "$self->{dir}/redis";
    mkdir $dir;
    my @listen = ($self->redis_listen, '--bind', '127.0.0.1');
    my @users = redis_users($self->{dir});
    my @files = ('--unixsocket', "$dir/redis.sock", '--dir', $dir);
    $self->start_process(
        'redis',
        [redis_server(), @listen, @files, '--save', '', '--appendonly', 'no', @users]);
    $self->wait_started('redis' => sub { redis_answers($self->redis_address) });
    redis_watch($self->redis_address);
}

# What Weir::Stack::Secure has otherwise: the options of Redis' server and of its client, URLs, what
# mail servers of tests get, and headers that say who asks.
sub redis_listen { my ($self) = @_; return ('--port', $self->{redis_port}) }
sub redis_address { my ($self) = @_; return $self->{redis_port} }
sub redis_at { my ($self) = @_; return ('-h', '127.0.0.1', '-p', $self->{redis_port}) }

sub redis_url {
    my ($self, $port) = @_;
    return 'redis://127.0.0.1:' . ($port // $self->{redis_port}) . '/0';
}

sub smtp_url {
    my ($self, $path) = @_;
    return "smtp://127.0.0.1:$self->{smtp_port}" . ($path // '');
}
sub smtp_keys { return () }
sub authorization { return () }

# Nothing is saved: after this Redis starts empty.
sub stop_redis { my ($self) = @_; return $self->stop_process('redis', 'TERM') }
sub kill_redis { my ($self) = @_; return $self->stop_process('redis', 'KILL') }

# Stops a process in its tracks, as a network that stalls does to its peers, and lets it go on.
sub freeze { my ($self, $name) = @_; return $self->signal($name, 'STOP') }
sub thaw   { my ($self, $name) = @_; return $self->signal($name, 'CONT') }

# Runs Redis' client and returns its output.
sub redis {
    my ($self, @arguments) = @_;
    my @command = redis_cli_command($self->redis_at, @arguments);
    open my $cli, '-|', '/bin/sh', '-c', 'exec "$@" 2>&1', 'sh', @command
        or die "redis-cli: $!\n";
    local $/;
    my $out = <$cli> // '';
    close $cli;
    return $out =~ s/\n\z//r;
}

# --- SMTP ---------------------------------------------------------------------------------

sub start_smtp {
    my ($self) = @_;
    my @to = ('-c', 'aiosmtpd.handlers.Mailbox', "$self->{dir}/mail");
    $self->_run_smtp('-m', 'aiosmtpd', '-n', @to, '-l', "127.0.0.1:$self->{smtp_port}");
}

# One that writes down what it takes, a line for each mail, in the file that this returns.
sub start_smtp_ledger {
    my ($self) = @_;
    my $file = "$self->{dir}/mails.log";
    $self->_run_smtp("$ROOT/t/lib/smtp-ledger.py", $self->{smtp_port}, $file, $self->smtp_keys);
    return $file;
}

# One whose reply depends on the recipient (smtp-moody.py says how). Returns the file to which it
# writes the recipients of the mails that it takes, a line each.
sub start_smtp_moody {
    my ($self) = @_;
    my $file = "$self->{dir}/taken";
    $self->_run_smtp("$ROOT/t/lib/smtp-moody.py", $self->{smtp_port}, $file);
    return $file;
}

# One that misbehaves as smtp-hostile.py says, with TLS if a certificate is given. Returns the file
# to which it writes what it has heard; the file .mood beside that is what it obeys.
sub start_smtp_hostile {
    my ($self, @certificate) = @_;
    my $file = "$self->{dir}/heard";
    $self->_run_smtp("$ROOT/t/lib/smtp-hostile.py", $self->{smtp_port}, $file, @certificate);
    return $file;
}

# One that behaves as that Python says, which defines a class Handler below aiosmtpd's Mailbox.
sub start_smtp_with {
    my ($self, $handler) = @_;
    my $program = "$self->{dir}/server.py";
    spew($program, <<"PYTHON");
import asyncio, os, time
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox

$handler
Controller(Handler('$self->{dir}/mail'), hostname='127.0.0.1', port=$self->{smtp_port}).start()
time.sleep(3600)
PYTHON
    $self->_run_smtp($program);
}

sub _run_smtp {
    my ($self, @arguments) = @_;
    $self->start_process('smtp', ['/usr/bin/python3', @arguments]);
    $self->wait_started('smtp' => sub { listens($self->{smtp_port}) });
}

sub stop_smtp { my ($self) = @_; return $self->stop_process('smtp', 'TERM') }

# The texts of the mails that have arrived, in no order.
sub mails {
    my ($self) = @_;
    return map { slurp($_) } glob "$self->{dir}/mail/new/*";
}

# --- the backend ----------------------------------------------------------------------------

# Writes a configuration file and returns its name. Values that are undef are left out. user: that
# of Redis (weir-backend).
sub write_conf {
    my ($self, %conf) = @_;
    my $user = delete $conf{user} // 'weir-backend';
    my %all = (
        listen   => "127.0.0.1:$self->{port}",
        database => $self->database,
        redis    => $self->redis_url,
        redis_user => $user,
        redis_password_file => "$self->{dir}/redis-passwords/$user",
        ($self->{domain} ? () : (smtp => $self->smtp_url)),
        %{ $self->{conf} }, %conf);
    %all = ($self->databases($all{database}), %all) if defined $all{database};
    my $file = "$self->{dir}/weir-backend." . ++$self->{confs} . '.conf';
    spew($file, join '', map { "$_ = $all{$_}\n" } grep { defined $all{$_} } sort keys %all);
    return $file;
}

sub migrate {
    my ($self) = @_;
    my ($status, $output) = $self->run_backend('migrate');
    die "migrate failed: $output\n" if $status != 0;
}

# Runs it to its end with these arguments. Returns exit status and output.
sub run_backend {
    my ($self, @arguments) = @_;
    return $self->run_command($self->{binary}, '-c', $self->write_conf, @arguments);
}

sub run_command {
    my ($self, @command) = @_;
    my $name = 'command.' . ++$self->{commands};
    $self->start_process($name, \@command);
    wait_for("the end of @command" => sub { $self->has_ended($name) });
    return (delete $self->{status}{$name}, $self->log_of($name));
}

# Runs weirctl to its end. Returns exit status, standard output and standard error.
sub weirctl {
    my ($self, @arguments) = @_;
    my $out = "$self->{dir}/weirctl." . ++$self->{commands};
    my @redirected = ('/bin/sh', '-c', 'out=$1; shift; exec "$@" >"$out.out" 2>"$out.err"', 'sh');
    my $conf = $self->write_conf(user => 'weir-ctl');
    my @command = (dirname($self->{binary}) . '/weirctl', '-c', $conf, @arguments);
    my ($status) = $self->run_command(@redirected, $out, @command);
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
    my $log = length $self->log_of($name);
    my %conf = %{ $option{conf} // {} };

    my $user = $roles =~ /\A(?:api|relay|worker)\z/ ? "weir-$roles" : 'weir-backend';
    my $file = $self->write_conf(user => $user, %conf);
    my @command = ($self->{binary}, '-c', $file, split ' ', $roles);
    $self->start_process($name, \@command, env => $option{env});
    $self->wait_started($name => sub { substr($self->log_of($name), $log) =~ /"msg":"started"/ });
    if ($roles =~ /api|all/ && $self->{proc}{postgres} && !$conf{listen}) {
        $self->wait_started($name => sub {
            $self->get('/users/00000000-0000-7000-8000-000000000000')->{status} == 404;
        });
        $self->wait_started($name => sub {
            my $said = substr($self->log_of($name), $log);
            return !grep { $said !~ /"msg":"database session open","session":"\Q$_\E"/ }
                @{ $self->{sessions} };
        });
    }
    return $name;
}

# Ends it gracefully; returns its exit status, 256 + signal when it was killed.
sub stop_backend { my ($self, $name) = @_; return $self->stop_process($name, 'TERM') }
sub kill_backend { my ($self, $name) = @_; return $self->stop_process($name, 'KILL') }

# What it logged: a list of hashes. Lines that are no JSON are left out.
sub log_lines {
    my ($self, $name) = @_;
    my @lines = map {
        eval { $json->decode($_) }
    } split /\n/, $self->log_of($name);
    return grep { defined } @lines;
}

# The lines that it logged whose message is that one, or matches that pattern.
sub logged {
    my ($self, $name, $message) = @_;
    my $wanted = ref $message ? $message : qr/\A\Q$message\E\z/;
    return grep { $_->{msg} =~ $wanted } $self->log_lines($name);
}

# --- HTTP ----------------------------------------------------------------------------------------

sub url { my ($self, $path) = @_; return "http://127.0.0.1:$self->{port}$path" }

# Returns HTTP::Tiny's answer, with the decoded body in json when it is JSON.
sub request {
    my ($self, $method, $path, $option) = @_;
    my $http = HTTP::Tiny->new(timeout => $Weir::Base::DEADLINE, max_redirect => 0);
    my %option = %{ $option // {} };
    $option{headers} = { $self->authorization, %{ $option{headers} // {} } };
    my $r = $http->request($method, $self->url($path), \%option);
    $r->{json} = eval { $json->decode($r->{content}) }
        if ($r->{headers}{'content-type'} // '') =~ /json/;
    return $r;
}

sub get {
    my ($self, $path, $headers) = @_;
    return $self->request('GET', $path, { headers => $headers // {} });
}

# content is a reference, which becomes JSON, or text.
sub post {
    my ($self, $path, $content, $headers) = @_;
    $content = $json->encode($content) if ref $content;
    my %headers = ('Content-Type' => 'application/json', %{ $headers // {} });
    return $self->request('POST', $path, { content => $content, headers => \%headers });
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
    my ($out,  $until) = ('', time + $Weir::Base::DEADLINE);
    while (1) {
        my $left = $until - time;
        die "waited in vain for an answer; had: $out\n"
            if $left <= 0 || !IO::Select->new($socket)->can_read($left);
        my $n = sysread $socket, $out, 65536, length $out;
        next        if !defined $n && $! == EINTR;
        return $out if !$n;
    }
}

1;
