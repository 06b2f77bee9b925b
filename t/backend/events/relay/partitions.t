# A partition that somebody has deleted: the others are not in its way, and it goes on when it is
# put back.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new;
$s->psql('DELETE FROM partitions WHERE partition = 3');
$s->redis('XADD', 'weir:events:0', '9-0', 'event', '{}');
$s->start_backend('relay');
wait_for('the halt of another one to be logged' => sub {
    grep { $_->{partitions} eq '0' } $s->logged('relay', qr/^streams are ahead of the database/);
});
pass 'that a stream is ahead is logged without the partition that is not there';

$s->psql('INSERT INTO partitions (partition) VALUES (3)');
wait_for('the fence of its stream' => sub {
    $s->redis('EXISTS', 'weir:fence:{weir:events:3}') == 1;
});
pass 'put back, it is looked at';
is $s->stop_backend('relay'), 0, 'the relay stops';

done_testing;
