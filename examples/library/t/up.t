# ./weir up --domain examples/library: the library behind the edge, which keeps the list of books until one is lent.
use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../../../t/lib";

use File::Temp 'tempdir';
use HTTP::Tiny;
use IO::Socket::INET;
use JSON::PP;
use Test::More;
use Weir::Stack qw(wait_for);

# The services' own users must reach what is theirs.
my $dir = tempdir('/tmp/weir-library.XXXXXX', CLEANUP => 1);
chmod 0755, $dir;

# Five free ports in a row, below those that clients get.
sub free_ports {
    for (1 .. 100) {
        my $base = 20000 + 10 * int rand 1000;
        my @held = grep { $_ } map { IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1:' . ($base + $_)) } 0 .. 4;
        return $base if @held == 5;
    }
    die('no five free ports in a row');
}

my $run = $ENV{WEIR_RUN} = "$dir/run";
my $edge = 'http://127.0.0.1:' . ($ENV{WEIR_PORT} = free_ports());

sub weir {
    open my $out, '-|', 'sh', '-c', 'exec ./weir "$@" 2>&1', 'weir', @_ or die "./weir: $!";
    my $text = do { local $/; <$out> } // '';
    close $out;
    return ($? >> 8, $text);
}

END {
    my $result = $?;
    weir('down') if $dir && -d $run;
    $? = $result;
}

my $http = HTTP::Tiny->new(timeout => 20);

sub post {
    my ($path, $body) = @_;
    my $r = $http->post($edge . $path, { headers => { 'Content-Type' => 'application/json' }, content => encode_json($body) });
    return { %$r, json => eval { decode_json($r->{content}) } };
}

sub books {
    my $r = $http->get("$edge/books");
    return { %$r, json => eval { decode_json($r->{content}) }, hit => scalar(($r->{headers}{'cache-status'} // '') =~ /hit/) };
}

my ($code, $text) = weir('up', '--domain', 'examples/library');
is $code, 0, 'up' or do { diag $text; done_testing; exit };
like $text, qr{Weir is up with the domain examples/library: $edge}, 'says so';

($code, $text) = weir('status');
is $code, 0, 'all is up';
unlike $text, qr/smtp|payments/, 'nothing that only another domain needs';
is((weir('ctl', 'loans', 'overdue'))[0], 0, 'weirctl knows its commands');

my $member = post('/members', { name => 'Ann', email => 'ann@example.org' })->{json}{id};
my $book = post('/books', { title => 'Walden', kind => 'novel', copies => 2 });
is $book->{headers}{'content-type'}, 'application/vnd.library.v1+json', 'its media type';
wait_for('the list, kept by the edge', sub { books()->{hit} });
is books()->{json}{books}[0]{free}, 2, 'two copies';
is post('/loans', { memberId => $member, bookId => $book->{json}{id}, days => 7 })->{status}, 201, 'one is lent';
my $after = books();
is $after->{json}{books}[0]{free}, 1, 'and the list is another one at once';

($code, $text) = weir('up', '--domain', 'backend/shop');
is $code, 1, 'its data are not given to another domain';
like $text, qr/this stack has the data of the domain examples\/library/, 'which is said';

done_testing;
