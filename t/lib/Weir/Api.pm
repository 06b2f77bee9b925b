# What tests of the API share: users to order for, many requests at a time, and answers that are
# problems.
#
#     start_api($stack);                                # and wait until all of it answers
#     my @users = make_users($stack, 3);                # their ids
#     my @raw = at_once($stack, map { ... } 1 .. 50);   # raw requests; their raw answers, in order
#     is_problem($r, 422, 'a name');                    # returns the document
package Weir::Api;

use strict;
use warnings;

use Exporter qw(import);
use IO::Socket::INET;
use JSON::PP ();
use Test::More;
use Weir::Base qw(raw_request wait_for);

our @EXPORT_OK = qw(
    at_once is_problem json_of make_users order_of product raw_request start_api status_of
    $UUID $TIME
);

our $UUID = qr/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/;
our $TIME = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

my $json  = JSON::PP->new->utf8;
my $users = 0;

# start_backend(), for roles with an api, which has several sessions that open on their own. Options
# as there, and port, of an api that does not listen where the stack's own does.
sub start_api {
    my ($stack, %option) = @_;
    my $port  = delete $option{port}  // $stack->{port};
    my $roles = delete $option{roles} // 'api';
    $option{conf} = { %{ $option{conf} // {} }, listen => "127.0.0.1:$port" }
        if $port != $stack->{port};
    $stack->start_backend($roles, %option);
    my $nobody = '00000000-0000-7000-8000-000000000000';
    my $order = order_of($nobody, [1, 1]);
    my %answer = (
        404 => [['GET', "/users/$nobody", ''], ['GET', "/orders/$nobody", '']],
        200 => [['GET', '/products', ''], ['GET', '/dashboard/daily-orders', '']],
        422 => [['POST', '/orders', $order]],
    );
    for my $status (sort keys %answer) {
        for my $request (@{ $answer{$status} }) {
            wait_for("$request->[0] $request->[1]" => sub {
                my ($answer) = at_once($stack, [$port, raw_request(@$request)]);
                return status_of($answer) eq $status;
            });
        }
    }
}

# The id of the n-th product that the migrations bring.
sub product { return sprintf '01900000-0000-7000-8000-%012d', $_[0] }

# The body of a user's order; its items are [product, quantity].
sub order_of {
    my ($user, @items) = @_;
    my @bodies = map { { productId => product($_->[0]), quantity => $_->[1] } } @items;
    return { userId => $user, items => \@bodies };
}

sub make_users {
    my ($stack, $n) = @_;
    my $from = $users + 1;
    $users += $n;
    return split /\n/,
        $stack->psql("INSERT INTO users (id, email, display_name)"
            . " SELECT ('01980000-0000-7000-8000-' || lpad(g::text, 12, '0'))::uuid,"
            . " 'buyer' || g || '\@example.com', 'Buyer ' || g"
            . " FROM generate_series($from, $users) g RETURNING id");
}

# Sends all before it reads the first answer; '' where there was none. A request may be [port,
# bytes].
sub at_once {
    my ($stack, @requests) = @_;
    my @sockets = map {
        my ($port, $bytes) = ref $_ ? @$_ : ($stack->{port}, $_);
        my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        local $SIG{PIPE} = 'IGNORE';
        syswrite $socket, $bytes if $socket;
        $socket;
    } @requests;
    return map { $_ ? $stack->read_raw($_) : '' } @sockets;
}

sub status_of { return $_[0] =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'none' }
sub json_of {
    my ($body) = $_[0] =~ /\r\n\r\n(.*)/s;
    return eval { $json->decode($body // '') }
}

# Checks that the answer is the problem, of the form that RFC 9457 asks for; returns its document.
sub is_problem {
    my ($r, $status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $document = $r->{json} // {};
    ok(        $r->{status} == $status
            && ($r->{headers}{'content-type'}  // '') eq 'application/problem+json'
            && ($r->{headers}{'cache-control'} // '') eq 'no-store'
            && ($document->{status}            // 0) == $status
            && length($document->{title} // '')
            && ($document->{trace_id} // '') =~ /\A[0-9a-f]{32}\z/, "$name: problem $status")
        or diag explain $r;
    return $document;
}

1;
