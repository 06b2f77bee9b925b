# What tests of payments share: the gateway's simulator, its switches and ledger, and signed webhooks.
#
#     my $p = Weir::Payments->new($stack);      # before the backend starts: sets payments_url and the secret
#     $p->start;
#     $p->switch(lost_answers => 1);
#     my $order = $p->checkout;                  # a user's order, accepted
#     $p->wait_status($order, 'PAID');
#     is($p->complaints, '');                    # ledger and database say the same
package Weir::Payments;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Weir::Stack qw(wait_for free_port);

my $json = JSON::PP->new->utf8->canonical;
my $KEY  = 'the key of a payment gateway, 36 B..';
my $PRODUCT = '01900000-0000-7000-8000-000000000001'; # of the first migration of products
my $PRICE   = 129900;

sub new {
    my ($class, $stack) = @_;
    my $self = bless { stack => $stack, port => free_port(), users => 0 }, $class;
    $stack->{conf}{payments_url}     = "http://127.0.0.1:$self->{port}";
    $stack->{conf}{payments_timeout} = '60s'; # a loaded machine is no lost answer
    $stack->{conf}{webhook_secret}   = $self->secret;
    return $self;
}

sub secret { return 'whsec_' . encode_base64($_[1] // $KEY, '') }

# --- the simulator ------------------------------------------------------------------

sub start {
    my ($self) = @_;
    my $s = $self->{stack};
    my $binary = $ENV{WEIR_PAYMENTS_SIM_BINARY} // $s->{binary} =~ s/[^\/]+\z/weir-payments-sim/r;
    $s->_start('sim', [$binary, '-l', "127.0.0.1:$self->{port}", '-w', $s->url('/webhooks/payment'),
        '-s', $self->secret, '-f', $s->dir . '/ledger.json']);
    $s->_until('sim', sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}") });
}

sub stop { my ($self) = @_; return $self->{stack}->_stop('sim', 'TERM') }
sub kill { my ($self) = @_; return $self->{stack}->_stop('sim', 'KILL') }

sub ask {
    my ($self, $method, $path, $content) = @_;
    my $r = HTTP::Tiny->new(timeout => 30)->request($method, "http://127.0.0.1:$self->{port}$path",
        $content ? { content => $json->encode($content) } : {});
    die "$method $path: $r->{status} $r->{content}\n" if $r->{status} >= 300;
    return $json->decode($r->{content});
}

sub switch { my ($self, %to) = @_; return $self->ask('POST', '/admin/switches', \%to) }
sub left   { my ($self, $switch) = @_; return $self->ask('GET', '/admin/switches')->{$switch} }
sub ledger { my ($self) = @_; return $self->ask('GET', '/ledger') }

# The charge of an order's payment, or undef.
sub charge_of {
    my ($self, $order) = @_;
    my $payment = $self->{stack}->psql("SELECT id FROM payments WHERE order_id = '$order'");
    my ($charge) = grep { $_->{idempotency_key} eq $payment } @{ $self->ledger->{charges} };
    return $charge;
}

sub wait_delivered {
    my ($self) = @_;
    wait_for('all webhooks to be delivered', sub { $self->ledger->{webhooks}{waiting} == 0 });
}

# --- orders ----------------------------------------------------------------------------

# A user that is there, without events.
sub user {
    my ($self) = @_;
    my $n = ++$self->{users};
    return $self->{stack}->psql("INSERT INTO users (id, email, display_name, status, steps)"
        . " VALUES (gen_random_uuid(), 'buyer$n\@example.org', 'Buyer $n', 'ACTIVE', 7) RETURNING id");
}

sub body { my ($self, $user, $quantity) = @_; return { userId => $user, items => [{ productId => $PRODUCT, quantity => $quantity // 1 }] } }
# The same text each time, as a repeated request must be.
sub text { my ($self, $body) = @_; return $json->encode($body) }

sub price { return $PRICE }

sub post {
    my ($self, $body, $key, $headers) = @_;
    return $self->{stack}->post('/checkout', $self->text($body),
        { defined $key ? ('Idempotency-Key' => $key) : (), %{ $headers // {} } });
}

# Checks out and returns the order's id.
sub checkout {
    my ($self, $user) = @_;
    my $r = $self->post($self->body($user // $self->user), '"key-' . ++$self->{keys} . '"');
    die "checkout: $r->{status} $r->{content}\n" if $r->{status} != 202;
    return $r->{json}{id};
}

sub status {
    my ($self, $order) = @_;
    return $self->{stack}->psql("SELECT o.status || ' ' || p.status FROM orders o JOIN payments p"
        . " ON p.order_id = o.id WHERE o.id = '$order'");
}

sub wait_status {
    my ($self, $order, $status) = @_;
    my $is;
    eval { wait_for("order $order to be $status", sub { ($is = $self->status($order)) eq $status }) }
        or die "order $order is $is, not $status\n";
    return $status;
}

sub events {
    my ($self, $order) = @_;
    return join ' ', split /\n/, $self->{stack}->psql("SELECT type FROM outbox WHERE aggregate = 'order:$order' ORDER BY id");
}

# Until relay and the group payments have nothing to do any more.
sub wait_handled {
    my ($self, @groups) = @_;
    my $list = join ',', map { "'$_'" } @groups ? @groups : 'payments';
    wait_for('all events to be handled', sub {
        $self->{stack}->psql("SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)"
            . " AND NOT EXISTS (SELECT FROM consumer_partitions c JOIN partitions p USING (partition)"
            . " WHERE c.group_name IN ($list) AND c.handled < p.position)") eq 't';
    });
}

# Where ledger and database differ; empty when they don't. Each payment has one charge at most, of its
# amount, in the state that its own says; no charge is without a payment or a refund.
sub complaints {
    my ($self) = @_;
    my (%charges, @wrong);
    my %stray = map { $_ => 1 } split /\n/, $self->{stack}->psql('SELECT s.charge FROM stray_charges s JOIN payments p ON p.id::text = s.key');
    for my $c (@{ $self->ledger->{charges} }) {
        push @wrong, "two charges for $c->{idempotency_key}" if $charges{ $c->{idempotency_key} };
        $charges{ $c->{idempotency_key} } = $c;
    }
    for my $line (split /\n/, $self->{stack}->psql('SELECT p.id, p.status, p.amount, o.status FROM payments p JOIN orders o ON o.id = p.order_id')) {
        my ($id, $status, $amount, $order) = split /\|/, $line;
        my $c = delete $charges{$id};
        if ($c && $stray{ $c->{id} }) { # of another amount, under its key
            push @wrong, "stray charge $c->{id} is $c->{status}" if $c->{status} eq 'succeeded';
            undef $c;
        }
        my $is = ($c ? $c->{status} : 'none') . " $status $order";
        push @wrong, "payment $id: $is"
            if $is !~ /^(?:succeeded SUCCEEDED PAID|failed FAILED FAILED|refunded REFUNDED FAILED|none FAILED FAILED|none REQUESTED PENDING)$/;
        push @wrong, "payment $id is of $amount, its charge of $c->{amount}" if $c && $c->{amount} != $amount;
    }
    for my $c (values %charges) {
        push @wrong, "charge $c->{id} without a payment is $c->{status}" if $c->{status} eq 'succeeded';
    }
    my $dead = $self->{stack}->psql('SELECT count(*) FROM dead_letters');
    push @wrong, "$dead dead letters" if $dead;
    push @wrong, $self->endless;
    return join '; ', @wrong;
}

# Orders that wait for a payment which nothing will end: no event of theirs that the group payments has not handled, and
# no dead letter.
sub endless {
    my ($self) = @_;
    return map { "order $_ is PENDING, and nothing ends it" } split /\n/, $self->{stack}->psql(<<'SQL');
SELECT o.id FROM orders o LEFT JOIN payments p ON p.order_id = o.id
WHERE o.status = 'PENDING'
  AND NOT EXISTS (SELECT FROM dead_letters d WHERE d.group_name = 'payments'
                  AND d.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn')
                  AND uuid_value(d.data->>'paymentId') = p.id)
  AND NOT EXISTS (SELECT FROM outbox e LEFT JOIN consumer_partitions c ON c.group_name = 'payments' AND c.partition = e.partition
                  WHERE e.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn', 'StrayChargeReported')
                    AND (uuid_value(e.data->>'paymentId') = p.id OR uuid_value(e.data->>'key') = p.id)
                    AND (e.position IS NULL OR c.handled IS NULL OR e.position > c.handled)
                    AND NOT EXISTS (SELECT FROM consumed h WHERE h.group_name = 'payments' AND h.partition = e.partition
                                    AND h.position = e.position))
SQL
}

# --- webhooks ---------------------------------------------------------------------------

# The fields that sign a message. Options: id, time, key.
sub signed {
    my ($self, $content, %option) = @_;
    my $body = ref $content ? $json->encode($content) : $content;
    my $id   = $option{id}   // 'msg_' . ++$self->{messages};
    my $time = $option{time} // time;
    my $mac  = encode_base64(hmac_sha256("$id.$time.$body", $option{key} // $KEY), '');
    return ('webhook-id' => $id, 'webhook-timestamp' => $time, 'webhook-signature' => "v1,$mac");
}

# Posts a message. Options: those of signed(), and what is sent instead of what was signed: signature, headers
# (undef leaves one out), send (the body).
sub webhook {
    my ($self, $content, %option) = @_;
    my %headers = ($self->signed($content, %option), %{ $option{headers} // {} });
    $headers{'webhook-signature'} = $option{signature} if defined $option{signature};
    delete @headers{ grep { !defined $headers{$_} } keys %headers };
    return $self->{stack}->post('/webhooks/payment', $option{send} // (ref $content ? $json->encode($content) : $content), \%headers);
}

sub message {
    my ($self, $charge, $status) = @_;
    return { type => "charge.$status", data => { map { $_ => $charge->{$_} } qw(id idempotency_key amount currency status) } };
}

1;
