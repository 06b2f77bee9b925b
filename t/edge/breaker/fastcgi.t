# A FastCGI body that is shorter than its Content-Length, because the application
# has died, is a failure; one that ends as it should is none.
use strict;
use warnings;

use FindBin '$Bin';
use lib "$Bin/../cache";
use Crowd;
use IO::Socket::INET;
use Test::More;
use Weir::Processes;

sub record {
    my ($type, $data) = @_;
    return pack('CCnnCC', 1, $type, 1, length $data, 0, 0) . $data;
}

my $listener = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1:0') or die $!;
my $port = $listener->sockport;
spawn('application', sub {
    while (1) {
        my $client = $listener->accept or next;
        sysread $client, my ($request), 65536;
        my $whole = $request =~ /whole/;
        syswrite $client, record(6, "Content-Length: 10\r\n\r\nhello");
        syswrite $client, record(6, 'world') . record(6, '') . record(3, "\0" x 8) if $whole;
        close $client;
    }
});
start_upstream(sub { answer('200 OK', [], '') });
start_edge('weir_breaker_zone breakers 1m;', join '',
    map { <<"SERVER" } 'whole', 'short', 'unbuffered');
    location /$_ {
        weir_breaker zone=breakers key=$_ failures=2;
        fastcgi_param X $_;
        fastcgi_param REQUEST_METHOD GET;
        @{[ $_ eq 'unbuffered' ? 'fastcgi_buffering off;' : '' ]}
        fastcgi_pass 127.0.0.1:$port;
    }
SERVER
sub third { my $path = shift; my @r = map { get($path) } 1 .. 3; return $r[2]{status} }

is third('/whole'), 200, 'a whole body is no failure';
is third('/short'), 503, 'two that broke off open the breaker';
is third('/unbuffered'), 503, '... also unbuffered';
done_testing;
