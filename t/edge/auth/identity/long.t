# weir_identity and paths that are too long for a token: a client gets a 414, and writes nothing
# into the error log.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Scene;
use Test::More;
use Weir::Processes;

system('openssl', 'genpkey', '-quiet', '-out', "$dir/a.pem", '-algorithm', 'ed25519') == 0 or die;
chmod 0600, "$dir/a.pem";
start_upstream(sub { answer('200 OK', [], 'fresh') });
start_edge(<<"HTTP", <<'SERVER');
    large_client_header_buffers 8 64k;
    weir_identity key=$dir/a.pem audience=shop;
HTTP
    location / { proxy_pass http://UPSTREAM; }
    location /place {
        weir_identity key=a.pem audience=shop bind=location;
        proxy_pass http://UPSTREAM;
    }
    location /off { weir_identity off; proxy_pass http://UPSTREAM; }
SERVER

sub status { get(@_)->{status} }
is status('/' . 'a' x 6000), 200, 'a long path';
my $response = get('/' . 'a' x 6200);
is $response->{status}, 414, 'one that is too long';
like $response->{content}, qr/"title":"Path too long"/, '... a problem document';
is status('/' . 'a' x 30_000), 414, '... much longer';
is status('/a?' . 'a' x 7000), 200, 'a query does not count';
is status('/place' . 'a' x 7000), 200, 'with bind=location it has none';
is status('/off' . 'a' x 7000), 200, 'without identity';
is_deeply [logged('\[(?:error|alert|crit|emerg)\]')], [], 'nothing is logged';

done_testing;
