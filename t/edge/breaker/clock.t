# An order's time is counted by the clock of Redis.  An edge whose own clock is ahead of it, by more
# than the order's time, obeys the order that comes while it listens.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Fleet;
use JSON::PP;
use Test::More;
use Time::HiRes qw(sleep time);

start_redis();
start_upstream(sub { answer('200 OK', [], 'ok') });
start_edge('ahead', 'weir_breaker_zone steered 1m redis=main;', <<'SERVER');
    location = /status { weir_status; }
    location / {
        weir_breaker zone=steered key=plain open=1h;
        proxy_pass http://UPSTREAM;
    }
SERVER
is get('ahead', '/')->{status}, 200, 'requests pass';

# Redis is an hour behind this machine, as the IDs of its entries say.
my ($then, $n) = (int((time - 3600) * 1000), 0);
sub steer { redis('XADD', 'weir:breaker', shift, 'steer', @_, 'key', 'plain', 'by', 'a test') }

until_true('an order for ten minutes is obeyed', sub {
    # refused when the edge itself has told, with its time, that the breaker is open
    eval { steer($then . '-' . ++$n, 'open', 'for', 600_000) };
    sleep 0.05;
    get('ahead', '/')->{status} == 503;
});
my $left = decode_json(get('ahead', '/status')->{content})
    ->{breakers}{steered}{keys}{plain}{retry_after_ms};
cmp_ok $left, '<=', 600_000, 'for ten minutes at most';
cmp_ok $left, '>', 300_000, '... and not much less';
steer('*', 'auto');
until_true('until it is taken back', sub { get('ahead', '/')->{status} == 200 });
done_testing;
