# weir_cache_zone secret_file=: an edge accepts from Redis only entries that an edge with the same
# secret has written under that key, and no cookie is in Redis.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Fleet;
use JSON::PP;
use Test::More;
use Weir::Edge::Nginx 'configuration_said';

my $root = "$Bin/../../../..";
my @sources = map { "$root/ngx_module/cache/$_" } qw(entry.c checksum.c checksum_avx2.c);
system('cc', '-D_GNU_SOURCE', "-I$root", "-I$root/ngx_module", "$Bin/forge.c", @sources, '-o',
    "$dir/forge") == 0
    or die('forge.c does not compile');

my ($one, $two) = ('the first secret of this test', 'the second secret of this test');

sub secret {
    my ($file, $text, $mode) = @_;
    spit("$dir/$file", $text);
    chmod $mode // 0600, "$dir/$file";
}

start_redis();
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($vary) = $path =~ m{^/vary-(\w+)};
    my $who = $request =~ /^X-Who: (\w+)/mi ? " for $1" : '';
    return answer('200 OK',
        ['Cache-Control: public, max-age=600', 'ETag: "e"', $vary ? "Vary: $vary" : ()],
        "answer $n of $path$who " . 'x' x 400);
});

my $server = <<'SERVER';
    weir_cache main l1=off;
    weir_cache_purge on;
    location / { proxy_pass http://UPSTREAM; }
    location /memory { weir_cache main; proxy_pass http://UPSTREAM; }
    location /main/ { weir_cache_key same; proxy_pass http://UPSTREAM; }
    location /copy/ { weir_cache copy l1=off; weir_cache_key same; proxy_pass http://UPSTREAM; }
    location = /status { weir_status; }
SERVER

sub zones {
    my $file = shift;
    my $secret = $file ? " secret_file=$file" : '';
    join '', map { "weir_cache_zone $_ 1m redis=main$secret;\n" } qw(main copy);
}

mkdir "$dir/left";
secret('left/zone.secret', "$one\n");
secret('one.secret', $one);
secret('two.secret', "$two\n");
start_edge('left', zones('zone.secret'), $server);    # beside nginx.conf
start_edge('right', zones("$dir/one.secret"), $server);
start_edge('other', zones("$dir/two.secret"), $server);
start_edge('none', zones(), $server);

sub status {
    my ($edge, $zone) = @_;
    decode_json(get($edge, '/status')->{content})->{caches}{$zone // 'main'};
}
sub forged { status(@_)->{forged} }
sub answered { get(@_)->{content} =~ s/ x*\z//r }

# The Redis keys of a path's entries, pointer first, once there are as many.
sub keys_of {
    my ($path, $number) = @_;
    return @{ until_true("$path is in Redis", sub {
        my %value = map { $_ => redis('GET', $_) // '' } @{ redis('KEYS', 'weir:cache:*') };
        my @keys = grep { $value{$_} =~ /\Q$path\E(?!\d)/ } keys %value;
        @keys >= ($number // 1) && [sort { length $value{$a} <=> length $value{$b} } @keys];
    }) };
}

# The path, stored by the left edge; its key.
sub stored { my $path = shift; get('left', $path); return (keys_of($path))[0] }

sub reloaded {
    my $edge = shift;
    my %old = map { $_ => 1 } children($edge);
    kill_process('HUP', $edge);
    until_true("$edge has new workers only", sub {
        my @now = children($edge);
        @now && !grep { $old{$_} } @now;
    });
}

# --- edges with the secret, and without ---------------------------------------

stored('/a');
like cache_status(get('right', '/a')), qr/hit.*detail=redis/,
    'an edge with the same secret takes it';
is forged('right'), 0, '... and counts nothing as forged';
like cache_status(get('other', '/a')), qr/fwd=uri-miss.*stored/,
    'to an edge with another secret it is a miss';
is forged('other'), 1, '... that it counts';
my $value = qr/the value of "weir:cache:main:\{\w+\}" in Redis/;
my $why = qr/is foreign or damaged \(not signed with this edge's secret\)/;
is scalar(logged('other', qr/\[error\].*weir_cache "main": $value $why/)), 1, '... and logs';
stored('/b');
like cache_status(get('none', '/b')), qr/fwd=uri-miss/, 'to an edge without a secret, too';

get('none', '/unsigned');
keys_of('/unsigned');
is answered('right', '/unsigned'), 'answer 2 of /unsigned',
    'what an edge without a secret has stored is no entry to one with a secret';

get('left', '/vary-accept', { Accept => 'text/plain' });
keys_of('/vary-accept', 2);
like cache_status(get('right', '/vary-accept', { Accept => 'text/plain' })), qr/hit.*detail=redis/,
    'a variant is found by its pointer';
like cache_status(get('right', '/vary-accept', { Accept => 'text/html' })), qr/fwd=vary-miss/,
    '... and only by the same header';
get('left', '/vary-cookie');
keys_of('/vary-cookie', 2);
like cache_status(get('right', '/vary-cookie')), qr/hit.*detail=redis/,
    'a header that is absent selects a variant, too';

# --- what is changed ----------------------------------------------------------

my $n = 0;
sub changed {
    my ($what, $change) = @_;
    my $path = '/changed-' . ++$n . '-';    # the key of no other holds that, whatever follows
    my $key = stored($path);
    my $value = redis('GET', $key);
    my $before = forged('right');
    redis('SET', $key, $change->($value));
    is answered('right', $path), "answer 2 of $path", "$what: the upstream is asked";
    is forged('right') - $before, 1, '... and it is counted';
}

sub flipped { my ($value, $at) = @_; substr($value, $at, 1) ^= "\x01"; $value }

sub made {
    my ($value, $fault) = @_;
    open my $in, '>:raw', "$dir/in" or die $!;
    print {$in} $value;
    close $in;
    my $made = `'$dir/forge' '$fault' <'$dir/in'`;
    $? == 0 or die("forge $fault: no entry");
    return $made;
}

my %at = (magic => 0, checksum => 8, size => 16, status => 28, time => 32, lifetime => 44,
    era => 56, key => 120, body => -30, MAC => -1);
for my $part (sort keys %at) {
    changed("a bit of $part", sub { flipped($_[0], $at{$part}) });
}
changed('the last byte cut off', sub { substr $_[0], 0, -1 });
changed('a byte added', sub { "$_[0]x" });
changed('nothing but a MAC', sub { substr $_[0], -16 });
changed('an empty value', sub { '' });
changed('a whole entry with another header, the right checksum and no MAC',
    sub { made(substr($_[0], 0, -16), 'none') });
changed('the same with the MAC of the true one',
    sub { made(substr($_[0], 0, -16), 'none') . substr($_[0], -16) });
changed('the same with a MAC of zeros', sub { made(substr($_[0], 0, -16), 'none') . "\0" x 16 });
changed('the true entry without its MAC', sub { substr $_[0], 0, -16 });

# --- what is moved ------------------------------------------------------------

get('left', $_) for '/main/', '/copy/';
my ($key, $copy) = map { (keys_of($_))[0] } '/main/', '/copy/';
is forged('right', 'copy'), 0, 'no forged value was seen in the other zone';
redis('SET', $copy, redis('GET', $key));
is answered('right', '/copy/'), 'answer 2 of /copy/',
    'a value that was copied to another zone is a miss there';
is forged('right', 'copy'), 1, '... as its signature is for another key';

my @who = map { { Cookie => "who=$_", 'X-Who' => $_ } } qw(alice bob);
get('left', '/vary-cookie?moved', $_) for @who;
my ($pointer, @variants) = keys_of('/vary-cookie?moved', 3);
my ($alice, $bob) = sort { redis('GET', $a) =~ /for alice/ ? -1 : 1 } @variants;
redis('SET', $bob, redis('GET', $alice));
my $forged = forged('right');
is answered('right', '/vary-cookie?moved', $who[1]), 'answer 3 of /vary-cookie?moved for bob',
    "a variant in another's place is a miss";
is answered('right', '/vary-cookie?moved', $who[0]), 'answer 1 of /vary-cookie?moved for alice',
    '... and a hit in its own';
is forged('right') - $forged, 1, '... by its signature';

get('left', '/vary-accept?pointer');
($pointer) = keys_of('/vary-accept?pointer', 2);
redis('SET', $pointer, flipped(redis('GET', $pointer), -17));
like cache_status(get('right', '/vary-accept?pointer')), qr/fwd=uri-miss/,
    'a pointer is signed, too';

# --- what is put back ---------------------------------------------------------

$key = stored('/replayed');
my $old = redis('GET', $key);
is request('left', 'PURGE', '/replayed')->{status}, 200, 'purged';
until_true('the other edge has heard of it', sub { status('right')->{invalidations}{applied} });
until_true('it is stored again', sub {
    get('left', '/replayed');
    (redis('GET', $key) // $old) ne $old;
});
redis('SET', $key, $old);
isnt answered('right', '/replayed'), 'answer 1 of /replayed',
    'a true entry that was put back after an invalidation is not served';

# --- what Redis learns --------------------------------------------------------

# All keys, and all that they hold.
sub everything {
    join "\n", map {
        my $type = redis('TYPE', $_);
        $_, redis($type eq 'string' ? ('GET', $_) : ('DUMP', $_)) // '';
    } @{ redis('KEYS', '*') };
}

my %sent = (Cookie => 'session=S3SSION-of-one', Authorization => 'Bearer T0KEN-of-one');
for my $name (sort keys %sent) {
    my $path = '/vary-' . lc $name . '?clear';
    get('left', $path, { $name => $sent{$name} });
    keys_of($path, 2);
    like cache_status(get('right', $path, { $name => $sent{$name} })), qr/hit.*detail=redis/,
        "$name: another edge finds the variant";
    unlike everything(), qr/\Q$sent{$name}\E|S3SSION|T0KEN/, '... and its value is not in Redis';
}
get('none', '/vary-cookie?clear', { Cookie => $sent{Cookie} });
until_true('an edge without a secret stores it in clear text', sub { everything() =~ /S3SSION/ });

# --- another secret -----------------------------------------------------------

get('right', "/kept$_") for 1 .. 3;
keys_of('/kept3');
get('left', '/memory') for 1, 2;
like cache_status(get('left', '/memory')), qr/hit.*detail=memory/, 'it is in memory';
secret('left/zone.secret', "$two\r\n$one\n");
reloaded('left');
like cache_status(get('left', '/kept1')), qr/hit.*detail=redis/,
    'with two secrets what the second one signed is taken';
like cache_status(get('left', '/memory')), qr/hit.*detail=redis/,
    '... from Redis, no longer from memory';
stored('/rotated');
like cache_status(get('other', '/rotated')), qr/hit.*detail=redis/, '... and the first one signs';
like cache_status(get('right', '/rotated')), qr/fwd=uri-miss/,
    '... which edges with the second alone do not take';

secret('left/zone.secret', "$two\n");
reloaded('left');
like cache_status(get('left', '/kept2')), qr/fwd=uri-miss/,
    'without the old secret what it signed is a miss';

secret('left/zone.secret', "a third secret, that is new\n");
reloaded('left');
like cache_status(get('left', '/memory')), qr/fwd=uri-miss/,
    'with another secret what was in memory is a miss as well';

# --- configuration ------------------------------------------------------------

my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $redis = port_of_redis();

# What "nginx -t" says of a zone, which is in line 5.
sub configured {
    my ($zone) = @_;
    mkdir "$dir/check";
    mkdir "$dir/check/logs";
    spit("$dir/check/nginx.conf", <<"CONF");
load_module $module;
events {}
http {
weir_redis main redis://127.0.0.1:$redis;
weir_cache_zone $zone;
}
pid $dir/check/pid;
CONF
    return configuration_said("$dir/check");
}

my $line = qr{ in \Q$dir\E/check/nginx\.conf:5$}m;
secret('short.secret', "0123456789abcde\n");
secret('empty.secret', '');
secret('binary.secret', "\0" x 32);
secret('open.secret', "$one\n", 0644);
my $of_zone = 'in "weir_cache_zone"';
my %refused = (
    'z 1m redis=main secret_file=absent' =>
        qr{secret_file "\Q$dir\E/check/absent" $of_zone can't be opened.*No such file},
    "z 1m redis=main secret_file=$dir" =>
        qr{secret_file "\Q$dir\E" $of_zone is not a regular file},
    "z 1m redis=main secret_file=$dir/short.secret" =>
        qr{secret_file "\Q$dir\E/short.secret" $of_zone: a secret must have at least 16 bytes},
    "z 1m redis=main secret_file=$dir/empty.secret" =>
        qr{invalid secret_file "\Q$dir\E/empty.secret" $of_zone: it is empty},
    "z 1m secret_file=$dir/binary.secret redis=main" =>
        qr{secret_file "\Q$dir\E/binary.secret" $of_zone: it must be text, one secret per line},
    "z 1m secret_file=$dir/one.secret" =>
        qr{"weir_cache_zone" with secret_file= needs redis=, which "z" does not have},
    'z 1m redis=main secret_file=' => qr{invalid parameter "secret_file=" $of_zone},
    'z 1m redis=main redis=main' => qr{invalid parameter "redis=main" $of_zone},
);
for my $zone (sort keys %refused) {
    my $said = configured($zone);
    like $said, qr{\[emerg\].*$refused{$zone}}, "$zone: refused";
    like $said, $line, '... with file and line';
}
my $said = configured("z 1m redis=main secret_file=$dir/open.secret");
my $open = qr/secret_file "\Q$dir\E\/open.secret" $of_zone/;
like $said, qr/\[warn\].*all users of this machine can read or write $open/,
    'a file that all may read is warned of';
like $said, $line, '... with file and line';
like $said, qr/test is successful/, '... and taken, as secrets of containers have that mode';
unlike configured("z 1m redis=main secret_file=$dir/one.secret"), qr/\[warn\]/,
    'one of the master alone is not';

for my $edge (qw(left right other none)) {
    is scalar(logged($edge, qr/\[(alert|emerg|crit)\]|exited on signal/)), 0,
        "the log of $edge has no alert";
}
done_testing;
