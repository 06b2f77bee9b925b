# weirctl jwks: what it says of the keys of a set, from a file, standard input or a URL.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib";
use JSON::PP qw(decode_json encode_json);
use Test::More;
use Weir::Processes;

my $weirctl = "$Bin/../../../build/weirctl";

my %key = (
    ec => { kty => 'EC', crv => 'P-256', kid => 'ec', use => 'sig',
        x => 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
        y => 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0' },
    okp => { kty => 'OKP', crv => 'Ed25519', kid => 'okp', alg => 'EdDSA',
        x => '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' },
    other => { kty => 'EC', crv => 'secp256k1', kid => "odd\e[31m", x => 'a', y => 'b' },
    secret => { kty => 'oct', kid => 'secret', k => 'AAAA' },
);
sub set { return encode_json({ keys => [map { $key{$_} } @_] }) }

# The exit code, standard output, standard error.
sub run {
    my ($input, @arguments) = @_;
    spit("$dir/in", $input);
    my $status = system "'$weirctl' jwks @arguments <$dir/in >$dir/out 2>$dir/err";
    return ($status >> 8, slurp("$dir/out"), slurp("$dir/err"));
}

my ($exit, $out, $err) = run(set(qw(ec okp other)), '-');
is $exit, 0, 'a good set';
like $out, qr/^KEY +KID +KTY +USE +ALG +ACCEPTED +FOR\n/, '... is a table';
like $out, qr/^ *1 +ec +EC +sig +- +yes +ES256$/m, '... with its keys';
like $out, qr/^ *2 +okp +OKP +- +EdDSA +yes +EdDSA$/m, '... of all types';
like $out, qr/^ *3 .*left out +its curve is another/m, '... and those that are left out';
unlike $out, qr/\e/, '... without control characters of the document';

spit("$dir/file", set('okp'));
($exit, $out) = run('', "$dir/file", '--json');
is_deeply [$exit, decode_json($out)], [0, [{ key => 1, kid => 'okp', kty => 'OKP', use => undef,
    alg => 'EdDSA', accepted => 'yes', for => 'EdDSA' }]], 'a file, for programs';

my %refused = (
    'a secret key' => [set(qw(ec secret)), qr/refuses the set: key 2: it has a secret part/],
    'no set' => ['{"jwks_uri":"https://a"}', qr/configuration of an OpenID provider/],
    'PEM' => ["-----BEGIN PUBLIC KEY-----\n", qr/in PEM/],
    'HTML' => ['<html>', qr/HTML/],
    'nothing' => ['', qr/it is empty/],
    'only others' => [set('other'), qr/no key for signatures that is supported/],
    'too much' => [set('ec') . ' ' x (256 * 1024), qr/more than 262144 bytes/],
);
for my $case (sort keys %refused) {
    ($exit, $out, $err) = run($refused{$case}[0], '-');
    is $exit, 1, "$case: exit code 1";
    like $err, qr/^weirctl: the edge $refused{$case}[1]/, '... and why' if $case eq 'a secret key';
    like $err, $refused{$case}[1], '... with the reason';
}

($exit, $out, $err) = run('', "$dir/absent");
is $exit, 2, 'a file that is not there: exit code 2';
like $err, qr/absent cannot be read: No such file/, '... and why';
is +(run(''))[0], 2, 'no argument: exit code 2';

# --- a URL ---

mkdir "$dir/issuer";
my $port = free_port();
spawn('issuer', ['/usr/bin/python3', "$Bin/../../lib/issuer.py", "$dir/issuer", $port]);
until_true('the issuer listens', sub { listens($port) });
spit("$dir/issuer/behaviour", encode_json({ body => set('ec') }));
is +(run('', "http://127.0.0.1:$port/keys"))[0], 0, 'a URL';
spit("$dir/issuer/behaviour", encode_json({ status => 302, headers => ['Location: /other'] }));
($exit, $out, $err) = run('', "http://127.0.0.1:$port/keys");
is $exit, 3, 'a redirect is not followed: exit code 3';
like $err, qr/the answer has the status 302/, '... and why';
stop('issuer', 'KILL');
is +(run('', "http://127.0.0.1:$port/keys"))[0], 3, 'an issuer that is away: exit code 3';

done_testing();
