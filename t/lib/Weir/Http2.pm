# A client that speaks HTTP/2 frame by frame (RFC 9113), without TLS and without Huffman coding:
# for tests that depend on the content of each frame, and on the time at which the client reads.
package Weir::Http2;
use strict;
use warnings;

use IO::Select;
use IO::Socket::INET;

my ($DATA, $HEADERS, $RST_STREAM, $SETTINGS, $GOAWAY, $WINDOW_UPDATE) = (0, 1, 3, 4, 7, 8);
my ($END_STREAM, $ACK, $END_HEADERS) = (1, 1, 4);

# receive: bytes of the socket's receive buffer, for a client that reads late.
sub new {
    my ($class, $port, %more) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die $!;
    $socket->sockopt(SO_RCVBUF, $more{receive}) if $more{receive};
    $socket->connect(pack_sockaddr_in($port, inet_aton('127.0.0.1'))) or die "port $port: $!";
    my $self = bless { socket => $socket, buffer => '', next => 1, streams => {} }, $class;
    my $window = 1 << 30;
    $self->put("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            . frame($SETTINGS, 0, 0, pack('nN', 4, $window))
            . frame($WINDOW_UPDATE, 0, 0, pack('N', $window)));
    return $self;
}

sub frame {
    my ($type, $flags, $stream, $payload) = @_;
    substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $stream) . $payload;
}

sub put {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    print { $self->{socket} } $bytes;
    $self->{socket}->flush;
}

# A literal header field without indexing (RFC 7541 section 6.2.2).
sub field { join '', "\0", map { prefixed(length) . $_ } @_ }

# An integer with a prefix of seven bits (RFC 7541 section 5.1).
sub prefixed {
    my ($n) = @_;
    return chr $n if $n < 127;
    my $bytes = "\x7f";
    for ($n -= 127; $n >= 128; $n >>= 7) {
        $bytes .= chr(128 | $n & 127);
    }
    return $bytes . chr $n;
}

# Sends the header of a request; end: in the same frame the stream's end.  Returns the stream.
sub open {
    my ($self, $method, $path, $end, @fields) = @_;
    my $stream = $self->{next};
    $self->{next} += 2;
    my @all =
        (':method', $method, ':scheme', 'http', ':path', $path, ':authority', 'a.test', @fields);
    my $block = '';
    $block .= field(splice @all, 0, 2) while @all;
    $self->put(frame($HEADERS, $END_HEADERS | ($end ? $END_STREAM : 0), $stream, $block));
    return $stream;
}

sub data {
    my ($self, $stream, $bytes, $end) = @_;
    $self->put(frame($DATA, $end ? $END_STREAM : 0, $stream, $bytes));
}

# CANCEL (RFC 9113 section 7).
sub reset {
    my ($self, $stream) = @_;
    $self->put(frame($RST_STREAM, 0, $stream, pack('N', 8)));
}

# Reads until the stream has ended or was reset, 20 seconds at most: { status, body, ended, reset }.
sub answer {
    my ($self, $stream) = @_;
    my $s = $self->{streams}{$stream} //= { body => '' };
    my $until = time + 20;
    while (!$s->{ended} && !defined $s->{reset} && time < $until) {
        next if !IO::Select->new($self->{socket})->can_read(1);
        sysread $self->{socket}, $self->{buffer}, 65536, length $self->{buffer} or last;
        $self->take
            while length $self->{buffer} >= 9
            && length $self->{buffer} >= 9 + $self->length_of_next;
    }
    return $s;
}

sub get { my ($self, $path, @fields) = @_; $self->answer($self->open('GET', $path, 1, @fields)) }

sub length_of_next { unpack 'N', "\0" . substr $_[0]{buffer}, 0, 3 }

sub take {
    my $self = shift;
    my $length = $self->length_of_next;
    my ($type, $flags, $stream) = unpack 'x3 C C N', $self->{buffer};
    my $payload = substr $self->{buffer}, 9, $length;
    substr($self->{buffer}, 0, 9 + $length) = '';
    my $s = $self->{streams}{$stream} //= { body => '' };
    $self->put(frame($SETTINGS, $ACK, 0, '')) if $type == $SETTINGS && !($flags & $ACK);
    $s->{body} .= $payload                    if $type == $DATA;
    $s->{status} //= status($payload)         if $type == $HEADERS;
    $s->{reset} = unpack 'N', $payload        if $type == $RST_STREAM;
    $self->{goaway} = unpack 'x4 N', $payload if $type == $GOAWAY;
    $s->{ended} = 1 if ($type == $DATA || $type == $HEADERS) && $flags & $END_STREAM;
}

# nginx begins the block with the status: an index of the static table, or a literal (RFC 7541
# appendix A).
sub status {
    my $block = shift =~ s/^[\x20-\x3f]//r;
    my %indexed = (8 => 200, 9 => 204, 10 => 206, 11 => 304, 12 => 400, 13 => 404, 14 => 500);
    my $first = ord $block;
    return $first & 0x80 ? $indexed{ $first & 0x7f } : $block =~ /^..(\d{3})/s ? $1 : undef;
}

1;
