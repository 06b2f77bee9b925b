# Slots over two workers, with an upstream whose answers the test holds back.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use Limit;
use Test::More;

start_limited(<<"EOC");
location / {
    weir_limit zone=slots concurrent=2 queue=3 wait=10s;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://@{[held()]};
}
location /no-queue {
    weir_limit zone=slots concurrent=1 queue=0 key=no-queue;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://@{[held()]};
}
location /short {
    weir_limit zone=slots concurrent=1 queue=2 wait=50ms key=short;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://@{[held()]};
}
location /checkout {
    weir_route checkout;
    weir_limit zone=slots concurrent=3 queue=0 key=shop reserve=checkout:2;
    proxy_pass http://@{[held()]};
}
location /products {
    weir_limit zone=slots concurrent=3 queue=0 key=shop reserve=checkout:2;
    proxy_pass http://@{[held()]};
}
location /urgent {
    weir_limit zone=slots concurrent=1 queue=2 wait=10s key=urgent;
    weir_priority \$http_priority;
    add_header X-Limit \$weir_limit_status always;
    proxy_pass http://@{[held()]};
}
EOC

# --- the limit, and the queue ---
my @first = map { my $r = ask("/$_"); held_requests($_); $r } 1 .. 2;
my @waiting = map { my $r = ask("/$_"); until_in_queue(held(), $_ - 2); $r } 3 .. 5;
my $refused = answer_of(ask('/6'));
like $refused, qr/^HTTP\/1.1 503 /, 'a request without a place in the queue is refused';
like $refused, qr/^X-Limit: full\r$/m, '... and its status says so';
like $refused, qr/^Retry-After: \d+\r$/m, '... and when to come back';
like $refused, qr{^Content-Type: application/problem\+json\r$}m, '... in a problem document';
is held_now(), 2, 'the upstream has as many requests as slots';

release();
like answer_of($first[0]), qr/^X-Limit: passed\r$/m, 'a request with a slot was passed at once';
held_requests(2);
release() for 1 .. 4;
like answer_of($_), qr/ 200 .*^X-Limit: waited\r$/ms, 'a request got its slot after another one'
    for @waiting;
all_free();

# --- no queue ---
my $one = ask('/no-queue');
held_requests(1);
like answer_of(ask('/no-queue')), qr/ 503 /, 'without a queue the second request is refused';
release();
like answer_of($one), qr/ 200 /, '... and the first is answered';
like answer_of(ask_released('/no-queue')), qr/ 200 /, '... and the slot is free again';

# --- the wait ends ---
$one = ask('/short');
held_requests(1);
my $late = answer_of(ask('/short'));
like $late, qr/ 503 .*^X-Limit: expired\r$/ms, 'a request waits no longer than wait=';
release();
answer_of($one);
all_free();

# --- reserved slots ---
my @products = ask('/products');
held_requests(1);
like answer_of(ask('/products')), qr/ 503 /, 'others do not get reserved slots';
my @checkout = map { ask('/checkout') } 1 .. 2;
held_requests(3);
like answer_of(ask('/checkout')), qr/ 503 /, 'reserved slots are no more than that';
release() for 1 .. 3;
like answer_of($_), qr/ 200 /, 'reserved slots admit their flow' for @checkout;
answer_of($_) for @products;
all_free();

# --- priorities ---
$one = ask('/urgent');
held_requests(1);
my $lazy = ask('/urgent', 'Priority: u=6');
my $usual = ask('/urgent', 'Priority: i');
until_in_queue('urgent', 2);
my $urgent = ask('/urgent', 'Priority: u=1');
like answer_of($lazy), qr/ 503 .*^X-Limit: shed\r$/ms, 'the least urgent makes room';
release();
answer_of($one);
held_requests(1);
release();
like answer_of($urgent), qr/ 200 .*waited/s, 'the most urgent is next';
held_requests(1);
release();
like answer_of($usual), qr/ 200 /, '... and then the others';
all_free();

# --- clients that leave ---
$one = ask('/urgent');
held_requests(1);
my $leaver = ask('/urgent');
until_in_queue('urgent', 1);
close $leaver;
until_in_queue('urgent', 0);
pass 'a client that leaves leaves the queue';
close $one;
all_free();
pass 'a client that leaves gives its slot back';
release_all();

# --- kill -9 of a worker with slots and waiting requests ---
my @lost = map { ask("/$_") } 1 .. 2;
held_requests(2);
push @lost, ask('/3');
until_in_queue(held(), 1);
kill_workers();
like answer_of(ask_released('/1')), qr/ 200 /, 'slots of killed workers are free';
all_free();

done_testing;
