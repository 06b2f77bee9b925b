# Leases on partitions: which worker may handle an event, and that no second worker does.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../lib";

use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Events;
use Weir::Link;
use Weir::Stack qw(wait_for);

# --- in SQL ------------------------------------------------------------------------------------

subtest 'leases: which worker may take which partition' => sub {
    my $s = Weir::Stack->new(redis => 0);
    # A heartbeat: the partitions of the group that the worker then owns.
    my $beat = sub {
        my ($worker, $ttl) = @_;
        return $s->psql("SELECT count(*) FROM worker_step('$worker', '{billing}', $ttl)");
    };
    my $owned = sub { $s->psql("SELECT count(*) FROM consumer_partitions WHERE owner = '$_[0]'") };
    my $expired = sub {
        my $all = 'bool_and(expires_at < clock_timestamp())';
        wait_for('leases to run out' =>
            sub { $s->psql("SELECT $all FROM consumer_partitions") eq 't' });
    };

    is $beat->('a', 100), 8, 'the first worker takes all';
    $expired->();
    is $beat->('b', 60000), 0,
        'another one that has only just come takes nothing: the database may have been away';
    is $beat->('a', 60000), 8, 'the owner comes back and still has all';
    is $s->psql('SELECT max(epoch) FROM consumer_partitions'), 1, 'as before';

    # b has been there for its whole time to live, and a was not.
    $s->psql("UPDATE consumer_partitions SET expires_at = clock_timestamp() - interval '1 s'");
    $s->psql("DELETE FROM workers WHERE worker = 'a'");
    wait_for('the takeover' => sub { $beat->('b', 5000) == 8 });
    is $owned->('a'), 0, 'a worker that was there all the time takes expired leases';

    $s->psql("UPDATE consumer_partitions SET expires_at = clock_timestamp() - interval '1 s',"
            . " epoch = 7 WHERE partition = 0");
    $s->psql("SELECT consume('billing', 0::smallint, 7, 'billing_apply', '{}', '{}', '{}',"
            . " '{}', '{}', '{}', '{}', 1, 1, 1, 60000)");
    cmp_ok $s->psql('SELECT extract(epoch FROM expires_at - clock_timestamp())::int'
            . ' FROM consumer_partitions WHERE partition = 0'),
        '>', 30, 'a worker that commits effects lives, which renews the lease';

    for my $update ('consumer_partitions SET handled', 'partitions SET position') {
        is $s->psql("DO \$\$ BEGIN UPDATE $update = -1; EXCEPTION WHEN check_violation THEN"
                . " RAISE NOTICE 'refused'; END \$\$;"
                . ' SELECT min(handled) FROM consumer_partitions'),
            0, "UPDATE $update = -1 is refused: positions begin at 1";
    }
};

# --- mails -------------------------------------------------------------------------------------

# A mail server that keeps one worker waiting for the answer to a command (RCPT, or DATA's text)
# until a file is there.
sub start_server {
    my ($s, $command) = @_;
    my $dir = $s->dir;
    $s->start_smtp_with(<<"PYTHON");
async def hold(session):
    if session.host_name == 'held':
        open('$dir/waiting', 'w').close()
        while not os.path.exists('$dir/go'):
            await asyncio.sleep(0.02)

class Handler(Mailbox):
    async def handle_RCPT(self, server, session, envelope, address, options):
        envelope.rcpt_tos.append(address)
        if '$command' == 'RCPT':
            await hold(session)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        answer = await super().handle_DATA(server, session, envelope)
        if '$command' == 'DATA':
            await hold(session)
        return answer
PYTHON
}

sub let_go { my ($s) = @_; spew($s->dir . '/go', '') }

subtest 'a mail whose lease ran out on its way is not sent' => sub {
    my $s = Weir::Stack->new(conf => { groups => 'email', smtp_timeout => '60s' });
    my $e = Weir::Events->new($s, groups => ['email']);
    start_server($s, 'RCPT');
    $s->start_backend('relay');
    $s->start_backend('worker', name => 'held',
        conf => { smtp => "smtp://127.0.0.1:$s->{smtp_port}/held" });
    wait_for('its partitions' => sub {
        $s->psql('SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL') == 8;
    });
    $e->create(1);
    wait_for('the mail on its way' => sub { -e $s->dir . '/waiting' });
    $s->freeze('held');
    $s->start_backend('worker', name => 'other');
    $e->wait_handled;
    is scalar $s->mails, 1, 'another worker has sent it';

    let_go($s);
    $s->thaw('held');
    wait_for('fair shares' =>
            sub { $s->psql('SELECT count(DISTINCT owner) FROM consumer_partitions') == 2 });
    $e->create(40);
    $e->wait_handled;
    is $e->repeated_mails, 0, 'the one that was stopped does not send it when it goes on';
    is $e->complaints, '', 'and has its share of the next ones';
    is $s->psql('SELECT count(*) FROM retries'), 0, 'nothing counts as failed';
    is $s->stop_backend($_), 0, "$_ stops gracefully" for qw(held other relay);
};

