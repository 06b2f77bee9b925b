# What all tests need: files, free ports, waiting for a condition, and the bytes of a request. Only
# modules of Perl's core.
package Weir::Base;
use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use JSON::PP ();
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(free_port free_ports listens output_of raw_request slurp spew wait_for);

our $DEADLINE = 30; # seconds, where a caller names no other

# Waits until the code returns something true, and returns that; dies at the deadline (seconds).
# The pauses between two looks grow up to the longest (seconds), because many looks start a process.
sub wait_for {
    my ($what, $code, $deadline, $longest) = @_;
    my $until = time + ($deadline // $DEADLINE);
    $longest //= 0.1;
    for (my $pause = 0.02;; $pause = $pause < $longest ? 1.2 * $pause : $longest) {
        my $result = $code->();
        return $result if $result;
        die "waited in vain for $what\n" if time > $until;
        sleep $pause;
    }
}

# True while something listens on that port of loopback.
sub listens {
    my ($port) = @_;
    return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
}

sub listener {
    my ($port) = @_;
    return IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1:$port");
}

sub free_port {
    my $socket = listener(0) or die "no free port: $!\n";
    return $socket->sockport;
}

# The first of that many free ports in a row, below those that clients get.
sub free_ports {
    my ($count) = @_;
    for (1 .. 100) {
        my $first = 20000 + 10 * int rand 1000;
        my @held  = grep { $_ } map { listener($first + $_) } 0 .. $count - 1;
        return $first if @held == $count;
    }
    die "no $count free ports in a row\n";
}

# The bytes of a file; '' when it can't be opened.
sub slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or return '';
    local $/;
    return scalar(<$in>) // '';
}

# Writes a file. A process that reads it meanwhile sees the old text or the new one.
sub spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', "$file.new" or die "$file: $!\n";
    print $out $text;
    close $out or die "$file: $!\n";
    rename "$file.new", $file or die "$file: $!\n";
}

# Runs a command to its end; returns its exit code and what it printed, on standard error too.
sub output_of {
    my (@command) = @_;
    open my $out, '-|', '/bin/sh', '-c', 'exec "$@" 2>&1', 'sh', @command or die "@command: $!\n";
    local $/;
    my $text = <$out> // '';
    close $out;
    return ($? >> 8, $text);
}

# Bytes of a request with "Connection: close". content is a reference, which becomes JSON, or text.
sub raw_request {
    my ($method, $path, $content) = @_;
    $content = JSON::PP->new->utf8->encode($content) if ref $content;
    my @head = (
        "$method $path HTTP/1.1", 'Host: test', 'Connection: close',
        'Content-Type: application/json', 'Content-Length: ' . length $content,
    );
    return join("\r\n", @head) . "\r\n\r\n$content";
}

1;
