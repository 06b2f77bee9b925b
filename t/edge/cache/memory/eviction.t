# Eviction from a full zone: which entries stay.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Crowd;
use Test::More;

my $scan = $ENV{WEIR_VALGRIND_LOGS} ? 1500 : 6000;    # keys

# /anything/SIZE/N
start_upstream(sub {
    my ($path) = @_;
    my ($size) = $path =~ m{/(\d+)/};
    return answer('200 OK', ['Cache-Control: max-age=600'],
        substr(("$path|" x (1 + $size / length $path)), 0, $size));
});

start_edge(<<'HTTP', <<'SERVER');
    weir_cache_request_control obey;
    weir_cache_zone full 1m;
    weir_cache_zone kib 4m;
    weir_cache_zone mixed 1m;
    weir_cache_zone pinned 4m;
    weir_cache_zone many 48m;
    keepalive_requests 1000000;
HTTP
    location /      { weir_cache full; proxy_pass http://UPSTREAM; }
    location /kib   { weir_cache kib; proxy_pass http://UPSTREAM; }
    location /mixed { weir_cache mixed; proxy_pass http://UPSTREAM; }
    location /pinned { weir_cache pinned; proxy_pass http://UPSTREAM; }
    location /many   { weir_cache many; proxy_pass http://UPSTREAM; }
SERVER

our $more = '';    # header lines

# Asks for the paths one after the other on one connection; how many were hits,
# and how many bodies were wrong.
sub ask {
    my @paths = @_;
    my ($hits, $wrong) = (0, 0);
    my $s = connection() or die $!;
    for my $path (@paths) {
        my ($size) = $path =~ m{/(\d+)/};
        print $s "GET $path HTTP/1.1\r\nHost: crowd\r\n$more\r\n";
        my $head = '';
        while (defined(my $line = readline $s)) { $head .= $line; last if $line eq "\r\n" }
        my ($length) = $head =~ /Content-Length: (\d+)/ or die "no answer for $path";
        my ($got, $body) = (0, '');
        while ($got < $length) {
            my $n = read $s, $body, $length - $got, $got or die "half an answer for $path";
            $got += $n;
        }
        $hits++ if $head =~ /Cache-Status: Weir; hit/;
        $wrong++ if $body ne substr(("$path|" x (1 + $size / length $path)), 0, $size);
    }
    return wantarray ? ($hits, $wrong) : $hits;
}

my @hot = map { "/hot/2000/$_" } 1 .. 50;
ask(@hot) for 1 .. 4;
is scalar(ask(@hot)), 50, 'a set of 50 is stored and hit';

# --- a scan ---

my ($hits, $wrong) = ask(map { "/scan/2000/$_" } 1 .. $scan);
is "$hits $wrong", '0 0', "a scan of $scan keys, many times what the zone takes, is served";
my $p = probe('full');
is $p->{wrong}, 'nothing', 'the zone agrees with itself';
cmp_ok $p->{entries}, '<', 500, 'it has what it has room for';
cmp_ok $p->{bytes}, '<=', $p->{size}, '... and no more';
cmp_ok $p->{bytes}, '>', $p->{size} * 0.9, '... and its room is used';
is scalar(ask(@hot)), 50,
    'the scan has pushed out none of those that were asked for again and again';

ask(map { "/large/100000/$_" } 1 .. 200);
is scalar(ask(@hot)), 50, 'neither does one of large responses';
ask(map { ("/scan/2000/x$_", $hot[$_ % 50]) } 1 .. $scan / 4);
is scalar(ask(@hot)), 50, 'nor one among requests for the hot ones';

# --- the full zone goes on ---

my $again = 0;
$again += ask(("/new/3000/$_") x 2) for 1 .. 200;
is $again, 200,
    'what is asked for twice at once is a hit the second time, also when the zone is full';

my @next = map { "/next/2000/$_" } 1 .. 200;
ask(@next) for 1 .. 6;
is scalar(ask(@next)), 200, 'another hot set comes in';
ask(map { "/scan/2000/y$_" } 1 .. $scan / 4);
is scalar(ask(@next)), 200, '... and stays over a scan as the first did';
is probe('full')->{wrong}, 'nothing', 'all agrees';

# --- sizes ---

my @kib = map { "/kib/1024/$_" } 1 .. 1000;
ask(@kib);
is scalar(ask(@kib)), 1000, '1000 responses of 1 KiB';
$p = probe('kib');
my $each = int $p->{bytes} / $p->{entries};
cmp_ok $each, '<=', 1536, "... take no more than 1.5 KiB each ($each bytes)";

ask(map { "/mixed/300/$_" } 1 .. 3000);
my $tries = 0;
until_true('a large response has found room', sub { $tries++; ask('/mixed/100000/1') });
cmp_ok $tries, '<=', 3,
    "a large response finds room among many small ones (at the $tries. request)";
($hits, $wrong) = ask(map { sprintf '/mixed/%d/%d', 10 ** (1 + $_ % 5) + $_, $_ % 700 } 1 .. 3000);
is $wrong, 0, 'sizes in any mixture are served';
is probe('mixed')->{wrong}, 'nothing', '... and agree';

# --- entries that are being sent give way too, but not their bytes; they hold a quarter of the
# zone, what is more is copied ---

my @slow = map { "/pinned/400000/$_" } 1 .. 6;
my @clients = map { ask($_); my ($c) = clients([$_]); sysread $c, my $start, 1 or die; $c } @slow;
until_true('all are being sent', sub { busy() == 6 });
is probe('pinned')->{pins}, 2, 'clients that read slowly hold no more than a quarter of the zone';
ask(map { "/pinned/5000/$_" } 1 .. $scan / 4) for 1, 2;
$p = probe('pinned');
is "$p->{wrong} $p->{pins}", 'nothing 2', 'a scan goes past entries that are being sent';
cmp_ok $p->{bytes}, '<=', $p->{size}, '... in the room that is left';
is scalar(ask(('/pinned/5000/z') x 2)), 1, '... which stores on';
my @r = answers(@clients);
my @whole = grep {
    my $body = substr "/pinned/400000/$_|" x 40_000, 0, 400_000;
    index($r[$_ - 1]{raw}, $body) > 0;
} 1 .. 6;
is scalar(@whole), 6, '... and those get every byte of it';
$p = at_rest('pinned');
is "$p->{wrong} $p->{orphans}", 'nothing 0', '... which is given back then';

# a worker has 256 places for pins; of more entries it sends copies

my @many = map { "/many/70000/$_" } 1 .. 300;
ask(@many);
@clients = map { slow_client($_) } @many;
until_true('all are being sent', sub { busy() == 300 });
$p = probe('many');
cmp_ok $p->{pins}, '>', 150, "of 300 entries that are sent $p->{pins} are pinned";
cmp_ok $p->{pins}, '<=', 256, '... and others not, as there is no place';
{
    local $more = "Cache-Control: no-cache\r\n";
    ask(@many);
}
$p = probe('many');
is $p->{wrong}, 'nothing', '... and when all have been replaced all agrees';
cmp_ok $p->{orphans}, '>', 150, "... though $p->{orphans} are under no key any more";
@r = answers(@clients);
@whole = grep {
    my $body = substr "/many/70000/$_|" x 10_000, 0, 70_000;
    index($r[$_ - 1]{raw}, $body) > 0;
} 1 .. 300;
is scalar(@whole), 300, '... and each client gets what was its own';
is at_rest('many')->{wrong}, 'nothing', '... and nothing of it is left';

is_deeply [alarms()], [], 'nothing alarming was logged';
done_testing;
