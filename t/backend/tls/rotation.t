# Certificates and authorities of edge and backend change while requests go through nginx with
# mutual TLS (conf/backend-tls.conf): not one of them fails.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Base qw(free_port listens slurp wait_for);
use Weir::Tls::Certificates;
use Weir::Stack;

my $RATE = 500; # requests a second
my $CLIENTS = 4;
my $ROOT = "$FindBin::Bin/../../..";

my $s = Weir::Stack->new(postgres => 0, redis => 0);
my $pki = Weir::Tls::Certificates->new($s->dir . '/pki');
my ($operators, $edge) = (free_port(), free_port());

$pki->authority($_) for qw(old new);
for my $ca (qw(old new)) {
    for my $n (1, 2) {
        $pki->issue("backend-$ca-$n", ca => $ca, dns => ['backend.weir.internal']);
        $pki->issue("edge-$ca-$n", ca => $ca, uri => ['spiffe://weir.internal/edge']);
    }
}

# Puts a pair in place, and authorities, which are the same for both sides.
sub pair {
    my ($who, $name) = @_;
    $pki->put("$who.crt" => \"$who-$name.crt", "$who.key" => \"$who-$name.key");
}

# The edge's pair has a folder of its own, to which a link leads.
sub edge_pair {
    my ($name) = @_;
    my $folder = $pki->file("edge-pair-$name");
    mkdir $folder or die "$folder: $!\n";
    $pki->put("edge-pair-$name/tls.crt" => \"edge-$name.crt",
        "edge-pair-$name/tls.key" => \"edge-$name.key");
    symlink $folder, $pki->file('edge.next') or die "edge.next: $!\n";
    rename $pki->file('edge.next'), $pki->file('edge') or die "edge: $!\n";
}
sub authorities { $pki->put('ca.crt' => join '', map { $pki->text("$_.crt") } @_) }

pair('backend', 'old-1');
edge_pair('old-1');
authorities('old');

# --- backend and edge ---------------------------------------------------------------------

$s->start_backend('api', conf => {
    database => 'host=/nowhere',
    listen => "127.0.0.1:$s->{port}",
    metrics_listen => "127.0.0.1:$operators",
    tls_metrics => 'off',
    tls_certificate => $pki->file('backend.crt'),
    tls_key => $pki->file('backend.key'),
    tls_client_ca => $pki->file('ca.crt'),
    tls_allowed_names => 'spiffe://weir.internal/edge',
});

my $root = $s->dir . '/nginx';
mkdir $_ for $root, "$root/logs";
my $conf = slurp("$ROOT/conf/backend-tls.conf");
my $tls = $pki->file('');
$conf =~ s{/etc/weir/tls/}{$tls}g;
$conf =~ s{127\.0\.0\.1:8081}{127.0.0.1:$s->{port}};
$conf =~ s{127\.0\.0\.1:8080}{127.0.0.1:$edge};
$conf =~ s{worker_processes auto;}{worker_processes 2; daemon off; pid $root/pid;
    error_log $root/logs/error.log info;};
my $temp = join ' ', map { "${_}_temp_path $root/$_;" } qw(client_body proxy fastcgi uwsgi scgi);
$conf =~ s/^http \{/http { access_log off; $temp keepalive_requests 1000000;/m;
$conf =~ s/(keepalive 32;\s+keepalive_requests) \d+;/$1 20;/; # many new connections
$pki->put('nginx.conf' => $conf);
my ($nginx) = grep { -x } map { "$_/nginx" } split(/:/, $ENV{PATH}), '/usr/sbin';
$s->start_process('nginx',
    [$nginx, '-e', "$root/logs/error.log", '-p', $root, '-c', $pki->file('nginx.conf')]);
$s->wait_started('nginx' => sub { listens($edge) });

sub metrics {
    return HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$operators/metrics")->{content};
}
sub value {
    my ($series) = @_;
    my ($n) = metrics() =~ /^\Q$series\E (\S+)$/m or die "no $series\n";
    return $n;
}
sub reloads { return value('weir_tls_reloads_total{use="listen",result="ok"}') }
sub handshakes { return value('weir_tls_handshakes_total{use="listen",result="ok"}') }

# --- the load, in processes of their own until the file "enough" is there -----------------------

# Requests at a rate, each on a connection of its own to the edge: a reload of nginx closes idle
# ones. A line for each: its status.
my $program = <<'PERL';
my ($url, $rate, $enough, $out) = @ARGV;
my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);
open my $lines, '>>', $out or die "$out: $!\n";
$lines->autoflush(1);
for (my $due = time; !-e $enough; $due += 1 / $rate) {
    my $early = $due - time;
    sleep $early if $early > 0;
    my $r = $http->get($url);
    print $lines $r->{status} == 599 ? $r->{content} =~ s/\s+/ /gr : $r->{status}, "\n";
}
PERL
my $load = $s->dir . '/load';
my @modules = ('-MHTTP::Tiny', '-MIO::Handle', '-MTime::HiRes=sleep,time');
for my $n (1 .. $CLIENTS) {
    $s->start_process("load-$n", [$^X, @modules, '-e', $program, "http://127.0.0.1:$edge/health",
        $RATE / $CLIENTS, "$load.enough", "$load.$n"]);
}
sub answers { return map { split /\n/, slurp("$load.$_") } 1 .. $CLIENTS }

# Lets as many requests pass as come in two seconds.
sub go_on {
    my $n = () = answers();
    wait_for('more requests' => sub { answers() >= $n + 2 * $RATE });
}

# Changes files, and waits until the backend has them, and new connections have been made since.
sub change {
    my ($what, $do) = @_;
    my ($n, $connections) = (reloads(), handshakes());
    $do->();
    wait_for("$what, in the backend" => sub { reloads() > $n }) if $what !~ /^the edge/;
    go_on();
    cmp_ok handshakes(), '>', $connections, "new connections after: $what";
}

go_on();
change('the backend\'s certificate' => sub { pair('backend', 'old-2') });
change('the edge\'s certificate' => sub { edge_pair('old-2') });
change('both authorities count' => sub { authorities('old', 'new') });
my $workers = slurp("$root/pid");
kill 'HUP', $workers;
wait_for('the edge to have both authorities' => sub {
    slurp("$root/logs/error.log") =~ /exited with code 0(?:.*exited with code 0)/s;
});
change('the backend\'s certificate of the new authority' => sub { pair('backend', 'new-1') });
change('the edge\'s certificate of the new authority' => sub { edge_pair('new-1') });
change('the old authority counts no more' => sub { authorities('new') });
change('another pair of the backend' => sub { pair('backend', 'new-2') });
change('the edge\'s second certificate of it' => sub { edge_pair('new-2') });

$pki->put('enough', '');
rename $pki->file('enough'), "$load.enough" or die $!;
for my $n (1 .. $CLIENTS) {
    wait_for('the end of the load' => sub { $s->has_ended("load-$n") });
}
my %count;
$count{$_}++ for answers();
is_deeply [keys %count], ['200'], 'not one request has failed' or diag explain \%count;
cmp_ok $count{200}, '>', 8 * $RATE, "of $count{200}";
is scalar(() = slurp("$root/logs/error.log") =~ /\[(?:error|crit|alert|emerg)\]/g), 0,
    'the edge has logged no error'
    or diag substr slurp("$root/logs/error.log"), -3000;
is $s->stop_backend('api'), 0, 'the backend stops cleanly';

done_testing;
