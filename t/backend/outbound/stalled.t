# A mail server that is silent holds up mails, and nothing else of its worker.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use HTTP::Tiny;
use Test::More;
use Weir::Base qw(free_port slurp spew wait_for);
use Weir::Events;
use Weir::Stack;

my $operators = free_port();
my $s = Weir::Stack->new(conf => { smtp_timeout => '300s', groups => 'email,billing' });
my $e = Weir::Events->new($s, groups => ['billing']);
my $heard = $s->start_smtp_hostile;
$s->start_backend('relay worker', conf => { metrics_listen => "127.0.0.1:$operators" });

sub heard { my ($what) = @_; return scalar(my @lines = slurp($heard) =~ /^$what/mg) }

for my $stage ('greeting', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'text') {
    subtest "silent at $stage" => sub {
        $s->stop_smtp; # and with it the connections, which would be used again
        spew("$heard.mood", "$stage silent");
        $s->start_smtp_hostile;
        my ($before, $taken) = (heard($stage), heard('text user'));
        $e->create(1);
        wait_for('the mail to be on its way' => sub { heard($stage) > $before });
        $e->create(1);
        $e->wait_handled('billing');
        pass 'another group handles events meanwhile';
        is +HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$operators/livez")->{status},
            200, 'and the process answers its operator';
        unlink "$heard.mood";
        $e->wait_handled('email', 'billing');
        is heard('text user') - $taken, 2, 'both mails arrive when the server goes on';
        is $s->psql('SELECT count(*) FROM retries'), 0, 'at the first attempt';
    };
}

subtest 'silent after QUIT' => sub {
    spew("$heard.mood", "RCPT say 550 no such user\nQUIT silent");
    $e->create(1, 'refused');
    wait_for('the refusal' => sub { $s->psql('SELECT count(*) FROM dead_letters') == 1 });
    pass 'the refusal is known';
    $e->create(1);
    $e->wait_handled('billing');
    pass 'another group handles events meanwhile';
};

is $s->stop_backend('relay worker'), 0, 'stops gracefully';
done_testing;
