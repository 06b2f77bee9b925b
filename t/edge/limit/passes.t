# A request that goes on elsewhere (X-Accel-Redirect) holds no slot of its former location while it
# waits there; who waits for the cache's single fetch is refused with it.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../../lib", $Bin;
use Limit;
use Test::More;
use Weir::Processes;

my $upstream = held();

start_limited(<<"EOC", http => 'weir_cache_zone answers 1m; weir_breaker_zone breakers 1m;');
location /first {
    weir_limit zone=slots concurrent=1 queue=0 key=first;
    proxy_pass http://$upstream;
}
location /cached {
    weir_cache answers;
    weir_limit zone=slots concurrent=1 queue=2 wait=200ms key=cached;
    proxy_pass http://$upstream;
}
location /failing {
    proxy_intercept_errors on;
    error_page 500 /other;
    proxy_pass http://$upstream;
}
location /other {
    weir_breaker zone=breakers key=other failures=1;
    weir_limit zone=slots concurrent=1 queue=0 key=other;
    add_header X-State \$weir_breaker_state always;
    proxy_pass http://$upstream;
}
location /checked {
    auth_request /check;
    proxy_pass http://$upstream;
}
location = /check {
    internal;
    proxy_pass http://$upstream;
}
EOC

sub status_of { answer_of(shift) =~ m{^HTTP/1.1 (\d+)} ? $1 : 'none' }
my $cached = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nfine\n";
sub to { "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Accel-Redirect: $_[0]\r\n\r\n" }

# --- it waits in the access phase ---
my $first = ask('/first');
release(to('/checked'));
held_requests(1);
is key_of('first')->{in_use}, 0, 'who is checked in a new location has given back the slot';
release();
release();
is status_of($first), 200, '... and is answered';
all_free();

# --- fetches without a slot ---
my $other = ask('/cached?2');
held_requests(1);
my @all = map { ask('/cached?3') } 1 .. 8;
until_in_queue('cached', 1);
my @got = map { status_of($_) } @all;
is "@got", '503 503 503 503 503 503 503 503',
    'who waits for a fetch that is refused is refused, too';
release($cached);
status_of($other);
all_free();

# --- what another upstream has answered ---
$other = ask('/other');
held_requests(1);
my $held = Limit::held_first();
my $failing = ask('/failing');
release("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
is status_of($failing), 503, 'an error page that gets no slot';
print $held $cached;
close $held;
like answer_of($other), qr/X-State: closed/, "... is no failure of its upstream";

done_testing;
