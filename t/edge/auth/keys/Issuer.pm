# Key servers of issuers (t/lib/issuer.py), over TLS or not, and tokens of any key.
package Issuer;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use JSON::PP qw(decode_json encode_json);
use Scene;
use Token;
use Weir::Processes;

our @EXPORT = qw(
    behave certificates fetches issuer_port publish start_issuer token_of until_fetched unknown
);

my $program = dirname(__FILE__) . '/../../../lib/issuer.py';
my (%port, $serial);

sub openssl { system("openssl @_ 2>$dir/openssl.log") == 0 or die "openssl @_" }

# An authority, "stranger", and the certificate "server" of the authority for issuer.example and
# 127.0.0.1; each .crt and .key in $dir.
sub certificates {
    for my $who ('authority', 'stranger') {
        openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=$who"
            . " -keyout $dir/$who.key -out $dir/$who.crt");
    }
    spit("$dir/names", "subjectAltName=DNS:issuer.example,IP:127.0.0.1\n");
    openssl('req -newkey rsa:2048 -nodes -subj /CN=server'
        . " -keyout $dir/server.key -out $dir/server.csr");
    openssl("x509 -req -days 2 -in $dir/server.csr -CA $dir/authority.crt"
        . " -CAkey $dir/authority.key -CAcreateserial -extfile $dir/names -out $dir/server.crt");
    return;
}

sub issuer_port { my $name = shift; return $port{$name} //= free_port() }

# Starts the key server NAME at its port, the same each time; tls: with the certificate "server".
sub start_issuer {
    my ($name, %how) = @_;
    mkdir "$dir/$name";
    spit("$dir/$name/requests", '') if !-e "$dir/$name/requests";
    my @tls = $how{tls} ? ("$dir/server.crt", "$dir/server.key") : ();
    spawn($name, ['/usr/bin/python3', $program, "$dir/$name", issuer_port($name), @tls]);
    until_true("issuer $name listens", sub { listens(issuer_port($name)) });
    return;
}

# How it answers from now on: see the program.
sub behave {
    my ($name, %how) = @_;
    mkdir "$dir/$name";
    spit("$dir/$name/behaviour.new", encode_json(\%how));
    rename "$dir/$name/behaviour.new", "$dir/$name/behaviour" or die $!;
    return;
}

# It answers with the set of these keys from now on.
sub publish {
    my ($name, @keys) = @_;
    behave($name, body => jwks(@keys));
    return;
}

# The requests that it got.
sub fetches {
    my $name = shift;
    return map { decode_json($_) } split /\n/, slurp("$dir/$name/requests");
}

sub until_fetched {
    my ($name, $n) = @_;
    until_true("$n fetches of $name", sub { fetches($name) >= $n });
    return;
}

# A token that the key signs under its own name.
sub token_of {
    my ($key, @claims) = @_;
    return sign($key, encode_json({ alg => 'RS256', kid => $key }), encode_json(claims(@claims)));
}

# A token of a key that no set has, a new one each time.
sub unknown {
    my $header = encode_json({ alg => 'RS256', kid => 'unknown' . ++$serial });
    return sign('main', $header, encode_json(claims(@_)));
}

1;
