# Invalidations on an edge while Redis answers and refuses writes, or is unavailable: applied on
# that edge, reported in the response, counted, and sent to other edges later.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use File::Basename 'dirname';
use Test::More;
use Weir::Redis qw(redis_expects_refusals redis_rules);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my $write = $request !~ /^GET/;
    return answer('200 OK',
        ['Cache-Control: max-age=600', $write ? 'Weir-Invalidate: red' : 'Cache-Tag: red'],
        "answer $n of $path");
});

start_edge('weir_cache_zone z 1m redis=main;', <<'SERVER');
    weir_cache z;
    weir_cache_invalidate on;
    weir_cache_purge on;
    location / { proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER

sub refused { get('/status')->{content} =~ /"writes_refused":(\w+)/ ? $1 : '?' }
sub value { my $name = shift; get('/status')->{content} =~ /"$name":(\d+)/ ? $1 : '?' }

redis_expects_refusals();
until_true('the stream is followed', sub { get('/status')->{content} =~ /"lag_ms":\d/ });
is request('PURGE', '/a')->{status}, 200, 'PURGE is heard';
my $r = request('POST', '/b', {}, 'x');
is $r->{headers}{'weir-invalidation'}, undef, 'so is Weir-Invalidate';

my @user = qw(ACL SETUSER weir-edge);
my $users = dirname($ENV{TEST_NGINX_REDIS_SOCK});

# Ways in which Redis refuses messages: the commands that begin and end each of them.
my $last_id = '18446744073709551615-18446744073709551615';
for ([NOREPLICAS => [qw(CONFIG SET min-replicas-to-write 1)],
        [qw(CONFIG SET min-replicas-to-write 0)]],
    [OOM => [qw(CONFIG SET maxmemory 1)], [qw(CONFIG SET maxmemory 0)]],
    [NOPERM => [@user, redis_rules($users, 'weir-edge', 'xadd')],
        [@user, redis_rules($users, 'weir-edge')]],
    ['ERR The stream has exhausted' => ['XADD', 'weir:invalidate', $last_id, 'tags', 'x'],
        [qw(DEL weir:invalidate)]])
{
    my ($what, $begin, $end) = @$_;
    redis(@$begin);
    request('PURGE', '/a');    # what takes all but messages is noticed with one
    until_true("$what is noticed", sub { refused() eq 'true' });
    my $unsent = value('unsent');
    $r = request('PURGE', '/a');
    is "$r->{status} $r->{headers}{'weir-invalidation'}", '503 pending',
        "$what: PURGE says that others don't hear";
    is request('POST', '/b', {}, 'x')->{headers}{'weir-invalidation'}, 'pending',
        '... and so does the answer to a write';
    cmp_ok value('unsent'), '>', $unsent, '... and weir_status counts them';
    my $refuses = qr/Redis refuses (?:writes|messages) \($what/;
    is scalar(logged(qr/\[error\].*weir_cache_zone "z": $refuses/)), 1, '... logged once';
    redis(@$end);
    until_true('the end of it is noticed', sub { refused() eq 'false' });
    until_true('what was pending is sent', sub { value('pending') eq '0' });
    is request('PURGE', '/a')->{status}, 200, 'PURGE is heard again';
}

redis('SET', 'weir:invalidate', 'no stream') if redis('DEL', 'weir:invalidate');
until_true('a key of another type is noticed', sub { refused() eq 'true' });
is request('PURGE', '/a')->{status}, 503,
    'a stream that can\'t be read is not taken for one that hears';
redis('DEL', 'weir:invalidate');
until_true('the end of it is noticed', sub { refused() eq 'false' && value('pending') eq '0' });

redis('XADD', 'weir:invalidate', '*', 'nothing', 'here');
until_true('a malformed message is counted', sub { value('malformed') eq '1' });

# --- no era comes twice ---

sub era { get('/status')->{content} =~ /"era":"(\w+)"/ ? $1 : '?' }
sub emptied {
    my $said = 'Redis was restarted or emptied; all responses stored before now are invalid';
    return scalar(logged(qr/\[warn\].*weir_cache_zone "z": $said/));
}
my %seen = (era() => 1);
my $emptied = emptied();
redis('FLUSHALL');
until_true('an emptied Redis is another era', sub { !$seen{era()} });
is emptied(), $emptied + 1, '... said in plain words';

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'the log has no alert';
done_testing;
