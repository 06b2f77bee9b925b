# The PostgreSQL of a Weir::Stack, which inherits these methods, and functions that Weir::Standby
# needs for other servers.
package Weir::Stack::Postgres;
use strict;
use warnings;

use Weir::Base qw(slurp wait_for);

# --- the programs -------------------------------------------------------------

# The folder of the newest version's programs. Debian's /usr/bin/psql looks for it at each call,
# which takes longer than most queries.
my $programs;
sub programs { return $programs //= find_programs() }

sub find_programs {
    my $version = sub { $_[0] =~ m{/(\d+)/bin} ? $1 : 0 };
    my ($newest) = sort { $version->($b) <=> $version->($a) } glob '/usr/lib/postgresql/*/bin';
    return $newest // die "PostgreSQL's server is missing; install postgresql\n";
}

# The user who runs the server, which refuses to be run by root; undef for the test's own.
sub user { return $> == 0 ? 'postgres' : undef }

# Gives files to that user.
sub hand_over {
    my (@files) = @_;
    chown((getpwnam user())[2, 3], @files) if user();
}

# Runs SQL over the socket in that folder and returns its output.
sub query {
    my ($folder, $user, $database, $sql) = @_;
    my @command = (programs() . '/psql', '-h', $folder, '-U', $user, '-d', $database);
    open my $psql, '-|', @command, '-v', 'ON_ERROR_STOP=1', '-XAtqc', $sql or die "psql: $!\n";
    local $/;
    my $out = <$psql> // '';
    close $psql or die "psql failed: $sql\n";
    return $out =~ s/\n\z//r;
}

# Runs SQL over the socket in that folder, without a word where that fails; returns whether it has
# succeeded.
sub succeeds {
    my ($folder, $user, $database, $sql) = @_;
    my @command = (programs() . '/psql', '-h', $folder, '-U', $user, '-d', $database);
    my @silent = ('/bin/sh', '-c', 'exec "$@" >/dev/null 2>&1', 'sh');
    return system(@silent, @command, '-v', 'ON_ERROR_STOP=1', '-Xqc', $sql) == 0;
}

sub answers {
    my ($folder) = @_;
    return succeeds($folder, 'postgres', 'postgres', 'SELECT 1');
}

# The processes whose parent that one is.
sub children_of {
    my ($parent) = @_;
    my @children;
    for my $file (glob '/proc/[0-9]*/stat') {
        my ($pid, $ppid) = slurp($file) =~ /^(\d+) \(.*\) \S (\d+)/s or next;
        push @children, $pid if $ppid == $parent;
    }
    return @children;
}

# --- life -----------------------------------------------------------------------

# Runs a command to its end as PostgreSQL's user.
sub run_as_postgres {
    my ($self, @command) = @_;
    $self->start_process('pg-command', \@command, user => user());
    wait_for($command[0], sub { $self->has_ended('pg-command') }, 300);
    my $status = delete $self->{status}{'pg-command'};
    die "$command[0] failed: " . $self->log_of('pg-command') if $status != 0;
}

# Starts the server whose cluster is data/ in that folder, and waits until it answers there.
# Options: settings (more of them), env.
sub start_server {
    my ($self, $name, $folder, %option) = @_;
    my @settings = (
        'listen_addresses=', 'fsync=off', 'max_connections=50', 'shared_buffers=32MB',
        'log_min_messages=fatal', @{ $option{settings} // [] },
    );
    my @command = (programs() . '/postgres', '-D', "$folder/data", '-k', $folder);
    $self->start_process(
        $name, [@command, map { ('-c', $_) } @settings],
        user => user(), env => $option{env});
    $self->wait_started($name => sub { answers($folder) });
}

# Makes the cluster and the database at the first call. The role weir owns the database and
# is no superuser.
sub start_postgres {
    my ($self) = @_;
    my $folder = "$self->{dir}/pg";
    my $is_new = !-d "$folder/data";

    if ($is_new) {
        -d $folder or mkdir $folder or die "$folder: $!\n";
        hand_over($folder);
        my @like = ('-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync');
        my $initdb = programs() . '/initdb';
        $self->run_as_postgres($initdb, '-D', "$folder/data", '-U', 'postgres', @like);
    }
    $self->start_server('postgres', $folder, env => $self->{postgres_env},
        settings => $self->{postgres_settings});
    if ($is_new) {
        $self->psql_as('postgres', 'postgres', 'CREATE ROLE weir LOGIN');
        $self->psql_as('postgres', 'postgres', 'CREATE DATABASE weir OWNER weir');
        $self->make_roles if $self->{roles};
    }
}

# The roles of docs/guides/access/database-roles.md, and for each a user who logs in: user_api and
# so on. The owner, as whom tests ask, may look at the others' sessions and end them.
our @ROLES = qw(api relay worker ctl operator);

sub make_roles {
    my ($self) = @_;
    $self->psql_as('postgres', 'postgres',
        join ' ', 'GRANT pg_read_all_stats, pg_signal_backend TO weir;',
        map { "CREATE ROLE weir_$_ NOLOGIN; CREATE ROLE user_$_ LOGIN IN ROLE weir_$_;" } @ROLES);
}

# 'fast' ends sessions, 'immediate' is a crash.
sub stop_postgres {
    my ($self, $how) = @_;
    return $self->stop_process('postgres', ($how // 'fast') eq 'immediate' ? 'QUIT' : 'INT');
}

# Kills the server with all its processes, as when the machine loses it: kill -9 of the postmaster
# alone leaves its children to finish what they do.
sub kill_postgres {
    my ($self) = @_;
    my $pid = $self->pid('postgres');
    my @children = children_of($pid);
    kill 'KILL', $pid, @children;
    wait_for('the end of postgres' => sub { $self->has_ended('postgres') });
    wait_for('the end of its children' => sub {
        !grep { -d "/proc/$_" } @children;
    });
    return delete $self->{status}{postgres};
}

# Stops the server with all its processes. Its sessions stay open; new ones wait.
sub freeze_postgres {
    my ($self) = @_;
    my $pid = $self->pid('postgres');
    kill 'STOP', $pid; # no new children from here on
    $self->{frozen} = [children_of($pid), $pid];
    return kill 'STOP', @{ $self->{frozen} };
}

sub thaw_postgres { my ($self) = @_; return kill 'CONT', @{ delete $self->{frozen} } }

# --- SQL ----------------------------------------------------------------------------

# The folder of the server that the stack works with: Weir::Standby's promote() changes it.
sub pg { my ($self) = @_; return $self->{pg} // "$self->{dir}/pg" }

sub database { my ($self) = @_; return 'host=' . $self->pg . ' dbname=weir user=weir' }

# Keys of the configuration: the connection strings of the processes' own roles, like that string of
# the user weir. weirctl changes things, so it is the operator.
sub databases {
    my ($self, $database) = @_;
    return if !$self->{roles} || $database !~ /\buser=weir\b/;
    my %user = (map({ $_ => "user_$_" } qw(api relay worker)), ctl => 'user_operator');
    return map { ("database_$_" => $database =~ s/\buser=weir\b/user=$user{$_}/r) } keys %user;
}

# Runs SQL and returns its output, columns with | between them.
sub psql { my ($self, $sql) = @_; return $self->psql_as('weir', 'weir', $sql) }

sub psql_as {
    my ($self, $user, $database, $sql) = @_;
    return query($self->pg, $user, $database, $sql);
}

# A session that stays open: returns a handle to print SQL to. What was printed before has been
# done when this returns; close the handle to end the session.
sub session {
    my ($self, $sql) = @_;
    my $mark = "$self->{dir}/session." . ++$self->{psql_sessions};
    my $folder = $self->pg;
    my $command = programs() . "/psql -h $folder -U weir -d weir -v ON_ERROR_STOP=1 -XAtq";
    open my $psql, '|-', "exec $command >>$self->{dir}/session.log 2>&1" or die "psql: $!\n";
    $psql->autoflush(1);
    print $psql "$sql\n\\! touch $mark\n";
    wait_for("the session to do: $sql" => sub { -e $mark });
    return $psql;
}

# Waits until sessions have waited for a lock, one for each condition on pg_stat_activity.
# PostgreSQL looks itself, every 5 ms: sessions with a lock_timeout wait for moments only.
sub wait_locked {
    my ($self, @which) = @_;
    my $count = @which;
    my $looks = 200 * $Weir::Base::DEADLINE;
    my $look = join "\n", map {
        my $which = $which[$_ - 1];
        "seen[$_] := seen[$_] OR EXISTS (SELECT FROM pg_stat_activity"
            . " WHERE wait_event_type = 'Lock' AND $which);";
    } 1 .. $count;
    $self->psql_as('postgres', 'postgres', <<"SQL");
DO \$\$
DECLARE
    seen boolean[] := array_fill(false, ARRAY[$count]);
BEGIN
    FOR i IN 1 .. $looks LOOP
        PERFORM pg_stat_clear_snapshot();
        $look
        IF true = ALL (seen) THEN RETURN; END IF;
        PERFORM pg_sleep(0.005);
    END LOOP;
    RAISE EXCEPTION 'waited in vain for sessions to wait for a lock';
END \$\$
SQL
    return;
}

1;
