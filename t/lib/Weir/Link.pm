# A network between two processes of a stack that can be stalled. What was sent stays in it and
# arrives late; connections that are made meanwhile work.
#
#     my $link = Weir::Link->new($stack, 'relay-redis', to => $port);   # from: default a free port
#     $stack->start_backend('relay', conf => { redis => 'redis://127.0.0.1:' . $link->from });
#     my $n = $link->stall;          # connections that are half-open now
#     $link->go_on;
package Weir::Link;

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Socket::UNIX;
use Weir::Base qw(free_port listens);
use Weir::Stack::Postgres;

my $PROGRAM = dirname(__FILE__) . '/../link.pl';

# from and to are ports of loopback or paths of sockets; stray is a file (see link.pl).
sub new {
    my ($class, $stack, $name, %option) = @_;
    my $from = $option{from} // free_port();
    my $self = bless { stack => $stack, name => $name, from => $from, stalled => [] }, $class;
    $stack->start_process($name, [$^X, $PROGRAM, $from, $option{to}, $option{stray} // ()]);
    $stack->wait_started($name => sub {
        return $from =~ m{^/} ? IO::Socket::UNIX->new(Peer => $from) : listens($from);
    });
    return $self;
}

sub from { $_[0]{from} }

sub stall {
    my ($self) = @_;
    $self->{stalled} = [Weir::Stack::Postgres::children_of($self->{stack}->pid($self->{name}))];
    return kill 'STOP', @{ $self->{stalled} };
}

sub go_on { my ($self) = @_; return kill 'CONT', @{ $self->{stalled} } }

1;
