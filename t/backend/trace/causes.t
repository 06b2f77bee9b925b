# What has made a request or an event slow: its trace names the part, and the metrics do for all.
# Staged are a slow statement, waiting for a batch, a slow disk, mail server and payment gateway.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Temp ();
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(sleep time);
use Weir::Api qw(make_users order_of raw_request);
use Weir::Backend::Metrics qw(value);
use Weir::Backend::Spans qw(named);
use Weir::Base qw(free_port spew wait_for);
use Weir::Payments;
use Weir::Stack;

# --- a disk that stands still while a file is there: PostgreSQL's fdatasync() waits for its end ---

my $folder = File::Temp::tempdir('/tmp/weir-t.XXXXXX', CLEANUP => 1);
chmod 0755, $folder;
my ($disk, $statement) = ("$folder/disk-stands", "$folder/statement-may-end");
spew("$folder/disk.c", <<'C');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int fdatasync(int fd)
{
    int (*call)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");

    while (access(getenv("WEIR_DISK_STANDS"), F_OK) == 0)
        usleep(1000);
    return call(fd);
}
C
is system('cc', '-shared', '-fPIC', '-o', "$folder/disk.so", "$folder/disk.c"), 0,
    'the disk is built';

my $s = Weir::Stack->new(
    conf => { smtp_timeout => '60s' },
    postgres_env => { LD_PRELOAD => "$folder/disk.so", WEIR_DISK_STANDS => $disk },
    postgres_settings => ['fsync=on', 'wal_sync_method=fdatasync']);
my $p = Weir::Payments->new($s);
$p->start;
my $c = Weir::Backend::Spans->new($s);
$s->start_smtp_ledger;
my $m = Weir::Backend::Metrics->new(free_port());
$s->start_backend('all', conf => { $c->conf, metrics_listen => "127.0.0.1:$m->{port}" });

# A statement of a signup of "slow…" does not end before a file is there.
$s->psql_as('postgres', 'weir', <<"SQL");
CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
BEGIN
    WHILE pg_stat_file('$statement', true) IS NULL LOOP
        PERFORM pg_sleep(0.001);
    END LOOP;
    RETURN NEW;
END \$\$;
CREATE TRIGGER stand BEFORE INSERT ON users FOR EACH ROW WHEN (NEW.email LIKE 'slow%')
    EXECUTE FUNCTION stand();
SQL

# --- requests, and what they have waited for ---

my $number = 0;
sub new_trace { return sprintf '%032x', 0xca0000 + ++$number }

sub send_request {
    my ($path, $body, @headers) = @_;
    my $trace = new_trace();
    my $more = join '', map { "$_\r\n" } "traceparent: 00-$trace-00f067aa0ba902b7-01", @headers;
    my $raw = raw_request('POST', $path, $body) =~ s/\r\n/\r\n$more/r;
    return { trace => $trace, socket => $s->send_raw($raw) };
}
sub sign_up {
    my ($name) = @_;
    return send_request('/signup', { email => "$name\@example.com", displayName => 'A' });
}

sub answered {
    my ($status, @requests) = @_;
    return is scalar(grep { $s->read_raw($_->{socket}) =~ m{^HTTP/1\.1 $status} } @requests),
        scalar(@requests), "... all are answered with $status";
}

# The time of each part of a request, in ms.
sub parts_of_request {
    my ($trace) = @_;
    my ($batch, $select, $executed);
    wait_for("the request $trace" => sub {
        my @spans = $c->spans;
        ($batch) = grep { $_->{trace} eq $trace } named('batch signup', @spans);
        return if !$batch;
        my %linked = map { $_->{id} => 1 } @{ $batch->{links} };
        ($select) = grep { $_->{parent} eq $batch->{id} || $linked{ $_->{id} } }
            named('SELECT signup', @spans);
        return $select;
    });
    ($executed) = grep { $_->{name} eq 'weir.db.executed' } @{ $select->{events} };
    return {
        'batch' => ($select->{start} - $batch->{start}) / 1e6,
        'statement' => ($executed->{time} - $select->{start}) / 1e6,
        'commit' => ($select->{end} - $executed->{time}) / 1e6,
    };
}

# The same of the attempt of a group: by its longest part.
sub parts_of_attempt {
    my ($trace, $group) = @_;
    my ($attempt, %parts);
    wait_for("the attempt of $group in $trace" => sub {
        my @spans = grep { $_->{trace} eq $trace } $c->spans;
        ($attempt) = grep { $_->{attributes}{'messaging.consumer.group.name'} eq $group }
            named('process weir:events', @spans);
        return if !$attempt;
        %parts = map { $_->{name} => ($_->{end} - $_->{start}) / 1e6 }
            grep { $_->{parent} eq $attempt->{id} && $_->{kind} != 5 && $_->{kind} != 4
                && $_->{name} ne 'outbox' } @spans;
        return keys %parts;
    });
    return \%parts;
}

