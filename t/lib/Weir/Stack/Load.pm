# A load on the edge of a stack of Weir::Operator: requests of all kinds at a rate, while a test
# changes something. Each is on a connection of its own: a reload of nginx closes idle ones.
#
#     my $load = Weir::Stack::Load->new(rate => 500, user => $id, product => $id);
#     $load->give_tokens($mine, $operator);  # what clients send from now on; before start, too
#     $load->start;
#     $load->through([$name => sub { ... }], ...);  # does these steps, and tests after each of them
#                               # that no request has failed; then stops. diag tells the rate
#     $load->lines(qr/.../);    # after it: lines "STATUS METHOD PATH WHY" of all requests
#
# The clients are few and do little for a request: they share the cores with what they load.
package Weir::Stack::Load;
use strict;
use warnings;

use JSON::PP;
use POSIX ();
use Test::More;
use Time::HiRes 'time';
use Weir::Base qw(slurp spew wait_for);
use Weir::Operator;

my $CLIENTS = 16; # each waits for its answers

my $PROGRAM = <<'PERL';
use strict;
use warnings;
use JSON::PP;
use Socket;
use Time::HiRes qw(sleep time);

my ($port, $rate, $base, $number, $user, $product) = @ARGV;
my $edge = pack_sockaddr_in($port, INADDR_LOOPBACK);
my $patience = pack 'l!l!', 30, 0;
open my $lines, '>>', "$base.$number" or die "$!\n";

# The status of the answer, and all of it.
sub ask {
    my ($request) = @_;
    socket my $socket, PF_INET, SOCK_STREAM, 0 or return (0, "socket: $!");
    setsockopt $socket, SOL_SOCKET, $_, $patience for SO_RCVTIMEO, SO_SNDTIMEO;
    connect $socket, $edge or return (0, "connect: $!");
    my $sent = syswrite $socket, $request;
    return (0, "write: $!") if !defined $sent || $sent != length $request;
    my $answer = '';
    1 while sysread $socket, $answer, 65536, length $answer;
    return $answer =~ m{\AHTTP/1\.1 (\d+) } ? ($1, $answer) : (0, "no answer: $answer");
}

sub head {
    my ($what, @fields) = @_;
    return join "\r\n", "$what HTTP/1.1", 'Host: localhost', 'Connection: close', @fields, '', '';
}
sub with {
    my ($what, $body, @fields) = @_;
    return head($what, @fields, 'Content-Type: application/json',
        'Content-Length: ' . length $body) . $body;
}

my $order = encode_json({ userId => $user, items => [{ productId => $product, quantity => 1 }] });
my $public = head("GET /products/$product");
my ($n, $looked, $mine, $of_user, $of_operator) = (0, 0);
for (my $due = time + $number / $rate / 16;; $due += 1 / $rate) {
    my $now = time;
    if ($due > $now) {
        sleep $due - $now;
        $now = time;
    }
    if ($now - $looked > 0.3) {
        last if -e "$base.enough";
        open my $in, '<', "$base.tokens" or die "$!\n";
        my $token = decode_json(join '', <$in>);
        $mine = "Authorization: Bearer $token->{user}";
        $of_user = head("GET /users/$user", $mine);
        $of_operator = head('GET /dashboard/daily-orders',
            "Authorization: Bearer $token->{operator}");
        $looked = $now;
    }
    my $kind = $n++ % 10;
    my $request = $kind < 6 ? $public
        : $kind == 6 ? with('POST /signup',
            qq({"email":"r-$number-$n\@example.com","displayName":"R"}))
        : $kind == 7 ? $of_user
        : $kind == 8 && $n % 100 == 9
        ? with('POST /checkout', $order, $mine, "Idempotency-Key: \"key-$number-$n-of-$$\"")
        : $kind == 8 ? with('POST /orders', $order, $mine)
        : $of_operator;
    my ($status, $answer) = ask($request);
    my ($what) = $request =~ m{\A(\S+ \S+)};
    my $why = $status =~ /^2/ ? '' : $answer =~ s/\s+/ /gr;
    syswrite $lines, "$status $what $why\n";
}
PERL

sub new {
    my ($class, %self) = @_;
    return bless { %self, base => "$run/load", read => {}, count => 0, failed => [] }, $class;
}

# Replaced at once: no client reads a part.
sub give_tokens {
    my ($self, $mine, $operator) = @_;
    spew("$self->{base}.tokens.new", encode_json({ user => $mine, operator => $operator }));
    rename "$self->{base}.tokens.new", "$self->{base}.tokens" or die "$!\n";
    return;
}

sub start {
    my ($self) = @_;
    spew("$self->{base}.pl", $PROGRAM);
    $self->{began} = time;
    for my $n (1 .. $CLIENTS) {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            exec $^X, "$self->{base}.pl", $port, $self->{rate} / $CLIENTS, $self->{base}, $n,
                $self->{user}, $self->{product}
                or POSIX::_exit(127);
        }
        push @{ $self->{pids} }, $pid;
    }
    $self->{owner} = $$;
    return;
}

# Reads the lines that have come since the last call.
sub _read {
    my ($self) = @_;
    for my $n (1 .. $CLIENTS) {
        open my $in, '<', "$self->{base}.$n" or next;
        seek $in, $self->{read}{$n} // 0, 0;
        while (my $line = <$in>) {
            last if $line !~ s/\n\z//;
            $self->{read}{$n} += 1 + length $line;
            $self->{count}++;
            push @{ $self->{failed} }, $line if $line !~ /^2/;
        }
    }
    return $self->{count};
}

# Lets as many requests pass as come in a second.
sub _go_on {
    my ($self) = @_;
    my $enough = $self->_read + $self->{rate};
    wait_for('more requests' => sub { $self->_read >= $enough }, 60);
    return;
}

sub through {
    my ($self, @steps) = @_;
    for my $step (['before the first step' => sub { }], @steps) {
        my ($name, $do) = @$step;
        $do->();
        $self->_go_on;
        my @failed = $self->_failures;
        is scalar(@failed), 0, "$name: no request has failed"
            or diag join "\n", splice @failed, 0, 5;
    }
    $self->_stop;
    is scalar($self->_failures), 0, 'no status but of success';
    return;
}

sub _failures {
    my ($self) = @_;
    $self->_read;
    return @{ $self->{failed} };
}

sub _stop {
    my ($self) = @_;
    spew("$self->{base}.enough", '');
    waitpid $_, 0 for splice @{ $self->{pids} };
    my $seconds = time - $self->{began};
    diag sprintf '%d requests in %d s, %d a second of %d that were offered', $self->_read,
        $seconds, $self->{count} / $seconds, $self->{rate};
    return;
}

sub lines {
    my ($self, $pattern) = @_;
    return grep { $_ =~ $pattern } map { split /\n/, slurp("$self->{base}.$_") } 1 .. $CLIENTS;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!);
    kill 'TERM', @{ $self->{pids} } if @{ $self->{pids} // [] } && $$ == $self->{owner};
    return;
}

1;
