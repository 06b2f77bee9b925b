# Identities as weir_identity makes them: Ed25519 keys that openssl makes and signs with.
#
#     my $edge = Weir::Backend::Identity->new($folder);     # with the key "main"; $folder/edge.jwks
#     $edge->header('GET', '/x', sub => 'alice', sub_iss => 'i', scope => 'a b');
package Weir::Backend::Identity;

use strict;
use warnings;

use JSON::PP ();
use MIME::Base64 qw(encode_base64url);
use Weir::Base qw(slurp spew);

my $json = JSON::PP->new->canonical;

sub new {
    my ($class, $folder, %option) = @_;
    my $self = bless { folder => $folder, issuer => 'weir', audience => 'shop', %option }, $class;
    $self->new_key('main');
    $self->publish('main');
    return $self;
}

sub run { system(@_) == 0 or die "@_: $?\n" }

sub new_key {
    my ($self, $name) = @_;
    my $file = "$self->{folder}/$name.pem";
    run('openssl', 'genpkey', '-quiet', '-algorithm', 'ed25519', '-out', $file);
    chmod 0600, $file;
}

sub jwk {
    my ($self, $name) = @_;
    my $der = `openssl pkey -in $self->{folder}/$name.pem -pubout -outform DER`;
    return { kty => 'OKP', crv => 'Ed25519', kid => $name, alg => 'EdDSA', use => 'sig',
        x => encode_base64url(substr $der, -32) };
}

sub file { "$_[0]{folder}/edge.jwks" }

# Writes the JWK Set of these keys, in one step.
sub publish {
    my ($self, @names) = @_;
    spew($self->file . '.new', $json->encode({ keys => [map { $self->jwk($_) } @names] }));
    rename $self->file . '.new', $self->file or die "rename: $!\n";
}

# The settings of a backend that believes this edge.
sub conf {
    my ($self) = @_;
    return (identity_jwks => $self->file, identity_audience => $self->{audience},
        identity_issuer => $self->{issuer});
}

# A token of the key, with this header and these claims.
sub sign {
    my ($self, $key, $header, $claims) = @_;
    my $in = "$self->{folder}/signed";
    my $text = join '.', map { encode_base64url($json->encode($_)) } $header, $claims;
    spew($in, $text);
    run('openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', "$self->{folder}/$key.pem", '-in', $in,
        '-out', "$in.signature");
    return "$text." . encode_base64url(slurp("$in.signature"));
}

# The claims for a request; without sub_iss the caller is anonymous.
sub claims {
    my ($self, $method, $path, %claims) = @_;
    return {
        iss => $self->{issuer}, aud => $self->{audience}, sub => 'anonymous',
        act => { sub => $self->{issuer} }, htm => $method, path => $path, iat => time,
        exp => time + 30, jti => 'j', %claims };
}

sub token {
    my ($self, $method, $path, %claims) = @_;
    return $self->sign('main', { alg => 'EdDSA', typ => 'weir-identity+jwt', kid => 'main' },
        $self->claims($method, $path, %claims));
}

sub header { my $self = shift; return { 'Weir-Identity' => $self->token(@_) } }

1;
