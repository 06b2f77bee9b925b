# A request that the database does not answer gets its answer all the same.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(raw_request);
use Weir::Stack qw(wait_for);

my $stack = Weir::Stack->new(redis => 0);
$stack->start_backend('api');

my $path =
    $stack->post('/signup', { email => 'a@example.com', displayName => 'A' })->{headers}{location};
# Its sessions in the database stand still; what they are asked waits for them.
my @sessions = split ' ',
    $stack->psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
        . " AND pid <> pg_backend_pid()");
cmp_ok scalar @sessions, '>', 0, 'the api has sessions';
kill STOP => @sessions;
END { kill CONT => @sessions }
my @sockets = map { $stack->send_raw($_) }
    raw_request('POST', '/signup', { email => 'b@example.com', displayName => 'B' }),
    "GET $path HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
close $stack->send_raw(
    raw_request('POST', '/signup', { email => 'c@example.com', displayName => 'C' }));

for (@sockets) {
    my $answer = $stack->read_raw($_);
    like $answer, qr{^HTTP/1\.1 503 .*\r\nRetry-After: \d.*the outcome of the request is unknown}s,
        'a 503 after a while';
}
kill CONT => @sessions;
wait_for('signups to be done after all' => sub { $stack->psql('SELECT count(*) FROM users') == 3 });
is $stack->get($path)->{status}, 200, 'the api goes on';
is $stack->post('/signup', { email => 'b@example.com', displayName => 'B' })->{status}, 409,
    'what was unknown was done';
is $stack->stop_backend('api'), 0, 'a clean end';

done_testing;
