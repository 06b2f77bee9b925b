# The audit log in tests: a stack with a key of its own and a file of heads, and what waits for
# seals and heads.
#
#     my $a = Weir::Stack::Audit->new;         # $a->{stack} is the Weir::Stack
#     $a->put('thing.change', 'thing:1') for 1 .. 10;
#     $a->wait_signed;                  # each record has a seal, and a head has signed it
package Weir::Stack::Audit;

use strict;
use warnings;

use File::Basename qw(dirname);
use JSON::PP ();
use Weir::Base qw(slurp wait_for);
use Weir::Stack;

my $json = JSON::PP->new->utf8;

# Options: conf, and those of Weir::Stack.
sub new {
    my ($class, %option) = @_;
    my $conf = delete $option{conf};
    my $s = Weir::Stack->new(%option);
    my $self = bless {
        stack => $s,
        key   => $s->dir . '/audit-key.pem',
        heads => $s->dir . '/audit-heads.jsonl',
    }, $class;
    make_key($self->{key});
    $s->{conf} = {
        %{ $s->{conf} },
        audit_key      => $self->{key},
        audit_heads    => $self->{heads},
        audit_interval => '1s',
        %{ $conf // {} },
    };
    return $self;
}

sub stack { return $_[0]{stack} }

# A private key in that file. Options of openssl genpkey follow; the default is Ed25519.
sub make_key {
    my ($file, @how) = @_;
    @how = qw(-algorithm ed25519) if !@how;
    system('/bin/sh', '-c', 'umask 077; out=$1; shift; exec openssl genpkey "$@" -out "$out" 2>&1',
        'sh', $file, @how) == 0
        or die "openssl genpkey @how\n";
    return $file;
}

# Records that no command wrote: as many as asked for, in one transaction.
sub put {
    my ($self, $operation, $count) = @_;
    $count //= 1;
    $self->stack->psql("SELECT count(audit_put(NULL, NULL, '$operation', 'thing:' || n, 'done',"
            . " jsonb_build_object('n', n))) FROM generate_series(1, $count) n");
}

sub unsealed {
    my ($self) = @_;
    return $self->stack->psql('SELECT count(*) FROM audit_records r WHERE NOT EXISTS'
            . ' (SELECT FROM audit_seals s WHERE s.id = r.id AND s.partition = r.partition)');
}

sub wait_sealed {
    my ($self) = @_;
    wait_for('seals' => sub { $self->unsealed == 0 });
}

# What the newest head of each partition has signed, as "202611=17 …".
sub signed {
    my ($self) = @_;
    my %size;
    for (split /\n/, $self->stack->psql('SELECT head FROM audit_heads ORDER BY number')) {
        $size{$1} = $2 if /^chain (\d+) (\d+) /;
    }
    return join ' ', map { "$_=$size{$_}" } sort keys %size;
}

sub sealed {
    my ($self) = @_;
    return join ' ', split /\n/,
        $self->stack->psql("SELECT partition || '=' || count(*) FROM audit_seals GROUP BY partition"
            . ' ORDER BY partition');
}

# The numbers of the heads in the file, of its complete lines.
sub in_file {
    my ($self) = @_;
    return if !-f $self->{heads};
    return map { $json->decode($_)->{head} =~ /^number (\d+)$/m }
        slurp($self->{heads}) =~ /^(.*)\n/mg;
}

# And of those in Redis.
sub in_redis {
    my ($self) = @_;
    return $self->stack->redis('XRANGE', 'weir:audit:heads', '-', '+') =~ /^(\d+)-0$/mg;
}

sub in_database {
    my ($self) = @_;
    return split /\n/, $self->stack->psql('SELECT number FROM audit_heads ORDER BY number');
}

sub wait_signed {
    my ($self) = @_;
    $self->wait_sealed;
    wait_for('heads' => sub { $self->signed eq $self->sealed });
    wait_for('heads in the file and in Redis' => sub {
        my $all = join ',', $self->in_database;
        return $all eq join(',', $self->in_file) && $all eq join(',', $self->in_redis);
    });
}

# Runs "weirctl audit verify". Returns the kinds of what was found, sorted, each once; and the
# whole answer.
sub verify {
    my ($self, @arguments) = @_;
    my ($status, $out, $err) =
        $self->stack->weirctl('audit', 'verify', '--json', @arguments);
    die "weirctl audit verify: $err\n" if $status > 1;
    my $answer = $json->decode($out);
    die "exit code $status with $answer->{findings} findings\n"
        if $status != ($answer->{findings} > 0 ? 1 : 0);
    my %kinds = map { $_->{finding} => 1 } @{ $answer->{rows} };
    return (join(', ', sort keys %kinds), $answer);
}

# Changes the log as only a superuser can, who switches its triggers off.
sub tamper {
    my ($self, $sql) = @_;
    $self->stack->psql_as('postgres', 'weir', "SET session_replication_role = replica; $sql");
}

1;
