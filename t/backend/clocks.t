# Clocks that are set: PostgreSQL's, and those of the backend's processes. Nothing is lost, nothing
# done twice, nothing waits for a time that a wrong clock has set, and the log says so.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Base qw(spew);
use Weir::Events;
use Weir::Stack qw(wait_for);

my ($library) = glob '/usr/lib/*/faketime/libfaketimeMT.so.1';
plan skip_all => 'there is no libfaketime' if !$library;

# The environment of a program whose clocks are as the file says: "+1h", "-2d". The file is read at
# each look.
sub faked {
    my ($file, %also) = @_;
    spew($file, '+0');
    return {
        LD_PRELOAD => $library, FAKETIME_TIMESTAMP_FILE => $file, FAKETIME_NO_CACHE => 1,
        NO_FAKE_STAT => 1,
        FAKETIME_DONT_FAKE_MONOTONIC => 1, DONT_FAKE_MONOTONIC => 1,
        ASAN_OPTIONS => 'verify_asan_link_order=0', %also };
}

sub said {
    my ($s, $name, $msg) = @_;
    return grep { join(' ', $_->{msg}, $_->{notice} // '') =~ $msg } $s->log_lines($name);
}

my $clock = "/tmp/weir-clock.$$";
END { unlink $clock if $clock }
my $s = Weir::Stack->new(
    conf => { groups => 'email, billing, analytics', retry_base => '20ms', retry_max => '200ms' },
    postgres_env => faked($clock));
my $e = Weir::Events->new($s, groups => [qw(email billing analytics)]);
my $set = sub {
    my ($offset) = @_;
    spew($clock, $offset);
};
my $ahead = sub { return $s->psql('SELECT extract(epoch FROM clock_timestamp())::bigint') - time };
$e->count_effects;
$s->start_smtp;

subtest "a clock of PostgreSQL that goes forward and back loses no event" => sub {
    $s->start_backend('relay', name => 'relay');
    $s->start_backend('worker', name => $_) for qw(one two);
    for my $offset ('+2d', '+1h', '-1h', '+400d', '+0') {
        $e->create(60);
        $set->($offset);
        $e->create(60);
        $e->wait_handled;
        is $e->complaints, '', "$offset: each effect once";
    }
    cmp_ok abs($ahead->()), '<', 60, 'the clock is right again';
    is $e->repeated_mails, 0, 'no mail came twice';
    # By the worker whose heartbeat comes first: it also deletes the other's record.
    wait_for('the log' => sub {
        grep { said($s, $_, qr/clock of PostgreSQL was set back/) } qw(one two);
    });
    pass 'the log says so';
    is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no dead letter';
};

subtest 'leases of a dead worker that end in the future are taken' => sub {
    $set->('+1h');
    cmp_ok $ahead->(), '>', 3000, 'an hour ahead';
    wait_for('leases of that time' => sub {
        $s->psql("SELECT bool_and(expires_at > to_timestamp(@{[ time ]}) + interval '30 min')"
                . " FROM consumer_partitions") eq 't';
    });
    $s->kill_backend('one');
    $set->('+0');
    $e->create(60);
    $e->wait_handled;
    is $e->complaints, '', 'another takes over at once, each effect once';
    is $s->psql('SELECT count(*) FROM workers'), 1, 'the dead one is forgotten';
    is $s->stop_backend('two'), 0, 'stops';
};

subtest 'an attempt that a wrong clock put into another year is made' => sub {
    $s->stop_smtp;
    $set->('+40d');
    $s->start_backend('worker', name => 'three');
    $e->create(3);
    wait_for('failures' => sub {
        $s->psql('SELECT count(*) FROM retries WHERE next_at > to_timestamp('
                . time
                . ") + interval '30 days'") == 3;
    });
    $s->kill_backend('three');
    $set->('+0');
    # Longer than a worker waits by itself, it may be after the clock was set back: retry_max, or 15
    # minutes.
    my $wait = $s->psql("SELECT max(wait_ms) FROM consumer_partitions c, worker_open(c.group_name,"
            . " c.partition, c.epoch) WHERE c.group_name = 'email'");
    is $wait, 2147483647, 'a wait of that many days is a number that the worker reads';
    $s->psql("UPDATE retries SET next_at = now()"); # the fifteen minutes
    $s->start_smtp;
    $s->start_backend('worker', name => 'four');
    $e->wait_handled;
    is $e->complaints, '', 'each effect once';
    is $s->stop_backend('four'), 0, 'stops';
    $s->stop_backend('relay');
};

subtest "a clock of a process that jumps is logged, and stops nothing" => sub {
    my $own = $s->dir . '/clock';
    my %env = %{ faked($own) };
    # As on a machine that slept: the monotonic clock goes on as well.
    my %sleeps = %{ faked("$own.sleeps") };
    delete @sleeps{ grep { /MONOTONIC/ } keys %sleeps };
    $s->start_backend('relay', env => \%env);
    $s->start_backend('worker', name => 'awake', env => \%env);
    $s->start_backend('worker', name => 'sleeper', env => \%sleeps);
    my $words = sub { said($s, 'awake', qr/^the machine's clock was set/) };
    for my $offset ('+3h', '-3h', '+0') {
        my $before = () = $words->();
        $e->create(40);
        spew($own, $offset);
        spew("$own.sleeps", '+3h'); # once, never back
        $e->create(40);
        $e->wait_handled;
        is $e->complaints, '', "$offset: each effect once";
        is $e->repeated_mails, 0, 'no mail twice';
        wait_for('the log' => sub { $before < (() = $words->()) });
    }
    is join(' ', map { sprintf '%.1f', $_->{by_ms} / 3_600_000 } $words->()), '3.0 -6.0 3.0',
        'the log says by how many hours';
    is $s->stop_backend($_), 0, "$_ stops" for qw(awake sleeper relay);
};

done_testing;
