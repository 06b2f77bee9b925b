# The passwords of Redis' users change while requests go through edge and backend: none fails, and
# cache, invalidations and events go on, without a reload or a restart. No log has a password.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use JSON::PP ();
use Test::More;
use Weir::Base qw(free_port listens slurp spew wait_for);
use Weir::Events;
use Weir::Stack;

my $RATE = 300; # requests a second
my $CLIENTS = 3;

my $s = Weir::Stack->new(conf => { groups => 'billing,analytics,flags' });
my $e = Weir::Events->new($s, groups => [qw(billing analytics flags)]);
$e->count_effects;
$s->start_backend('all');
my @USERS = qw(weir-edge weir-backend);
my %password = map { $_ => "secret-of-$_" } @USERS;
sub file { my ($user) = @_; return $s->dir . "/redis-passwords/$user" }

# --- the edge -------------------------------------------------------------------------------------

my ($edge, $root) = (free_port(), $s->dir . '/nginx');
mkdir $_ for $root, "$root/logs";
my ($module) = split ' ', $ENV{TEST_NGINX_LOAD_MODULES};
my $temp = join ' ', map { "${_}_temp_path $root/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
spew("$root/nginx.conf", <<"CONF");
daemon off;
pid $root/pid;
error_log $root/logs/error.log info;
worker_processes 2;
load_module $module;
events {}
http {
    $temp
    access_log off;
    weir_redis main redis://127.0.0.1:$s->{redis_port} user=weir-edge
        password_file=@{[file('weir-edge')]} timeout=2s connect_timeout=2s;
    weir_cache_zone z 8m redis=main;
    upstream backend { server 127.0.0.1:$s->{port}; keepalive 16; }
    server {
        listen 127.0.0.1:$edge;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location / { proxy_pass http://backend; }
        location = /openapi.json {
            weir_cache z;
            weir_cache_valid 200 60s;
            weir_cache_ignore_headers Cache-Control;
            proxy_pass http://backend;
        }
        location = /status { weir_status; }
    }
}
CONF
my $nginx = $ENV{TEST_NGINX_BINARY};
$s->start_process('nginx',
    [$nginx, '-e', "$root/logs/error.log", '-p', $root, '-c', "$root/nginx.conf"]);
$s->wait_started('nginx' => sub { listens($edge) });
sub edge_said {
    my ($pattern) = @_;
    return grep { $_ =~ $pattern } split /\n/, slurp("$root/logs/error.log");
}

my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);
sub get { my ($path) = @_; return $http->get("http://127.0.0.1:$edge$path") }
sub cache_status {
    my $r = get('/openapi.json');
    return $r->{headers}{'cache-status'} // '';
}

# --- the load, in processes of their own until the file "enough" is there -------------------------

# Every tenth request is a write. A line for each: its status.
my $program = <<'PERL';
my ($url, $rate, $enough, $out) = @ARGV;
my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);
open my $lines, '>>', $out or die "$out: $!\n";
$lines->autoflush(1);
my $n = 0;
for (my $due = time; !-e $enough; $due += 1 / $rate) {
    my $early = $due - time;
    sleep $early if $early > 0;
    my $r = ++$n % 10 ? $http->get("$url/openapi.json")
        : $http->post("$url/signup", { headers => { 'Content-Type' => 'application/json' },
            content => qq({"email":"$$-$n\@example.com","displayName":"A"}) });
    print $lines $r->{status} == 599 ? $r->{content} =~ s/\s+/ /gr : $r->{status}, "\n";
}
PERL
my $load = $s->dir . '/load';
my @modules = ('-MHTTP::Tiny', '-MIO::Handle', '-MTime::HiRes=sleep,time');
for my $n (1 .. $CLIENTS) {
    $s->start_process("load-$n", [$^X, @modules, '-e', $program, "http://127.0.0.1:$edge",
        $RATE / $CLIENTS, "$load.enough", "$load.$n"]);
}
sub answers { return map { split /\n/, slurp("$load.$_") } 1 .. $CLIENTS }

# Lets as many requests pass as come in two seconds.
sub go_on {
    my $n = () = answers();
    wait_for('more requests' => sub { answers() >= $n + 2 * $RATE });
    return;
}

# --- what must go on ------------------------------------------------------------------------------

my %n = ('weir-edge' => 1);

# How many connections each user has.
sub connections {
    my ($user) = @_;
    return scalar(() = $s->redis(qw(client list)) =~ /\buser=\Q$user\E /g);
}

sub all_goes_on {
    my ($when) = @_;
    wait_for('hits' => sub { cache_status() =~ /; hit;/ });
    $s->redis(qw(XADD weir:invalidate * all 1));
    wait_for('an invalidation to be heard' => sub {
        my $last = $s->redis(qw(XREVRANGE weir:invalidate + - COUNT 1));
        my ($id) = $last =~ /^(\d+-\d+)/;
        return get('/status')->{content} =~ /\Q$id\E/;
    });
    wait_for('hits behind it' => sub { cache_status() =~ /; hit;/ });
    $e->create(20);
    wait_for('their effects' => sub {
        $s->psql("SELECT count(*) FROM users u WHERE email LIKE 'user%' AND NOT EXISTS (SELECT"
            . " FROM effects e WHERE what = 'billing_profiles' AND e.id = u.id::text)") == 0;
    });
    pass "$when: hits, invalidations, events";
    return;
}

