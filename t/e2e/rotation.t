# All keys of the stack of ./weir up are replaced while 500 requests a second go through it: the
# authority, certificates, the edge's key of identities, that of clients' tokens, and the secret of
# webhooks. Not one request fails, every order is paid, and no webhook is refused. (Passwords:
# password_rotation.t.)
#
# A step is a name and what it does: more of them belong into @steps.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use JSON::PP;
use Test::More;
use Weir::Base qw(slurp);
use Weir::Stack::Load;
use Weir::Operator;

up();
my $user =
    ask('POST', '/signup', { email => 'ada@example.com', displayName => 'Ada' })->{json}{id};
my $load = Weir::Stack::Load->new(rate => 500, user => $user,
    product => '01900000-0000-7000-8000-000000000001');
sub give_tokens { return $load->give_tokens(token($user, 'shop:users shop:orders'), token()) }
give_tokens();
$load->start;

# --- steps ----------------------------------------------------------------------------------------

sub rotate {
    my ($what) = @_;
    my ($code, $text) = weir('keys', 'rotate', $what, '--wait', '3s');
    is $code, 0, "weirctl keys rotate $what" or diag $text;
    give_tokens();
}

my @steps = (
    ['certificates' => sub { rotate('certificates') }],
    ['the authority' => sub { rotate('ca') }],
    ["the edge's key of identities" => sub { rotate('identity') }],
    ["the key of clients' tokens" => sub { rotate('issuer') }],
    ['the secret of webhooks' => sub { rotate('webhook') }],
    ['all at once' => sub { rotate('all') }],
);

sub states {
    my ($code, $text) = weir('keys', 'list', '--json');
    return grep { $_->{state} !~ /certificate/ } @{ decode_json($text) };
}

$load->through(@steps);

# --- what the requests have caused ----------------------------------------------------------------

my $checkouts = () = $load->lines(qr{^202 POST /checkout});
cmp_ok $checkouts, '>', 5, 'there were checkouts';
sub sql {
    my ($code, $text) = weir('psql', '-qAtX', '-c', $_[0]);
    chomp $text;
    return $text;
}
ok comes_true(90, sub { sql(q{SELECT count(*) FROM orders WHERE status = 'PENDING'}) == 0 }),
    'every checkout has ended';
is sql(q{SELECT count(*) FROM orders WHERE status = 'FAILED'}), 0, '... paid';
unlike slurp("$run/logs/backend.log"), qr/a webhook is refused/, 'no webhook was refused';
is sql('SELECT count(*) FROM dead_letters'), 0, 'there is no dead letter';

my %now;
$now{ $_->{name} }{ $_->{state} }++ for states();
is $now{$_}{current}, 1, "$_ has one current key" for qw(ca identity issuer webhook);
cmp_ok $now{ca}{old}, '>=', 1, 'the old authorities count for a while';
ok !(grep { $_->{next} } values %now), 'nothing is half done';
my ($recorded) = sql(q{SELECT count(*) FROM audit_records WHERE operation = 'key.rotate'});
cmp_ok $recorded, '>=', 8, 'rotations are in the audit log';
my $logs = join '', map { slurp($_) } glob "$run/logs/*.log";
unlike $logs, qr/PRIVATE KEY|whsec_/, 'no log has a key';

done_testing;
