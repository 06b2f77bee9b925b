# A client of TLS for tests: curl for a request on a connection of its own, and a socket for
# connections that are kept. Certificates are those of Weir::Tls::Certificates; the authority is
# "ca".
package Weir::Tls::Client;

use strict;
use warnings;

use Exporter qw(import);
use IO::Select;
use IO::Socket::SSL;
use Weir::Base qw(output_of);

our @EXPORT_OK = qw(curl tls_connect tls_request);

# Returns { status, body, error, connection }; status 0: there was no answer, and error says why.
# name is that of the client's certificate, undef for none.
sub curl {
    my ($pki, $name, $url, @options) = @_;
    my @mine = defined $name
        ? ('--cert', $pki->file("$name.crt"), '--key', $pki->file("$name.key")) : ();
    my ($code, $out) = output_of('curl', '-sSi', '--http1.1', '--max-time', 20,
        '--cacert', $pki->file('ca.crt'), @mine, @options, $url);
    my ($head, $body) = split /\r\n\r\n/, $out, 2;
    my ($status) = ($head // '') =~ /\AHTTP\/1\.1 (\d+)/;
    return { status => 0, error => $out, body => '', head => '' } if $code != 0 || !$status;
    return { status => $status, error => '', body => $body // '', head => $head };
}

# A connection, after its handshake. Dies if there is none.
sub tls_connect {
    my ($pki, $name, $port) = @_;
    my $c = IO::Socket::SSL->new(
        PeerAddr => "127.0.0.1:$port",
        SSL_ca_file => $pki->file('ca.crt'),
        SSL_cert_file => $pki->file("$name.crt"),
        SSL_key_file => $pki->file("$name.key"),
        SSL_verifycn_scheme => 'none',
    ) or die "no TLS connection: $! $IO::Socket::SSL::SSL_ERROR\n";
    $c->autoflush(1);
    return $c;
}

# Asks for the path, if there is one, and returns the next answer with head and body.
sub tls_request {
    my ($c, $path) = @_;
    print $c "GET $path HTTP/1.1\r\nHost: a\r\n\r\n" if defined $path;
    my $out = '';
    until ($out =~ /\r\n\r\n/) {
        $c->pending || IO::Select->new($c)->can_read(30) or die "no answer; had: $out\n";
        sysread($c, $out, 65536, length $out) or die "the connection ended; had: $out\n";
    }
    my ($length) = $out =~ /^Content-Length: (\d+)/mi or return $out;
    my $whole = index($out, "\r\n\r\n") + 4 + $length;
    while (length $out < $whole) {
        sysread($c, $out, 65536, length $out) or die "the body is cut: $out\n";
    }
    return $out;
}

1;
