# weirctl: what it shows and does, for people and for programs, and what it refuses.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use File::Basename qw(dirname);
use JSON::PP ();
use Test::More;
use Weir::Base qw(slurp spew);
use Weir::Events;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new(conf => {
    retry_base => '20ms', retry_max => '100ms', retry_attempts => 3,
    groups => 'email,billing,analytics,flags' });
my $e = Weir::Events->new($s);
my $json = JSON::PP->new->utf8;
my $UUID = qr/[0-9a-f-]{36}/;
my $TIME = qr/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/;

# Checks that weirctl with these arguments ends with that exit code, and that standard output and
# standard error match these patterns. Where there is no pattern for it, standard error is empty.
sub gives {
    my ($arguments, $exit, $out, $err, $name) = @_;
    my ($status, $stdout, $stderr) = $s->weirctl(@$arguments);
    is $status, $exit, "$name: exit code $exit" or diag "$stdout$stderr";
    like $stdout, $out, "$name: what it prints" if $out;
    like $stderr, $err, "$name: what it says"   if $err;
    is $stderr, '', "$name: no complaint"       if !$err;
}

subtest 'commands on a database without events' => sub {
    gives(['groups', '--interval', 0], 0, qr/^No group has run yet\.$/, undef, 'groups');
    is_deeply $s->ctl_json('groups', '--interval', 0), [], 'and for programs';
    gives(['dead', 'list'], 0, qr/^There is no dead letter\.$/, undef, 'dead list');
    gives(['events', 'tail'], 0, qr/^$/, undef, 'events tail');
    my $empty = qr/^
        waiting[ ]+0\n oldest_s[ ]+-\n relay[ ]+none\n history_since[ ]+-\n
        \n
        PARTITION[ ]+WAITING[ ]+POSITION[ ].*\n
        ([ ].*following\n){8}$
    /mx;
    gives(['outbox'], 0, $empty, undef, 'outbox');
    gives(['groups', 'pause', 'email'], 1, qr/^$/,
        qr/^weirctl: there is no group "email": no worker has run yet$/,
        'a group that is not there');
};

$e->create(3);
$e->count_effects;

subtest 'the backlog shows events that wait' => sub {
    my $outbox = $s->ctl_json('outbox');
    is $outbox->{waiting}, 3, 'the backlog';
    cmp_ok $outbox->{oldest_s}, '>=', 0, 'its oldest';
    is $outbox->{relay}, 'none', 'no relay is at work';
    is scalar @{ $outbox->{partitions} }, 8, 'every partition';
    # Its place, of which only the partition is known; its time, type, aggregate and id.
    my $event = qr{\d/- +$TIME +UserCreated +user:$UUID +$UUID\n};
    gives(['events', 'tail', '-n', 2], 0, qr{\A$event{2}\z}, undef, 'the newest two');
};

$s->psql(<<'SQL');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.email LIKE 'poison%' THEN RAISE EXCEPTION 'no billing for "%"', NEW.email; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER a_refuse BEFORE INSERT ON billing_profiles FOR EACH ROW EXECUTE FUNCTION refuse();
SQL
$s->start_smtp;
$s->start_backend('all');
$e->wait_handled;

subtest 'groups shows the state of each group' => sub {
    my $groups = $s->ctl_json('groups', '--interval', '100ms');
    is join(' ', map { $_->{group} } @$groups), 'analytics billing email flags', 'all of them';
    for my $g (@$groups) {
        is $g->{state}, 'running', "$g->{group} runs";
        is $g->{workers}, 1, 'in one worker';
        is $g->{lag} + $g->{pending} + $g->{dead}, 0, 'with nothing to do';
        is $g->{oldest_s}, undef, 'and nothing old';
        ok defined $g->{rate_per_s}, 'its rate';
    }
    my $table = qr/
        \A GROUP[ ]+STATE[ ]+WORKERS[ ]+LAG[ ]+PENDING[ ]+OLDEST[ ]S[ ]+RATE[ ]PER[ ]S
            [ ]+DEAD[ ]+FULL\n
        analytics[ ]+running[ ]+1[ ]+0[ ]+0[ ]+-[ ]+-[ ]+0[ ]+0\n
        billing[ ]
    /x;
    gives(['groups', '--interval=0'], 0, $table, undef, 'a table for people');
    is $s->ctl_json('outbox')->{relay}, 'at work', 'the relay is at work';
};

