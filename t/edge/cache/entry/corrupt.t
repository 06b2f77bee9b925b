# Invalid values under the cache's keys in Redis: foreign values, damaged entries, the entry of
# another response. Each is a miss, is logged for the operator, and is replaced by the next
# response.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..";
use Scene;
use Test::More;

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($language) = $request =~ /^Accept-Language: (\S+)/mi;
    return answer('200 OK',
        ['Cache-Control: max-age=600', $path =~ /varies/ ? 'Vary: Accept-Language' : ()],
        "answer $n of $path" . ($path =~ /varies/ ? ' in ' . ($language // 'none') : ''));
});

start_edge('weir_cache_zone corrupt 1m redis=main;', <<'SERVER');
    weir_cache corrupt l1=off;
    location / { proxy_pass http://UPSTREAM; }
SERVER

# The key of the only entry of that path.
sub key_of { my $path = shift; (entries_of('corrupt', qr/of \Q$path\E(?!\d)/, 1))[0] }

sub flip {
    my ($key, $at) = @_;
    my $byte = redis('GETRANGE', $key, $at, $at);
    redis('SETRANGE', $key, $at, $byte ^ "\x40");
}

# --- values that are no entry, or no whole one ---

my @damages = (
    ['a foreign value', sub { redis('SET', $_[0], 'hello, this is somebody else') }, 'too short'],
    ['a long foreign value', sub { redis('SET', $_[0], 'x' x 100_000) }, 'no cache entry'],
    ['an empty value', sub { redis('SET', $_[0], '') }, 'too short'],
    ['an entry of another version', sub { redis('SETRANGE', $_[0], 7, "\xff") }, 'another version'],
    ['a truncated entry', sub {
        my $v = redis('GET', $_[0]);
        redis('SET', $_[0], substr $v, 0, -1);
    }, 'wrong size'],
    ['the beginning of an entry', sub {
        my $v = redis('GET', $_[0]);
        redis('SET', $_[0], substr $v, 0, 120);
    }, 'wrong size'],
    ['an entry with more behind it', sub { redis('APPEND', $_[0], 'x') }, 'wrong size'],
    ['a hole behind the entry', sub { redis('SETRANGE', $_[0], 1000, 'x') }, 'wrong size'],
    ['a byte of the body flipped', sub { flip($_[0], redis('STRLEN', $_[0]) - 1) },
        'wrong checksum'],
    ['a byte of the key flipped', sub { flip($_[0], 112) }, 'wrong checksum'],
    ['a byte of the status flipped', sub { flip($_[0], 28) }, 'wrong status'],
    ['a byte of a length flipped', sub { flip($_[0], 103) }, 'wrong lengths'],
    ['a byte of the checksum flipped', sub { flip($_[0], 8) }, 'wrong checksum'],
    ['a byte of the size flipped', sub { flip($_[0], 23) }, 'wrong size'],
    ['a list', sub { redis('DEL', $_[0]); redis('LPUSH', $_[0], 'x') }, 'WRONGTYPE'],
    ['a hash', sub { redis('DEL', $_[0]); redis('HSET', $_[0], 'x', 'y') }, 'WRONGTYPE'],
);
my $n = 0;
for (@damages) {
    my ($name, $damage, $why) = @$_;
    my $path = '/damage-' . ++$n;
    get($path);
    my $key = key_of($path);
    $damage->($key);
    my $r = get($path);
    is "$r->{status} $r->{content}", "200 answer 2 of $path", "$name is a miss";
    like cache_status($r), qr/^Weir; fwd=\S*miss; fwd-status=200; stored/, '... and says so';
    is scalar(logged(qr/weir_cache "corrupt".*\Q$key\E.*\Q$why\E/)), 1,
        '... logged once, with the key and the reason';
    is get($path)->{content}, "answer 2 of $path", '... and the next response takes its place';
}

# --- entries that are whole, under a key that is not theirs ---

get($_) for '/one', '/two';
my ($one, $two) = map { key_of($_) } '/one', '/two';
redis('RENAME', $one, 'weir:swap');
redis('RENAME', $two, $one);
redis('RENAME', 'weir:swap', $two);
is get('/one')->{content}, 'answer 2 of /one', 'an entry of another key does not answer';
is get('/two')->{content}, 'answer 2 of /two', '... nor the other way round';
is get($_)->{content}, "answer 2 of $_", '... and both are stored again' for '/one', '/two';

sub language { +{ 'Accept-Language' => $_[0] } }
sub variants {
    my $path = shift;
    # the last one only if Redis has the entries of the others
    get($path, language($_)) for 'de', 'en', 'en';
    my ($pointer) = entries_of('corrupt', qr/\Q$path\E(?!\d)/, 3);
    return ($pointer,
        map { entries_of('corrupt', qr/answer . of \Q$path\E in $_\z/, 1) } 'de', 'en');
}

my ($pointer, $de, $en) = variants('/varies-1');
redis('RENAME', $de, 'weir:swap');
redis('RENAME', $en, $de);
redis('RENAME', 'weir:swap', $en);
is get('/varies-1', language('de'))->{content}, 'answer 3 of /varies-1 in de',
    'a variant does not answer for another';
is get('/varies-1', language('en'))->{content}, 'answer 4 of /varies-1 in en',
    '... nor the other way round';

($pointer, $de, $en) = variants('/varies-2');
redis('RENAME', $en, $pointer);
is get('/varies-2', language('de'))->{content}, 'answer 3 of /varies-2 in de',
    'a variant in the place of the pointer does not answer';

($pointer, $de, $en) = variants('/varies-3');
redis('SET', $de, redis('GET', $pointer));
is get('/varies-3', language('de'))->{content}, 'answer 3 of /varies-3 in de',
    'a pointer in the place of a variant is a miss';
is scalar(logged(qr/\Q$de\E.*the entry of another key/)), 1, '... logged once';
is get('/varies-3', language('de'))->{content}, 'answer 3 of /varies-3 in de',
    '... and is overwritten';

($pointer, $de, $en) = variants('/varies-4');
redis('DEL', $de);
is get('/varies-4', language('de'))->{content}, 'answer 3 of /varies-4 in de',
    'a pointer that leads to nothing is a miss';
get('/varies-4', language('de'));
redis('DEL', $pointer);
is get('/varies-4', language('en'))->{content}, 'answer 4 of /varies-4 in en',
    'so are variants without their pointer';

($pointer, $de, $en) = variants('/varies-5');
flip($pointer, 24);
is get('/varies-5', language('de'))->{content}, 'answer 3 of /varies-5 in de',
    'a damaged pointer is a miss';
like cache_status(get('/varies-5', language('en'))), qr/; hit;/,
    '... that is repaired by the next response';

redis('DEL', keys_of('corrupt'));
is get('/one')->{content}, 'answer 3 of /one', 'an emptied Redis is a miss';
is get('/one')->{content}, 'answer 3 of /one', '... once';

is scalar(logged(qr/\[(alert|emerg|crit)\]|exited on signal/)), 0, 'the log has no alert';
done_testing;
