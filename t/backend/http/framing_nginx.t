# nginx and the API agree where messages end: what nginx forwards over a kept connection is
# understood as nginx meant it, request for request, and what nginx refuses the API refuses. The
# messages are well-formed ones with seeded changes to their framing; WEIR_FRAMING_ROUNDS=5000
# WEIR_FRAMING_SEED=1 plays more of them, and others.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use IO::Select;
use JSON::PP ();
use Socket qw(SHUT_WR);
use Test::More;
use Weir::Base qw(listens);
use Weir::Stack qw(wait_for free_port);

my $ROUNDS = $ENV{WEIR_FRAMING_ROUNDS} // 2000;
my $SEED = $ENV{WEIR_FRAMING_SEED} // 20261128;

my $stack = Weir::Stack->new(redis => 0);
$stack->start_backend('api');

my $port = free_port();
my $root = $stack->dir . '/nginx';
mkdir $root;
mkdir "$root/logs";
open my $conf, '>', "$root/nginx.conf" or die $!;
print $conf <<"EOC";
daemon off;
worker_processes 1;
pid $root/nginx.pid;
error_log $root/logs/error.log;
events { }
http {
    client_body_temp_path $root/body; proxy_temp_path $root/proxy; fastcgi_temp_path $root/fastcgi;
    uwsgi_temp_path $root/uwsgi; scgi_temp_path $root/scgi;
    log_format sent '\$request_method \$request_uri \$upstream_status';
    access_log $root/logs/access.log sent;
    upstream api { server 127.0.0.1:$stack->{port}; keepalive 1; }
    server {
        listen 127.0.0.1:$port;
        location / {
            proxy_pass http://api;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_next_upstream off;
            proxy_ignore_client_abort on; # a half-closed client is none that has left
        }
    }
}
EOC
close $conf;
my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
$stack->start_process('nginx',
    [$nginx, '-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf"]);
$stack->wait_started('nginx' => sub { listens($port) });

# Sends everything, half-closes, and returns all that comes back.
sub exchange {
    my ($to, $text) = @_;
    my $s = listens($to) or die "connect: $!\n";
    local $SIG{PIPE} = 'IGNORE';
    syswrite $s, $text;
    shutdown $s, SHUT_WR;
    my $out = '';
    while (IO::Select->new($s)->can_read(30)) { sysread($s, $out, 65536, length $out) or last }
    return $out;
}

my @parts = (
    sub { sprintf "Content-Length: %d\r\n", length $_[0] },
    sub { "Transfer-Encoding: chunked\r\n" },
);
# What is put into a head, or in a line's place.
my @odd = (
    "Content-Length: 0\r\n", "Content-Length: 5\r\n", "Content-Length: +5\r\n",
    "Content-Length: 5, 5\r\n", "Content-Length : 5\r\n", "Content-Length:\r\n",
    "Content-Length: 5 \r\n", "Content-Length: 0x5\r\n", "Content-Length: -1\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked, chunked\r\n",
    "Transfer-Encoding: identity\r\n", "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: xchunked\r\n", "Transfer-Encoding:\tchunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n", "Transfer-encoding: CHUNKED\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Host: b\r\n", "Host:\r\n", "Host : b\r\n", "Host: a/b\r\n", "X: a\r\n b\r\n", "X: a\n",
    "X: \0\r\n", "X\0: a\r\n", "X: a\r\r\n", ": a\r\n", "\r\n", "\n", "X\r\n",
    "Expect: 100-continue\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n",
);
# A tab before Host's value is whitespace (RFC 9110 section 5.6.3) that nginx 1.22 takes for a part
# of the name, and refuses: none is put in.
my @cut =
    ("\r", "\n", ' ', "\0", ';', ':', '0', '5', 'a', "\r\n", "\r\n\r\n", "0\r\n\r\n", "5\r\n");

srand $SEED;
sub pick { return $_[rand @_] }

sub message {
    my $inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    my $how = int rand 3;
    my $text =
          pick(qw(GET HEAD POST PUT DELETE OPTIONS PATCH)) . ' /m'
        . int(rand 1000)
        . pick(' HTTP/1.1', ' HTTP/1.1', ' HTTP/1.1', ' HTTP/1.0')
        . "\r\nHost: a\r\n";
    $text .= pick(@odd)             if rand() < 0.5;
    $text .= $parts[$how]->($inner) if $how < 2;
    $text .= pick(@odd)             if rand() < 0.3;
    $text .= "\r\n";
    if ($how == 0) {
        $text .= $inner;
    } elsif ($how == 1) {
        my $extension = pick('', '', ';a=b', ' ', ';a="b"');
        my $trailer = pick('', '', "X: y\r\n");
        $text .= sprintf "%x%s\r\n%s\r\n0\r\n%s\r\n", length $inner, $extension, $inner, $trailer;
    }
    if (rand() < 0.3) {
        # Paths stay as they are: nginx refuses some that are no question of framing
        my $at = index($text, "\r\n") + 2;
        substr($text, $at + int(rand(length($text) - $at)), int(rand 2), pick(@cut));
    }
    return $text;
}

my $REFUSED_AND_CLOSED = qr{
    \AHTTP/1\.1[ ](?:400|408|413|414|417|431|501|505)[ ][^\r\n]*\r\n
    (?:[^\r\n]+\r\n)*
    Connection:[ ]close\r\n
}x;

my (@disagree, $forwarded, $refused);
for my $round (1 .. $ROUNDS) {
    my $text = message() . (rand() < 0.5 ? message() : '');
    my $there = exchange($port, $text);

    # Here nginx is stricter than RFC 9110: a tab before a value is whitespace (section 5.6.3),
    # Expect is a list (section 10.1.1).
    next if $text =~ /^Transfer-Encoding:\t/m || (() = $text =~ /^Expect:/mg) > 1;

    # nginx refuses the first message; a request that broke off gets no answer of it.
    if (   $there =~ m{\AHTTP/1\.1 (4\d\d|5\d\d)(?!.*^Content-Type: application/problem\+json)}s
        && $there =~ /<center>nginx/
        && $there !~ /problem\+json/)
    {
        my $direct = exchange($stack->{port}, $text);
        $direct =~ s/\A(?:HTTP\/1\.1 100 [^\r\n]*\r\n\r\n)+//;
        $refused++;
        push @disagree, "nginx refuses: $text\nnginx: $there\nthe API: $direct"
            if $direct !~ $REFUSED_AND_CLOSED;
    }
}

# Requests in the order in which nginx forwarded them, and in which the API had them from it: each
# side's own log.
exchange($port, "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
my @sent;
wait_for('the logs' => sub {
    open my $log, '<', "$root/logs/access.log" or return 0;
    @sent = map { m{^(\S+) (\S+) (\d+)$} ? "$1 $2 $3" : () } <$log>;
    return grep { $_ =~ m{^GET /last } } @sent;
});
# A second pass, over nginx alone: the API's log has nothing else in it then.
my $lines = () = $stack->log_lines('api');
my $first = @sent;
srand $SEED;
for (1 .. $ROUNDS) { exchange($port, message() . (rand() < 0.5 ? message() : '')) }
exchange($port, "GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
wait_for('the logs' => sub {
    open my $log, '<', "$root/logs/access.log" or return 0;
    @sent = map { m{^(\S+) (\S+) (\d+)$} ? "$1 $2 $3" : () } <$log>;
    return grep { $_ =~ m{^GET /end } } @sent;
});
my @meant = @sent[$first .. $#sent];
my @had;
wait_for('the log of the API' => sub {
    my @all = $stack->log_lines('api');
    @had = map { "$_->{method} $_->{path} $_->{status}" }
        grep { $_->{msg} eq 'request' } @all[$lines .. $#all];
    return grep { $_ =~ m{^GET /end } } @had;
});
is_deeply [sort @had], [sort @meant],
    'what nginx forwards is understood as nginx meant it: methods, targets, and how many';
is_deeply \@disagree, [], 'what nginx refuses the API refuses, and closes the connection';
cmp_ok scalar(@meant), '>', $ROUNDS / 4, 'enough was forwarded: ' . @meant;
cmp_ok $refused // 0, '>', $ROUNDS / 10, 'enough was refused: ' . ($refused // 0);
ok !(grep { /smuggled/ } @had), 'no body is a request' unless grep { /smuggled/ } @meant;
is $stack->stop_process('nginx', 'TERM'), 0, 'nginx stops';

done_testing;
