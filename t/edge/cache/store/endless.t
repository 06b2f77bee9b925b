# Bodies without an end that are no longer needed: of a response whose client has received a 304,
# or that only the cache requested, if it cannot be stored. The edge closes the upstream
# connection, and its client can continue.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use IO::Socket::INET;
use Test::More;
use Weir::Processes;

# Responses without an end: 64 KB, and then nothing until the edge has disconnected. A path's
# first response is complete if its name says so; "left-NAME" shows that the edge has closed the
# connection.
my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1:0') or die $!;
my $endless = $listener->sockport;
spawn('endless', sub {
    $SIG{CHLD} = $SIG{PIPE} = 'IGNORE';
    my %asked;
    while (1) {
        my $client = $listener->accept or next;
        my $request = '';
        while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
        my ($name) = $request =~ m{^\S+ /(\S+)};
        my $n = ++$asked{$name};
        next if fork;
        if ($name =~ /stale/ && $n == 1) {
            print $client "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"e\"\r\nAge: 20\r\n"
                . "Cache-Control: max-age=10, stale-while-revalidate=600\r\n\r\nold";
            exit;
        }
        my $cc = $name =~ /private/ ? 'no-store' : 'max-age=600';
        syswrite $client, "HTTP/1.1 200 OK\r\nETag: \"f\"\r\nCache-Control: $cc\r\n"
            . "Transfer-Encoding: chunked\r\n\r\n10000\r\n" . 'x' x 65536;
        1 while sysread $client, my $rest, 4096;
        open my $out, '>', "$dir/left-" . $name =~ tr{/}{-}r or die $!;
        exit;
    }
});

start_edge('weir_cache_zone main 4m; weir_cache_max_size 32k;', <<"SERVER");
    weir_cache main;
    proxy_http_version 1.1;
    location / { proxy_pass http://127.0.0.1:$endless; }
    location /unbuffered { proxy_buffering off; proxy_pass http://127.0.0.1:$endless; }
SERVER

$SIG{ALRM} = sub { BAIL_OUT('waited in vain for an answer') };

sub left { -e "$dir/left-" . $_[0] =~ tr{/}{-}r }

# One answer without a body, or with one of that length, from a connection that is kept.
sub read_answer {
    my ($s, $length) = @_;
    my $head = '';
    alarm 60;
    while (my $line = <$s>) { $head .= $line; last if $line eq "\r\n" }
    read $s, my ($body), $length if $length;
    alarm 0;
    return "$head" . ($body // '');
}

for my $name ('condition', 'unbuffered/condition') {
    my $s = connection();
    print $s "GET /$name HTTP/1.1\r\nHost: crowd\r\nIf-None-Match: \"f\"\r\n\r\n"
        . "GET /stub HTTP/1.1\r\nHost: crowd\r\nConnection: close\r\n\r\n";
    like read_answer($s), qr/^HTTP\/1.1 304 /, "$name: the 304 is decided here";
    like read_answer($s), qr/^HTTP\/1.1 200 /, '... and the connection answers the next request';
    until_true("the upstream of $name is left", sub { left($name) });
}

for my $name ('stale/large', 'stale/private', 'unbuffered/stale/large',
    'unbuffered/stale/private') {
    get("/$name");
    my $s = connection();
    print $s "GET /$name HTTP/1.1\r\nHost: crowd\r\n\r\n";
like read_answer($s, 3), qr/^HTTP\/1.1 200 .*old$/s, "$name: the stale response";
    until_true("the upstream of the refresh for $name is left", sub { left($name) });
    is scalar(<$s>), undef, '... and the connection is let go';
}

is scalar(alarms()), 0, 'no alarm';
done_testing;