sub put {
    my ($user, $text) = @_;
    spew(file($user) . '.new', $text);
    rename file($user) . '.new', file($user) or die "$user: $!\n";
    return;
}
sub kill_connections { return $s->redis(qw(client kill user), $_[0]) }
sub reconnected {
    wait_for('their connections' => sub { !grep { connections($_) < $n{$_} } @USERS });
    return;
}

go_on();
all_goes_on('at first');
# A worker of the edge connects when it needs Redis; one of them follows the invalidations.
$n{'weir-backend'} = connections('weir-backend');
cmp_ok $n{'weir-backend'}, '>', 3, 'the backend has connections';

for my $round (1, 2) {
    my %new = map { $_ => "fresh-$round-$_" } @USERS;
    $s->redis(qw(acl setuser), $_, ">$new{$_}") for @USERS;    # both count
    put($_, "$new{$_}\n") for @USERS;
    $s->redis(qw(acl setuser), $_, "<$password{$_}") for @USERS;
    go_on();
    kill_connections($_) for @USERS;
    reconnected();
    %password = %new;
    all_goes_on("after change $round");
}
is scalar(edge_said(qr/WRONGPASS|NOAUTH|NOPERM/)), 0, 'the edge was never refused';
is scalar($s->logged('all', qr/Redis connection lost/)) > 0, 1, 'connections were lost';
is scalar(grep { $_->{error} =~ /WRONGPASS|NOAUTH/ } $s->logged('all', qr/Redis connection lost/)),
    0, '... and never refused';

# The old password is taken away first, and connections end: both wait, and read the file again.
my %new = map { $_ => "late-$_" } @USERS;
for my $user (@USERS) {
    $s->redis(qw(acl setuser), $user, 'resetpass', ">$new{$user}");
    kill_connections($user);
}
wait_for('the edge to be refused' => sub { edge_said(qr{is down: .*WRONGPASS}) });
wait_for('the backend to be refused' => sub {
    grep { $_->{error} =~ /WRONGPASS/ } $s->logged('all', 'Redis connection lost, reconnecting');
});
go_on();
my $said = edge_said(qr/WRONGPASS/);
my $lost = $s->logged('all', 'Redis connection lost, reconnecting');
go_on();
is scalar(edge_said(qr/WRONGPASS/)), $said, 'a refusal is logged once for each connection';
is scalar($s->logged('all', 'Redis connection lost, reconnecting')), $lost, '... on both sides';
put($_, "$new{$_}\n") for @USERS;
reconnected();
all_goes_on('after a late change');

# A file that is gone or of no use: the last password counts.
for (['gone', sub { unlink file($_[0]) }], ['empty', sub { put($_[0], "\n") }]) {
    my ($what, $spoil) = @$_;
    $spoil->($_) for @USERS;
    kill_connections($_) for @USERS;
    reconnected();
    all_goes_on("while the file is $what");
    cmp_ok scalar(edge_said(qr/cannot use the password_file/)), '<=', 6,
        '... which is logged once for each connection';
}
cmp_ok scalar(edge_said(qr/cannot use the password_file .*No such file/)), '>', 0,
    'the edge says why';
my $stays = 'redis_password_file cannot be used, the last password stays in use';
cmp_ok scalar($s->logged('all', $stays)), '>', 0, 'so does the backend';

spew("$load.enough", '');
$s->finish_process("load-$_") for 1 .. $CLIENTS;
$e->wait_handled;
$e->{users} = $s->psql('SELECT count(*) FROM users');
is $e->complaints, '', 'each event had its effects once';
my @answers = answers();
my %count;
$count{$_}++ for @answers;
is join(' ', sort keys %count), '200 201', scalar(@answers) . ' requests, of which none failed';

my $logs = join '', map { slurp($_) } glob $s->dir . "/*.log $root/logs/*.log";
my ($status, undef, $err) = $s->weirctl('outbox');
my $dump = do {
    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin";
    `'$nginx' -T -e '$root/logs/error.log' -p '$root' -c '$root/nginx.conf' 2>&1`;
};
put($_, "$new{$_}\n") for @USERS;
my $valid = `'$nginx' -T -e '$root/logs/error.log' -p '$root' -c '$root/nginx.conf' 2>&1`;
like $dump, qr/\[emerg\] .*cannot use the password_file/, 'a file of no use is refused at start';
like $valid, qr/password_file=/, 'nginx -T shows the name of the file';
my $arguments = join "\n", map { slurp($_) =~ tr/\0/ /r } glob '/proc/[0-9]*/cmdline';
for my $secret (map { ("fresh-1-$_", "fresh-2-$_", "late-$_") } @USERS) {
    unlike "$logs$dump$valid$err", qr/\Q$secret\E/, "no log and no dump has $secret";
}
unlike $arguments, qr/late-weir|secret-of-weir/, 'nor has the list of processes';

done_testing;
