# A full disk under the file of heads: records are sealed and signed, Redis gets the heads, the file
# has whole lines only, and gets what it lacks when there is room again.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;

# In a mount namespace of its own: nothing is left mounted, however this ends.
BEGIN {
    if ($> != 0) {
        plan skip_all => 'small file systems are mounted by root only';
    } elsif (!$ENV{WEIR_TEST_UNSHARED}) {
        plan skip_all => 'this system allows no mount'
            if system('unshare -m mount -t tmpfs none /mnt 2>/dev/null') != 0;
        $ENV{WEIR_TEST_UNSHARED} = 1;
        exec 'unshare', '-m', $^X, (map { "-I$_" } @INC), $0 or die "unshare: $!";
    }
    delete $ENV{WEIR_TEST_UNSHARED};
}

use Weir::Stack::Audit;
use Weir::Base qw(slurp);
use Weir::Stack qw(wait_for);

my $a = Weir::Stack::Audit->new;
my $s = $a->stack;
my $dir = $s->dir . '/small';
mkdir $dir;
system('mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', $dir) == 0 or die("mount $dir");
END { system('umount', '-l', $dir) if $s } # before the folder is removed

$a->{heads} = $s->{conf}{audit_heads} = "$dir/heads.jsonl";
$s->start_backend('relay');
$a->put('before');
$a->wait_signed;
my $before = slurp($a->{heads});

# Until nothing fits behind the last line: the file's own page has some room left.
system("cat /dev/zero >$dir/filler 2>/dev/null");
my $n = 0;
wait_for('the full disk' => sub {
    $a->put('full.' . ++$n);
    $a->wait_sealed;
    my $signed = $a->sealed;
    wait_for('a head' => sub { $a->signed eq $signed });
    $s->logged('relay', qr/heads of the audit log cannot be exported/);
});
is scalar(my @said = $s->logged('relay', qr/heads of the audit log cannot be exported/)), 1,
    'a full disk is said once';
like $said[0]{error}, qr/No space left on device/, 'with its reason';
is $said[0]{to}, 'file', 'and its place';
wait_for('Redis' => sub { join(',', $a->in_redis) eq join(',', $a->in_database) });
pass 'Redis has all heads';
my $full = slurp($a->{heads});
is substr($full, 0, length $before), $before, 'the file has what it had';
my ($status, undef, $err) = $s->weirctl(qw(audit verify));
is $status, 0, 'nothing is wrong' or diag $err;

unlink "$dir/filler" or die $!;
$a->wait_signed;
is scalar(my @again = $s->logged('relay', qr/heads of the audit log are exported again/)), 1,
    'with room the heads come, which is said';
unlike slurp($a->{heads}), qr/^(?!\{"head":.*"\}$)/m, 'in whole lines';
is +($a->verify)[0], '', 'and nothing is wrong';
is $s->stop_backend('relay'), 0, 'the sealer stops';

done_testing;
