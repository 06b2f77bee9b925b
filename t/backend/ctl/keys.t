# weirctl keys: a private authority, certificates that all sides accept, keys that follow each
# other, and their renewal. t/e2e/rotation.t rotates all of it under load.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use JSON::PP;
use Test::More;
use Weir::Base qw(output_of slurp spew wait_for);
use Weir::Stack;

my $s = Weir::Stack->new(redis => 0);
my $dir = $s->dir . '/keys';
my $json = JSON::PP->new->utf8;

# weirctl keys …, with the audit log's database; status, rows (or what it printed), errors.
sub keys_of {
    my ($command, @more) = @_;
    my ($status, $out, $err) = $s->weirctl('keys', split(' ', $command), '--folder', $dir, @more,
        '--json');
    return ($status, eval { $json->decode($out) } // $out, $err);
}

sub done {
    my ($command, @more) = @_;
    my ($status, $rows, $err) = keys_of($command, @more);
    is $status, 0, "keys $command @more" or diag $err;
    return $rows;
}
sub list { return @{ done('list') } }
sub in_state {
    my ($name, $state) = @_;
    return map { $_->{id} } grep { $_->{name} eq $name && $_->{state} eq $state } list();
}
sub text { return slurp("$dir/$_[0]") }
my @certificates = qw(edge api relay worker postgres redis smtp payments traces metrics ctl);

my ($status, undef, $err) = keys_of('rotate all');
is $status, 3, 'what is not there cannot be rotated';
like $err, qr/has no keys yet: weirctl keys init/, '... which it says';

done('init');
for my $name (@certificates) {
    my ($failed, $out) = output_of('openssl', 'verify', '-x509_strict', '-CAfile',
        "$dir/$name/ca.crt", "$dir/$name/tls.crt");
    is $failed, 0, "$name has a chain" or diag $out;
}
my @private = grep { -f && slurp($_) =~ /PRIVATE KEY|whsec_/ } glob "$dir/*/*";
cmp_ok scalar(@private), '>=', 18, 'there are private keys';
is join(' ', grep { (stat)[2] & 077 } @private), '', '... for their owner alone';
is +(stat "$dir/identity/jwks.json")[2] & 0777, 0644, 'what is public can be read by others';
unlike text('identity/jwks.json'), qr/"d"/, 'a set has no private key';
my ($usage) = (output_of('openssl', 'x509', '-noout', '-ext', 'extendedKeyUsage,subjectAltName',
    '-in', "$dir/edge/tls.crt"))[1];
unlike $usage, qr/Server Authentication|127\.0\.0\.1/, 'the edge\'s is for a client alone';
like $usage, qr{URI:spiffe://weir\.internal/edge}, '... with a SPIFFE ID';

my @before = list();
is_deeply done('init'), [], 'nothing is made again that is there';
is_deeply [list()], \@before, '... nor changed';

# --- rings ----------------------------------------------------------------------------------------

my $tell = "cp '$dir/issuer/jwks.json' '$dir/told.'\$(ls '$dir' | grep -c told)";
my ($old) = in_state('issuer', 'current');
done('rotate issuer', '--wait', '0', '--reload', $tell);
my ($new) = in_state('issuer', 'current');
isnt $new, $old, 'another key signs';
is_deeply [in_state('issuer', 'old')], [$old], 'the old one is accepted';
my @told = map { join ' ', map { $_->{kid} } @{ $json->decode(text("told.$_"))->{keys} } } 0, 1;
is_deeply \@told, ["$old $new", "$old $new"], 'servers were told twice: both keys each time';
is text('issuer/kid'), $new, 'the new one signs then';
ok !-e "$dir/issuer/$old.key", 'the old private key is gone';
done('rotate issuer', '--wait', '0', '--overlap', '0');
done('init');
is_deeply [in_state('issuer', 'old')], [$old], 'what has served its time is dropped';

# What was interrupted goes on: the reload has failed after the next key was published.
(undef, my $rows, $err) = keys_of('rotate webhook', '--wait', '0', '--reload', 'false');
like $err, qr/the command of --reload has failed/, 'a failed reload ends a rotation';
my ($next) = in_state('webhook', 'next');
ok $next, '... whose next key is published';
is scalar(split /\n/, text('webhook/secrets')), 2, 'two secrets are accepted';
my $sent = text('webhook/secret');
done('rotate webhook', '--wait', '0');
is_deeply [in_state('webhook', 'current')], [$next], 'the same command goes on with it';
isnt text('webhook/secret'), $sent, 'another one signs';
is +(split /\n/, text('webhook/secrets'))[0] . "\n", text('webhook/secret'), '... the first one';
spew("$dir.given", 'whsec_' . 'A' x 44 . "\n");
done('rotate webhook', '--wait', '0', '--file', "$dir.given");
is text('webhook/secret'), slurp("$dir.given"), 'one\'s own secret is taken';
spew("$dir.given", "hush\n");
is +(keys_of('rotate webhook', '--wait', '0', '--file', "$dir.given"))[0], 3,
    '... if it is one';

# --- certificates ---------------------------------------------------------------------------------

my %at_first = map { $_ => text("$_/tls.crt") } @certificates;
my $held = readlink "$dir/edge";
done('rotate edge');
isnt text('edge/tls.crt'), $at_first{edge}, 'one certificate is new';
is text('api/tls.crt'), $at_first{api}, 'the others are not';
ok -s "$dir/$held/tls.key", 'who has the old folder can still read it';
isnt readlink "$dir/edge", $held, 'a new one is in its place';

my $authority = text('ca/ca.crt');
done('rotate ca', '--wait', '0');
isnt text("$_/tls.crt"), $at_first{$_}, "$_ is issued again" for @certificates;
like text('edge/ca.crt'), qr/\Q$authority\E/, 'the old authority counts, too';
is scalar(() = text('edge/ca.crt') =~ /BEGIN CERT/g), 2, '... beside the new one';
my ($trusted) = in_state('ca', 'old');
done("revoke ca $trusted");
is scalar(() = text('edge/ca.crt') =~ /BEGIN CERT/g), 1, 'a revoked authority counts no more';
%at_first = map { $_ => text("$_/tls.crt") } @certificates;
done('init', '--days', 400);
is text('api/tls.crt'), $at_first{api}, 'what has most of its time is left as it is';
my ($current) = in_state('ca', 'current');
done('revoke ca');
isnt text('api/tls.crt'), $at_first{api}, 'with the current authority all certificates end';
is scalar(grep { $_ eq $current } map { $_->{id} } list()), 0, '... and it is gone';
($status, undef, $err) = keys_of('revoke edge');
is $status, 2, 'a certificate is not revoked alone';
like $err, qr/keys revoke ca/, '... which it says';
is +(keys_of('revoke issuer nobody'))[0], 1, 'a key that is not there is not revoked';

# --- what else can be wrong -----------------------------------------------------------------------

is +(keys_of('rotate everything'))[0], 2, 'an unknown name is refused';
is +(($s->weirctl('keys', 'list'))[0]), 2, 'a folder must be named';
rename "$dir/issuer/key.pem", "$dir/key.away";
unlink "$dir/issuer/$_" for grep { /\.key$/ } map { s{.*/}{}r } glob "$dir/issuer/*";
($status, undef, $err) = keys_of('rotate issuer', '--wait', '0');
is $status, 3, 'a ring whose key is gone is not rotated';
like $err, qr{issuer: its ring\.json is damaged, or a key is missing}, '... which it says';

my $records = $s->psql(q{SELECT string_agg(DISTINCT operation, ' ' ORDER BY operation)
    FROM audit_records WHERE operation LIKE 'key.%'});
is $records, 'key.issue key.make key.publish key.revoke key.rotate key.tidy key.trust',
    'all of it is in the audit log';
is $s->psql(q{SELECT count(*) FROM audit_records WHERE subject NOT LIKE 'os:%'
    AND operation LIKE 'key.%'}), 0, '... with who did it';

done_testing;
