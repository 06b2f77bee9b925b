# Traced requests with bodies reach their upstream whole, whoever has read the body before, and over
# whichever protocol; a client that leaves in the middle of a body ends nothing but its request.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin, "$Bin/../cache", "$Bin/../../lib";
use IO::Socket::INET;
use POSIX ();
use Scene;
use Test::More;
use Time::HiRes 'sleep';
use Trace;
use Weir::Http2;
use Weir::Processes;

# Reads bodies by their length and in chunks, and says how long they were.
my $upstream = free_port();
spawn('upstream of bodies', sub {
    my $listener = IO::Socket::INET->new(Listen => 64, ReuseAddr => 1,
        LocalAddr => "127.0.0.1:$upstream") or die $!;
    local ($SIG{PIPE}, $SIG{CHLD}) = ('IGNORE', 'IGNORE');
    while (my $client = $listener->accept) {
        next if fork;
        my ($head, $n) = ('', 0);
        while (my $line = <$client>) { $head .= $line; last if $line eq "\r\n" }
        if ($head =~ /^Content-Length: (\d+)/mi) { $n = read $client, my ($body), $1 }
        elsif ($head =~ /^Transfer-Encoding: chunked/mi) {
            while ((<$client> // '') =~ /^([0-9a-f]+)/i && hex $1) {
                $n += read $client, my ($chunk), hex $1;
                readline $client;
            }
        }
        my $contexts = () = $head =~ /^traceparent:/mig;
        print $client $head =~ m{^\S+ /(?:copy|authorize) } ? answer('204 No Content', [], '')
            : $head =~ m{^\S+ /fails/} ? answer('503 Service Unavailable', [], '')
            : answer('200 OK', [], "$n bytes, $contexts context");
        close $client;
        POSIX::_exit(0);
    }
});
my $h2 = free_port();
my @ways = qw(plain mirrored guarded unbuffered file again);
my $locations = <<'LOCATIONS' =~ s/BODIES/127.0.0.1:$upstream/gr;
    location /plain/      { proxy_pass http://BODIES; }
    location /mirrored/   { mirror /copy; proxy_pass http://BODIES; }
    location /guarded/    { auth_request /authorize; proxy_pass http://BODIES; }
    location /unbuffered/ { proxy_request_buffering off; proxy_pass http://BODIES; }
    location /file/       { client_body_in_file_only clean; proxy_pass http://BODIES; }
    location /again/ {
        proxy_intercept_errors on;
        error_page 503 = @again;
        proxy_pass http://BODIES/fails/;
    }
    location @again       { proxy_pass http://BODIES; }
    location = /copy      { internal; proxy_pass http://BODIES; }
    location = /authorize { internal; proxy_pass_request_body off;
        proxy_set_header Content-Length ""; proxy_pass http://BODIES; }
LOCATIONS

start_traced(<<"HTTP", $locations);
    weir_trace on;
    weir_trace_context propagate;
    client_body_buffer_size 1k;
    client_max_body_size 1m;
    proxy_http_version 1.1;
    server { listen 127.0.0.1:$h2 http2; $locations }
HTTP

# What is sent behind the header, a moment apart, and the bytes that the upstream is to get.
my $long = 'x' x 30_000;
my %bodies = (
    'no body' => ['', 0],
    'an empty body' => ["Content-Length: 0\r\n", 0, ''],
    'a short body' => ["Content-Length: 5\r\n", 5, 'hello'],
    'a body in two parts' => ["Content-Length: 10\r\n", 10, 'hello', 'world'],
    'a body in a file' => ["Content-Length: 30000\r\n", 30_000, $long],
    'chunks' => ["Transfer-Encoding: chunked\r\n", 30_005, "5\r\nhello\r\n7530\r\n$long",
        "\r\n0\r\n\r\n"],
    'no chunk' => ["Transfer-Encoding: chunked\r\n", 0, "0\r\n\r\n"],
);

sub ask {
    my ($path, $lines, @parts) = @_;
    my $socket = listens(port_of_edge()) or die $!;
    print $socket "POST $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n$lines\r\n";
    $socket->flush;
    for my $part (@parts) {
        sleep 0.02 if $part ne $parts[0];
        print $socket $part;
        $socket->flush;
    }
    return $socket;
}

for my $way (@ways) {
    for my $name (sort keys %bodies) {
        my ($lines, $n, @parts) = @{ $bodies{$name} };
        my $socket = ask("/$way/1", $lines, @parts);
        my $answer = do { local $/; <$socket> };
        like $answer // '', qr/^HTTP\/1.1 200 .*\b$n bytes, 1 context\z/s, "$way: $name";

        # over HTTP/2 there are no chunks
        next if $lines =~ /chunked/;
        my $client = Weir::Http2->new($h2);
        my $stream = $client->open('POST', "/$way/2", !@parts);
        for my $i (0 .. $#parts) {
            sleep 0.02 if $i;
            for my $part ($parts[$i] eq '' ? '' : $parts[$i] =~ /(.{1,10000})/gs) {
                $client->data($stream, $part, 0);
            }
        }
        $client->data($stream, '', 1) if @parts;
        my $r = $client->answer($stream);
        is "$r->{status} $r->{body}", "200 $n bytes, 1 context", "$way: $name over HTTP/2";
    }

    for my $after (0, 10, 20_000) {
        my $socket = ask("/$way/left", "Content-Length: 30000\r\n", 'x' x $after);
        sleep 0.01;
        close $socket;
        my $client = Weir::Http2->new($h2);
        my $stream = $client->open('POST', "/$way/left", 0);
        $client->data($stream, 'x' x 10, 0) if $after;
        $client->put(Weir::Http2::frame(3, 0, $stream, pack 'N', 8));
    }
    my $socket = ask("/$way/1", '');
    my $answer = do { local $/; <$socket> };
    like $answer // '', qr/^HTTP\/1.1 200 /, "$way: clients that leave";
}

is scalar(logged(qr/\[(?:alert|crit|emerg)\]|exited on signal/)), 0, 'no alarm';
done_testing;
