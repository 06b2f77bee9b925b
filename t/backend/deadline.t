# A request that the database does not answer gets its answer all the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0);
$stack->start_backend('api');

my $path = $stack->post('/signup', { email => 'a@example.com', displayName => 'A' })->{headers}{location};
my $lock = $stack->session('BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE;');
my @sockets = map { $stack->send_raw($_) }
    $stack->raw_post('/signup', { email => 'b@example.com', displayName => 'B' }),
    "GET $path HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
close $stack->send_raw($stack->raw_post('/signup', { email => 'c@example.com', displayName => 'C' }));

for (@sockets) {
    my $answer = $stack->read_raw($_);
    like $answer, qr{^HTTP/1\.1 503 .*\r\nRetry-After: \d.*what came of the request is unknown}s, 'a 503 after a while';
}
print $lock "COMMIT;\n";
close $lock;
wait_for('signups to be done after all', sub { $stack->psql('SELECT count(*) FROM users') == 3 });
is $stack->get($path)->{status}, 200, 'the api goes on';
is $stack->post('/signup', { email => 'b@example.com', displayName => 'B' })->{status}, 409, 'what was unknown was done';
is $stack->stop_backend('api'), 0, 'a clean end';

done_testing;