my ($right, $total) = (0, 0);
sub is_cause {
    my ($cause, $parts) = @_;
    my ($first) = sort { $parts->{$b} <=> $parts->{$a} } keys %$parts;
    $total++;
    $right++ if $first eq $cause;
    diag explain $parts if $first ne $cause;
    return;
}

# The time of each part of signups in the metrics, in seconds.
sub parts_of_all {
    my $families = $m->scrape('text');
    my %signup = (db_query_summary => 'SELECT signup');
    my $sum = sub { value($families, "$_[0]_sum", @_[1 .. $#_]) // 0 };
    my $whole = $sum->('db_client_operation_duration_seconds', db_system_name => 'postgresql',
        %signup);
    my $commit = $sum->('weir_db_commit_seconds', %signup);
    return { batch => $sum->('weir_batch_wait_seconds', %signup), commit => $commit,
        statement => $whole - $commit };
}

# What has grown most since.
sub is_cause_of_all {
    my ($cause, $before) = @_;
    my $now = parts_of_all();
    my %more = map { $_ => $now->{$_} - $before->{$_} } keys %$now;
    my ($first) = sort { $more{$b} <=> $more{$a} } keys %more;
    is $first, $cause, "... and the metrics name $cause" or diag explain \%more;
    return;
}

# --- what is usual: everything that is staged takes five times as long ---

answered(201, my @usual = map { sign_up("usual$_") } 1 .. 5);
my $usual = max(map { my $parts = parts_of_request($_->{trace}); values %$parts } @usual);
my $process = max(map { values %{ parts_of_attempt($_->{trace}, 'email') } } @usual);
sub until_slow {
    my ($ms) = @_;
    my $end = time + 5 * ($ms + 1) / 1000;
    return wait_for('what is slow', sub { time > $end });
}
sub until_sleeping {
    wait_for('the statement stands' => sub {
        $s->psql_as('postgres', 'postgres',
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0;
    });
}
sub until_active {
    my ($n) = @_;
    $m->wait_for_value('http_server_active_requests', sub { $_ == $n },
        http_request_method => 'POST', url_scheme => 'http');
}

# --- stages ---

for my $round (1 .. 4) {
    unlink $statement;
    my $before = parts_of_all();
    my $slow = sign_up("slow$round");
    until_sleeping();
    until_slow($usual);
    spew($statement, '');
    answered(201, $slow);
    is_cause('statement', parts_of_request($slow->{trace}));
    is_cause_of_all('statement', $before);
}

for my $round (1 .. 2) {
    unlink $statement;
    my $before = parts_of_all();
    my $slow = sign_up("slow-first$round");
    until_sleeping();
    my @wait = map { sign_up("waits$round-$_") } 1 .. 4;
    until_active(5);
    until_slow($usual);
    spew($statement, '');
    answered(201, $slow, @wait);
    is_cause('batch', parts_of_request($_->{trace})) for @wait;
    is_cause_of_all('batch', $before);
}

for my $round (1 .. 4) {
    spew($disk, '');
    my $before = parts_of_all();
    my $slow = sign_up("disk$round");
    wait_for('the commit waits for the disk' => sub {
        # One process calls fdatasync(), the others wait for its lock.
        $s->psql_as('postgres', 'postgres', 'SELECT count(*) FROM pg_stat_activity'
            . " WHERE wait_event IN ('WALSync', 'WalSync', 'WALWrite')"
            . " AND backend_type = 'client backend'") > 0;
    });
    until_slow($usual);
    unlink $disk;
    answered(201, $slow);
    is_cause('commit', parts_of_request($slow->{trace}));
    is_cause_of_all('commit', $before);
}

sub until_received {
    my ($group, @requests) = @_;
    my %wanted = map { $_->{trace} => 1 } @requests;
    wait_for("$group has the events" => sub {
        @requests == grep { $wanted{ $_->{trace} }
                && $_->{attributes}{'messaging.consumer.group.name'} eq $group }
            named('receive weir:events', $c->spans);
    });
}

$s->freeze('smtp');
my @mails = map { sign_up("mail$_") } 1 .. 4;
answered(201, @mails);
until_received('email', @mails);
until_slow($process);
$s->thaw('smtp');
is_cause('SMTP', parts_of_attempt($_->{trace}, 'email')) for @mails;

my @users = make_users($s, 4);
$s->freeze('sim');
my @charges = map {
    send_request('/checkout', order_of($users[$_ - 1], [1, 1]), "Idempotency-Key: \"k$_\"")
} 1 .. 4;
answered(202, @charges);
until_received('payments', @charges);
until_slow($process);
$s->thaw('sim');
is_cause('POST', parts_of_attempt($_->{trace}, 'payments')) for @charges;

cmp_ok $right / $total, '>=', 0.95, "the cause of $right of $total staged delays is right";
done_testing;
