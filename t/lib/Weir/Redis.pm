# Redis' programs, and its protocol as far as tests need it.
package Weir::Redis;
use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(redis_cli redis_command redis_server);

# The programs: WEIR_REDIS_SERVER names another server, such as valkey-server,
# and its client is named likewise.
sub redis_server { $ENV{WEIR_REDIS_SERVER} || 'redis-server' }
sub redis_cli    { redis_server() =~ s/-server\z/-cli/r }

# One command over a connection; the reply as string, number, list or undef.
sub redis_command {
    my ($socket, @words) = @_;
    print $socket '*' . @words . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @words;
    return read_reply($socket);
}

sub read_reply {
    my $socket = shift;
    my ($kind, $rest) = (readline($socket) // '') =~ /^(.)(.*)\r\n/s or die 'Redis said nothing';
    return [map { read_reply($socket) } 1 .. $rest] if $kind eq '*';
    die "Redis: $rest"                              if $kind eq '-';
    return $rest                                    if $kind ne '$';
    return undef                                    if $rest < 0;
    read $socket, my $bytes, $rest + 2;
    return substr $bytes, 0, -2;
}

1;
