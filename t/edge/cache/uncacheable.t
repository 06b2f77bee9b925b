# That responses for a key can't be stored is remembered, and nobody waits for
# them; it is forgotten when one can be, and no request's own fields bring it about.
use strict;
use warnings;

use FindBin '$Bin';
use lib $Bin;
use Crowd;
use Test::More;
use Time::HiRes qw(sleep time);

# Answers wait while the gate of their name is closed.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($gate) = $path =~ m{^/([\w-]+)};
    my $fresh = $gate =~ /^open|^shared|^asked/ || -e "$dir/storable-$gate";
    my @fields = $fresh ? 'Cache-Control: max-age=600' : $gate =~ /^cookie/ ? ('Cache-Control: max-age=600', 'Set-Cookie: a=b') : ();
    return sub { Crowd::waiting($gate); answer($gate =~ /^error/ ? '503 Busy' : '200 OK', \@fields, "answer $n") };
});
start_edge('weir_cache_zone main 1m;', <<'SERVER');
    weir_cache main;
    weir_cache_lock_timeout 1h;
    weir_cache_purge on;
    location / { proxy_pass http://UPSTREAM; }
SERVER

sub storable { open my $out, '>', "$dir/storable-$_[0]" or die $! }

# More than the second that chance is remembered for.
sub two_seconds { my $end = time + 2; until_true('two seconds have passed', sub { time > $end }) }

# How many of n clients are at the upstream at the same time, when as many as can be are.
sub together {
    my ($n, $name, $headers) = @_;
    my $before = asked("/$name");
    hold($name);
    my @c = clients(map { ["/$name", $headers // {}] } 1 .. $n);
    until_true("$n requests are in hand", sub { busy() >= $n });
    my $end = time + 1;
    until_true('all ask, or some wait', sub { asked("/$name") - $before == $n || time > $end });
    my $together = asked("/$name") - $before;
    let_go($name);
    answers(@c);
    return $together;
}

for my $name ('nothing', 'cookie') {
    get("/$name");
    two_seconds();
    is together(8, $name), 8, "$name: nobody waits for what is known not to be storable";
    two_seconds();
    is together(8, $name), 8, '... for as long as it is asked for';
    storable($name);
    get("/$name") if $name eq 'nothing';
}

like cache_status(get('/nothing')), qr/; hit;/, 'a response that can be stored is';
request('PURGE', '/nothing');
is together(8, 'nothing'), 1, '... and then requests wait for one again';

get('/error');
two_seconds();
is together(8, 'error'), 1, 'an error is remembered for a second only';

for (['shared', { Authorization => 'Basic eDp5' }], ['asked', { 'Cache-Control' => 'no-store' }]) {
    my ($name, $headers) = @$_;
    get("/$name", $headers) for 1 .. 3;
    is together(8, $name), 1, "what a request's own fields bring about ($name) changes nothing for others";
}
is together(8, 'shared2', { Authorization => 'Basic eDp5' }), 8, 'requests with credentials wait for none';

is scalar(alarms()), 0, 'no alarm';
done_testing;
