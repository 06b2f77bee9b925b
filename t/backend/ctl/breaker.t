# weirctl breaker: orders for the edges, and what edges have told.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Sys::Hostname;
use Test::More;
use Weir::Stack;

my $s = Weir::Stack->new;
my $here = lc hostname();

# The fields of the newest entry.
sub newest {
    my (undef, @fields) = split /\n/, $s->redis('XREVRANGE', 'weir:breaker', '+', '-', 'COUNT', 1);
    return {@fields};
}

sub refused {
    my ($exit, $pattern, @arguments) = @_;
    my ($status, undef, $stderr) = $s->weirctl('breaker', @arguments);
    is $status, $exit, "@arguments: exit code $exit";
    like $stderr, $pattern, '... and why';
}

# --- orders ----------------------------------------------------------------------------------
my $given = $s->ctl_json('breaker', 'open', 'payments', '--for', '10m', '--fleet');
is $given->{edge}, 'all', 'an order for all edges';
my $order = newest();
is_deeply [@$order{qw(steer key for edge)}], ['open', 'payments', 600_000, undef],
    'is in the stream';
like $order->{by}, qr/^uid \d+$/, '... with who gave it';

$s->ctl_json('breaker', 'close', 'payments');
is_deeply [@{ newest() }{qw(steer for edge)}], ['close', 600_000, $here],
    'without --fleet for this machine, without --for for 10 minutes';
$s->ctl_json('breaker', 'auto', 'payments', '--edge', 'edge-3', '--zone', 'upstreams');
is_deeply [@{ newest() }{qw(steer for edge zone)}], ['auto', undef, 'edge-3', 'upstreams'],
    'or for another one, in one zone';

my $records = $s->ctl_json('audit', 'list', '--object', 'breaker:payments');
is_deeply [map { $_->{operation} } @$records], [map {"breaker.$_"} qw(auto close open)],
    'all are in the audit log';

refused(2, qr/--for "0" must be a time up to 7d/, 'open', 'x', '--for', '0');
refused(2, qr/--for "8d" must be a time up to 7d/, 'open', 'x', '--for', '8d');
refused(2, qr/exclude each other/, 'open', 'x', '--fleet', '--edge', 'a');
refused(2, qr/from 1 to 255 bytes/, 'open', 'x' x 256);
is $s->redis('XLEN', 'weir:breaker'), 3, 'none of these was given';

# --- what edges have told --------------------------------------------------------------------
sub told { $s->redis('XADD', 'weir:breaker', '*', 'event', @_) }
my @a = ('zone', 'z', 'key', 'a', 'edge', 'edge-1', 'id', '1');
my @b = ('zone', 'z', 'key', 'b', 'edge', 'edge-1', 'id', '1');
told('open', @a, 'reason', 'ratio 0.62 of 37 in 10 s, 23 timeouts');
told('open', @b, 'reason', '5 calls in a row failed');
told('half-open', @b);
told('closed', @b);
told('open', 'zone', 'z', 'key', "\xff\xfe", 'edge', 'edge-2', 'id', '2');
$s->redis('XADD', 'weir:breaker', '*', 'nonsense', 'x');
my $list = $s->ctl_json('breaker', 'list');
is_deeply [map { [@$_{qw(edge zone key state reason)}] } @$list],
    [['edge-2', 'z', undef, 'open', undef],
    ['edge-1', 'z', 'a', 'open', 'ratio 0.62 of 37 in 10 s, 23 timeouts']],
    'breakers that are not closed, the newest first';
is scalar(@{ $s->ctl_json('breaker', 'list', '--all') }), 3, '--all shows the closed ones, too';
is scalar(@{ $s->ctl_json('breaker', 'list', '--edge', 'edge-2') }), 1, 'those of one edge';

done_testing;
