# An upstream that the test scripts and that counts its requests.
package Weir::Upstream;
use strict;
use warnings;

use Exporter 'import';
use HTTP::Tiny;
use IO::Socket::INET;
use POSIX ();
use Weir::Processes;

our @EXPORT = qw(answer asked start_upstream upstream);

my $port;

# Its address, also when it does not run.
sub upstream { $port //= free_port(); "127.0.0.1:$port" }

# A whole response as an upstream sends it.
sub answer {
    my ($status, $fields, $body) = @_;
    return
          "HTTP/1.1 $status\r\nContent-Length: "
        . length($body) . "\r\n"
        . join('', map { "$_\r\n" } @$fields)
        . "\r\n$body";
}

# script->(path with query, head of the request, how often that path was asked, body with a
# Content-Length) returns the bytes to send; or a sub that is given the connection and returns them,
# which runs in a process of its own, so that it may wait.  Then the connection is closed.
sub start_upstream {
    my $script = shift;
    my $listener = IO::Socket::INET->new(Listen => 1024, LocalAddr => '127.0.0.1:0') or die $!;
    $port = $listener->sockport;
    spawn('upstream', sub {
        my (%asked, @own);
        $SIG{PIPE} = $SIG{CHLD} = 'IGNORE';
        $SIG{TERM} = sub { kill 'KILL', @own; POSIX::_exit(0) };
        while (1) {
            my $client = $listener->accept or next;
            my $request = '';
            while (my $line = <$client>) { $request .= $line; last if $line eq "\r\n" }
            my ($path) = $request =~ /^\S+ (\S+)/ or next;
            if ($path =~ m{^/asked(/.*)}) {
                print $client answer('200 OK', [], $asked{$1} // 0);
                next;
            }
            my $body = '';
            if ($request =~ /^Content-Length: (\d+)/mi) { read $client, $body, $1 }
            my $bytes = $script->($path, $request, ++$asked{$path}, $body);
            if (ref $bytes) {
                my $own = fork // die $!;
                if ($own) {
                    @own = ((grep { kill 0, $_ } @own), $own);
                    next;
                }
                close $listener;
                print $client $bytes->($client);
                close $client;
                POSIX::_exit(0);
            }
            print $client $bytes;
        }
    });
}

my $http = HTTP::Tiny->new(timeout => 30, keep_alive => 0);

# How often the upstream was asked for the path.
sub asked { my $path = shift; $http->get("http://127.0.0.1:$port/asked$path")->{content} }

1;
