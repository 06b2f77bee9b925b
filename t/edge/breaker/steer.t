# Orders of operators in the stream weir:breaker, and what edges tell each other there.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Fleet;
use JSON::PP;
use Sys::Hostname;
use Test::More;
use Time::HiRes qw(sleep time);

start_redis();
start_upstream(sub {
    my ($path) = @_;
    return answer('500 Internal Server Error', [], '') if $path =~ /fail/;
    return answer('200 OK', [], 'ok');
});
sub edge {
    my $name = shift;
    start_edge($name, 'weir_breaker_zone steered 1m redis=main;', <<'SERVER', workers => 2);
    location = /status { weir_status; }
    location /plain/ {
        weir_breaker zone=steered key=plain failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /other/ {
        weir_breaker zone=steered key=other failures=2 open=1h;
        proxy_pass http://UPSTREAM;
    }
    location /hint/ {
        weir_breaker zone=steered key=hint failures=4 open=1h window=1h share=hint;
        proxy_pass http://UPSTREAM;
    }
    location /deaf/ {
        weir_breaker zone=steered key=deaf failures=4 open=1h window=1h;
        proxy_pass http://UPSTREAM;
    }
    location /soon/ {
        weir_breaker zone=steered key=soon failures=1 open=1s;
        proxy_pass http://UPSTREAM;
    }
SERVER
}
edge($_) for 'left', 'right';

sub code { get(@_)->{status} }
sub codes { my $edge = shift; [map { code($edge, $_) } @_] }
sub breaker {
    my ($edge, $key) = @_;
    return decode_json(get($edge, '/status')->{content})->{breakers}{steered}{keys}{$key};
}
sub steer { redis('XADD', 'weir:breaker', '*', 'steer', @_, 'by', 'a test') }

# --- open, auto, close -----------------------------------------------------------------------
is code($_, '/plain/ok'), 200, "$_: requests pass" for 'left', 'right';
# both edges have met the stream
until_true('the edges listen', sub {
    steer('close', 'key', 'plain', 'for', 1);
    sleep 0.05;
    logged('left', qr/order of "a test"/) && logged('right', qr/order of "a test"/);
});
my $slowest = 0;
for my $try (1 .. 5) {
    my $sent = time;
    steer('open', 'key', 'plain', 'for', 600_000);
    until_true('the order is obeyed', sub {
        for (1 .. 1000) { return 1 if code('left', '/plain/ok') == 503 }
        return 0;
    });
    my $took = time - $sent;
    $slowest = $took if $took > $slowest;
    until_true('by the other edge, too', sub { code('right', '/plain/ok') == 503 });
    steer('auto', 'key', 'plain');
    until_true('it is probed when the order ends', sub { code($_, '/plain/ok') == 200 })
        for 'left', 'right';
}
note sprintf 'an order was obeyed after %.1f ms at most, with the request that saw it',
    $slowest * 1000;
is code('left', '/other/ok'), 200, 'another key is left alone';
like +(logged('left', qr/is open, was closed/))[0], qr/: an operator has opened it/,
    'the log says who';

steer('open', 'key', 'plain', 'for', 600_000, 'edge', 'elsewhere.example');
steer('open', 'key', 'plain', 'for', 600_000, 'zone', 'another');
steer('open', 'key', 'other', 'for', 600_000, 'edge', hostname());
until_true('an order for this machine is obeyed', sub { code('left', '/other/ok') == 503 });
is code('left', '/plain/ok'), 200, '... those for another one, or another zone, are not';

steer('close', 'key', 'plain', 'for', 600_000);
until_true('it is kept closed', sub { (breaker('left', 'plain') // {})->{forced} });
is_deeply codes('left', ('/plain/fail') x 6, '/plain/ok'), [(500) x 6, 200], '... whatever fails';
steer('auto', 'key', 'plain');
until_true('until the order ends', sub { code('left', '/plain/fail') == 503 });

# --- what is no order ------------------------------------------------------------------------
mark_log('left');
redis('XADD', 'weir:breaker', '*', @$_)
    for ['steer', 'open', 'for', 1000], ['steer', 'burn', 'key', 'plain', 'for', 1000],
    ['steer', 'open', 'key', 'plain', 'for', '-1'], ['event', 'open', 'key', 'plain'],
    ['event', 'open', 'steer', 'open', 'key', 'plain', 'for', 1], ['a', 'b'],
    ['steer', 'open', 'key', 'x' x 10000, 'for', 1000],
    ['steer', 'open', 'key', 'none', 'for', 1000];
until_true('they are logged', sub {
    my @said = logged_since('left', qr/weir_breaker: the entry .* means nothing/);
    @said >= 6;
});
ok !breaker('left', 'none'), 'a key that the configuration does not have makes no breaker';

# --- a reload, and a Redis that is dead ------------------------------------------------------
steer('open', 'key', 'soon', 'for', 600_000);
until_true('an order', sub { code('left', '/soon/ok') == 503 });
my @before = children('left');
kill_process('HUP', 'left');
until_true('after a reload', sub {
    my %now = map { $_ => 1 } children('left');
    !grep { $now{$_} } @before;
});
is code('left', '/soon/ok'), 503, 'it is obeyed still';
steer('open', 'key', 'other', 'for', 1500);
until_true('an order for a second and a half', sub {
    return (breaker('left', 'other')->{retry_after_ms} // 9e9) < 1501;
});
stop('redis', 'KILL');
is code('left', '/soon/ok'), 503, 'without Redis, too';
until_true('and it ends by itself there', sub { code('left', '/other/ok') == 200 });
start_redis();
until_true('a Redis that has lost all is followed again', sub {
    steer('auto', 'key', 'soon');
    sleep 0.1;
    code('left', '/soon/ok') == 200;
});
steer('open', 'key', 'soon', 'for', 600_000);
my @orphans = children('left');
stop('left', 'KILL');
kill 'KILL', @orphans;
edge('left');
until_true('an edge that begins anew finds the order', sub { code('left', '/soon/ok') == 503 });
steer('auto', 'key', 'soon');
until_true('... and its end', sub { code('left', '/soon/ok') == 200 });

# --- what edges tell -------------------------------------------------------------------------
is_deeply codes('right', '/hint/ok', '/deaf/ok'), [200, 200], 'breakers of another edge are closed';
codes('left', ('/hint/fail') x 4, ('/deaf/fail') x 4);
my $told;
until_true('an edge tells it', sub {
    ($told) = grep { "@{$_->[1]}" =~ /key hint/ } @{ redis('XREVRANGE', 'weir:breaker', '+', '-') };
    return $told;
});
my %told = @{ $told->[1] };
is_deeply [@told{qw(event zone key edge reason)}],
    ['open', 'steered', 'hint', lc hostname(), '4 calls in a row failed; last: status 500'],
    '... that its breaker has opened, and why';
is code('right', '/hint/ok'), 200, 'which opens no other';
until_true('but its threshold is lower', sub {
    code('right', '/hint/ok');    # ends the row of an attempt that came too early
    redis('XADD', 'weir:breaker', '*', %told, 'id', 'x');
    sleep 0.05;
    codes('right', ('/hint/fail') x 2);
    code('right', '/hint/ok') == 503;
});
like breaker('right', 'hint')->{reason}, qr/^2 calls in a row failed/,
    'half of the failures suffice';
is_deeply codes('right', ('/deaf/fail') x 3, '/deaf/ok'), [(500) x 3, 200],
    'not without share=hint';

# --- another Redis whose clock is behind -------------------------------------------------------
redis('XADD', 'weir:breaker', '99999999999999-1', 'steer', 'open', 'key', 'other', 'for', 60000);
until_true('the edges have an order of later', sub {
    "@{codes('left', '/other/ok')} @{codes('right', '/other/ok')}" eq '503 503';
});
stop(redis => 'TERM');
start_redis();
redis('DEL', 'weir:breaker');
steer('auto', 'key', 'other');
until_true('orders of a stream that was made while Redis was away are obeyed', sub {
    "@{codes('left', '/other/ok')} @{codes('right', '/other/ok')}" eq '200 200';
});

done_testing;
