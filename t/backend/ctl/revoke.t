# weirctl revoke: the edges are told, and the audit log has who has done it. Without the database
# the edges are told all the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Stack;

my $s      = Weir::Stack->new;
my $issuer = 'https://login.example.com';

# The fields of the newest entry.
sub newest {
    my (undef, @fields) = split /\n/, $s->redis('XREVRANGE', 'weir:revoked', '+', '-', 'COUNT', 1);
    return {@fields};
}

my $given = $s->ctl_json('revoke', 'jti', $issuer, 'j1');
is $given->{stream}, 'weir:revoked', 'a token is revoked';
is_deeply newest(), { iss => $issuer, jti => 'j1' }, '... for the edges';
$s->ctl_json('revoke', 'sub', $issuer, 'user-1', '--before', 1_700_000_000);
is_deeply newest(), { iss => $issuer, sub => 'user-1', before => 1_700_000_000 },
    'the tokens of a subject are revoked';

my $records = $s->psql(<<'SQL');
SELECT operation, object, outcome, detail, subject LIKE 'os:%' FROM audit_records ORDER BY id
SQL
is $records, <<"END" =~ s/\n\z//r, 'the audit log has both, and who has done it';
token.revoke|token:jti:j1|done|{"iss": "$issuer"}|t
token.revoke|token:sub:user-1|done|{"iss": "$issuer"}|t
END

my ($status, undef, $stderr) = $s->weirctl('revoke', 'jti', '', 'j2');
is $status, 2, 'an issuer must be named';
is $s->psql('SELECT count(*) FROM audit_records'), 2, '... and what was not done is not recorded';

$s->stop_postgres;
($status, undef, $stderr) = $s->weirctl('revoke', 'jti', $issuer, 'j3');
is $status, 0, 'a revocation does not wait for the database';
is newest()->{jti}, 'j3', '... the edges are told';
like $stderr, qr/nothing is recorded in the audit log/, '... and the operator is told';

{
    local $s->{conf}{database} = undef;
    ($status, undef, $stderr) = $s->weirctl('revoke', 'jti', $issuer, 'j4');
    is "$status $stderr", '0 ', 'a configuration without a database is enough';
}

done_testing;
