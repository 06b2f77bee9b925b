# A mail server that misbehaves: each mail has a result, the process answers its operator, and the
# mail arrives when the server is well again.
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
my $s = Weir::Stack->new(
    conf => {
        groups => 'email', smtp_timeout => '300ms',
        retry_base => '20ms', retry_max => '200ms', retry_attempts => 1000,
    });
my $e = Weir::Events->new($s, groups => ['email']);
my $heard = $s->start_smtp_hostile;
$s->start_backend('relay worker', conf => { metrics_listen => "127.0.0.1:$operators" });

# What became of the first attempts of an event that is not handled yet: the errors, and whether
# they count as attempts.
sub failure {
    return $s->psql('SELECT error || CASE WHEN attempts > 0 THEN $$ counted$$ ELSE $$$$ END'
            . ' FROM retries');
}

my $silent = qr/no reply within 300 ms/;
my $closed = qr/the connection was lost/;
my $long = qr/a reply is malformed, or too long/;
my $login = qr/SMTP: .*\(last reply: /;
my @cases = (
    # The server has no recipient yet: this is about all mails, and no attempt of this one.
    ['greeting flood', qr{the server's replies are too long}, 0],
    ['EHLO flood', qr{the server's replies are too long|Too large}, 0], # libcurl has a limit, too
    (map { ["greeting $_", $login, 0] } 'close', 'silent', 'line', 'drip',
        'say 554 go away', 'say HTTP/1.1 400 Bad Request', 'say \0'),
    (map { ["EHLO $_", $login, 0] } 'close', 'silent', 'line', 'drip'),
    ['MAIL close', $closed, 0],
    ['MAIL silent', $silent, 0],
    ['MAIL flood', $long, 0],
    ['MAIL line', $long, 0],
    ['MAIL drip', $silent, 0],
    ['MAIL say 250 ok\r\n250 ok', qr/MAIL has several replies/, 0],
    ['MAIL say 550 not you', qr/MAIL failed: 550 \(last reply: 550 not you\)/, 0],
    ['MAIL say 354 go on', qr/MAIL failed: 354/, 0],
    ['MAIL say hello', $long, 0],
    ['MAIL say 250-a\r\n550 b', $long, 0],
    # The server may know the recipient.
    ['RCPT close', $closed, 1],
    ['RCPT silent', $silent, 1],
    ['RCPT flood', $long, 1],
    ['RCPT say 250 ok\r\n354 go on', qr/RCPT has several replies/, 1],
    ['RCPT say 421 bye', qr/RCPT failed: 421/, 1],
    ['RCPT say 450 \xff later', qr/RCPT failed: 450/, 1],
    ['DATA close', $closed, 1],
    ['DATA silent', $silent, 1],
    ['DATA drip', $silent, 1],
    ['DATA say 250 ok', qr/DATA failed: 250/, 1],
    ['DATA say 354 go on\r\n250 ok', qr/DATA has several replies/, 1],
    ['text close', $closed, 1],
    ['text silent', $silent, 1],
    ['text flood', $long, 1],
    ['text line', $long, 1],
    ['text drip', $silent, 1],
    ['text say 354 go on', qr/text failed: 354/, 1],
    ['text say 452 full', qr/text failed: 452 \(last reply: 452 full\)/, 1],
);
for my $case (@cases) {
    my ($mood, $error, $counted) = @$case;
    spew("$heard.mood", $mood);
    if ($mood =~ /greeting|EHLO/) { # which a connection that is used again has behind it
        $s->stop_smtp;
        $s->start_smtp_hostile;
    }
    $e->create(1);
    my $failure;
    wait_for("a failure at $mood" =>
            sub { ($failure = failure()) =~ /$error/ && $failure =~ /counted/ == $counted });
    like $failure, $error, "$mood: " . ($counted ? 'an attempt of the mail' : 'of all mails');
    is +HTTP::Tiny->new(timeout => 30)->get("http://127.0.0.1:$operators/livez")->{status}, 200,
        'the process answers';
    unlink "$heard.mood";
    $e->wait_handled;
}
is $s->psql('SELECT count(*) FROM dead_letters'), 0, 'no mail is given up';

for my $case (['RCPT say 550 no such user', 'RCPT failed: 550 (last reply: 550 no such user)'],
    ['DATA say 554 no', 'DATA failed: 554 (last reply: 554 no)'],
    ['text say 552 spam\r\n421 bye', 'text failed: 552 (last reply: 552 spam)'])
{
    my ($mood, $error) = @$case;
    spew("$heard.mood", $mood);
    $e->create(1);
    wait_for("a dead letter at $mood" => sub {
        $s->psql('SELECT error FROM dead_letters ORDER BY dead_at DESC LIMIT 1') eq "SMTP: $error";
    });
    pass "$mood: a dead letter, with that reply";
    unlink "$heard.mood";
    $e->wait_handled;
}

subtest 'a long reply with the address' => sub {
    spew("$heard.mood", 'RCPT say 550 ' . 'x' x 180 . ' <> <>');
    $e->create(1);
    my $error;
    wait_for('a dead letter' => sub {
        ($error = $s->psql('SELECT error FROM dead_letters ORDER BY dead_at DESC LIMIT 1')) =~ /xx/;
    });
    like $error, qr/x <\(recip/, 'is kept without it';
    unlike $error, qr/user/, 'also where it is cut';
    unlink "$heard.mood";
    $e->wait_handled;
};

is $s->stop_backend('relay worker'), 0, 'stops gracefully';
$s->start_backend('relay worker', conf => { smtp_timeout => '60s' });

subtest 'a server that takes a mail and leaves' => sub {
    spew("$heard.mood", 'text say 250 ok\r\n421 4.4.2 bye');
    $e->create(20);
    $e->wait_handled;
    is $s->psql('SELECT count(*) FROM retries'), 0, 'no mail has failed';
    unlink "$heard.mood";
};

subtest 'a server without EHLO' => sub {
    $s->stop_smtp;
    spew("$heard.mood", 'EHLO say 502 unknown');
    $s->start_smtp_hostile;
    $e->create(1);
    $e->wait_handled;
    like slurp($heard), qr/^HELO/m, 'gets HELO, and the mail';
    is $s->psql('SELECT count(*) FROM retries'), 0, 'no mail has failed';
};

is $s->stop_backend('relay worker'), 0, 'stops gracefully';
done_testing;