subtest 'an event is shown with its groups' => sub {
    my ($line) = map { $json->decode($_) } ($s->weirctl('events', 'tail', '--json', '-n', 1))[1];
    is $line->{data}{displayName}, 'User 3', 'with its data';
    is $line->{schema_version}, 1, 'its schema version';
    is $line->{correlation_id}, $line->{id}, 'the first of its chain';
    is $line->{causation_id}, undef, 'without a cause';
    for my $name ($line->{at}, $line->{id}) {
        my $event = $s->ctl_json('events', 'show', $name);
        is $event->{aggregate}, $line->{aggregate}, "$name is it";
        is join(' ', map { "$_->{group}:$_->{state}" } @{ $event->{groups} }),
            'analytics:handled billing:handled email:handled flags:handled',
            'and what became of it';
    }
    my $header = qr/GROUP +STATE +ATTEMPTS +NEXT ATTEMPT +ERROR/;
    gives(['events', 'show', $line->{at}], 0,
        qr/^aggregate +user:.*\n.*^$header\nanalytics +handled/ms, undef, 'for people');
    my $count = () = ($s->weirctl('events', 'tail', '--aggregate', $line->{aggregate}))[1] =~ /\n/g;
    is $count, 1, 'events of one aggregate';
    gives(['events', 'tail', '--type', 'UserSneezed'], 1, qr/^$/,
        qr/no event of type UserSneezed; there are /, 'a type that there is not');
    gives(['events', 'show', '3/999'], 1, qr/^$/, qr{the outbox has no event 3/999},
        'an event that is not there');
    gives(['events', 'show', 'x'], 2, qr/^$/,
        qr{"x" must be an event's id \(a UUID\) or its PARTITION/POSITION}, 'a wrong name');
};

subtest 'events tail -f shows new events once each' => sub {
    my $out = $s->dir . '/tail';
    $s->start_process(
        'tail',
        [
            '/bin/sh', '-c', "exec \"\$@\" >$out", 'sh', $s->{binary} =~ s/weir-backend$/weirctl/r,
            '-c', $s->write_conf(user => 'weir-ctl'),
            'events', 'tail', '-f', '-n', 1, '--json']);
    wait_for('the last event' => sub { slurp($out) =~ /User 3/ });
    $e->create(200);
    wait_for('the new ones' => sub { my $n = () = slurp($out) =~ /\n/g; $n == 201 });
    my %ids = map { $json->decode($_)->{id} => 1 } split /\n/, slurp($out);
    is scalar keys %ids, 201, 'each once';
    $s->stop_process('tail', 'TERM');
    $e->wait_handled;
};

subtest 'dead letters are shown, replayed and dropped' => sub {
    $e->create(2, 'poison');
    $e->wait_handled;
    my $list = $s->ctl_json('dead', 'list');
    is scalar @$list, 2, 'two of them';
    is $list->[0]{group}, 'billing', 'of the group';
    is $list->[0]{attempts}, 3, 'after all attempts';
    like $list->[0]{error}, qr/no billing for "poison\d+\@example\.org" \(SQLSTATE P0001\)/,
        'with the reason';
    gives(['dead', 'list', '-g', 'billing', '-n', 1], 0,
        qr/\AGROUP +AT +TYPE +AGGREGATE +DEAD SINCE +ATTEMPTS +ERROR\nbilling .*\n\z/, undef,
        'one for people');
    is_deeply $s->ctl_json('dead', 'list', '--group', 'email'), [], 'another group has none';
    is +(grep { $_->{group} eq 'billing' } @{ $s->ctl_json('groups', '--interval', 0) })[0]{dead},
        2, 'groups counts them';

    my ($first, $second) = map { $_->{at} } @$list;
    my $letter = $s->ctl_json('dead', 'show', 'billing', $first);
    like $letter->{data}{email}, qr/^poison/, 'its event';
    is $s->ctl_json('events', 'show', $first)->{groups}[1]{state}, 'dead', 'the event says so, too';
    is $s->ctl_json('events', 'show', $first)->{groups}[1]{next_attempt}, undef,
        'and that nothing will be tried';

    # Not mended yet: it is dead again, at another place.
    is $s->ctl_json('dead', 'replay', 'billing', $first)->[0]{id}, $letter->{id}, 'replayed';
    $e->wait_handled;
    my ($again) = grep { $_->{at} ne $second } @{ $s->ctl_json('dead', 'list') };
    is $s->ctl_json('dead', 'show', 'billing', $again->{at})->{id}, $letter->{id}, 'and dead again';
    gives(['dead', 'show', 'billing', $first], 1, qr/^$/,
        qr{group billing has no dead letter \Q$first\E}, 'not at the old place');

    $s->psql('DROP TRIGGER a_refuse ON billing_profiles');
    gives(['dead', 'replay', 'billing', '--all'], 0,
        qr/^GROUP +AT +TYPE +AGGREGATE +ID\nbilling .*\nbilling .*\n$/, undef,
        'replay all after it was mended');
    $e->wait_handled;
    is_deeply $s->ctl_json('dead', 'list'), [], 'none is dead';
    is $s->psql("SELECT count(*) FROM billing_profiles WHERE email LIKE 'poison%'"), 2,
        'their effects are there';
    is $e->complaints, '', 'and nothing has happened twice, in no group';
    is $e->repeated_mails, 0, 'nor was a mail sent again';
    gives(['dead', 'replay', 'billing', '--all'], 1, qr/^$/,
        qr/group billing has no such dead letter/, 'nothing to replay');

    $s->psql("INSERT INTO dead_letters (group_name, partition, position, attempts, error)"
            . " VALUES ('email', 1, 999999, 1, E'no\\x1b[31m event')");
    gives(['dead', 'list'], 0, qr/no\?\[31m event$/m, undef,
        'control characters stay off the terminal');
    gives(['dead', 'replay', 'email', '1/999999'], 1, qr/^$/, qr{has no dead letter},
        'a letter without an event cannot be replayed');
    gives(['dead', 'drop', 'email', '1/999999'], 0, qr/email/, undef, 'but dropped');
    is_deeply $s->ctl_json('dead', 'list'), [], 'it is gone';
};

subtest 'wrong arguments are refused' => sub {
    my @wrong = (
        [[] => qr/^usage: weirctl/],
        [['nonsense'] => qr/there is no command "nonsense"; "weirctl help" lists them/],
        [
            ['events'] =>
                qr/there is no command "events"; there are events tail, events show, events replay/
        ],
        [
            ['dead', 'nonsense'] =>
                qr/there is no command "dead nonsense"; there are dead list, dead show/],
        [['groups', '--nonsense'] => qr/there is no option "--nonsense"/],
        [['groups', '--follow'] => qr/"groups" takes no --follow; "weirctl help groups" lists/],
        [['groups', '--json=1'] => qr/--json takes no value/],
        [['groups', '--json', '--json'] => qr/--json is given twice/],
        [['groups', '--interval'] => qr/--interval needs a value/],
        [
            ['groups', '--interval', '5'] =>
                qr/--interval "5" must be a time from 0ms to 60s with its unit: ms or s/],
        [['groups', '--interval', '61s'] => qr/must be a time/],
        [['events', 'tail', '-n', '-1'] => qr/--count "-1" must be a number from 0 to 100000/],
        [['groups', 'pause'] => qr/name a group, or give --all/],
        [['groups', 'pause', 'email', '--all'] => qr/name a group, or give --all/],
        [['groups', 'pause', 'a', 'b'] => qr/usage: weirctl groups pause NAME/],
        [['dead', 'show', 'email'] => qr{usage: weirctl dead show GROUP PARTITION/POSITION}],
        [['dead', 'show', 'email', '1-2'] => qr{"1-2" must be PARTITION/POSITION}],
        [['dead', 'drop', 'email'] => qr{name a dead letter by GROUP PARTITION/POSITION}],
        [
            ['dead', 'drop', 'email', '1/2', '--all'] =>
                qr{name a dead letter by GROUP PARTITION/POSITION}],
        [['a', 'b', 'c', 'd', 'e', 'f'] => qr/unexpected argument "f"/],
    );
    gives($_->[0], 2, qr/^$/, $_->[1], "@{ $_->[0] }") for @wrong;
    gives(['groups', 'resume', 'nobody'], 1, qr/^$/,
        qr/there is no group "nobody"; the groups are analytics, billing, email, flags/,
        'a group that is not there');
    gives(['-c', '/nowhere', 'groups'], 2, qr/^$/, qr{/nowhere: No such file},
        'a configuration that is not there');
};

subtest 'help and completion know each command' => sub {
    my (undef, $help) = $s->weirctl('help');
    for my $arguments (['--help'], ['version'], ['groups'], ['groups', '--json'],
        ['events', 'tail', '--help'])
    {
        my ($status, $said) = $s->run_command(
            '/bin/sh', '-c', 'exec "$@" >/dev/full', 'sh', $s->{binary} =~ s{[^/]*$}{weirctl}r,
            '-c', $s->write_conf(user => 'weir-ctl'), @$arguments);
        isnt $status, 0, "@$arguments: fails when standard output is full";
        like $said, qr/standard output/, 'and says so';
    }

    for my $command ('events tail', 'events show', 'events replay', 'groups', 'groups pause',
        'groups resume', 'dead list', 'dead show', 'dead replay', 'dead drop', 'outbox',
        'schema check')
    {
        like $help, qr/^  \Q$command\E /m, "help names $command";
        gives(['help', split ' ', $command], 0,
            qr/^usage: weirctl \Q$command\E.*^  weirctl \Q$command\E/ms, undef,
            "help for $command has an example");
    }
    like $help, qr/^Exit codes:\n  0   .*\n  1   .*\n  2   .*\n  3   /m, 'and the exit codes';
    gives(['groups', '--help'], 0, qr/^usage: weirctl groups.*--interval TIME/ms, undef, '--help');
    gives(['help', 'dead'], 0, qr/weirctl dead list.*weirctl dead drop/s, undef,
        'help for several');

    my $completion = $s->dir . '/completion';
    spew($completion, ($s->weirctl('completion', 'bash'))[1]);
    my $complete = sub {
        my (@words) = @_;
        my $list = join ' ', map { "'$_'" } 'weirctl', @words;
        my ($status, $out) =
            $s->run_command('bash', '-c',
                  "source $completion; COMP_WORDS=($list); COMP_CWORD="
                . @words
                . '; _weirctl; echo "${COMPREPLY[@]}"');
        return $out =~ s/\n\z//r;
    };
    is $complete->(''),
        'events groups dead outbox relay breaker audit payments keys flag revoke redis top trace'
        . ' schema jwks new-domain completion version help',
        'first words';
    is $complete->('e'), 'events', 'one of them';
    is $complete->('dead', ''), 'list show replay drop', 'second words';
    is $complete->('groups', 'p'), 'pause', 'of a command that is one itself';
    is $complete->('events', 'replay', '--'), '--json --yes --new --group --from --partition',
        'its options';
    is $complete->('-c', '/etc/x', 'dead', 'l'), 'list', 'options before it are skipped';
    is $complete->('events', 'replay', '--group', 'x', '--f'), '--from', 'and their values';
};

subtest 'schema check refuses a renamed field' => sub {
    my $document = $s->get('/openapi.json?version=2')->{content};
    my ($old, $new) = map { $s->dir . "/$_.json" } qw(old new);
    spew($old, $document);
    gives(['schema', 'check', $old, $old], 0, qr/./, undef, 'the same');
    spew($new, $document =~ s/"displayName"/"fullName"/gr);
    gives(['schema', 'check', $old, $new], 1, qr/^refused: .*displayName/m, undef,
        'a field that was renamed');
    gives(['schema', 'check', $old, '/nowhere'], 2, qr{/nowhere}, undef,
        'a document that is not there');
};

subtest 'values that PostgreSQL refuses are wrong arguments' => sub {
    my @replay = ('events', 'replay', '--group', 'email', '--from');
    gives([@replay, '2026-02-31T00:00:00Z'], 2, undef,
        qr/^weirctl: date.time field value out of range: "2026-02-31T00:00:00Z"$/, 'no day');
    gives([@replay, '2026-01-31T00:00:00---'], 2, undef,
        qr/^weirctl: invalid input syntax for type timestamp/, 'no time zone');
    gives(['events', 'tail', '--aggregate', "\xff"], 2, undef,
        qr/^weirctl: invalid byte sequence/, 'no text');
    for my $option ('--since', '--until') {
        gives(['payments', 'reconcile', $option, $_], 2, undef,
            qr/must be times, not infinity$/, "$option $_") for 'infinity', '-infinity';
    }
};

subtest 'a key of another type in the place of a stream' => sub {
    $s->redis('DEL', 'weir:events:5');
    $s->redis('SET', 'weir:events:5', 'x');
    gives([$_, '--json'], 3, undef, qr/^weirctl: Redis: weir:events:5: WRONGTYPE /, $_)
        for 'outbox', 'relay';
    $s->redis('DEL', 'weir:events:5');
};

subtest 'an output that cannot be written' => sub {
    my $weirctl = dirname($s->{binary}) . '/weirctl -c ' . $s->write_conf(user => 'weir-ctl');
    for my $output ('>/dev/full', '>&-') {
        my $run = sub { $s->run_command('/bin/sh', '-c', "exec timeout 20 $weirctl @_ $output") };
        my ($status, $said) = $run->('events tail -f');
        is $status, 3, "events tail -f $output ends";
        like $said, qr/^weirctl: cannot write standard output/, 'and says why';
        is +($run->('dead list'))[0], 3, "dead list $output";
    }
};

subtest 'PostgreSQL or Redis that is away is exit code 3' => sub {
    $s->stop_backend('all');
    gives(['groups', '--interval', 0], 0, qr/^email +no worker +0 /m, undef, 'no worker');
    $s->kill_redis;
    gives(['outbox'], 3, qr/^waiting +0\n.*unknown$/ms, qr/^weirctl: Redis: Connection refused$/,
        'Redis is away');
    gives(['groups', '--interval', 0], 0, qr/^email/m, undef, 'which groups does not need');
    $s->stop_postgres;
    gives(['groups'], 3, qr/^$/, qr/^weirctl: PostgreSQL: connection to server/,
        'PostgreSQL is away');
};

done_testing;
