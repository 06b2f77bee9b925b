# weir_cache_authorized, many callers at once: those of one partition share a fetch, those of others
# do not wait for it, and a token that expires while its request waits gets nothing.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/..", $Bin, "$Bin/../../cache", "$Bin/../../../lib";
use Crowd;
use Test::More;
use Token;
use Weir::Base 'spew';
use Weir::Processes;

new_key('main', $dir);
spew("$dir/main.jwks", jwks('main'));

# A response waits while the gate of its caller is closed.
start_upstream(sub {
    my ($path, $request, $n) = @_;
    my ($who) = $request =~ /^X-Who: (\w+)\r$/mi;
    return sub {
        Crowd::waiting($who);
        return answer('200 OK', ['Cache-Control: max-age=3600'], "for $who");
    };
});
start_edge(<<'HTTP', <<'SERVER', workers => 2);
    weir_cache_zone z 2m;
    weir_jwt_issuer main { issuer https://issuer.example; audience api; jwks main.jwks; leeway 0s; }
    proxy_set_header X-Who $weir_jwt_subject;
HTTP
    weir_cache z;
    weir_cache_lock_timeout 1h;
    location /subject { weir_jwt main; weir_cache_authorized subject; proxy_pass http://UPSTREAM; }
    location /shared  { weir_jwt main; weir_cache_authorized shared; proxy_pass http://UPSTREAM; }
SERVER

my %of = map { $_ => bearer(token(sub => $_)) } qw(alice bob);

# --- one fetch for each partition ---

hold('alice');
my @alice = clients(map { ['/subject', $of{alice}] } 1 .. 20);
until_true('all of them wait', sub { busy() == 20 && asked('/subject') == 1 });
my @bob = answers(clients(['/subject', $of{bob}]));
is $bob[0]{content}, 'for bob', 'another subject does not wait for the first one';
is busy(), 20, '... who waits';
let_go('alice');
is_deeply [map { $_->{content} } answers(@alice)], [('for alice') x 20], 'all of one subject';
is asked('/subject'), 2, '... with one fetch for each subject';

hold('alice');
@alice = clients(['/shared', $of{alice}]);
until_true('the first one asks', sub { asked('/shared') == 1 });
@bob = clients(map { ['/shared', $of{bob}] } 1 .. 10);
until_true('all of them wait', sub { busy() == 11 });
let_go('alice');
is_deeply [map { $_->{content} } answers(@alice, @bob)], [('for alice') x 11],
    'shared: one fetch is for all';
is asked('/shared'), 1, '... and asked once';

# --- a token that expires in the queue ---

for my $path ('/subject/late', '/shared/late') {
    hold('alice');
    my $until = time + 3;
    @alice = clients([$path, $of{alice}]);
    until_true('the first one asks', sub { asked($path) == 1 });
    my $short = bearer(token(sub => 'alice', exp => $until));
    my @late = clients(([$path, $short]) x 3);
    my @good = clients([$path, $of{alice}]);
    until_true('all of them wait', sub { busy() == 5 });
    until_true('the token has expired', sub { time > $until });
    let_go('alice');
    is_deeply [map { $_->{content} } answers(@alice, @good)], [('for alice') x 2],
        "$path: good tokens get the response";
    @late = answers(@late);
    is_deeply [map { $_->{status} } @late], [(401) x 3], '... expired ones are refused';
    like $late[0]{headers}{'www-authenticate'}, qr/^Bearer .*expired/, '... for that reason';
    is asked($path), 1, '... and the upstream was asked once';
}
is_deeply [alarms()], [], 'no alarms';

done_testing();
