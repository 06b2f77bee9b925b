# Tokens of an issuer of the test: an RSA key that openssl makes and signs with.
package Token;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use JSON::PP ();
use lib dirname(__FILE__) . '/../../lib';
use MIME::Base64 'encode_base64url';
use Weir::Base qw(slurp spew);

our @EXPORT = qw(bearer claims jwks new_key public_key sign token);

my $json = JSON::PP->new->canonical;
my $folder;

sub run {
    my (@command) = @_;
    system(@command) == 0 or die "@command: $?\n";
}

# Makes the key NAME in that folder, where others are found later.
sub new_key {
    my ($name, $in) = @_;
    $folder = $in;
    run('openssl', 'genrsa', '-out', "$folder/$name.pem", 2048);
}

# The public part, as a JWK with that kid.
sub public_key {
    my ($name) = @_;
    my ($modulus) = `openssl rsa -in $folder/$name.pem -noout -modulus` =~ /Modulus=(\w+)/;
    return { kty => 'RSA', kid => $name, use => 'sig', e => 'AQAB',
        n => encode_base64url(pack 'H*', $modulus) };
}

# A JWK Set of these keys, as JSON.
sub jwks { $json->encode({ keys => [map { public_key($_) } @_] }) }

# A token with this header and payload, which are JSON, signed with the key.
sub sign {
    my ($key, $header, $payload) = @_;
    my $text = encode_base64url($header) . '.' . encode_base64url($payload);
    spew("$folder/signed", $text);
    run('openssl', 'dgst', '-sha256', '-sign', "$folder/$key.pem", '-out', "$folder/signature",
        "$folder/signed");
    return "$text." . encode_base64url(slurp("$folder/signature"));
}

# Claims that are good for an hour, and others.
sub claims {
    return { iss => 'https://issuer.example', aud => 'api', exp => time + 3600, iat => time, @_ };
}

# A token of the key "main", with these claims beside the usual ones.
sub token { sign('main', '{"alg":"RS256","kid":"main"}', $json->encode(claims(@_))) }

# The header of a request.
sub bearer { { Authorization => "Bearer $_[0]" } }

1;
