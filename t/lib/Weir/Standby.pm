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

use Weir::Base qw(wait_for);
use Weir::Stack::Postgres;

sub new {
    my ($class, $stack, $name, %option) = @_;
    my $self = bless { stack => $stack, name => $name, dir => $stack->dir . "/$name" }, $class;
    mkdir $self->{dir} or die "$self->{dir}: $!\n";
    Weir::Stack::Postgres::hand_over($self->{dir});
    my $follows = $option{follow} // 1;
    my @from = ('-h', $stack->pg, '-U', 'postgres', '--no-sync', '-c', 'fast');
    my $pg_basebackup = Weir::Stack::Postgres::programs() . '/pg_basebackup';
    $stack->run_as_postgres($pg_basebackup, '-D', "$self->{dir}/data", @from, $follows ? '-R' : ());
    $self->_run if $follows;
    return $self;
}

sub _run {
    my ($self) = @_;
    my $settings = ["cluster_name=$self->{name}"];
    $self->{stack}->start_server($self->{name}, $self->{dir}, settings => $settings);
}

sub dir { $_[0]{dir} }

# Runs SQL as the superuser: here, and on the server that the stack works with.
sub psql {
    my ($self, $sql) = @_;
    return Weir::Stack::Postgres::query($self->{dir}, 'postgres', 'weir', $sql);
}

sub primary {
    my ($self, $sql) = @_;
    return $self->{stack}->psql_as('postgres', 'weir', $sql);
}

# Until it has all that is committed now.
sub wait_caught_up {
    my ($self) = @_;
    my $lsn = $self->primary('SELECT pg_current_wal_lsn()');
    wait_for('the standby to catch up' => sub {
        return $self->psql("SELECT coalesce(pg_last_wal_replay_lsn() >= '$lsn', false)") eq 't';
    });
}

# Stops the primary's sender: commits go on (unless they wait for the standby), and are not sent.
sub cut_off {
    my ($self) = @_;
    my $pid = $self->primary(
        "SELECT pid FROM pg_stat_replication WHERE application_name = '$self->{name}'");
    return kill 'STOP', $pid;
}

sub promote {
    my ($self) = @_;
    $self->psql('SELECT pg_promote()');
    wait_for('the promotion' => sub { $self->psql('SELECT pg_is_in_recovery()') eq 'f' });
    $self->{stack}{pg} = $self->{dir};
}

# Starts a backup.
sub start {
    my ($self) = @_;
    $self->_run;
    $self->{stack}{pg} = $self->{dir};
}

1;
