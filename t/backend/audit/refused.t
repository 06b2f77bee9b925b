# Refused requests in the audit log: a record for each of the first, then one with the number of the
# others; and those of edges, from the stream weir:refused.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../lib";

use IO::Socket::INET;
use JSON::PP ();
use List::Util 'sum0';
use Test::More;
use Weir::Backend::Identity;
use Weir::Stack qw(wait_for);

my $s = Weir::Stack->new;
my $edge = Weir::Backend::Identity->new($s->dir);
$s->{conf} = { $edge->conf };
$s->start_process('api', [$s->{binary}, '-c', $s->write_conf, 'api']);
$s->wait_started(api => sub { $s->log_of('api') =~ /"msg":"started"/ });

my $USER = '01890000-0000-7000-8000-000000000001';
my $json = JSON::PP->new;

sub call {
    my ($method, $path, %claims) = @_;
    my %issued = exists $claims{sub} ? (sub_iss => 'https://i.example') : ();
    return $s->request($method, $path, { headers => { %claims
            ? %{ $edge->header($method, $path, %issued, %claims) } : () } })
        ->{status};
}

# Records, a line for each.
sub records {
    my ($where) = @_;
    return $s->psql('SELECT outcome, object, subject, actor, address, detail FROM audit_records'
            . " WHERE operation = 'refused' AND $where ORDER BY id");
}

# Requests that the records stand for.
sub requests {
    my ($where) = @_;
    return sum0(map { /"count": (\d+)/ ? $1 : 1 } split /\n/, records($where));
}

subtest 'each kind' => sub {
    is call('GET', "/users/$USER"), 401, 'no identity';
    is call('GET', "/users/$USER", scope => ''), 401, 'an anonymous caller';
    is call('GET', "/users/$USER", sub => 'bob', scope => 'other'), 403, 'without the scope';
    is call('GET', "/users/$USER", sub => 'eve', scope => 'shop:users'), 403, 'another user';
    wait_for('the records' => sub { requests('true') >= 4 });
    like records('true'), qr{^identity\|GET /users/\{\w+\}\|anonymous\|weir-refused\|127.0.0.1\|
anonymous\|GET /users/\{\w+\}\|anonymous\|\S+\|127.0.0.1\|
scope\|GET /users/\{\w+\}\|sub:bob\|\S+ https://i.example\|127.0.0.1\|
owner\|GET /users/\{\w+\}\|sub:eve\|\S+ https://i.example\|127.0.0.1\|\n?$}, 'have a record';
    is call('GET', "/users/$USER", sub => 'root', scope => 'shop:admin'), 404, 'a good one';
    unlike records('true'), qr/root/, '... has none';
};

subtest 'a flood of 10,000' => sub {
    my $flood = 10_000;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$s->{port}")
        or die "connect: $!";
    my $request = "GET /users/$USER HTTP/1.1\r\nHost: x\r\n\r\n";
    my ($answers, $buffer) = (0, '');
    for (1 .. $flood / 100) {
        print {$socket} $request x 100;
        my $end = $answers + 100;
        while ($answers < $end) {
            sysread $socket, $buffer, 65536, length $buffer or die "read: $!";
            $answers += ($buffer =~ s{^.*?HTTP/1.1 401 }{}s) while $buffer =~ /HTTP\/1.1 401 /;
        }
    }
    is $answers, $flood, 'all are refused';
    wait_for('the records' => sub { requests("outcome = 'identity'") >= $flood + 1 }, 30);
    is requests("outcome = 'identity'"), $flood + 1, 'the records have all of them';
    my $rows = split /\n/, records("outcome = 'identity'");
    cmp_ok $rows, '<=', 30, "... and are few ($rows)";
};

subtest 'edges' => sub {
    $s->start_backend('relay');
    my $add = sub { $s->redis('XADD', 'weir:refused', '*', 'refused', @_) };
    my %row = (outcome => 'expired', object => 'GET /x', subject => 'anonymous', actor => 'edge-1',
        address => '192.0.2.1', trace_id => '0af7651916cd43dd8448eb211c80319c');
    $add->($json->encode(\%row));
    $add->($_) for 'x', '[]', '{}', '{"outcome":7}', '{"outcome":"a","outcome":"b"}', 'x' x 5000;
    $add->($json->encode({ %row, count => 7 }));
    $add->($json->encode({ %row, count => -7, subject => 'x' x 3000, other => 1 }));
    wait_for('the records' => sub { requests("actor = 'edge-1'") >= 9 });
    is records("actor = 'edge-1'"), "expired|GET /x|anonymous|edge-1|192.0.2.1|\n"
        . qq(expired|GET /x|anonymous|edge-1|192.0.2.1|{"count": 7}\n)
        . 'expired|GET /x|' . 'x' x 256 . '|edge-1|192.0.2.1|', 'have records';
    like $s->log_of('relay'), qr/entries of weir:refused are not understood.*"entries":6/,
        '... what is no refusal is left out';
    $s->stop_backend('relay');
    $add->($json->encode({ %row, actor => 'edge-2' }));
    $s->start_backend('relay', name => 'second');
    wait_for('the records' => sub { requests("actor = 'edge-2'") >= 1 });
    is requests("actor IN ('edge-1', 'edge-2')"), 10, 'another process goes on where it was';

    # Who may add entries chooses their IDs, of which no later one can be above the last.
    $s->redis('XADD', 'weir:refused', '18446744073709551615-18446744073709551615',
        'refused', $json->encode({ %row, actor => 'edge-3' }));
    wait_for('the last entry that there can be' => sub { requests("actor = 'edge-3'") >= 1 });
    $s->redis('DEL', 'weir:refused');
    $add->($json->encode({ %row, actor => 'edge-4' }));
    wait_for('a stream made anew' => sub { requests("actor = 'edge-4'") >= 1 });
    is $s->psql("SELECT count(*) FROM audit_records WHERE actor IN ('edge-3', 'edge-4')"), 2,
        '... is read from its beginning, and each entry once';
};

done_testing;
