# AddressSanitizer sees one byte behind an allocation of a pool, of a zone's slab pool and of the
# cache's arena, and what was freed there, whichever worker has allocated it: without that the world
# "asan" would be green whatever is wrong.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../edge/cache";
use Test::More;

BEGIN { plan skip_all => 'for ./weir test --world asan alone'
    if ($ENV{WEIR_WORLD} // '') ne 'asan' }
use Crowd;

# Its findings are wanted, and none of the world's.
my $reports = "$dir/asan";
mkdir $reports;
chmod 0777, $reports;
$ENV{ASAN_OPTIONS} =~ s{(log_path=)[^:]+}{$1$reports/report};

# What was found since the last time.
sub findings {
    my $text = join '', map { slurp($_) } glob "$reports/*";
    unlink glob "$reports/*";
    return $text;
}

# Touches the address; the kind of what was found, and the pid of the worker, which has ended by it.
sub touch {
    my $p = probe('z', "touch=$_[0]");
    my ($pid, $kind) = findings() =~ /^==(\d+)==ERROR: AddressSanitizer: (\S+)/m;
    return $p->{status} == 200 ? ('silence', $p->{pid}) : ($kind, $pid);
}

sub beside { no warnings 'portable'; sprintf '%X', hex($_[0]) + $_[1] }
sub alloc { probe('z', 'alloc=' . shift) }

start_edge('weir_cache_zone z 1m;', 'weir_cache z; location / { return 204; }', workers => 2);
until_true('both workers are there', sub { workers() == 2 });

is((touch('pool'))[0], 'heap-buffer-overflow', 'one byte behind an allocation of a pool');

my $slab = probe('z')->{slab};
is((touch(beside($slab, -1)))[0], 'silence', 'the last byte of one of the slab pool');
is((touch($slab))[0], 'use-after-poison', '... and the one behind it');

my $at = alloc(13)->{at};
is((touch(beside($at, $_)))[0], 'silence', "byte $_ of one of the arena") for 0, 12;
is((touch(beside($at, $_)))[0], 'use-after-poison', "... and byte $_") for -1, 13;

# The other worker must know as much, also one that began later.
until_true('a worker touches what another has allocated', sub {
    my $p = alloc(100);
    my ($found, $pid) = touch(beside($p->{at}, 99));
    $found eq 'silence' or die "a worker finds $found in what another has allocated";
    $pid != $p->{pid};
});
until_true('a worker sees the end of what another has allocated', sub {
    my $p = alloc(100);
    my ($found, $pid) = touch(beside($p->{at}, 100));
    $found eq 'use-after-poison' or die "a worker finds $found behind what another has allocated";
    $pid != $p->{pid};
});
pass 'all workers know of it';

done_testing;
