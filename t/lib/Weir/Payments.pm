# What tests of payments share: the gateway's simulator, its switches and ledger, and signed
# webhooks.
#
#     my ($s, $p) = Weir::Payments->with_stack;  # a new Weir::Stack with gateway and api
#     $p->switch(lost_answers => 1);
#     my $order = $p->checkout;                  # a user's order, accepted
#     $p->wait_status($order, 'PAID SUCCEEDED'); # of the order, and of its payment
#     $p->is_all_well('one charge');             # ledger and database say the same
#
#     my $p = Weir::Payments->new($stack);       # before the backend starts: configures it
#     $p->start;
package Weir::Payments;

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use HTTP::Tiny;
use JSON::PP ();
use MIME::Base64 qw(encode_base64);
use Test::More;
use Weir::Base qw(free_port listens wait_for);
use Weir::Events;
use Weir::Stack;

my $json = JSON::PP->new->utf8->canonical;
my $KEY = 'the key of a payment gateway, 36 B..';
my $PRODUCT = '01900000-0000-7000-8000-000000000001'; # of the first migration of products
my $PRICE = 129900;

sub new {
    my ($class, $stack) = @_;
    my $self = bless { stack => $stack, port => free_port(), users => 0 }, $class;
    $self->{url} = ($stack->{keys} ? 'https' : 'http') . "://127.0.0.1:$self->{port}";
    $stack->{conf}{payments_url} = $self->{url};
    $stack->{conf}{payments_timeout} = '60s'; # a loaded machine is no lost answer
    $stack->{conf}{webhook_secret} = $self->secret;
    return $self;
}

# A new stack with that configuration, its gateway and its api.
sub with_stack {
    my ($class, %conf) = @_;
    my $stack = Weir::Stack->new(conf => \%conf);
    my $self = $class->new($stack);
    $self->start;
    $stack->start_backend('api');
    return ($stack, $self);
}

