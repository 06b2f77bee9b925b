# Processes that may open few descriptors, and a kernel that refuses accept(), socket(), connect()
# and open(): nothing crashes, the log says why, and service is back when descriptors are.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use IO::Socket::INET;
use Test::More;
use Time::HiRes 'sleep';
use Weir::Base qw(listens spew);
use Weir::Stack qw(wait_for free_port);

my $stack = Weir::Stack->new(conf => { groups => 'email,analytics' });
$stack->start_smtp;
my $bin = $stack->{binary} =~ s{/[^/]*$}{}r;
my $dir = $stack->dir;

# Refuses every call of that name with that errno while the file exists.
my $fault = "$dir/fault.so";
{
    open my $c, '>', "$dir/fault.c" or die $!;
    print $c <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The file has the errno's number and the names of calls: "24 accept socket". */
static int refuses(const char *call)
{
    static int (*real_open)(const char *, int, ...);
    char text[200] = "", *p, after;
    int fd, kept = errno;
    ssize_t n;

    if (real_open == NULL)
        real_open = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    fd = real_open(getenv("FAULT"), O_RDONLY);
    errno = kept;
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    errno = kept;
    if (n <= 0 || (p = strstr(text, call)) == NULL)
        return 0;
    after = p[strlen(call)];
    if (after != ' ' && after != '\n')
        return 0;
    errno = atoi(text);
    return 1;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int accept4(int fd, struct sockaddr *a, socklen_t *l, int flags)
{
    REAL(accept4);
    return refuses("accept") ? -1 : real(fd, a, l, flags);
}
int accept(int fd, struct sockaddr *a, socklen_t *l)
{
    REAL(accept);
    return refuses("accept") ? -1 : real(fd, a, l);
}
int socket(int d, int t, int p)
{
    REAL(socket);
    return refuses("socket") ? -1 : real(d, t, p);
}
int connect(int fd, const struct sockaddr *a, socklen_t l)
{
    REAL(connect);
    return refuses("connect") ? -1 : real(fd, a, l);
}
int epoll_ctl(int e, int op, int fd, struct epoll_event *v)
{
    REAL(epoll_ctl);
    return op == EPOLL_CTL_ADD && refuses("epoll_ctl") ? -1 : real(e, op, fd, v);
}
int open(const char *path, int flags, ...)
{
    va_list ap;
    mode_t mode;
    REAL(open);
    va_start(ap, flags);
    mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    return refuses("open") ? -1 : real(path, flags, mode);
}
C
    close $c;
    system('gcc', '-shared', '-fPIC', '-O1', '-o', $fault, "$dir/fault.c", '-ldl') == 0
        or die('the fault injector does not build');
}

sub begin_fault { my ($text) = @_; spew("$dir/fault", "$text\n") }
sub end_fault { unlink "$dir/fault" }

# Starts programs with that limit, all at once; waits until each has ended, or its check is true,
# and ends it. Each is [check, program, arguments]; returns [program, exit status, output] of each.
my $runs = 0;
sub run_limited {
    my ($limit, @programs) = @_;
    my %name;
    for my $i (0 .. $#programs) {
        my ($check, @command) = @{ $programs[$i] };
        $name{$i} = 'limited.' . ++$runs;
        $stack->start_limited($name{$i}, '-n', $limit, @command);
    }
    return map {
        my ($name, $check, @command) = ($name{$_}, @{ $programs[$_] });
        wait_for("@command at $limit" => sub {
            $stack->has_ended($name) || $check->($stack->log_of($name));
        });
        ["@command[0, -1]", $stack->finish_process($name), $stack->log_of($name)];
    } 0 .. $#programs;
}

# --- every process at every limit ---------------------------------------------------------

# Where starting fails at each step in turn, all roles; above, where only sessions come and go, one
# after the other.
my @odd;
for my $limit (8 .. 64) {
    my @roles = $limit < 16 ? qw(api relay worker all) : ((qw(api relay worker all))[$limit % 4]);
    my $is_up =
        sub { $_[0] =~ /"msg":"started"/ && $_[0] =~ /session open|Too many open files|"Redis is/ };
    my @backends =
        map { [$is_up, "$bin/weir-backend", '-c',
        $stack->write_conf(listen => '127.0.0.1:' . free_port()), $_] } @roles;
    my @ended = run_limited(
        $limit, @backends, [sub { 0 }, "$bin/weirctl", '-c', $stack->write_conf, 'groups'],
        [sub { $_[0] =~ /answers on/ }, "$bin/weir-payments-sim", '-l', '127.0.0.1:' . free_port()]
    );
    my ($ctl, $sim) = splice @ended, -2;
    for (@ended) {
        my ($what, $status, $log) = @$_;
        push @odd, "$what at $limit: status $status: $log"
            if $status > 1
            || ($status == 1
            && $log !~ /weir-backend: .*open files|\[err\]|descriptors|unfinished work/);
    }
    push @odd, "weirctl at $limit: $ctl->[1]: $ctl->[2]"
        if $ctl->[1] > 3 || ($ctl->[1] && $ctl->[2] !~ /\S/);
    push @odd, "weir-payments-sim at $limit: $sim->[1]: $sim->[2]"
        if $sim->[1] > 1 || ($sim->[1] && $sim->[2] !~ /\S/);
}
is_deeply \@odd, [],
    'at every limit from 8 to 64 each process runs, or ends with an error that says why';

# --- more clients than descriptors ------------------------------------------------------------

{
    my $conf = $stack->write_conf;
    $stack->start_process(
        'few',
        [
            '/bin/sh', '-c', 'ulimit -n 120; exec "$@"', 'sh', "$bin/weir-backend", '-c', $conf,
            'api']);
    $stack->wait_started('few' => sub { $stack->get('/health')->{status} == 200 });
    my @held;
    for (1 .. 300) {
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$stack->{port}", Timeout => 1) or last;
        $s->autoflush(1);
        print $s "GET /health HTTP/1.1\r\nHost: a\r\n"; # in use, not idle
        push @held, $s;
    }
    wait_for('the log to tell' => sub { $stack->log_of('few') =~ /all connections are in use/ });
    @held = ();
    wait_for('an answer' => sub { $stack->get('/health')->{status} == 200 });
    ok 1, 'it answers when clients have gone';
    push @held, listens($stack->{port}) // () for 1 .. 300;
    is $stack->get('/health')->{status}, 200, 'idle connections make room for new ones';
    is $stack->get('/products')->{status}, 200, 'and leave descriptors to the database';
    is $stack->stop_process('few', 'TERM'), 0, 'stops cleanly';
}

# --- a kernel that refuses ---------------------------------------------------------------------

my %errno = (EMFILE => 24, ENFILE => 23, ENOMEM => 12, ENOBUFS => 105);
my %env = (LD_PRELOAD => $fault, FAULT => "$dir/fault");
$stack->start_process('all', ["$bin/weir-backend", '-c', $stack->write_conf, 'all'], env => \%env);
$stack->wait_started('all' => sub { $stack->get('/products')->{status} == 200 });
for my $name (sort keys %errno) {
    my $told = () = $stack->log_of('all') =~ /cannot accept connections/g;
    begin_fault("$errno{$name} accept");
    my $waits = listens($stack->{port});
    $waits->autoflush(1);
    print $waits "GET /health HTTP/1.1\r\nHost: a\r\n\r\n";
    wait_for('the log to tell' =>
            sub { $told < (() = $stack->log_of('all') =~ /cannot accept connections/g) });
    end_fault();
    like scalar(<$waits>), qr/^HTTP\/1\.1 200/,
        "accept, $name: the connection is answered when the error has gone";
    is scalar(() = $stack->log_of('all') =~ /cannot accept connections/g), $told + 1,
        'the log says it once';

    # The database and Redis go while nothing can be opened; both come back.
    begin_fault("$errno{$name} socket connect open epoll_ctl");
    $stack->psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            . " WHERE pid <> pg_backend_pid() AND usename <> 'postgres'");
    $stack->redis('CLIENT', 'KILL', 'TYPE', 'normal');
    # Or no answer: a listener that had to rest is not watched again before the fault has ended.
    wait_for('503' => sub {
        HTTP::Tiny->new(timeout => 2)->get($stack->url('/products'))->{status} =~ /^5(?:03|99)/;
    });
    end_fault();
    wait_for("answers after $name" => sub { $stack->get('/products')->{status} == 200 });
    my $mails = () = $stack->mails;
    wait_for('a signup' => sub {
        $stack->post('/signup', { email => "\L$name\E\@example.com", displayName => 'A' })
            ->{status} == 201;
    });
    ok $stack->pid('all') && !$stack->has_ended('all'),
        "socket, connect, open, $name: it answers again";
    wait_for('a mail' => sub { $stack->mails > $mails });
}
is $stack->stop_process('all', 'TERM'), 0, 'stops cleanly';

# Standard streams that are closed: neither a file nor a socket takes their place.
my $conf = $stack->write_conf;
my $pid = $stack->start_process('api',
    ['/bin/sh', '-c', "exec $bin/weir-backend -c $conf api <&- >&- 2>&-"]);
wait_for('an answer', sub { $stack->get('/products')->{status} == 200 });
is_deeply [map { readlink "/proc/$pid/fd/$_" } 0 .. 2], [('/dev/null') x 3],
    'closed standard streams become /dev/null';
is $stack->stop_process('api', 'TERM'), 0, 'and it stops cleanly';

done_testing;
