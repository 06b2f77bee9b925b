# Something between the api and PostgreSQL that adds an answer of its own: the session is lost, no
# request gets the answer to another one, and the process lives.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Api qw(product);
use Weir::Base qw(spew);
use Weir::Link;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(redis => 0);
my $net = $s->dir . '/net';
my $stray = $s->dir . '/stray';
mkdir $net or die "net: $!\n";
my $link = Weir::Link->new($s, 'net', from => "$net/.s.PGSQL.5432",
    to => $s->pg . '/.s.PGSQL.5432', stray => $stray);
$s->start_backend('api', conf => { database => "host=$net dbname=weir user=weir" });

my $path = '/products/' . product(1);
wait_for('the session' => sub { $s->get($path)->{status} == 200 });

spew($stray, '');
is $s->get($path)->{status}, 503, 'a request before whose answer another one comes';
unlink $stray or die "stray: $!\n";
my ($lost) = $s->logged('api', 'database session lost');
is $lost->{error}, 'a transaction has ended before its statements were answered',
    'the log says why the session is lost';
wait_for('another session' => sub { $s->get($path)->{status} == 200 });
pass 'the next session answers';
is $s->stop_backend('api'), 0, 'stops';

done_testing;
