# Keys from a file: it is read again when it changes, and a file that is not good changes nothing.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Issuer;
use Scene;
use Test::More;
use Token;
use Weir::Processes;

new_key($_, $dir) for qw(main next);

# As an operator replaces it.
sub replace {
    my ($text) = @_;
    spit("$dir/keys.new", $text);
    chmod 0644, "$dir/keys.new";
    rename "$dir/keys.new", "$dir/keys.jwks" or die $!;
    return;
}
replace(jwks('main'));

start_upstream(sub { answer('200 OK', [], 'in') });
start_edge(<<'HTTP', <<'SERVER', workers => 2);
    weir_jwt_issuer main {
        issuer https://issuer.example;
        audience api;
        jwks keys.jwks refresh=1s;
    }
HTTP
    location / { weir_jwt main; proxy_pass http://UPSTREAM; }
SERVER

my ($main, $next) = (token_of('main'), token_of('next'));
sub statuses { my ($token) = @_; return map { get('/', bearer($token))->{status} } 1 .. 8 }

is_deeply [statuses($main)], [(200) x 8], 'the set of the file';
is_deeply [statuses($next)], [(401) x 8], 'a key that is not in it is unknown at once';

replace(jwks('main', 'next'));
until_true('the new key is known', sub { !grep { $_ != 200 } statuses($next) });
pass 'a file that was replaced is read without a reload, in all workers';
is_deeply [statuses($main)], [(200) x 8], '... and its other key goes on';

my @bad = (
    ['{"keys":[', qr/it is no JSON object/],
    ['', qr/it is empty/],
    ["-----BEGIN PUBLIC KEY-----\n", qr/in PEM/],
    [jwks('main') =~ s/"e":/"d":"AQAB","e":/r, qr/secret part/],
    ["@{[jwks('main')]}@{[' ' x (256 * 1024)]}", qr/more than 262144 bytes/],
);
for my $bad (@bad) {
    my $log = "$dir/logs/error.log";
    my $from = length slurp($log);
    replace($bad->[0]);
    until_true('it is logged', sub {
        my $what = qr/"main" keeps its keys, and cannot use those of the file .*keys.jwks/;
        log_lines($log, qr/$what: .*$bad->[1]/, $from);
    });
    is_deeply [statuses($next)], [(200) x 8], "a file that is not good changes nothing: $bad->[1]";
    replace(jwks('main', 'next'));
    until_true('it is good again', sub {
        log_lines($log, qr/"main" can read its keys at .* again/, $from);
    });
    is scalar(log_lines($log, qr/keeps its keys/, $from)), 1, '... and is logged once';
}

unlink "$dir/keys.jwks" or die $!;
until_true('it is missed', sub { logged(qr/"main" keeps its keys, .*can't be opened/) });
is_deeply [statuses($main)], [(200) x 8], 'a file that is gone changes nothing';

replace(jwks('next'));
until_true('the set without a key', sub { !grep { $_ != 401 } statuses($main) });
pass 'a key that was removed is not believed, though its token was verified before';
is_deeply [statuses($next)], [(200) x 8], '... while the other one is';

# A reload reads the file, too.
replace(jwks('main'));
kill 'HUP', $pid{edge};
until_true('the reload', sub { !grep { $_ != 200 } statuses($main) });
pass 'a reload reads the file';

is_deeply [logged(qr/\[(?:error|crit|alert|emerg)\]/)], [], 'nothing else is logged';

done_testing();
