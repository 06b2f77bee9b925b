# Tokens and proofs of an independent implementation: dpop.js, which runs beside the test.
package Proof;
use strict;
use warnings;

use Exporter 'import';
use File::Basename 'dirname';
use IPC::Open2;
use JSON::PP;
use Test::More;

our @EXPORT = qw(bound_token dpop proof proof_and_verdict start_proofs);

my ($to, $from, $json) = (undef, undef, JSON::PP->new->canonical->utf8);
my $here = dirname(__FILE__);

# Starts it, and returns the JWK Set of the issuer; skips the test without jose.
sub start_proofs {
    my ($dir) = @_;
    my $folder = `$here/../../../../scripts/test/jose.sh 2>$dir/jose.log`;
    if ($? != 0) {
        open my $log, '<', "$dir/jose.log" or die $!;
        plan skip_all => 'no jose: ' . ((<$log>)[-1] // '');
    }
    chomp $folder;
    open2($from, $to, 'node', "$here/dpop.js", $folder);
    return scalar <$from>;
}

sub ask {
    my (%line) = @_;
    print {$to} $json->encode(\%line), "\n";
    $to->flush;
    my $answer = <$from> // die "dpop.js has ended\n";
    return $json->decode($answer);
}

# A token that is bound to the key of that name, or to none without one.
sub bound_token {
    my ($key, %claims) = @_;
    return ask(op => 'token', key => $key, claims => \%claims)->{token};
}

# A proof for a request; the same, with the verdict of jose: undef if it is good.
sub proof_and_verdict {
    my $answer = ask(op => 'proof', key => 'ES256', htm => 'GET', @_);
    return @$answer{qw(proof refused)};
}
sub proof { (proof_and_verdict(@_))[0] }

# The headers of a request with both.
sub dpop { { Authorization => "DPoP $_[0]", DPoP => $_[1] } }

1;
