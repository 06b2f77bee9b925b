# The same key has the same variant at nginx, in flagd's own evaluation, by OpenFeature's SDK, and
# in weirctl; a tenth of 100,000 keys is a tenth.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache", "$Bin/../../lib";
use JSON::PP;
use Scene;
use Test::More;
use Weir::Processes;
use Weir::Redis qw(redis_server redis_users);

my $folder = `$Bin/../../../scripts/test/openfeature.sh 2>$dir/openfeature.log`;
plan skip_all => 'no OpenFeature: ' . ((split /\n/, slurp("$dir/openfeature.log"))[-1] // '')
    if $? != 0;
chomp $folder;

$Scene::redis_address = my $redis = free_port();
spawn('redis', [redis_server(), redis_users($dir), '--port', $redis, '--save', '',
            '--dir', $dir]);
until_true('Redis listens', sub { listens($redis) });
spit("$dir/weir.conf", "redis = redis://127.0.0.1:$redis/0\nredis_user = weir-ctl\n"
        . "redis_password_file = $dir/redis-passwords/weir-ctl\n");

# Returns the exit code and what was printed.
sub weirctl {
    my @words = map { s/'/'\\''/gr } @_;
    my $text = `$Bin/../../../build/weirctl -c $dir/weir.conf @{[ map { "'$_'" } @words ]} 2>&1`;
    return ($? >> 8) . " $text";
}

sub on_off {
    my ($targeting, %more) = @_;
    return { state => 'ENABLED', variants => { on => JSON::PP::true, off => JSON::PP::false },
        defaultVariant => 'off', $targeting ? (targeting => $targeting) : (), %more };
}
my $var = sub { { var => $_[0] } };
my %flags = (
    split => on_off({ fractional => [['on', 10], ['off', 90]] }),
    plain => on_off(undef, defaultVariant => 'on'),
    'by-list' => on_off({ if => [{ in => [$var->('country'), ['DE', 'AT']] }, 'on', 'off'] }),
    'by-version' => on_off({ if => [{ '>=' => [$var->('version'), 2] }, 'on'] }),
    'by.mail' => on_off({ if => [{ and => [{ ends_with => [$var->('mail'), '.org'] },
            { '!' => [{ '==' => [$var->('country'), 'FR'] }] }] }, 'on', 'off'] }),
    weights => on_off({ fractional => [$var->('mail'), ['on', 1], ['off'], ['on', 3]] }),
    joined => on_off({ fractional => [{ cat => [$var->('country'), $var->('targetingKey')] },
            ['on', 33333], ['off', 66667]] }),
    nested => on_off({ if => [{ in => ['1', $var->('targetingKey')] },
            { fractional => [['on', 50], ['off', 50]] }, 'off'] }),
    none => on_off({ if => [{ '==' => [$var->('missing'), 'x'] }, 'on', undef] }),
);
my $json = JSON::PP->new->canonical;
spit("$dir/flags.json", $json->encode({ flags => \%flags }));

# weirctl sets them, and the edge reads them.
like weirctl('flag', 'set', 'split', '10%', '--json'), qr/^0 (?s:.*)"entry": ?"\d+-\d+"/,
    'weirctl flag set, a percentage';
for my $name (sort keys %flags) {
    spit("$dir/$name.json", $json->encode($flags{$name}));
    my $value = $name eq 'plain' ? $json->encode($flags{$name}) : "$dir/$name.json";
    like weirctl('flag', 'set', $name, $value), qr/^0 /, "weirctl flag set $name";
}
like weirctl('flag', 'set', 'bad', '{"state":1}'), qr/^2 .*the flag "bad": "state" is/,
    '... a definition that is none';
like weirctl('flag', 'set', 'b d', 'on'), qr/^2 .*the name of a flag has/,
    '... a name that is none';
like weirctl('flag', 'set', 'bad', '101%'), qr/^2 .*more than 100%/, '... too many percent';
like weirctl('flag', 'set', 'bad', "$dir/nothing"), qr/^2 .*neither on, off/, '... no file';
like weirctl('flag', 'delete', 'bad'), qr/^1 .*there is no flag "bad"/, '... none was set';
is redis('XLEN', 'weir:flags'), scalar(keys %flags), 'the stream has one entry of each flag';
like weirctl('flag', 'list'), qr/^0 FLAG.*\n.*by-list/, 'weirctl flag list';
is_deeply decode_json(weirctl('flag', 'get', 'split') =~ s/^0 //r), $flags{split},
    'weirctl flag get';
like weirctl('flag', 'set', 'gone', 'on'), qr/^0 /, 'another flag';
like weirctl('flag', 'delete', 'gone'), qr/^0 (?s:.*)no record in the audit log|no record/,
    '... is deleted; without a database that is not recorded';
like weirctl('flag', 'get', 'gone'), qr/^1 .*there is no flag "gone"/, '... and gone';

start_edge(<<"HTTP", <<'SERVER');
    keepalive_requests 200000;
    weir_flags redis=main;
    weir_flag split key=\$arg_key;
    weir_flag gone default=nothing;
HTTP
    location /flags { add_header X-Split $weir_flag_split always; return 204; }
    location /gone { add_header X-Gone $weir_flag_gone always; return 204; }
    location /ofrep/ { weir_flags_ofrep; }
SERVER
until_true('the flags are read',
    sub { (get('/flags?key=user-0')->{headers}{'x-split'} // '') ne '' });
is get('/gone')->{headers}{'x-gone'}, 'nothing', 'the edge does not know the deleted one';

open my $out, '-|', 'node', "$Bin/openfeature.js", $folder, port_of_edge(), 100000,
    "$dir/flags.json" or die "node: $!\n";
my $result = decode_json(do { local $/; <$out> });
close $out;

cmp_ok abs($result->{on} - 10000), '<=', 500, "10% of 100,000 keys: $result->{on}";
is $result->{on}, $result->{core}, 'flagd has as many';
is_deeply $result->{nginx}, [], 'the same ones';
cmp_ok $result->{asked}, '>=', 500, 'the SDK asked by OFREP';
is_deeply $result->{sdk}, [], '... and had the same answers' or diag explain $result->{sdk};

for my $key (map { "user-$_" } 1, 7, 13, 17, 23, 42, 99) {
    my $is = get("/flags?key=$key")->{headers}{'x-split'};
    my $wanted = $is eq '1' ? 'on' : 'off';
    like weirctl('flag', 'get', 'split', $key), qr/^variant +$wanted$/m,
        "weirctl: $key has the variant of the edge";
}

done_testing;
