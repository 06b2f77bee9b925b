# Processes and a schema of different versions: a migration while processes run,
# processes that start before their migration, and (with WEIR_OLD_TREE, another built checkout) the
# processes of that version beside these.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Events;
use Weir::Payments;
use Weir::Redis 'redis_login';
use Weir::Stack qw(wait_for);

my %CONF = (retry_base => '20ms', retry_max => '300ms');

subtest 'migrations while two workers and a relay run lose no event' => sub {
    my $s = Weir::Stack->new(conf => { %CONF, groups => 'email,billing,analytics,flags' });
    my $e = Weir::Events->new($s);
    $e->count_effects;
    $s->start_smtp;
    $s->start_backend('relay', name => 'relay');
    $s->start_backend('worker', name => $_) for qw(one two);
    for my $round (1 .. 3) {
        $e->create(60);
        $s->psql("ALTER TABLE partitions ADD later$round int");
        my ($status, $output) = $s->run_backend('migrate'); # makes all functions again
        is $status, 0, 'migrate' or diag $output;
        $e->create(60);
        $e->wait_handled;
        is $e->complaints, '', 'each effect once';
    }
    is $e->repeated_mails, 0, 'no mail came twice';
    is $s->stop_backend($_), 0, "$_ stops" for qw(one two relay);
};

subtest 'processes of a later version than the schema wait for its migration' => sub {
    my $s = Weir::Stack->new(conf => { %CONF, groups => 'payments', retry_attempts => 2 });
    my $p = Weir::Payments->new($s);
    $p->start;
    $s->start_backend('api');
    my $order = $p->checkout;
    $s->psql("ALTER FUNCTION $_ RENAME TO no_$_") for qw(relay_lead payments_due);
    $s->psql('ALTER TABLE partitions RENAME halted TO no_halted');
    my $advice = "the database's schema is not this version's; run: weir-backend -c FILE migrate";
    for my $command ('groups', 'relay', 'outbox') {
        my ($status, $out, $err) =
            $s->weirctl($command, $command eq 'groups' ? ('--interval', '0') : ());
        is $status, 3, "weirctl $command";
        like $err, qr/does not exist: \Q$advice\E$/, 'says what to do';
    }
    $s->start_backend('relay');
    wait_for('the log' => sub {
        grep { ($_->{advice} // '') =~ /run: weir-backend -c FILE migrate/ }
            $s->log_lines('relay');
    });
    pass 'so does the relay';
    $s->psql('ALTER FUNCTION no_relay_lead RENAME TO relay_lead');
    $s->psql('ALTER TABLE partitions RENAME no_halted TO halted');
    $s->start_backend('worker');
    wait_for('the log' => sub {
        grep { ($_->{advice} // '') =~ /run: weir-backend -c FILE migrate/ }
            $s->log_lines('worker');
    });
    pass 'and the worker';
    is $s->psql('SELECT (SELECT count(*) FROM dead_letters) + (SELECT coalesce(max(attempts), 0)'
            . ' FROM retries)'), 0, 'the payment waits, without an attempt';
    $s->psql('ALTER FUNCTION no_payments_due RENAME TO payments_due');
    $p->wait_status($order, 'PAID SUCCEEDED');
    $p->wait_delivered;
    $p->wait_handled;
    is $p->complaints, '', 'after the migration all goes on by itself';
    is $s->stop_backend($_), 0, "$_ stops" for qw(worker relay api);
};

subtest 'processes of another version run beside these' => sub {
    my $tree = $ENV{WEIR_OLD_TREE} or plan skip_all => 'WEIR_OLD_TREE names no other checkout';
    my $s = Weir::Stack->new(migrate => 0,
        conf => { %CONF, groups => 'email,billing,analytics,flags', redis_user => undef,
            redis_password_file => undef }); # earlier versions don't have these keys
    $s->{conf}{redis} =
        'redis://' . redis_login('weir-backend') . "\@127.0.0.1:$s->{redis_port}/0";
    my $old = sub {
        my ($roles, $name) = @_;
        local $s->{binary} = "$tree/build/weir-backend";
        $s->start_backend($roles, name => $name);
    };
    my ($status, $output) = $s->run_command("$tree/build/weir-backend", '-c',
        $s->write_conf(-d "$tree/backend/sql" ? (sql => "$tree/backend/sql") : ()), 'migrate');
    is $status, 0, 'its schema' or diag $output;
    my $e = Weir::Events->new($s);
    $e->count_effects;
    $s->start_smtp;
    $old->('relay', 'old relay');
    $old->('worker', 'old worker');
    $e->create(100);
    $s->migrate;
    if (-d "$tree/backend/sql") { # it is from before 061
        ($status, $output) = $s->run_command("$tree/build/weir-backend", '-c',
            $s->write_conf(sql => "$tree/backend/sql"), 'migrate');
        is $status, 1, 'its migrate does not touch this schema';
        like $output, qr/the database belongs to a later version of weir-backend/, 'and says why';
    }
    $s->start_backend('worker', name => 'new worker');
    $s->start_backend('relay', name => 'new relay');
    $e->create(100);
    $e->wait_handled;
    is $e->complaints, '', 'each effect once, with the old relay, an old and a new worker';
    $s->stop_backend('old relay');
    $e->create(100);
    $e->wait_handled;
    $old->('relay', 'old relay again');
    $s->kill_backend('new worker');
    $e->create(100);
    $e->wait_handled;
    is $e->complaints, '', 'and with the new relay, and an old worker alone';
    is $s->stop_backend($_), 0, "$_ stops" for 'old worker', 'new relay', 'old relay again';
};

done_testing;
