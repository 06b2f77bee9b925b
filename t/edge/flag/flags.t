# weir_flag: variants of flags from the stream weir:flags, for a key, in all workers, while Redis is
# away or emptied too; in the cache where the response says that it depends on them.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use Scene;
use Test::More;
use Weir::Processes;
use Weir::Redis qw(redis_server redis_users);

start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($flag) = $request =~ /^X-Flag: *(\S*)\r/mi;
    my @vary = $path =~ /vary/ ? 'Weir-Vary-Flags: split' : ();
    @vary = 'Weir-Vary-Flags: split, unknown' if $path =~ /unknown/;
    return "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"
        if $request =~ /^If-None-Match:/mi && $path =~ /again/;
    return answer('200 OK', ['Cache-Control: max-age=' . ($path =~ /again/ ? 0 : 600), 'ETag: "x"',
            @vary], ($flag // '') . " $n");
});

$Scene::redis_address = my $redis = free_port();
sub start_redis {
    spawn('redis', [redis_server(), redis_users($dir), '--port', $redis, '--save', '',
            '--dir', $dir]);
    until_true('Redis listens', sub { listens($redis) });
}
start_redis();

# Returns the position of the message.
sub set {
    my ($name, $flag) = @_;
    my $id = redis('XADD', 'weir:flags', '*', 'name', $name, ref $flag
        ? ('flag', JSON::PP->new->canonical->encode($flag)) : ('flag', $flag // ''));
    return $id =~ s/"//gr;
}
sub on_off {
    my ($targeting, %more) = @_;
    return { state => 'ENABLED', variants => { on => JSON::PP::true, off => JSON::PP::false },
        defaultVariant => 'off', $targeting ? (targeting => $targeting) : (), %more };
}
my $tenth = on_off({ fractional => [['on', 10], ['off', 90]] });
set('split', $tenth);
set('early', on_off());
set('early', on_off(undef, defaultVariant => 'on'));

start_edge(<<"HTTP", <<'SERVER', workers => 3);
    weir_flags redis=main;
    weir_flag split key=\$arg_key\$http_key;
    weir_flag early;
    weir_flag New-Checkout key=\$arg_key default=none;
    weir_cache_zone flags 1m redis=main;
    weir_api shop { media_type application/vnd.shop; header API-Version; versions 1 2; default 1; }
    map \$weir_flag_split \$mapped { 1 yes; default no; }
HTTP
    location /flags {
        weir_flag_context country $arg_country;
        add_header X-Split "$weir_flag_split $mapped" always;
        add_header X-Early $weir_flag_early always;
        add_header X-New $weir_flag_new_checkout always;
        add_header X-Position $weir_flags_position always;
        weir_version shop;
        return 204;
    }
    location /if {
        if ($weir_flag_split) { return 201; }
        return 200;
    }
    location /cached {
        weir_cache flags;
        proxy_set_header X-Flag $weir_flag_split;
        proxy_pass http://UPSTREAM;
    }
    location /loop {
        weir_flag circle key=$weir_flag_circle default=round;
        add_header X-Circle $weir_flag_circle always;
        return 204;
    }
    location /behind {
        error_page 404 = @ofrep;
        return 404;
    }
    location @ofrep { weir_flags_ofrep; }
    location / {
        weir_flags_ofrep;
    }
SERVER

sub flags {
    my $h = get('/flags' . ($_[0] // ''), $_[1] // {})->{headers};
    return map { $h->{$_} // '' } 'x-split', 'x-early', 'x-new', 'x-position';
}

# Until each worker has answered with a position that is not before that one, the answers count.
sub applied {
    my $id = shift;
    until_true("$id is applied", sub { (flags())[3] eq $id });
}

until_true('the flags are read', sub { (flags())[1] eq '1' });
pass('the last definition of a flag counts');

# --- by key ---

my %variant;
for my $i (1 .. 400) {
    my ($split) = flags("?key=user-$i");
    $variant{"user-$i"} = $split;
}
my $on = grep { $_ eq '1 yes' } values %variant;
is scalar(grep { !/^(?:1 yes|0 no)$/ } values %variant), 0, 'variables and map agree';
cmp_ok $on, '>', 15, "a tenth of the keys: $on of 400";
cmp_ok $on, '<', 70, '... not more';
my ($yes) = sort grep { $variant{$_} eq '1 yes' } keys %variant;
my ($no) = sort grep { $variant{$_} eq '0 no' } keys %variant;
my %again;
$again{ (flags("?key=$yes"))[0] }++ for 1 .. 30;
is join('|', keys %again), '1 yes', 'a key keeps its variant, in all workers';
is get("/if?key=$yes")->{status} . get("/if?key=$no")->{status}, '201200', 'if';

# --- the cache ---

sub content {
    my $r = get(@_);
    my ($hit) = $r->{headers}{'cache-status'} =~ /; (hit|fwd)/;
    return "$r->{content} $hit";
}
my @as = map { { Key => $_ } } $yes, $no;
is content('/cached/vary', $as[0]), '1 1 fwd', 'a response that depends on the flag';
is content('/cached/vary', $as[0]), '1 1 hit', '... is stored for a variant';
is content('/cached/vary', $as[1]), '0 2 fwd', '... not for another one';
is content('/cached/vary', $as[1]), '0 2 hit', '... which is stored, too';
is content('/cached/vary', { %{ $as[1] }, 'Weir-Flag-Split' => 'on' }), '0 2 hit',
    'a field of the client changes nothing';
is content('/cached/plain', $as[0]), '1 1 fwd', 'a response that depends on no flag';
is content('/cached/plain', $as[1]), '1 1 hit', '... is stored for all';
is get('/cached/vary', $as[0])->{headers}{'weir-vary-flags'}, undef, 'clients do not see the field';
content('/cached/unknown', $as[0]);
is content('/cached/unknown', $as[0]), '1 2 fwd',
    'one that depends on an unknown flag is not stored';
content('/cached/again-vary', $_) for @as;
like content('/cached/again-vary', $as[0]), qr/^1 1 /, 'after a 304';
like content('/cached/again-vary', $as[1]), qr/^0 2 /, '... too, the variants are apart';
like content('/cached/again-vary', $as[0]), qr/^1 1 /, '... and stay so';

# --- changes are in all workers when the message was applied ---

for my $value ('on', 'off', 'on') {
    applied(set('early', on_off(undef, defaultVariant => $value)));
    my %seen;
    $seen{ (flags())[1] }++ for 1 .. 40;
    is join('|', keys %seen), $value eq 'on' ? 1 : 0, "changed to $value: in all workers at once";
}

# --- answers that workers keep for keys are not those of other keys, or of former flags ---

for my $end ('first', 'second', 'first') {
    applied(set('New-Checkout', on_off({ if => [
        { in => [{ var => 'targetingKey' }, ["$end-with-the-same-end"]] }, 'on', 'off'] })));
    my %seen;
    for (1 .. 20) {
        $seen{$_} .= (flags("?key=$_-with-the-same-end"))[2] for qw(first second f1rst);
    }
    is $seen{$_}, ($_ eq $end ? 1 : 0) x 20, "$end is listed: $_" for sort keys %seen;
}
my $long = 'x' x 40;
applied(set('New-Checkout', on_off({ if => [
    { in => [{ var => 'targetingKey' }, ["${long}1", $long, '7']] }, 'on', 'off'] })));
is join('', map { (flags("?key=$_"))[2] } $long, "${long}1", "${long}2", 7, 8, $long), '110101',
    'short and long keys';

# --- targeting by attributes ---

applied(set('New-Checkout', on_off({ if => [
        { in => [{ var => 'country' }, ['DE', 'AT']] }, 'on',
        { '==' => [{ var => 'version' }, '2'] }, 'on', 'off'] })));
is((flags('?country=AT'))[2], 1, 'by a list');
is((flags('?country=FR'))[2], 0, '... not in it');
is((flags('?country=FR', { 'API-Version' => 2 }))[2], 1, 'by the version');

# --- what is no flag changes nothing ---

for my $bad ('', '{', '[]', '{"state":"ENABLED"}', '{"state":1}', "\0\xff", 'x' x 20000,
    '{"state":"ENABLED","variants":{"a":1},"targeting":' . ('{"!":' x 2000) . '1' . ('}' x 2001)) {
    set('New-Checkout', $bad);
}
redis('XADD', 'weir:flags', '*', 'x', 'y');
set('no name', on_off());
my $last = set('other', on_off());
applied($last);
is((flags('?country=AT'))[2], 1, 'malformed definitions change nothing');
cmp_ok scalar(logged(qr/changes nothing: /)), '>=', 10, '... and the log says why';

set("many$_", on_off()) for 1 .. 300;
applied(set('early', on_off(undef, defaultVariant => 'off')));
is((flags())[1], 0, 'beyond 256 flags: those that are there go on');
ok scalar(logged(qr/there is no room for the flag/)), '... and the log has it';

# --- disabled, deleted ---

applied(set('New-Checkout', on_off(undef, state => 'DISABLED')));
is((flags())[2], 'none', 'a flag that is disabled: the default');
applied(set('New-Checkout', on_off(undef, defaultVariant => 'on')));
is((flags())[2], 1, '... enabled');
my $id = redis('XADD', 'weir:flags', '*', 'name', 'New-Checkout', 'deleted', 1) =~ s/"//gr;
applied($id);
is((flags())[2], 'none', '... deleted');

# --- OFREP ---

sub ofrep {
    my ($path, $body, %headers) = @_;
    my $r = request('POST', "/ofrep/v1/evaluate/flags$path",
        { 'Content-Type' => 'application/json', %headers }, ref $body ? encode_json($body) : $body);
    return ($r->{status}, eval { decode_json($r->{content}) }, $r->{headers});
}
my ($status, $answer) = ofrep('/split', { context => { targetingKey => $yes } });
is_deeply [$status, $answer],
    [200, { key => 'split', reason => 'TARGETING_MATCH', variant => 'on',
        value => JSON::PP::true }], 'OFREP: a flag';
($status, $answer) = ofrep('/nosuch', {});
is "$status $answer->{errorCode} $answer->{key}", '404 FLAG_NOT_FOUND nosuch',
    '... that is unknown';
for my $bad ('[', '[]', '{"context":1}', "\xff", '{"a":1,"a":2}') {
    ($status, $answer) = ofrep('/split', $bad);
    like "$status " . ($answer->{errorCode} // ''), qr/^400 (PARSE_ERROR|INVALID_CONTEXT)$/,
        "... a body that is none: $bad";
}
($status) = ofrep('/split', '{"context":{"x":"' . 'y' x 40000 . '"}}');
is $status, 413, '... that is too long';
($status) = ofrep('/split', '{"context":{}}');
is $status, 200, '... without a key';
is get('/loop')->{headers}{'x-circle'}, 'round', 'a key that is made of its flag';
like request('POST', '/behind/v1/evaluate/flags/early', {}, '{"context":{}}')->{content},
    qr/"variant":"o/, 'OFREP behind an internal redirect';
is get('/ofrep/v1/evaluate/flags')->{status}, 405, '... GET';
is request('POST', '/ofrep/v2', {}, '')->{status}, 404, '... another path';
my $headers;
($status, $answer, $headers) = ofrep('', { context => { targetingKey => $no } });
my ($split) = grep { $_->{key} eq 'split' } @{ $answer->{flags} };
is $split->{variant}, 'off', '... all flags';
is scalar(@{ $answer->{flags} }), 255, '... without the deleted one';
($status) = ofrep('', { context => { targetingKey => $no } }, 'If-None-Match' => $headers->{etag});
is $status, 304, '... that did not change';
($status) = ofrep('', { context => { targetingKey => $yes } },
    'If-None-Match' => $headers->{etag});
is $status, 200, '... for another key';

# --- Redis is away, emptied, replaced; reload ---

stop('redis', 'KILL');
is((flags("?key=$yes"))[0], '1 yes', 'Redis is away: what was known last');
start_redis();
until_true('Redis is back', sub { logged(qr/is up again; connection for streams/) });
is((flags("?key=$yes"))[0], '1 yes', '... and empty: the same');
applied(set('early', on_off(undef, defaultVariant => 'on')));
is((flags("?key=$yes"))[0] . (flags())[1], '1 yes1', '... a change comes, the others stay');
redis('DEL', 'weir:flags');
redis('XADD', 'weir:flags', '1-1', 'name', 'early', 'flag',
    JSON::PP->new->encode(on_off(undef, defaultVariant => 'off')));
until_true('the stream begins again with lower IDs', sub { (flags())[1] eq '0' });
pass('the stream begins again with lower IDs');

kill 'HUP', $pid{edge};
until_true('other workers', sub { logged(qr/gracefully shutting down/) });
is((flags("?key=$yes"))[0], '1 yes', 'after a reload: the same');
my @workers = split ' ', slurp("/proc/$pid{edge}/task/$pid{edge}/children");
kill 'KILL', @workers;
applied(set('early', on_off(undef, defaultVariant => 'on')));
is((flags("?key=$yes"))[0] . (flags())[1], '1 yes1', 'after workers were killed: the same');

is join("\n", grep { !/exited on signal 9/ } logged(qr/\[(alert|emerg|crit)\]/)), '', 'no alert';
done_testing;
