# What tests of events share: events by the hundred, and whether each had its effects once.
#
#     my ($s, $e) = Weir::Events->with_stack;   # a new Weir::Stack, whose effects are counted
#     my $n = $e->create(100);                  # users and their events, committed
#     $e->is_all_well('every effect once');     # when all groups have handled all events
#
#     my $e = Weir::Events->new($stack);        # groups => [...]: these instead of a signup's four
#     $e->count_effects;                        # also of those that a constraint would hide
package Weir::Events;

use strict;
use warnings;

use Test::More;
use Weir::Base qw(wait_for);
use Weir::Stack;

my @GROUPS = qw(email billing analytics flags);

sub new {
    my ($class, $stack, %option) = @_;
    return bless { stack => $stack, users => 0, groups => $option{groups} // \@GROUPS }, $class;
}

# A new stack with that configuration, and its events, whose effects are counted.
sub with_stack {
    my ($class, %conf) = @_;
    my $stack = Weir::Stack->new(conf => \%conf);
    my $self = $class->new($stack);
    $self->count_effects;
    return ($stack, $self);
}

# Every effect leaves a row in `effects` within its transaction. BEFORE triggers fire for rows, too,
# that ON CONFLICT DO NOTHING then drops.
sub count_effects {
    my ($self) = @_;
    $self->{stack}->psql(<<'SQL');
CREATE TABLE effects (n bigserial, what text, id text);
CREATE FUNCTION note_effect() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO effects (what, id)
    VALUES (TG_TABLE_NAME, coalesce(r->>'flag', '') || coalesce(r->>'user_id', r->>'event_id'));
    RETURN NEW;
END $$;
CREATE TRIGGER note BEFORE INSERT ON billing_profiles FOR EACH ROW EXECUTE FUNCTION note_effect();
CREATE TRIGGER note BEFORE INSERT ON analytics_events FOR EACH ROW EXECUTE FUNCTION note_effect();
CREATE TRIGGER note BEFORE INSERT ON feature_flags FOR EACH ROW EXECUTE FUNCTION note_effect();
SQL
}

# Commits users with their events, as the signup does.
sub create {
    my ($self, $n, $prefix) = @_;
    my $from = $self->{users} + 1;
    $self->{users} += $n;
    $prefix //= 'user';
    $self->{stack}->psql(<<"SQL");
WITH made AS (
    INSERT INTO users (id, email, display_name)
    SELECT gen_random_uuid(), '$prefix' || g || '\@example.org', 'User ' || g
    FROM generate_series($from, $self->{users}) g RETURNING id, email, display_name
)
SELECT count(outbox_put(gen_random_uuid(), 'UserCreated', 'user:' || id, jsonb_build_object(
    'userId', id, 'email', email, 'displayName', display_name), NULL)) FROM made
SQL
    return $n;
}

# An event of an aggregate; more than one of them may belong to it.
sub put {
    my ($self, $aggregate, $email) = @_;
    $self->{stack}->psql("SELECT outbox_put(gen_random_uuid(), 'UserCreated', '$aggregate',"
            . " jsonb_build_object('userId', gen_random_uuid(), 'email', '$email'), NULL)");
}

sub groups { my ($self) = @_; return @{ $self->{groups} } }

# Whether the relay and these groups have nothing to do any more.
sub are_handled {
    my ($stack, @groups) = @_;
    my $list = join ',', map { "'$_'" } @groups;
    my $count = @groups;
    return $stack->psql(<<"SQL") eq 't';
SELECT NOT EXISTS (SELECT FROM outbox WHERE position IS NULL)
   AND (SELECT count(*) FROM consumer_partitions WHERE group_name IN ($list))
       = $count * (SELECT count(*) FROM partitions)
   AND NOT EXISTS (SELECT FROM consumer_partitions c JOIN partitions p USING (partition)
                   WHERE c.group_name IN ($list) AND c.handled < p.position)
SQL
}

sub wait_handled {
    my ($self, @groups) = @_;
    @groups = $self->groups if !@groups;
    wait_for('all events to be handled' => sub { are_handled($self->{stack}, @groups) });
}

# Waits until the group email has handled that many events.
sub wait_some_handled {
    my ($self, $n) = @_;
    wait_for("$n events to be handled" => sub {
        my $handled = $self->{stack}->psql('SELECT coalesce(sum(handled), 0)'
                . " FROM consumer_partitions WHERE group_name = 'email'");
        return $handled >= $n;
    });
}

# Checks that every event has its effects once, when all are handled.
sub is_all_well {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $self->wait_handled;
    is($self->complaints, '', $name);
}

# Why not every user had every effect exactly once; empty when all is well. Mails that were sent
# again have the same Message-ID, which repeated_mails() counts.
sub complaints {
    my ($self) = @_;
    my $s = $self->{stack};
    my $n = $self->{users};
    my @wrong;
    my $count = sub { $s->psql("SELECT count(*) FROM $_[0]") };
    my $effects = sub { $count->("effects WHERE what = '$_[0]'") };
    my %by_group = (
        email   => sub { ('users with a mail' => scalar keys %{ $self->mail_counts }) },
        billing => sub {
            (   'billing effects'  => $effects->('billing_profiles'),
                'billing profiles' => $count->('billing_profiles'));
        },
        analytics => sub {
            (   'analytics effects' => $effects->('analytics_events'),
                'analytics rows'    => $count->('analytics_events'));
        },
        flags => sub { ('flag effects, halved' => $effects->('feature_flags') / 2) },
    );
    my %is = map { $by_group{$_}->() } $self->groups;
    # A user is active when these three groups have done their part.
    my @activating = grep { /^(?:email|billing|flags)$/ } $self->groups;
    $is{'active users'} = $count->("users WHERE status = 'ACTIVE'") if @activating == 3;
    for my $what (sort keys %is) {
        push @wrong, "$is{$what} $what instead of $n" if $is{$what} != $n;
    }
    my $dead = $count->('dead_letters');
    push @wrong, "$dead dead letters" if $dead;
    return join '; ', @wrong;
}

# Mails by Message-ID.
sub mail_counts {
    my ($self) = @_;
    my %count;
    for my $mail ($self->{stack}->mails) {
        $count{ $mail =~ /^Message-ID: <(.+)>\r?$/m ? $1 : '' }++;
    }
    return \%count;
}

sub repeated_mails {
    my ($self) = @_;
    return scalar grep { $_ > 1 } values %{ $self->mail_counts };
}

1;
