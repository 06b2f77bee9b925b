# Another PostgreSQL with the stack's data: a standby that follows, or a backup.
#
#     my $standby = Weir::Standby->new($stack, 'standby');   # streams from the stack's server
#     $standby->wait_caught_up;
#     $standby->cut_off;              # what is committed from here on is lost
#     $stack->kill_postgres;
#     $standby->promote;              # the stack works with it from here on
#
#     my $backup = Weir::Standby->new($stack, 'backup', follow => 0);
#     $stack->stop_postgres;
#     $backup->start;                 # as it was when the backup was made; the stack works with it
package Weir::Standby;

use strict;
use warnings;

use Weir::Stack qw(wait_for);

sub new {
    my ($class, $stack, $name, %option) = @_;
    my $self = bless { stack => $stack, name => $name, dir => $stack->dir . "/$name" }, $class;
    my $user = Weir::Stack::_pg_user();
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    chown((getpwnam $user)[2, 3], $self->{dir}) if $user;
    my $follow = $option{follow} // 1;
    $stack->_as_pg_user(Weir::Stack::_pg_bin() . '/pg_basebackup', '-D', "$self->{dir}/data", '-h', $stack->pg,
        '-U', 'postgres', '--no-sync', '-c', 'fast', $follow ? '-R' : ());
    $self->_run if $follow;
    return $self;
}

sub _run {
    my ($self) = @_;
    my $stack = $self->{stack};
    $stack->_start($self->{name},
        [Weir::Stack::_pg_bin() . '/postgres', '-D', "$self->{dir}/data", '-k', $self->{dir},
            map { ('-c', $_) } 'listen_addresses=', 'fsync=off', 'max_connections=50', 'shared_buffers=32MB',
            'log_min_messages=fatal', "cluster_name=$self->{name}"],
        user => Weir::Stack::_pg_user());
    $stack->_until($self->{name}, sub {
        return system("psql -h $self->{dir} -U postgres -d postgres -Atqc 'SELECT 1' >/dev/null 2>&1") == 0;
    });
}

sub dir { $_[0]{dir} }

# Runs SQL as the superuser.
sub psql {
    my ($self, $sql) = @_;
    return _psql($self->{dir}, $sql);
}

sub _psql {
    my ($dir, $sql) = @_;
    open my $psql, '-|', 'psql', '-h', $dir, '-U', 'postgres', '-d', 'weir', '-v', 'ON_ERROR_STOP=1', '-XAtqc', $sql
        or die "psql: $!\n";
    local $/;
    my $out = <$psql> // '';
    close $psql or die "psql failed: $sql\n";
    return $out =~ s/\n\z//r;
}

sub primary { my ($self, $sql) = @_; return _psql($self->{stack}->pg, $sql) }

# Until it has all that is committed now.
sub wait_caught_up {
    my ($self) = @_;
    my $lsn = $self->primary('SELECT pg_current_wal_lsn()');
    wait_for('the standby to catch up', sub {
        return $self->psql("SELECT coalesce(pg_last_wal_replay_lsn() >= '$lsn', false)") eq 't';
    });
}

# Stops the primary's sender: commits go on (unless they wait for the standby), and are not sent.
sub cut_off {
    my ($self) = @_;
    my $pid = $self->primary("SELECT pid FROM pg_stat_replication WHERE application_name = '$self->{name}'");
    return kill 'STOP', $pid;
}

sub promote {
    my ($self) = @_;
    $self->psql('SELECT pg_promote()');
    wait_for('the promotion', sub { $self->psql('SELECT pg_is_in_recovery()') eq 'f' });
    $self->{stack}{pg} = $self->{dir};
}

# Starts a backup.
sub start {
    my ($self) = @_;
    $self->_run;
    $self->{stack}{pg} = $self->{dir};
}

1;