# A library for LD_PRELOAD that stops its process when that has sent the text of its first mail. The
# line that ends it, without which the server keeps nothing, libcurl sends later.
sub library_that_stops {
    my ($s) = @_;
    my $library = $s->dir . '/stops.so';
    open my $cc, '|-', 'cc', '-shared', '-fPIC', '-x', 'c', '-o', $library, '-' or die "cc: $!\n";
    print $cc <<'C';
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

ssize_t send(int fd, const void *buffer, size_t length, int flags)
{
    static int stopped;
    __typeof__(&send) next = (__typeof__(&send))dlsym(RTLD_NEXT, "send");
    ssize_t n = next(fd, buffer, length, flags);

    if (!stopped && memmem(buffer, length, "\nMessage-ID:", 12) != NULL) {
        stopped = 1;
        raise(SIGSTOP);
    }
    return n;
}
C
    close $cc or die "cc failed\n";
    return $library;
}

subtest 'a mail whose text was sent, but not its end, when the lease ran out' => sub {
    my $s = Weir::Stack->new(conf => { groups => 'email', smtp_timeout => '60s' });
    my $e = Weir::Events->new($s, groups => ['email']);
    $s->start_smtp;
    $s->start_backend('relay');
    $s->start_backend('worker', name => 'stopped', env => { LD_PRELOAD => library_that_stops($s) });
    wait_for('its partitions' => sub {
        $s->psql('SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL') == 8;
    });
    $e->create(1);
    wait_for(
        'the stop' => sub { slurp('/proc/' . $s->pid('stopped') . '/stat') =~ /\) T / }
    );
    $s->start_backend('worker', name => 'other');
    $e->wait_handled;
    is scalar $s->mails, 1, 'another worker has sent it';
    $s->thaw('stopped');
    wait_for('fair shares' =>
            sub { $s->psql('SELECT count(DISTINCT owner) FROM consumer_partitions') == 2 });
    $e->create(40);
    $e->wait_handled;
    is $e->repeated_mails, 0, 'the one that was stopped does not end it';
    is $e->complaints, '', 'and has its share of the next ones';
    is $s->stop_backend($_), 0, "$_ stops gracefully" for qw(stopped other relay);
};

subtest 'a mail that was sent is not sent again by a worker that lost its lease' => sub {
    my $s = Weir::Stack->new(conf => { groups => 'email', smtp_timeout => '60s' });
    my $e = Weir::Events->new($s, groups => ['email']);
    start_server($s, 'DATA');
    mkdir $s->dir . '/net' or die "net: $!\n";
    my $link = Weir::Link->new($s, 'net', from => $s->dir . '/net/.s.PGSQL.5432',
        to => $s->dir . '/pg/.s.PGSQL.5432');
    $s->start_backend('relay');
    $s->start_backend(
        'worker',
        name => 'held',
        conf => {
            smtp => "smtp://127.0.0.1:$s->{smtp_port}/held",
            database => $s->database =~ s{/pg\b}{/net}r,
        });
    wait_for('its partitions' => sub {
        $s->psql('SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL') == 8;
    });
    $e->create(1);
    wait_for('the mail to arrive' => sub { -e $s->dir . '/waiting' });
    $link->stall;
    let_go($s);
    # Other workers had its partitions, and released them before they did anything.
    $s->psql('UPDATE consumer_partitions SET epoch = epoch + 1, owner = NULL');
    $link->go_on;
    $e->wait_handled;
    is scalar $s->mails, 1, 'the one mail';
    $e->create(20);
    $e->wait_handled;
    is $e->repeated_mails, 0, 'each once';
    is $e->complaints, '', 'all is well';
    is $s->stop_backend($_), 0, "$_ stops gracefully" for qw(held relay);
};

# The handler's end calls the group: a worker that had left before would read memory that is freed.
subtest 'a worker that stops waits for a mail of a lease that it has lost' => sub {
    my $s = Weir::Stack->new(conf => { groups => 'email', smtp_timeout => '60s' });
    my $e = Weir::Events->new($s, groups => ['email']);
    start_server($s, 'RCPT');
    $s->start_backend('relay');
    $s->start_backend('worker', name => 'held',
        conf => { smtp => "smtp://127.0.0.1:$s->{smtp_port}/held" });
    wait_for('its partitions' => sub {
        $s->psql('SELECT count(*) FROM consumer_partitions WHERE owner IS NOT NULL') == 8;
    });
    $e->create(1);
    wait_for('the mail on its way' => sub { -e $s->dir . '/waiting' });
    $s->psql("UPDATE consumer_partitions SET epoch = epoch + 1, owner = 'nobody',"
            . " expires_at = clock_timestamp() + interval '1 hour'");
    wait_for('the loss of all' => sub { $s->logged('held', 'partition lost') == 8 });
    $s->signal('held', 'TERM');
    wait_for('its stop to begin' => sub { $s->logged('held', 'stopping') });
    is $s->psql('SELECT count(*) FROM workers'), 1, 'it has not left';
    let_go($s);
    is $s->stop_backend('held'), 0, 'and stops gracefully';
    is scalar $s->mails, 0, 'without sending it';
    is $s->stop_backend('relay'), 0, 'relay stops';
};

done_testing;
