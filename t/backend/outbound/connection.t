# The connection to the mail server: login, TLS, one that takes byte after byte, and a name that is
# not resolved. Mails go over one connection, one after another.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Base qw(free_port slurp spew wait_for);
use Weir::Events;
use Weir::Stack;

my $operators = free_port();
my $s = Weir::Stack->new(
    conf => {
        groups => 'email,billing', smtp_timeout => '30s',
        retry_base => '20ms', retry_max => '200ms', retry_attempts => 1000,
        metrics_listen => "127.0.0.1:$operators",
    });
my $dir = $s->dir;
my $e = Weir::Events->new($s, groups => ['email', 'billing']);
my $heard;

sub start {
    my ($url, %option) = @_;
    my %conf = (smtp => $url, %{ $option{conf} // {} });
    $s->start_backend('relay worker', conf => \%conf, env => $option{env});
}

sub heard { my ($what) = @_; return scalar(my @lines = slurp($heard) =~ /^$what/mg) }

sub stop { is $s->stop_backend('relay worker'), 0, 'stops gracefully' }

# A library for LD_PRELOAD.
sub library {
    my ($name, $code) = @_;
    my $library = "$dir/$name.so";
    open my $cc, '|-', 'cc', '-shared', '-fPIC', '-x', 'c', '-o', $library, '-' or die "cc: $!\n";
    print $cc "#define _GNU_SOURCE\n#include <dlfcn.h>\n$code";
    close $cc or die "cc failed\n";
    return $library;
}

# Every other send() to the mail server finds no room; the others take one byte.
my $narrow = library('narrow', <<'C');
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

ssize_t send(int fd, const void *buffer, size_t length, int flags)
{
    static int calls;
    __typeof__(&send) next = (__typeof__(&send))dlsym(RTLD_NEXT, "send");
    struct sockaddr_in peer = {0};
    socklen_t size = sizeof(peer);

    if (getpeername(fd, (struct sockaddr *)&peer, &size) != 0 || peer.sin_family != AF_INET ||
        ntohs(peer.sin_port) != atoi(getenv("SMTP_PORT")))
        return next(fd, buffer, length, flags);
    if (++calls % 2 == 0) {
        errno = EAGAIN;
        return -1;
    }
    return next(fd, buffer, length > 0, flags);
}
C
my %narrow = (LD_PRELOAD => $narrow, SMTP_PORT => $s->{smtp_port});

subtest 'a connection that takes byte after byte' => sub {
    $s->start_smtp;
    start("smtp://127.0.0.1:$s->{smtp_port}", env => \%narrow);
    $e->create(4);
    $e->wait_handled;
    my @mails = $s->mails;
    is scalar @mails, 4, 'all mails arrive';
    my $whole = qr/^Subject: Welcome\n.*\n\nHello User \d,\n\nwelcome! .* in a =?\n?moment\.\n/ms;
    is scalar(grep { s/\r//gr =~ $whole } @mails), 4, 'whole';
    is $s->psql('SELECT count(*) FROM retries'), 0, 'at the first attempt';
    stop();
    $s->stop_smtp;
};

subtest 'a login' => sub {
    $heard = $s->start_smtp_hostile;
    spew("$heard.mood", "EHLO say 250-hostile\\r\\n250 AUTH PLAIN\nlogin say 535 who are you");
    start("smtp://shop:secret\@127.0.0.1:$s->{smtp_port}/");
    $e->create(1);
    wait_for('a refusal' => sub { $s->psql('SELECT error FROM retries') =~ /535 who are you/ });
    is $s->psql('SELECT max(attempts) FROM retries'), 0, 'a refused one is no attempt of a mail';
    spew("$heard.mood", 'EHLO say 250-hostile\r\n250 AUTH PLAIN');
    $e->wait_handled;
    my @stages = slurp($heard) =~ /^(\w+)/mg;
    like "@stages", qr/greeting EHLO AUTH login MAIL RCPT DATA text$/, 'the mail is sent after it';
    like slurp($heard), qr/^login  shop secret$/m, 'which has user and password';
    stop();
    is +(slurp($heard) =~ /(\w+) \S*\nclosed\n\z/)[0], 'QUIT', 'the connection ends with QUIT';
    unlink "$heard.mood";
    $s->stop_smtp;
};

subtest 'TLS' => sub {
    my $certificate = "$dir/certificate.pem";
    system("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=mail"
            . " -addext subjectAltName=IP:127.0.0.1 -keyout $dir/key -out $dir/cert"
            . " 2>$dir/openssl.log && cat $dir/cert $dir/key >$certificate") == 0 or die 'openssl';
    my $trusts = library('trusts', <<"C");
#include <curl/curl.h>

CURL *curl_easy_init(void)
{
    CURL *(*next)(void) = (CURL *(*)(void))dlsym(RTLD_NEXT, "curl_easy_init");
    CURL *easy = next();

    curl_easy_setopt(easy, CURLOPT_CAINFO, "$dir/cert");
    return easy;
}
C
    my $before = heard('text');
    $s->start_smtp_hostile($certificate);
    start("smtps://127.0.0.1:$s->{smtp_port}");
    $e->create(1);
    wait_for('a refusal' => sub { $s->psql('SELECT error FROM retries') =~ /certificate/i });
    pass 'a certificate that no authority has signed is refused';
    stop();
    start("smtps://127.0.0.1:$s->{smtp_port}", env => { %narrow, LD_PRELOAD => "$narrow $trusts" });
    $e->create(3);
    $e->wait_handled;
    is heard('text') - $before, 4, 'with one that it trusts, all mails arrive';
    for my $mood ('text close', 'text silent', 'MAIL flood') {
        my ($stage) = $mood =~ /(\w+)/;
        $before = heard($stage);
        spew("$heard.mood", $mood);
        $e->create(1);
        wait_for($mood => sub { heard($stage) > $before });
        unlink "$heard.mood";
        $e->wait_handled;
        pass "TLS, and $mood: the mail arrives later";
    }
    stop();
    $s->stop_smtp;
};

subtest 'a name that is not resolved' => sub {
    my $resolver = library('resolver', <<'C');
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    __typeof__(&getaddrinfo) next = (__typeof__(&getaddrinfo))dlsym(RTLD_NEXT, "getaddrinfo");

    if (node == NULL || strcmp(node, "mail.test") != 0)
        return next(node, service, hints, out);
    while (access(getenv("UNRESOLVED"), F_OK) == 0)
        usleep(20000);
    return next("127.0.0.1", service, hints, out);
}
C
    my %env = (LD_PRELOAD => $resolver, UNRESOLVED => "$dir/unresolved");
    my @start = ("smtp://mail.test:$s->{smtp_port}", conf => { smtp_timeout => '300ms' },
        env => \%env);
    $s->start_smtp_hostile;
    spew("$dir/unresolved", '');
    start(@start);
    $e->create(1);
    wait_for('a failure' => sub { $s->psql('SELECT error FROM retries') =~ /resolv/i });
    $e->create(1);
    $e->wait_handled('billing');
    pass 'another group handles events meanwhile';
    is +HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$operators/livez")->{status}, 200,
        'and the process answers its operator';
    stop();
    start(@start);
    wait_for('more failures' => sub {
        $s->logged('relay worker', qr/its breaker opens/);
    });
    unlink "$dir/unresolved";
    $e->wait_handled;
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'the mails arrive when it is';
    my $process = '/proc/' . $s->pid('relay worker');
    wait_for('the threads of the resolver to end' =>
            sub { 1 == (my @threads = glob "$process/task/*") });
    pass 'no thread is left';
    stop();
};

done_testing;