sub secret { return 'whsec_' . encode_base64($_[1] // $KEY, '') }

# --- the simulator ------------------------------------------------------------------

# webhooks: where they go; to the api without it.
sub start {
    my ($self, %more) = @_;
    my $s = $self->{stack};
    my $binary = $ENV{WEIR_PAYMENTS_SIM_BINARY} // $s->{binary} =~ s/[^\/]+\z/weir-payments-sim/r;
    my $url = $more{webhooks} // $s->url('/webhooks/payment');
    my @webhooks = ('-w', $url, '-s', $self->secret);
    my @command = ($binary, '-l', "127.0.0.1:$self->{port}", @webhooks);
    push @command, '-T', "$s->{keys}/payments" if $s->{keys};
    $s->start_process('sim', [@command, '-f', $s->dir . '/ledger.json']);
    $s->wait_started('sim' => sub { listens($self->{port}) });
}

sub stop { my ($self) = @_; return $self->{stack}->stop_process('sim', 'TERM') }
sub kill { my ($self) = @_; return $self->{stack}->stop_process('sim', 'KILL') }

sub ask {
    my ($self, $method, $path, $content) = @_;
    my $option = $content ? { content => $json->encode($content) } : {};
    my $keys = $self->{stack}{keys};
    my %tls = $keys ? (verify_SSL => 1, SSL_options => {
        SSL_ca_file => "$keys/ctl/ca.crt", SSL_cert_file => "$keys/ctl/tls.crt",
        SSL_key_file => "$keys/ctl/tls.key",
    }) : ();
    my $r = HTTP::Tiny->new(timeout => 30, %tls)->request($method, $self->{url} . $path, $option);
    die "$method $path: $r->{status} $r->{content}\n" if $r->{status} >= 300;
    return $json->decode($r->{content});
}

sub switch { my ($self, %to) = @_;     return $self->ask('POST', '/admin/switches', \%to) }
sub left   { my ($self, $switch) = @_; return $self->ask('GET', '/admin/switches')->{$switch} }
sub ledger { my ($self) = @_;          return $self->ask('GET', '/ledger') }

# The charge of an order's payment, or undef.
sub charge_of {
    my ($self, $order) = @_;
    my $payment = $self->payment_of($order);
    my ($charge) = grep { $_->{idempotency_key} eq $payment } @{ $self->ledger->{charges} };
    return $charge;
}

# The id of an order's payment, which is the key of its charge.
sub payment_of {
    my ($self, $order) = @_;
    return $self->{stack}->psql("SELECT id FROM payments WHERE order_id = '$order'");
}

# Makes a charge in the gateway under that key, which no process of Weir has asked for. Options:
# what the charge has instead of success, amount and currency of a checkout.
sub charge {
    my ($self, $key, %option) = @_;
    my %charge = (currency => 'EUR', amount => $PRICE, status => 'succeeded', %option);
    return $self->ask('POST', '/admin/charges', { idempotency_key => $key, %charge });
}

sub wait_delivered {
    my ($self) = @_;
    wait_for('all webhooks to be delivered' => sub { $self->ledger->{webhooks}{waiting} == 0 });
}

# --- orders ----------------------------------------------------------------------------

# A user that is there, without events.
sub user {
    my ($self) = @_;
    my $n = ++$self->{users};
    return $self->{stack}->psql("INSERT INTO users (id, email, display_name, status, steps)"
            . " VALUES (gen_random_uuid(), 'buyer$n\@example.org', 'Buyer $n', 'ACTIVE', 7)"
            . " RETURNING id");
}

sub body {
    my ($self, $user, $quantity) = @_;
    return { userId => $user, items => [{ productId => $PRODUCT, quantity => $quantity // 1 }] };
}
# The same text each time, as a repeated request must be.
sub text { my ($self, $body) = @_; return $json->encode($body) }

sub price { return $PRICE }

sub post {
    my ($self, $body, $key, $headers) = @_;
    my %headers = (defined $key ? ('Idempotency-Key' => $key) : (), %{ $headers // {} });
    return $self->{stack}->post('/checkout', $self->text($body), \%headers);
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
    my $reached = sub { ($is = $self->status($order)) eq $status };
    eval { wait_for("order $order to be $status", $reached) }
        or die "order $order is $is, not $status\n";
    return $status;
}

sub events {
    my ($self, $order) = @_;
    return $self->{stack}->psql("SELECT string_agg(type, ' ' ORDER BY id) FROM outbox"
            . " WHERE aggregate = 'order:$order'");
}

# Waits until relay and groups (default: payments) have nothing to do any more.
sub wait_handled {
    my ($self, @groups) = @_;
    @groups = 'payments' if !@groups;
    wait_for(
        'all events to be handled' => sub { Weir::Events::are_handled($self->{stack}, @groups) });
}

# Checks that ledger and database say the same, when all webhooks and events are handled.
sub is_all_well {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->wait_delivered;
    $self->wait_handled;
    is($self->complaints, '', $name);
}

# The states of charge, payment and order that may end together.
my %ENDS = map { $_ => 1 } (
    'succeeded SUCCEEDED PAID', 'failed FAILED FAILED', 'refunded REFUNDED FAILED',
    'none FAILED FAILED',       'none REQUESTED PENDING',
);

# Where ledger and database differ; empty when they don't. Each payment has one charge at most, of
# its amount, in the state that its own says; no charge is without a payment or a refund.
sub complaints {
    my ($self) = @_;
    my $s = $self->{stack};
    my (%charges, @wrong);
    for my $charge (@{ $self->ledger->{charges} }) {
        my $key = $charge->{idempotency_key};
        push @wrong, "two charges for $key" if $charges{$key};
        $charges{$key} = $charge;
    }
    # Charges of another amount under a payment's key.
    my %stray = map { $_ => 1 } split /\n/,
        $s->psql('SELECT s.charge FROM stray_charges s JOIN payments p ON p.id::text = s.key');
    my $payments = $s->psql('SELECT p.id, p.status, p.amount, o.status'
            . ' FROM payments p JOIN orders o ON o.id = p.order_id');
    for my $line (split /\n/, $payments) {
        my ($id, $status, $amount, $order) = split /\|/, $line;
        my $charge = delete $charges{$id};
        if ($charge && $stray{ $charge->{id} }) {
            push @wrong, "stray charge $charge->{id} is $charge->{status}"
                if $charge->{status} eq 'succeeded';
            undef $charge;
        }
        my $is = ($charge ? $charge->{status} : 'none') . " $status $order";
        push @wrong, "payment $id: $is" if !$ENDS{$is};
        push @wrong, "payment $id is of $amount, its charge of $charge->{amount}"
            if $charge && $charge->{amount} != $amount;
    }
    for my $charge (values %charges) {
        push @wrong, "charge $charge->{id} without a payment is $charge->{status}"
            if $charge->{status} eq 'succeeded';
    }
    my $dead = $s->psql('SELECT count(*) FROM dead_letters');
    push @wrong, "$dead dead letters" if $dead;
    push @wrong, map { "order $_ is PENDING, and nothing ends it" } $self->endless;
    return join '; ', @wrong;
}

# Orders that wait for a payment which nothing will end: no event of theirs that the group payments
# has not handled, and no dead letter.
sub endless {
    my ($self) = @_;
    return split /\n/, $self->{stack}->psql(<<'SQL');
SELECT o.id FROM orders o LEFT JOIN payments p ON p.order_id = o.id
WHERE o.status = 'PENDING'
  AND NOT EXISTS (
    SELECT FROM dead_letters d
    WHERE d.group_name = 'payments'
      AND d.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn')
      AND uuid_value(d.data->>'paymentId') = p.id)
  AND NOT EXISTS (
    SELECT FROM outbox e
    LEFT JOIN consumer_partitions c ON c.group_name = 'payments' AND c.partition = e.partition
    WHERE e.type IN ('PaymentRequested', 'PaymentReported', 'PaymentWithdrawn',
                     'StrayChargeReported')
      AND p.id IN (uuid_value(e.data->>'paymentId'), uuid_value(e.data->>'key'))
      AND (e.position IS NULL OR c.handled IS NULL OR e.position > c.handled)
      AND NOT EXISTS (
        SELECT FROM consumed h
        WHERE h.group_name = 'payments' AND h.partition = e.partition AND h.position = e.position))
SQL
}

# --- webhooks ---------------------------------------------------------------------------

# The fields that sign a message. Options: id, time, key.
sub signed {
    my ($self, $content, %option) = @_;
    my $body = ref $content ? $json->encode($content) : $content;
    my $id = $option{id} // 'msg_' . ++$self->{messages};
    my $time = $option{time} // time;
    my $mac = encode_base64(hmac_sha256("$id.$time.$body", $option{key} // $KEY), '');
    return ('webhook-id' => $id, 'webhook-timestamp' => $time, 'webhook-signature' => "v1,$mac");
}

# Posts a message. Options: those of signed(), and what is sent instead of what was signed:
# signature, headers (undef leaves one out), send (the body).
sub webhook {
    my ($self, $content, %option) = @_;
    my %headers = ($self->signed($content, %option), %{ $option{headers} // {} });
    $headers{'webhook-signature'} = $option{signature} if defined $option{signature};
    delete @headers{ grep { !defined $headers{$_} } keys %headers };
    my $body = $option{send} // (ref $content ? $json->encode($content) : $content);
    return $self->{stack}->post('/webhooks/payment', $body, \%headers);
}

sub message {
    my ($self, $charge, $status) = @_;
    my %data = map { $_ => $charge->{$_} } qw(id idempotency_key amount currency status);
    return { type => "charge.$status", data => \%data };
}

1;
