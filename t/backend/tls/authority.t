# scripts/ca.sh: a private authority, certificates that all sides accept, and their renewal.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use Test::More;
use Weir::Base qw(output_of slurp wait_for);
use Weir::Stack;
use Weir::Tls::Certificates;
use Weir::Tls::Client qw(curl);

my $s = Weir::Stack->new(postgres => 0, redis => 0);
my $pki = Weir::Tls::Certificates->new($s->dir . '/pki');
my $script = "$FindBin::Bin/../../../scripts/ca.sh";

sub make {
    my (@days) = @_;
    my ($status, $output) = output_of($script, $pki->file(''), @days);
    is $status, 0, "ca.sh @days" or diag $output;
}
my @names = qw(edge backend redis postgres client);
sub texts { return map { $_ => slurp($pki->file("$_.crt")) } @names, 'ca' }

make(4);
my %first = texts();
for my $name (@names) {
    my ($status, $out) =
        output_of('openssl', 'verify', '-CAfile', map { $pki->file("$_.crt") } 'ca', $name);
    is $status, 0, "$name has a chain" or diag $out;
    is +(stat $pki->file("$name.key"))[2] & 07777, 0600, 'its key is private';
}
make(4);
is_deeply { texts() }, \%first, 'nothing is made again that has most of its time';

$s->start_backend('api', conf => {
    database => 'host=/nowhere',
    listen => "127.0.0.1:$s->{port}",
    tls_certificate => $pki->file('backend.crt'),
    tls_key => $pki->file('backend.key'),
    tls_client_ca => $pki->file('ca.crt'),
    tls_allowed_names => 'spiffe://weir.internal/edge',
});
my $url = "https://127.0.0.1:$s->{port}/health";
is curl($pki, 'edge', $url)->{status}, 200, 'the edge is let in';
is curl($pki, 'client', $url)->{status}, 0, 'another one is not';

unlink $pki->file('client.crt');
make(4);
my %then = texts();
isnt $then{client}, $first{client}, 'what is missing is made';
is $then{edge}, $first{edge}, 'and the rest left';
chmod 0640, $pki->file('edge.key');
make(16); # what has 4 days is now to have 8
my %renewed = texts();
isnt $renewed{$_}, $first{$_}, "$_ is renewed" for @names;
is +(stat $pki->file('edge.key'))[2] & 07777, 0640, 'who could read a key can read the new one';
is +(stat $pki->file('redis.key'))[2] & 07777, 0600, 'and no others';
like $renewed{ca}, qr/\Q$first{ca}\E/, 'the old authority counts, too';
wait_for('the new authority to count' => sub { curl($pki, 'edge', $url)->{status} == 200 });
pass 'the renewed certificate is accepted';
is +(output_of($script))[0], 2, 'it says how to use it';

done_testing;
