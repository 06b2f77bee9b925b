# A process confines itself before it starts a thread, and does all that it did before.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use Test::More;
use Weir::Base qw(slurp);
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new;
$s->start_smtp;

# The values of that line in the status of each thread, each value once.
sub of_threads {
    my ($name, $line) = @_;
    my %found;
    for my $status (glob "/proc/$s->{proc}{$name}/task/*/status") {
        $found{$1} = 1 if (slurp($status) // '') =~ /^$line:\s+(\d+)$/m;
    }
    return join ' ', sort keys %found;
}

my $before = slurp('/proc/self/status') =~ /^Seccomp_filters:\s+(\d+)$/m ? $1 : plan skip_all =>
    'the kernel does not say how many filters a process has';

$s->start_backend('all', conf => { sandbox => 'off' });
is of_threads('all', 'Seccomp_filters'), $before, 'sandbox = off: no filter of system calls';
is $s->stop_backend('all'), 0, '... and a clean end';

$s->start_backend('all');
SKIP: {
    my ($unconfined) = grep { $_->{msg} =~ /not confined/ } $s->log_lines('all');
    skip 'built with AddressSanitizer, or without seccomp', 2
        if $unconfined || of_threads('all', 'NoNewPrivs') eq '0';
    is of_threads('all', 'Seccomp_filters'), $before + 1, 'by default each thread has one';
    is of_threads('all', 'NoNewPrivs'), 1, '... and no way to more privileges';
}
is $s->post('/signup', { email => 'a@example.com', displayName => 'A' })->{status}, 201,
    'it takes a request';
wait_for('the mail' => sub { $s->mails == 1 });
wait_for('the user' => sub { $s->psql(q{SELECT status FROM users}) eq 'ACTIVE' });
is $s->stop_backend('all'), 0, '... and ends cleanly';

done_testing();
