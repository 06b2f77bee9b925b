# Entries forged by a client that may write to Redis: complete, with the right checksum, but
# unlike any entry that an edge stores. They count as misses: the upstream is asked, and neither
# clients nor upstreams receive a byte of them.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

my $root = "$Bin/../../../..";
my @sources = map { "$root/ngx_module/cache/$_" } qw(entry.c checksum.c checksum_avx2.c);
system('cc', '-D_GNU_SOURCE', "-I$root", "-I$root/ngx_module", "$Bin/forge.c", @sources, '-o',
    "$dir/forge") == 0
    or die('forge.c does not compile');

my @heads;
start_upstream(sub {
    my ($path, $request, $n) = @_;
    push @heads, $request;
    return answer('200 OK', ['Cache-Control: max-age=600', $path =~ /varies/ ? 'Vary: X-Who' : ()],
        "answer $n of $path");
});

start_edge('weir_cache_zone forged 1m redis=main;', <<'SERVER');
    weir_cache forged l1=off;
    location / { proxy_pass http://UPSTREAM; }
    location /stale/ {
        weir_cache_use_stale updating;
        weir_cache_keep 60s;
        proxy_pass http://UPSTREAM;
    }
SERVER

sub forge {
    my ($key, $fault) = @_;
    open my $in, '>', "$dir/in" or die $!;
    print {$in} redis('GET', $key);
    close $in;
    my $forged = `'$dir/forge' '$fault' <'$dir/in'`;
    $? == 0 or die("forge $fault: no entry");
    redis('SET', $key, $forged);
}

sub raw {
    my ($path) = @_;
    my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => port_of_edge())
        or die $!;
    print {$client} "GET $path HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    local $/;
    return scalar <$client>;
}

my $n = 0;
sub forged {
    my ($fault, $folder) = @_;
    my $path = ($folder // '') . '/forged-' . ++$n;
    raw($path);
    forge((entries_of('forged', qr/\Q$path\E(?!\d)/, 1))[0], $fault);
    return raw($path);
}

like forged('none'), qr/X-Forged: yes/,
    'an entry with nothing else changed is served: forge makes what the edge takes';
like forged('stored--1000'), qr/X-Forged: yes/, 'so is one that is a second older';

for my $fault (qw(value name etag nul framing length cookie range
    status-100 status-206 status-304 status-600
    status-999 flags-64 stored-3600000 stored--9000000000000000 lifetime)) {
    my $got = forged($fault);
    like $got, qr{^HTTP/1\.1 200 OK\r\n(?!.*X-Forged)(?!.*X-Split).*\r\n\r\nanswer 2 of}s,
        "$fault: the upstream is asked";
}
is scalar(grep { /X-Split/ } @heads), 0, 'no upstream has seen any of it';

# --- one that was put back when Redis had dropped it -----------------------------

# Its lifetime is 600 s, weir_cache_keep 60 s, and clocks may differ by 60 s.
like forged('stored--640000', '/stale'), qr/X-Forged: yes/,
    'a stale response is served while weir_cache_keep is not over';
unlike forged('stored--730000', '/stale'), qr/X-Forged/,
    'one that Redis had dropped long ago is not, if it is put back';

# --- a pointer that leads to itself -------------------------------------------

get('/varies');
my ($pointer, $variant) = entries_of('forged', qr{/varies}, 2);
# without the header the variant is that of an empty text
redis('SET', $variant, redis('GET', $pointer));
forge($variant, 'flags-4');
is get('/varies')->{content}, 'answer 2 of /varies',
    'a variant that is a pointer is a miss, not a circle';
redis('SET', $variant, redis('GET', $pointer));
forge($variant, 'vary-');
is get('/varies')->{content}, 'answer 3 of /varies', 'nor does one that names no field';

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'the log has no alert';
done_testing;
